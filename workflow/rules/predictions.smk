# New applications, one job a file.

PREDICTION_FILES = [".csv", ".rejects.csv", ".summary.json"]


rule predict:
    input:
        application=lambda wildcards: APPLICATIONS[wildcards.application],
        receipt="results/selection.json",
        live=LIVE,
    output:
        predictions="results/predictions/{application}.csv",
        rejects="results/predictions/{application}.rejects.csv",
        summary="results/predictions/{application}.summary.json",
    log:
        "results/logs/predict/{application}.log",
    benchmark:
        "results/benchmarks/predict/{application}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(memory_per_input=0.5),
    params:
        predict=as_json(CONFIG.predict.model_dump(mode="json")),
        policy=as_json(REJECTS),
        config=FROZEN_CONFIG,
        code=code_of("predict"),
    message:
        "predict {input.application}"
    shell:
        step(
            "predict",
            "--application {input.application:q} --live {input.live:q} --predictions {output.predictions:q}"
            " --rejects {output.rejects:q} --summary {output.summary:q} --config {params.config}",
        )
