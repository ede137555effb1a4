"""Step screen: one model without the columns that the lender sets or that are prohibited, on the same rows."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.analysis.screening import METRICS, marked_features
from scripts.score import score_test_rows
from scripts.shared.config import Config, read_config
from scripts.shared.files import read_json, write_json
from scripts.shared.metrics import compute_metrics
from scripts.shared.parts import read_part
from scripts.shared.pipeline import build_pipeline
from scripts.shared.resampling import interval, resample
from scripts.shared.search import tuned_row
from scripts.streaming.source import train_rows

Floats = npt.NDArray[np.float64]


def main(
    parts: list[Path],
    membership: list[Path],
    card: Path,
    metrics: Path,
    scores: Path,
    tuned: list[Path],
    screen: Path,
    config: Path,
) -> None:
    """Train one model anew without the marked columns, and compare.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    card, metrics, scores
        Of the model as it is: its features, its threshold, target and score of all test rows.
    tuned
        What its search found, where it has one, else empty.
    screen
        JSON: columns, and the metrics with and without them, with 95 % intervals, and their paired difference.
    config
        The run's config.
    """
    settings, about = read_config(config), read_json(card)
    name = about["name"]
    used = [*about["features"]["numeric"], *about["features"]["categorical"]]
    columns = marked_features(settings, used)
    table = read_part(scores)
    target, given = table.column("target").to_numpy(), table.column("score").to_numpy()
    without = retrained(name, settings, columns, about, tuned, parts, membership)
    threshold = read_json(metrics)["threshold"]
    found = compared(target, {"with": given, "without": without}, threshold, settings)
    write_json(screen, {"model": name, "columns": columns, "rows": len(target)} | found)
    change = found["difference"]["roc_auc"]["value"]
    logging.info("%s: ROC AUC is %+.4f with %s", name, change, ", ".join(columns))


def retrained(
    name: str,
    settings: Config,
    columns: list[str],
    card: dict[str, Any],
    tuned: list[Path],
    parts: list[Path],
    membership: list[Path],
) -> Floats:
    """Return the test rows' scores of a model without some columns, trained on the same rows."""
    row = tuned_row(settings.models[name], tuned)
    row = row.model_copy(update={"leave_out": [*row.leave_out, *columns], "tune": None})
    settings = settings.model_copy(update={"models": settings.models | {name: row}})
    numeric, categorical = settings.contract().features_of(row)
    pipeline = build_pipeline(name, row, numeric, categorical, settings.seed)
    with train_rows(name, settings, parts, membership, pipeline) as rows:
        rows.fit(name, pipeline)
    features = {"numeric": numeric, "categorical": categorical}
    return score_test_rows(parts, membership, pipeline, card | {"features": features})[1]


def compared(
    target: npt.NDArray[np.int8], scores: dict[str, Floats], threshold: float, settings: Config
) -> dict[str, Any]:
    """Return each metric with and without the columns, and the paired difference, with 95 % intervals."""
    thresholds = dict.fromkeys(scores, threshold)
    drawn = resample(target, scores, METRICS, settings.select.champion.resamples, settings.seed, thresholds)
    values = {side: compute_metrics(target, found, threshold) for side, found in scores.items()}
    sides = {
        side: {metric: _with_interval(values[side][metric], drawn[side][metric]) for metric in METRICS}
        for side in scores
    }
    difference = {
        metric: _with_interval(
            values["with"][metric] - values["without"][metric], drawn["with"][metric] - drawn["without"][metric]
        )
        for metric in METRICS
    }
    return sides | {"difference": difference}


def _with_interval(value: float, drawn: Floats) -> dict[str, float]:
    low, high = interval(drawn)
    return {"value": value, "low": low, "high": high}
