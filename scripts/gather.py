"""Step gather: all trials of a model's search in one table, and the best of them."""

import csv
import logging
import math
from pathlib import Path
from typing import Any

from scripts.shared.config import Model, read_config
from scripts.shared.files import atomic, canonical, read_json, sha256_file, write_json
from scripts.shared.search import UNTUNED, candidates, mean_score, ranked


def main(trials: list[Path], tuned: Path, table: Path, name: str, config: Path) -> None:
    """Rank the trials.

    Parameters
    ----------
    trials
        What tune wrote, one file a candidate and round.
    tuned
        JSON: the best candidate, its parameters and score, and the table's checksum.
    table
        CSV: a row a candidate, the best first: its parameters, the share of the train rows that it was last fitted on,
        mean and standard deviation of the metric, each fold's value, the rank. Numbers read back equal.
    name
        The model's name in the config.
    config
        The run's config.
    """
    settings = read_config(config)
    row = settings.models[name]
    if row.tune is None:
        raise AssertionError("a model without a search has no trials")
    metric = row.tune.metric
    order = [candidate.id for candidate in candidates(row, settings.seed)]
    best_first = ranked(last_rounds([read_json(path) for path in trials]), order, metric)
    write_table(table, [table_row(trial, rank, row) for rank, trial in enumerate(best_first, start=1)])
    best = best_first[0]
    found = {
        "model": name,
        "candidate": best["candidate"],
        "parameters": best["parameters"],
        "metric": metric,
        "mean": mean_score(best, metric),
        "sd": deviation(best, metric),
        "untuned_mean": next(mean_score(trial, metric) for trial in best_first if trial["candidate"] == UNTUNED),
        "search": row.tune.search,
        "folds": row.tune.folds,
        "candidates": len(best_first),
        "trials_sha256": sha256_file(table),
    }
    write_json(tuned, found)
    logging.info(
        "%s: %s of %d candidates is the best by %s, %.5f", name, best["candidate"], len(order), metric, found["mean"]
    )


def last_rounds(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trial of each candidate on the largest share of the rows."""
    last: dict[str, dict[str, Any]] = {}
    for trial in sorted(trials, key=lambda trial: float(trial["share"])):
        last[trial["candidate"]] = trial
    return list(last.values())


def table_row(trial: dict[str, Any], rank: int, row: Model) -> dict[str, Any]:
    """Return a trial as the table shows it; a parameter that the row leaves to the estimator is empty."""
    if row.tune is None:
        raise AssertionError("a model without a search has no trials")
    metric = row.tune.metric
    return {
        "rank": rank,
        "candidate": trial["candidate"],
        **{name: _cell(trial["parameters"].get(name, "")) for name in row.tune.space},
        "share": trial["share"],
        "mean": mean_score(trial, metric),
        "sd": deviation(trial, metric),
        **{f"fold_{number}": fold[metric] for number, fold in enumerate(trial["folds"], start=1)},
    }


def _cell(value: Any) -> Any:
    return value if isinstance(value, str) else canonical(value)


def deviation(trial: dict[str, Any], metric: str) -> float:
    """Return the standard deviation of a metric over the folds, with n - 1."""
    scores, mean = [fold[metric] for fold in trial["folds"]], mean_score(trial, metric)
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1))


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of equal keys as CSV."""
    with atomic(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
