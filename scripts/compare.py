"""Step compare: all models' metrics in one table."""

import csv
from pathlib import Path

from scripts.shared.files import atomic, read_json


def main(metrics: list[Path], comparison: Path) -> None:
    """Write the comparison.

    Parameters
    ----------
    metrics
        What evaluate wrote, one file a model.
    comparison
        CSV: a row a model, by name; a column a metric. Numbers read back equal.
    """
    rows = sorted((read_json(path) for path in metrics), key=lambda row: row["model"])
    with atomic(comparison) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
