# The page for people, and what is made for it alone.


rule draw_rules:
    input:
        rules=[os.path.relpath(path) for path in sorted((ROOT / "workflow/rules").glob("*.smk"))],
    output:
        picture="results/analysis/rules.svg",
    log:
        "results/logs/draw_rules/draw_rules.log",
    benchmark:
        "results/benchmarks/draw_rules/draw_rules.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(),
    params:
        config=CONFIG_FILE,
        models=", ".join(MODELS),
        code=code_of("draw_rules"),
    message:
        "draw the rules of this run"
    shell:
        step("draw_rules", "--config {params.config} --picture {output.picture:q}")


rule report:
    input:
        summary=SUMMARY,
        profile=PROFILE,
        metrics=expand(METRICS, model=MODELS),
        curves=expand(CURVES, model=MODELS),
        performance=expand(PERFORMANCE, model=MODELS),
        cards=expand(CARD, model=MODELS),
        drivers=expand(EXPLAINED[0], model=MODELS),
        sensitivity=expand(EXPLAINED[1], model=MODELS),
        fairness=expand(EXPLAINED[2], model=MODELS),
        screens=SCREENS,
        tuned=expand(TUNED, model=SEARCHES),
        trials=expand(TRIALS, model=SEARCHES),
        receipt="results/selection.json",
        differences="results/metrics/differences.json",
        predictions=expand("results/predictions/{application}.summary.json", application=PREDICTED),
        rules=CONFIG.report.rules,
        lock=ancient(LOCK),
        live=LIVE,  # a promotion or a rollback since is told
        rulegraph="results/analysis/rules.svg",
    output:
        page="results/report.html",
    log:
        "results/logs/report/report.log",
    benchmark:
        "results/benchmarks/report/report.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **requests(),
    params:
        code=code_of("report"),
        template=[sha256_file(path) for path in sorted((ROOT / "workflow/report").glob("*.j2"))],
        config=CONFIG_FILE,
        shown=as_json(CONFIG.model_dump(mode="json")),  # the page holds the whole config
        plan=PLAN_FILE,
    message:
        "write the report"
    shell:
        step(
            "report",
            "--summary {input.summary:q} --profile {input.profile:q} --metrics {input.metrics:q} --curves {input.curves:q}"
            " --performance {input.performance:q} --cards {input.cards:q} --drivers {input.drivers:q}"
            " --sensitivity {input.sensitivity:q} --fairness {input.fairness:q} --screens {input.screens:q}"
            " --tuned {input.tuned:q} --trials {input.trials:q} --receipt {input.receipt:q}"
            " --differences {input.differences:q} --plan {params.plan} --rules {input.rules:q}"
            " --lock {input.lock:q} --live {input.live:q} --rulegraph {input.rulegraph:q} --config {params.config}"
            " --page {output.page:q}",
        )
