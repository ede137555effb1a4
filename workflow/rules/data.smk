# From raw files to clean rows, each on one side of the split.

PART = "results/data/clean/{part}.parquet"
MEMBERSHIP = "results/data/membership/{part}.parquet"
PARTS = expand(PART, part=RAW)
MEMBERSHIPS = expand(MEMBERSHIP, part=RAW)


rule preprocess:
    input:
        raw=lambda wildcards: RAW[wildcards.part],
    output:
        clean=PART,
        rejects="results/data/rejects/{part}.csv",
        summary="results/data/counts/{part}.json",
    log:
        "results/logs/preprocess/{part}.log",
    benchmark:
        "results/benchmarks/preprocess/{part}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(memory_per_input=0.5),
    params:
        contract=as_json(CONTRACT),
        policy=as_json(REJECTS),
        config=FROZEN_CONFIG,
        code=code_of("preprocess"),
    message:
        "preprocess {input.raw}"
    shell:
        step(
            "preprocess",
            "--raw {input.raw:q} --clean {output.clean:q} --rejects {output.rejects:q}"
            " --summary {output.summary:q} --config {params.config}",
        )


rule split:
    input:
        parts=PARTS,
        summaries=expand("results/data/counts/{part}.json", part=RAW),
        rejects=expand("results/data/rejects/{part}.csv", part=RAW),
    output:
        membership=MEMBERSHIPS,
        rejects="results/data/rejects.csv",
        summary="results/data/summary.json",
    log:
        "results/logs/split/split.log",
    benchmark:
        "results/benchmarks/split/split.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(),
    params:
        method=CONFIG.split.method,
        contract=as_json(CONTRACT),
        split=as_json(CONFIG.split.model_dump(mode="json")),
        policy=as_json(REJECTS),
        config=FROZEN_CONFIG,
        code=code_of("split"),
    message:
        "split all rows into train and test ({params.method})"
    shell:
        step(
            "split",
            "--parts {input.parts:q} --summaries {input.summaries:q} --part-rejects {input.rejects:q}"
            " --membership {output.membership:q} --rejects {output.rejects:q} --summary {output.summary:q}"
            " --config {params.config}",
        )
