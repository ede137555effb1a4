# New applications: one job a file, or one a partition of a large file, or one for many small files.

PREDICTION_FILES = [".csv", ".rejects.csv", ".summary.json"]
PREDICTIONS, PREDICTION_REJECTS, PREDICTION_SUMMARY = expand(
    "results/predictions/{{application}}{kind}", kind=PREDICTION_FILES
)
SHARE_PREDICTIONS, SHARE_REJECTS, SHARE_SUMMARY = expand(
    "results/shares/predictions/{{share}}{kind}", kind=PREDICTION_FILES
)
SHARES_OF_APPLICATIONS = partitions_of(APPLICATIONS)
DIVIDED = [name for name, file in APPLICATIONS.items() if file.partitions > 1]
# A first version that waits for a person's yes scores nothing yet: the run ends there, and the next one predicts.
PREDICTED = [] if PLAN.waits else APPLICATIONS
WHOLE = {name: file for name, file in APPLICATIONS.items() if file.partitions == 1}
BATCHES = []
if len(WHOLE) > CONFIG.partitions.files:
    BATCHES = batches(WHOLE, CONFIG.partitions.files, CONFIG.partitions.mb)
# What the target `all` names: all files, but one a batch: tens of thousands would take Snakemake several times longer.
THERE = {str(path) for path in Path("results/predictions").glob("*")} if BATCHES else ()
ALL_PREDICTIONS = expand(
    "results/predictions/{application}{kind}", application=DIVIDED if BATCHES else APPLICATIONS, kind=PREDICTION_FILES
)
for BATCH in BATCHES:
    BATCH_FILES = expand("results/predictions/{application}{kind}", application=BATCH, kind=PREDICTION_FILES)
    ALL_PREDICTIONS.append(to_ask_for(BATCH_FILES, THERE))
if APPLICATIONS and not PREDICTED:
    ALL_PREDICTIONS = []
    if workflow.is_main_process:
        logger.warning("No model is live yet, and a person must make one so (deploy.approval): nothing is predicted.")


rule predict:
    input:
        application=lambda wildcards: APPLICATIONS[wildcards.application].path,
        receipt="results/selection.json",
        live=LIVE,
    output:
        predictions=PREDICTIONS,
        rejects=PREDICTION_REJECTS,
        summary=PREDICTION_SUMMARY,
    log:
        "results/logs/predict/{application}.log",
    benchmark:
        "results/benchmarks/predict/{application}.tsv"
    wildcard_constraints:
        application="(?!)" if BATCHES else ".+",  # nothing, where files are scored in batches
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(memory_per_input=0.5),
    params:
        predict=as_json(CONFIG.predict.model_dump(mode="json")),
        policy=as_json(REJECTS),
        labels=as_json(CONFIG.labels),
        config=CONFIG_FILE,
        plan=PLAN_FILE,
        code=code_of("predict"),
    message:
        "predict {input.application}"
    shell:
        step(
            "predict",
            "--application {input.application:q} --live {input.live:q} --predictions {output.predictions:q}"
            " --rejects {output.rejects:q} --summary {output.summary:q} --config {params.config} --plan {params.plan}"
            " --shares --pieces --number 1",
        )


