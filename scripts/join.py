"""Step join: the predictions of a divided file's partitions, put together in the file's order."""

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.shared.files import atomic, read_json, write_json
from scripts.shared.stability import join_drift

COUNTS = ("rows_in", "rows_predicted", "rows_rejected", "refused", "approved")
BY_NAME = ("rejected_by_reason", "unseen_categories")


def main(
    part_predictions: list[Path],
    part_rejects: list[Path],
    part_summaries: list[Path],
    predictions: Path,
    rejects: Path,
    summary: Path,
) -> None:
    """Join what the step `predict` wrote for each partition of one file.

    Parameters
    ----------
    part_predictions, part_rejects, part_summaries
        One of each per partition, in order.
    predictions, rejects, summary
        The same for the file.
    """
    join_csv(part_predictions, predictions)
    join_csv(part_rejects, rejects)
    counts = join_counts([read_json(path) for path in part_summaries])
    write_json(summary, counts)
    if counts["rows_in"] == 0:
        logging.warning("warning: %s has a header and no rows; its predictions are empty", counts["file"])


def join_csv(sources: list[Path], target: Path) -> None:
    """Write the rows of all files below the header of the first."""
    with atomic(target) as beside, beside.open("wb") as joined:
        for index, source in enumerate(sources):
            with source.open("rb") as part:
                if index:
                    part.readline()
                shutil.copyfileobj(part, joined, 1 << 20)


def join_counts(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of a file from those of its partitions, keys in the same order."""
    joined = dict(summaries[0])
    for key in COUNTS:
        joined[key] = sum(summary[key] for summary in summaries)
    for key in BY_NAME:
        total: Counter[str] = Counter()
        for summary in summaries:
            total.update(summary[key])
        joined[key] = dict(sorted(total.items()))
    joined["drift"] = join_drift([summary["drift"] for summary in summaries])
    return joined
