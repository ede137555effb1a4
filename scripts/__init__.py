"""The steps of the workflow, one module each, importable and testable without Snakemake."""
