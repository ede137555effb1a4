# From raw files to clean rows, each on one side of the split. A large file is divided into partitions, one job each.

PARTITIONS = partitions_of(RAW)
PART = "results/data/clean/{part}.parquet"
MEMBERSHIP = "results/data/membership/{part}.parquet"
DUPLICATES = "results/data/duplicates.parquet"
PROFILE = "results/data/profile.json"
SUMMARY, REJECTED = "results/data/summary.json", "results/data/rejects.csv"
PARTS = expand(PART, part=PARTITIONS)
MEMBERSHIPS = expand(MEMBERSHIP, part=PARTITIONS)
SHARES, PIECES = "results/shares/{kind}/{file}.json", "results/shares/{kind}/{file}.pieces"


rule divide:
    input:
        raw=lambda wildcards: RAW[wildcards.file].path,
    output:
        shares=expand(SHARES, kind="raw", allow_missing=True)[0],
        pieces=directory(expand(PIECES, kind="raw", allow_missing=True)[0]),
    log:
        "results/logs/divide/{file}.log",
    benchmark:
        "results/benchmarks/divide/{file}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(divided_by=lambda wildcards: RAW[wildcards.file].partitions),
    params:
        format=as_json(CONTRACT["format"]),
        partitions=lambda wildcards: RAW[wildcards.file].partitions,
        config=CONFIG_FILE,
        plan=PLAN_FILE,
        code=code_of("divide"),
    message:
        "divide {input.raw} into {params.partitions} partitions"
    shell:
        step(
            "divide",
            "--source {input.raw:q} --shares {output.shares:q} --pieces {output.pieces:q} --plan {params.plan}"
            " --config {params.config} --live",
        )


rule preprocess:
    input:
        raw=lambda wildcards: RAW[PARTITIONS[wildcards.part].file].path,
        shares=of_share(SHARES, "raw", PARTITIONS, "part"),
        pieces=of_share(PIECES, "raw", PARTITIONS, "part"),
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
        **requests(memory_per_input=0.5, divided_by=lambda wildcards: PARTITIONS[wildcards.part].of),
    params:
        number=lambda wildcards: PARTITIONS[wildcards.part].number,
        contract=as_json(CONTRACT),
        policy=as_json(REJECTS),
        config=CONFIG_FILE,
        plan=PLAN_FILE,
        code=code_of("preprocess"),
    message:
        "preprocess {input.raw}, partition {params.number}"
    shell:
        step(
            "preprocess",
            "--raw {input.raw:q} --shares {input.shares:q} --pieces {input.pieces:q} --number {params.number}"
            " --clean {output.clean:q} --rejects {output.rejects:q} --summary {output.summary:q}"
            " --config {params.config} --plan {params.plan}",
        )


# Data of one partition is checked and split by one job: a job more would take longer than its work.
if len(PARTITIONS) == 1:

    rule split:
        input:
            parts=PARTS,
            summaries=expand("results/data/counts/{part}.json", part=PARTITIONS),
            rejects=expand("results/data/rejects/{part}.csv", part=PARTITIONS),
        output:
            membership=MEMBERSHIPS,
            duplicates=DUPLICATES,
            rejects=REJECTED,
            summary=SUMMARY,
            profile=PROFILE,
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
            config=CONFIG_FILE,
            code=code_of("check_and_split"),
        message:
            "split all rows into train and test ({params.method})"
        shell:
            step(
                "check_and_split",
                "--parts {input.parts:q} --summaries {input.summaries:q} --part-rejects {input.rejects:q}"
                " --duplicates {output.duplicates:q} --membership {output.membership:q} --rejects {output.rejects:q}"
                " --summary {output.summary:q} --profile {output.profile:q} --config {params.config}",
            )

else:

    rule check:
        input:
            parts=PARTS,
            summaries=expand("results/data/counts/{part}.json", part=PARTITIONS),
            rejects=expand("results/data/rejects/{part}.csv", part=PARTITIONS),
        output:
            duplicates=DUPLICATES,
            rejects=REJECTED,
            summary=SUMMARY,
        log:
            "results/logs/check/check.log",
        benchmark:
            "results/benchmarks/check/check.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=1),
        params:
            contract=as_json(CONTRACT),
            split=as_json(CONFIG.split.model_dump(mode="json")),
            policy=as_json(REJECTS),
            config=CONFIG_FILE,
            code=code_of("check"),
        message:
            "check all rows: duplicate ids, counts, both sides of the split"
        shell:
            step(
                "check",
                "--parts {input.parts:q} --summaries {input.summaries:q} --part-rejects {input.rejects:q}"
                " --duplicates {output.duplicates:q} --rejects {output.rejects:q} --summary {output.summary:q}"
                " --config {params.config}",
            )

    rule split:
        input:
            part=PART,
            duplicates=DUPLICATES,
        output:
            membership=MEMBERSHIP,
        log:
            "results/logs/split/{part}.log",
        benchmark:
            "results/benchmarks/split/{part}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(),
        params:
            number=lambda wildcards: list(PARTITIONS).index(wildcards.part),
            method=CONFIG.split.method,
            contract=as_json(CONTRACT),
            split=as_json(CONFIG.split.model_dump(mode="json")),
            config=CONFIG_FILE,
            code=code_of("split"),
        message:
            "split {input.part} into train and test ({params.method})"
        shell:
            step(
                "split",
                "--part {input.part:q} --duplicates {input.duplicates:q} --number {params.number}"
                " --membership {output.membership:q} --config {params.config}",
            )

    rule profile:
        input:
            parts=PARTS,
            membership=MEMBERSHIPS,
        output:
            profile=PROFILE,
        log:
            "results/logs/profile/profile.log",
        benchmark:
            "results/benchmarks/profile/profile.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=0.2),
        params:
            contract=as_json(CONTRACT),
            config=CONFIG_FILE,
            code=code_of("profile_data"),
        message:
            "profile the clean rows: distributions, default rates, train against test"
        shell:
            step(
                "profile_data",
                "--parts {input.parts:q} --membership {input.membership:q} --profile {output.profile:q}"
                " --config {params.config}",
            )
