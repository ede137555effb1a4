"""The report: what it draws, what it checks, and how it writes numbers."""
