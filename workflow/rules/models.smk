# From the split to a deployed model. A model is a row in the config; its rule `train_NAME` follows from that.

MODEL = f"results/models/{{model}}/model.{CONFIG.deploy.artefact}"  # its ending is the format
CARD = "results/models/{model}/model.json"
CROSS_VALIDATION = "results/models/{model}/cross_validation.json"
SCORES = "results/scores/{model}/{part}.parquet"
ALL_SCORES = "results/scores/{model}.parquet"
METRICS = "results/metrics/{model}.json"
CURVES = "results/metrics/{model}.curves.json"
PERFORMANCE = "results/metrics/{model}.performance.json"
REFERENCE = "results/models/{model}/reference.json"
MODELS = sorted(CONFIG.models)


wildcard_constraints:
    model="|".join(MODELS),


for NAME, ROW in CONFIG.models.items():

    rule:
        name:
            f"train_{NAME}"
        input:
            parts=PARTS,
            membership=MEMBERSHIPS,
            tuned=tuned_of(NAME),
            cv=calibration_of(NAME),
        output:
            model=expand(MODEL, model=NAME)[0],
            card=expand(CARD, model=NAME)[0],
        log:
            f"results/logs/train_{NAME}/train_{NAME}.log",
        benchmark:
            f"results/benchmarks/train_{NAME}/train_{NAME}.tsv"
        conda:
            ENVIRONMENT
        threads: CONFIG.resources.threads
        resources:
            **requests(**TRAINING),
        params:
            model_name=NAME,
            model=row_of(NAME),
            contract=as_json(SEEN),
            seed=CONFIG.seed,
            in_blocks=IN_BLOCKS,
            lock=LOCK_CHECKSUM,
            config=CONFIG_FILE,
            estimator=estimator_code(NAME),
            code=code_of("train"),
        message:
            f"train {NAME} ({ROW.estimator})"
        shell:
            step(
                "train",
                "--parts {input.parts:q} --membership {input.membership:q} --model-file {output.model:q}"
                " --card {output.card:q} --name {params.model_name} --tuned {input.tuned:q} --cv {input.cv:q}"
                " --config {params.config} --code {params.code}{params.estimator}",
            )


rule cross_validate:
    input:
        parts=PARTS,
        membership=MEMBERSHIPS,
        tuned=lambda wildcards: tuned_of(wildcards.model),
    output:
        scores=CROSS_VALIDATION,
    log:
        "results/logs/cross_validate/{model}.log",
    benchmark:
        "results/benchmarks/cross_validate/{model}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.resources.threads
    resources:
        **requests(**TRAINING),
    params:
        model=lambda wildcards: row_of(wildcards.model),
        contract=as_json(SEEN),
        threshold=as_json(CONFIG.threshold.model_dump(mode="json")),
        folds=CONFIG.cv_folds,
        seed=CONFIG.seed,
        in_blocks=IN_BLOCKS,
        lock=LOCK_CHECKSUM,
        config=CONFIG_FILE,
        estimator=lambda wildcards: estimator_code(wildcards.model),
        code=code_of("cross_validate"),
    message:
        "cross-validate {wildcards.model} on the train rows"
    shell:
        step(
            "cross_validate",
            "--parts {input.parts:q} --membership {input.membership:q} --scores {output.scores:q}"
            " --name {wildcards.model} --tuned {input.tuned:q} --config {params.config}",
        )


# A large file's test rows are scored by one job for each partition; those of one partition by the job that evaluates.
if len(PARTITIONS) > 1:

    rule score:
        input:
            part=PART,
            membership=MEMBERSHIP,
            model=MODEL,
            card=CARD,
        output:
            scores=SCORES,
        log:
            "results/logs/score/{model}/{part}.log",
        benchmark:
            "results/benchmarks/score/{model}/{part}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **requests(memory_per_input=20),
        params:
            code=code_of("score"),
        message:
            "score the test rows of {input.part} by {wildcards.model}"
        shell:
            step(
                "score",
                "--part {input.part:q} --membership {input.membership:q} --model-file {input.model:q}"
                " --card {input.card:q} --scores {output.scores:q}",
            )


