"""Says why HTCondor jobs of a Snakemake run sit idle, are held or fail, and shows the run as it goes."""

__version__ = "0.1.0"
