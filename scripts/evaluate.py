"""Step evaluate: one model on the test rows, and nothing but the test rows."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.score import score_test_rows
from scripts.shared.arrays import numbers
from scripts.shared.config import read_config
from scripts.shared.files import atomic, read_json, write_json
from scripts.shared.metrics import compute_metrics, curves
from scripts.shared.models import load_model
from scripts.shared.parts import read_part, write_part
from scripts.shared.performance import performance


def main(
    parts: list[Path],
    membership: list[Path],
    scores: list[Path],
    model_file: Path,
    card: Path,
    metrics: Path,
    curve_file: Path,
    score_file: Path,
    performance_file: Path,
    cv: list[Path],
    config: Path,
) -> None:
    """Evaluate one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order; empty where the step `score` has scored them.
    scores
        What that step wrote, in the same order; else empty.
    model_file, card
        The model, checked against its card before it is loaded.
    metrics, curve_file
        JSON: the metrics; what the report draws.
    score_file
        Parquet: target (int8) and score (float64) of all test rows, in the parts' order.
    performance_file
        JSON: what else follows from target and score, with intervals (`performance`).
    cv
        The model's cross-validation, where the threshold comes from it, else empty.
    config
        The run's config.
    """
    about = read_json(card)
    options = read_config(config).threshold
    at = read_json(cv[0])["cheapest_threshold"] if options.method == "cost" else options.value
    if scores:
        target, scored = read_scores(scores)
    else:
        pipeline, about = load_model(model_file, card)
        target, scored = score_test_rows(parts, membership, pipeline, about)
    result = compute_metrics(target, scored, at)
    write_json(metrics, {"model": about["name"], "threshold_method": options.method} | result)
    write_json(curve_file, {"model": about["name"]} | curves(target, scored))
    write_json(performance_file, {"model": about["name"]} | performance(target, scored, at, options.cost))
    with atomic(score_file) as beside:
        write_part(pa.table({"target": numbers(target), "score": numbers(scored)}), beside)
    logging.info(
        "%s on %s test rows: ROC AUC %.4f, PR AUC %.4f, F1 %.3f at %.3f",
        about["name"],
        f"{len(target):,}",
        result["roc_auc"],
        result["pr_auc"],
        result["f1"],
        at,
    )


def read_scores(scores: list[Path]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return target and score of all test rows, as the step `score` wrote them part by part."""
    table = pa.concat_tables(read_part(path) for path in scores)
    return table.column("target").to_numpy(), table.column("score").to_numpy()