if DIVIDED:

    ruleorder: join > predict

    rule divide_application:
        input:
            application=lambda wildcards: APPLICATIONS[wildcards.file].path,
            receipt="results/selection.json",
            live=LIVE,  # the live model says how applications are written
        output:
            shares=expand(SHARES, kind="applications", allow_missing=True)[0],
            pieces=directory(expand(PIECES, kind="applications", allow_missing=True)[0]),
        log:
            "results/logs/divide_application/{file}.log",
        benchmark:
            "results/benchmarks/divide_application/{file}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(divided_by=lambda wildcards: APPLICATIONS[wildcards.file].partitions),
        params:
            partitions=lambda wildcards: APPLICATIONS[wildcards.file].partitions,
            config=CONFIG_FILE,
            plan=PLAN_FILE,
            code=code_of("divide"),
        message:
            "divide {input.application} into {params.partitions} partitions"
        shell:
            step(
                "divide",
                "--source {input.application:q} --shares {output.shares:q} --pieces {output.pieces:q}"
                " --plan {params.plan} --config {params.config} --live {input.live:q}",
            )

    rule predict_share:
        input:
            application=lambda wildcards: APPLICATIONS[SHARES_OF_APPLICATIONS[wildcards.share].file].path,
            shares=of_share(SHARES, "applications", SHARES_OF_APPLICATIONS, "share"),
            pieces=of_share(PIECES, "applications", SHARES_OF_APPLICATIONS, "share"),
            receipt="results/selection.json",
            live=LIVE,
        output:
            predictions=temp(SHARE_PREDICTIONS),
            rejects=temp(SHARE_REJECTS),
            summary=temp(SHARE_SUMMARY),
        log:
            "results/logs/predict_share/{share}.log",
        benchmark:
            "results/benchmarks/predict_share/{share}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=0.5, divided_by=lambda wildcards: SHARES_OF_APPLICATIONS[wildcards.share].of),
        params:
            number=lambda wildcards: SHARES_OF_APPLICATIONS[wildcards.share].number,
            predict=as_json(CONFIG.predict.model_dump(mode="json")),
            policy=as_json(REJECTS),
            labels=as_json(CONFIG.labels),
            config=CONFIG_FILE,
            plan=PLAN_FILE,
            code=code_of("predict"),
        message:
            "predict {input.application}, partition {params.number}"
        shell:
            step(
                "predict",
                "--application {input.application:q} --live {input.live:q} --shares {input.shares:q}"
                " --pieces {input.pieces:q} --number {params.number} --predictions {output.predictions:q}"
                " --rejects {output.rejects:q} --summary {output.summary:q} --config {params.config}"
                " --plan {params.plan}",
            )

    rule join:
        input:
            predictions=of_application(SHARE_PREDICTIONS),
            rejects=of_application(SHARE_REJECTS),
            summaries=of_application(SHARE_SUMMARY),
        output:
            predictions=PREDICTIONS,
            rejects=PREDICTION_REJECTS,
            summary=PREDICTION_SUMMARY,
        log:
            "results/logs/join/{application}.log",
        benchmark:
            "results/benchmarks/join/{application}.tsv"
        wildcard_constraints:
            application="|".join(map(re.escape, DIVIDED)),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=0),
        params:
            code=code_of("join"),
        message:
            "join the predictions for {wildcards.application}"
        shell:
            step(
                "join",
                "--part-predictions {input.predictions:q} --part-rejects {input.rejects:q}"
                " --part-summaries {input.summaries:q} --predictions {output.predictions:q} --rejects {output.rejects:q}"
                " --summary {output.summary:q}",
            )


for NUMBER, BATCH in enumerate(BATCHES, 1):

    rule:
        name:
            f"predict_batch_{NUMBER}"
        input:
            applications=[APPLICATIONS[name].path for name in BATCH],
            receipt="results/selection.json",
            live=LIVE,
        output:
            predictions=expand(PREDICTIONS, application=BATCH),
            rejects=expand(PREDICTION_REJECTS, application=BATCH),
            summaries=expand(PREDICTION_SUMMARY, application=BATCH),
        log:
            f"results/logs/predict_batch/{NUMBER}.log",
        benchmark:
            f"results/benchmarks/predict_batch/{NUMBER}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=0.5),
        params:
            files=len(BATCH),
            predict=as_json(CONFIG.predict.model_dump(mode="json")),
            policy=as_json(REJECTS),
            labels=as_json(CONFIG.labels),
            config=CONFIG_FILE,
            plan=PLAN_FILE,
            code=code_of("predict_batch"),
        message:
            f"predict {len(BATCH)} files, {BATCH[0]} to {BATCH[-1]}"
        shell:
            step(
                "predict_batch",
                "--applications {input.applications:q} --live {input.live:q} --predictions {output.predictions:q}"
                " --rejects {output.rejects:q} --summaries {output.summaries:q} --config {params.config}"
                " --plan {params.plan}",
            )
