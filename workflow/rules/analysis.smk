# What the report says of each model's inside. Only the report asks for it.

DRIVERS = "results/analysis/{model}.drivers.json"
SENSITIVITY = "results/analysis/{model}.sensitivity.json"
FAIRNESS = "results/analysis/{model}.fairness.json"
SCREEN = "results/analysis/{model}.screen.json"
SCREENED = [name for name in MODELS if marked_features(CONFIG, sum(CONFIG.contract().features_of(CONFIG.models[name]), []))]


rule explain:
    input:
        parts=PARTS,
        membership=MEMBERSHIPS,
        model=MODEL,
        card=CARD,
        metrics=METRICS,
        scores=ALL_SCORES,
        tuned=lambda wildcards: tuned_of(wildcards.model),
        cv=CROSS_VALIDATION if CONFIG.needs_cross_validation else [],
    output:
        drivers=DRIVERS,
        sensitivity=SENSITIVITY,
        fairness=FAIRNESS,
    log:
        "results/logs/explain/{model}.log",
    benchmark:
        "results/benchmarks/explain/{model}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.resources.threads
    resources:
        **requests(memory_per_input=20, most_mb=2000),
    params:
        shown=as_json(CONFIG.model_dump(mode="json", include={"report", "fairness", "labels", "predict", "seed"})),
        config=CONFIG_FILE,
        code=code_of("explain"),
    message:
        "explain {wildcards.model}"
    shell:
        step(
            "explain",
            "--parts {input.parts:q} --membership {input.membership:q} --model-file {input.model:q} --card {input.card:q}"
            " --metrics {input.metrics:q} --scores {input.scores:q} --tuned {input.tuned:q} --cv {input.cv:q}"
            " --drivers {output.drivers:q} --sensitivity {output.sensitivity:q} --fairness {output.fairness:q}"
            " --config {params.config}",
        )


rule screen:
    input:
        parts=PARTS,
        membership=MEMBERSHIPS,
        card=CARD,
        metrics=METRICS,
        scores=ALL_SCORES,
        tuned=lambda wildcards: tuned_of(wildcards.model),
    output:
        screen=SCREEN,
    log:
        "results/logs/screen/{model}.log",
    benchmark:
        "results/benchmarks/screen/{model}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.resources.threads
    resources:
        **requests(**TRAINING),
    params:
        screen=as_json(CONFIG.screen.model_dump(mode="json")),
        resamples=CONFIG.select.champion.resamples,
        seed=CONFIG.seed,
        config=CONFIG_FILE,
        code=code_of("screen"),
    message:
        "train {wildcards.model} without the columns that the lender sets or that are prohibited"
    shell:
        step(
            "screen",
            "--parts {input.parts:q} --membership {input.membership:q} --card {input.card:q} --metrics {input.metrics:q}"
            " --scores {input.scores:q} --tuned {input.tuned:q} --screen {output.screen:q} --config {params.config}",
        )