rule evaluate:
    input:
        parts=PARTS if len(PARTITIONS) == 1 else [],
        membership=MEMBERSHIPS if len(PARTITIONS) == 1 else [],
        scores=expand(SCORES, part=PARTITIONS, allow_missing=True) if len(PARTITIONS) > 1 else [],
        model=MODEL,
        card=CARD,
        cv=CROSS_VALIDATION if CONFIG.threshold.method == "cost" else [],
        profile=PROFILE,
    output:
        reference=REFERENCE,
        metrics=METRICS,
        curves=CURVES,
        scores=ALL_SCORES,
        performance=PERFORMANCE,
    log:
        "results/logs/evaluate/{model}.log",
    benchmark:
        "results/benchmarks/evaluate/{model}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(memory_per_input=50),
    params:
        threshold=as_json(CONFIG.threshold.model_dump(mode="json")),
        config=CONFIG_FILE,
        code=code_of("evaluate"),
    message:
        "evaluate {wildcards.model} on the test rows"
    shell:
        step(
            "evaluate",
            "--parts {input.parts:q} --membership {input.membership:q} --scores {input.scores:q}"
            " --model-file {input.model:q} --card {input.card:q} --metrics {output.metrics:q}"
            " --curve-file {output.curves:q} --score-file {output.scores:q} --performance-file {output.performance:q}"
            " --cv {input.cv:q} --profile {input.profile:q}"
            " --reference {output.reference:q} --config {params.config}",
        )


rule compare:
    input:
        metrics=expand(METRICS, model=MODELS),
    output:
        comparison="results/metrics/comparison.csv",
    log:
        "results/logs/compare/compare.log",
    benchmark:
        "results/benchmarks/compare/compare.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(),
    params:
        code=code_of("compare"),
    message:
        "put all metrics into one table"
    shell:
        step("compare", "--metrics {input.metrics:q} --comparison {output.comparison:q}")


rule select:
    input:
        models=expand(MODEL, model=MODELS),
        cards=expand(CARD, model=MODELS),
        metrics=expand(METRICS, model=MODELS),
        cv=expand(CROSS_VALIDATION, model=MODELS) if CONFIG.select.on == "cv" else [],
        references=expand(REFERENCE, model=MODELS),
        # The live model is scored on the same rows as the candidates. Which one that is, the step looks up by itself.
        parts=PARTS,
        membership=MEMBERSHIPS,
        scores=expand(ALL_SCORES, model=MODELS),
        # A rollback rewrites the live pointer and must not be undone by the next run: its time doesn't count here.
        live=ancient(LIVE),
        lock=ancient(LOCK),  # kept with each version; a changed lock trains anew anyway
    output:
        receipt="results/selection.json",
        differences="results/metrics/differences.json",
    log:
        "results/logs/select/select.log",
    benchmark:
        "results/benchmarks/select/select.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(memory_per_input=20, divided_by=lambda wildcards: min(len(PARTITIONS), 8)),
    params:
        models=", ".join(MODELS),
        select=as_json(CONFIG.select.model_dump(mode="json")),
        approval=CONFIG.deploy.approval,  # who owns the registry's files, and how many stay, changes no result
        config=CONFIG_FILE,
        code=code_of("select_model"),
    message:
        "select the best of {params.models} and compare it with the live model"
    shell:
        step(
            "select_model",
            "--model-files {input.models:q} --cards {input.cards:q} --metrics {input.metrics:q} --cv {input.cv:q}"
            " --references {input.references:q} --parts {input.parts:q} --membership {input.membership:q}"
            " --scores {input.scores:q} --live {input.live:q} --lock {input.lock:q} --receipt {output.receipt:q}"
            " --differences {output.differences:q} --config {params.config}",
        )
