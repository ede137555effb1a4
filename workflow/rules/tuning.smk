# A search for better parameters: its candidates are known from the config alone, so its jobs are, too. The rules of models
# that aren't tuned are none.

TRIAL = "results/models/{model}/trials/{round}/{trial}.json"
TRIALS = "results/models/{model}/trials.csv"
TUNED = "results/models/{model}/tuned.json"
SEARCHES = PLAN.searches


for NAME, ROUNDS in SEARCHES.items():
    for ROUND in ROUNDS:
        for BATCH, NAMES in enumerate(ROUND.batches(CONFIG.models[NAME].tune.per_job), start=1):

            rule:
                name:
                    f"tune_{NAME}_{ROUND.number}_{BATCH}"
                input:
                    parts=PARTS,
                    membership=MEMBERSHIPS,
                    previous=trials_of(NAME, [each for each in ROUNDS if each.number == ROUND.number - 1]),
                output:
                    # Snakemake leaves what is there, so that the step scores only the candidates that are new.
                    trials=[update(path) for path in expand(TRIAL, model=NAME, round=ROUND.number, trial=NAMES)],
                log:
                    f"results/logs/tune/{NAME}/{ROUND.number}_{BATCH}.log",
                benchmark:
                    f"results/benchmarks/tune/{NAME}/{ROUND.number}_{BATCH}.tsv"
                conda:
                    ENVIRONMENT
                threads: CONFIG.resources.threads
                resources:
                    **requests(**TRAINING),
                params:
                    model_name=NAME,
                    model=row_of(NAME),
                    round=ROUND.number,
                    share=ROUND.share,
                    folds=CONFIG.models[NAME].tune.folds,
                    contract=as_json(SEEN),
                    seed=CONFIG.seed,
                    in_blocks=IN_BLOCKS,
                    lock=LOCK_CHECKSUM,
                    config=CONFIG_FILE,
                    estimator=estimator_code(NAME),
                    code=code_of("tune"),
                message:
                    f"tune {NAME}: round {ROUND.number}, {len(NAMES)} of {len(ROUND.names)} candidates"
                shell:
                    step(
                        "tune",
                        "--parts {input.parts:q} --membership {input.membership:q} --trials {output.trials:q}"
                        " --previous {input.previous:q} --name {params.model_name} --round-number {params.round}"
                        " --config {params.config} --code {params.code}{params.estimator}",
                    )


rule gather:
    input:
        trials=lambda wildcards: trials_of(wildcards.model, SEARCHES[wildcards.model]),
    output:
        tuned=TUNED,
        table=TRIALS,
    log:
        "results/logs/gather/{model}.log",
    benchmark:
        "results/benchmarks/gather/{model}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(),
    params:
        tune=lambda wildcards: as_json(CONFIG.models[wildcards.model].tune.model_dump(mode="json", exclude={"per_job"})),
        seed=CONFIG.seed,
        config=CONFIG_FILE,
        code=code_of("gather"),
    message:
        "rank the trials of {wildcards.model}"
    shell:
        step(
            "gather",
            "--trials {input.trials:q} --tuned {output.tuned:q} --table {output.table:q}"
            " --name {wildcards.model} --config {params.config}",
        )
