# What the report says beyond the comparison: what drives each model, how steady it is, how groups fare, what it is without
# columns that the lender sets. Only the report asks for it.

EXPLAINED = [f"results/analysis/{{model}}.{kind}.json" for kind in ("drivers", "sensitivity", "fairness")]
SCREEN = "results/analysis/{model}.screen.json"
SCREENS = expand(SCREEN, model=MODELS) if CONFIG.screen.lender_set or CONFIG.screen.prohibited else []


rule explain:
    input:
        parts=PARTS,
        membership=MEMBERSHIPS,
        model=MODEL,
        card=CARD,
        metrics=METRICS,
        tuned=lambda wildcards: tuned_of(wildcards.model),
        cv=CROSS_VALIDATION if CONFIG.needs_cross_validation else [],
    output:
        drivers=EXPLAINED[0],
        sensitivities=EXPLAINED[1],
        fairness=EXPLAINED[2],
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
        contract=as_json(CONTRACT),
        fairness=as_json(CONFIG.fairness.model_dump(mode="json")),
        report=as_json(CONFIG.report.model_dump(mode="json", exclude={"rules"})),
        reasons=CONFIG.predict.reasons.count,
        labels=as_json(CONFIG.labels),
        config=CONFIG_FILE,
        code=code_of("explain"),
    message:
        "explain {wildcards.model}: drivers, sensitivity, groups of applicants"
    shell:
        step(
            "explain",
            "--parts {input.parts:q} --membership {input.membership:q} --model-file {input.model:q} --card {input.card:q}"
            " --metrics {input.metrics:q} --tuned {input.tuned:q} --cv {input.cv:q} --drivers {output.drivers:q}"
            " --sensitivities {output.sensitivities:q} --fairness {output.fairness:q} --config {params.config}",
        )


rule screen:
    input:
        parts=PARTS,
        membership=MEMBERSHIPS,
        model=MODEL,
        card=CARD,
        metrics=METRICS,
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
        in_blocks=IN_BLOCKS,
        config=CONFIG_FILE,
        code=code_of("screen"),
    message:
        "try {wildcards.model} without screened columns"
    shell:
        step(
            "screen",
            "--parts {input.parts:q} --membership {input.membership:q} --model-file {input.model:q} --card {input.card:q}"
            " --metrics {input.metrics:q} --tuned {input.tuned:q} --screen {output.screen:q} --config {params.config}",
        )
