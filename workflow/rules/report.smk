# The page for people.


rule report:
    input:
        summary="results/data/summary.json",
        metrics=expand(METRICS, model=MODELS),
        curves=expand("results/metrics/{model}.curves.json", model=MODELS),
        tuned=expand(TUNED, model=SEARCHES),
        trials=expand(TRIALS, model=SEARCHES),
        receipt="results/selection.json",
        predictions=expand("results/predictions/{application}.summary.json", application=PREDICTED),
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
        template=sha256_file(ROOT / "workflow/report/report.html.j2"),
    message:
        "write the report"
    shell:
        step(
            "report",
            "--summary {input.summary:q} --metrics {input.metrics:q} --curves {input.curves:q}"
            " --tuned {input.tuned:q} --trials {input.trials:q} --receipt {input.receipt:q} --predictions {input.predictions:q} --page {output.page:q}",
        )
