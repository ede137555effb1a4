"""Step screen: one model with and without columns that the lender sets after the application, or that are prohibited.

What is derived from such a column is left out with it. Both models are trained on the same rows and tested on the same
rows, and so the differences have paired intervals.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from scripts.analysis.features import sources_of
from scripts.shared.calibrated import uncalibrated
from scripts.shared.config import METRICS, Config, Contract, Model, read_config
from scripts.shared.files import read_json, write_json
from scripts.shared.membership import stream_tables
from scripts.shared.metrics import compute_metrics
from scripts.shared.models import load_model
from scripts.shared.pipeline import build_pipeline
from scripts.shared.resampling import interval, resample
from scripts.shared.scoring import fast_scorer
from scripts.shared.search import tuned_row
from scripts.shared.sides import TEST
from scripts.streaming.source import train_rows

Floats = npt.NDArray[np.float64]
Target = npt.NDArray[np.int8]

BLOCK_ROWS = 65_536
WITH = "with"


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    metrics: Path,
    tuned: list[Path],
    screen: Path,
    config: Path,
) -> None:
    """Try one model without the screened columns.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The model, checked against its card before it is loaded.
    metrics
        What evaluate wrote: the threshold.
    tuned
        What its search found, where it has one, else empty.
    screen
        JSON: the metrics with and without, and their differences (without less with), each with a 95 % interval.
    config
        The run's config.
    """
    settings = read_config(config)
    pipeline, about = load_model(model_file, card)
    name, contract = about["name"], settings.contract()
    row = tuned_row(settings.models[name], tuned)
    found = {"model": name, **screened(settings, row)}
    if "not_run" in found:
        write_json(screen, found)
        return
    variants = found.pop("variants")
    # Its calibration, if it has one, is left out on both sides: a map of its own would take another cross-validation.
    pipelines = {WITH: (uncalibrated(pipeline), row)}
    for kind, columns in variants.items():
        without = row.model_copy(update={"leave_out": sorted({*row.leave_out, *columns})})
        logging.info("%s: without %s", name, ", ".join(columns))
        pipelines[kind] = train_without(name, settings, without, parts, membership), without
    target, scores = score(pipelines, contract, parts, membership)
    threshold = read_json(metrics)["threshold"]
    compared = compare(target, scores, threshold, settings.select.champion.resamples, settings.seed)
    kinds = list(variants)
    found |= {
        "kind": kinds[0],
        "columns": variants[kinds[0]],
        "with": compared[WITH]["metrics"],
        "without": compared[kinds[0]]["metrics"],
        "difference": compared[kinds[0]]["difference"],
        "rows": len(target),
        "defaults": int(target.sum()),
        "threshold": threshold,
        "resamples": settings.select.champion.resamples,
        "seed": settings.seed,
    }
    for kind in kinds[1:]:
        found[kind] = {"columns": variants[kind], "without": compared[kind]["metrics"]} | {
            "difference": compared[kind]["difference"]
        }
    write_json(screen, found)


def screened(settings: Config, row: Model) -> dict[str, Any]:
    """Return what a model is to be tried without.

    Returns
    -------
    dict
        `not_run` with the reason, or `variants`: by name (`lender_set`, `prohibited`, `both`) the features to leave
        out, given and derived. With columns of both kinds: without those that the lender sets, and without both.
    """
    contract, options = settings.contract(), settings.screen
    if not options.lender_set and not options.prohibited:
        return {"not_run": "screen.lender_set and screen.prohibited name no columns"}
    used = [name for of_kind in contract.features_of(row) for name in of_kind]
    of = {
        "lender_set": used_features(contract, used, options.lender_set),
        "prohibited": used_features(contract, used, options.prohibited),
    }
    variants = {kind: found for kind, found in of.items() if found}
    if len(variants) == 2:
        both = sorted({*of["lender_set"], *of["prohibited"]})
        variants = {"lender_set": of["lender_set"], "both": both}
    if not variants:
        return {"not_run": "the model uses none of the columns in screen.lender_set and screen.prohibited"}
    possible = {kind: columns for kind, columns in variants.items() if not set(used) <= set(columns)}
    if not possible:
        columns = next(iter(variants.values()))
        return {"not_run": "without these columns, nothing is left to learn from", "columns": columns}
    return {"variants": possible}


def used_features(contract: Contract, used: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return which of the features `used` are among some columns, or are derived from one of them."""
    sources = sources_of(contract)
    return sorted(name for name in used if {name, *sources.get(name, [])} & set(columns))


def train_without(
    name: str, settings: Config, row: Model, parts: Sequence[Path], membership: Sequence[Path]
) -> Pipeline:
    """Return a model, trained by another row of the config than its own."""
    numeric, categorical = settings.contract().features_of(row)
    pipeline = build_pipeline(name, row, numeric, categorical, settings.seed)
    changed = settings.model_copy(update={"models": settings.models | {name: row}})
    with train_rows(name, changed, parts, membership, pipeline) as rows:
        rows.fit(name, pipeline)
    return pipeline


def score(
    pipelines: dict[str, tuple[Pipeline, Model]], contract: Contract, parts: Sequence[Path], membership: Sequence[Path]
) -> tuple[Target, dict[str, Floats]]:
    """Return outcomes (shape (rows,), int8) and each model's scores of all test rows (shape (rows,), float64)."""
    scorers = {kind: fast_scorer(pipeline, *contract.features_of(row)) for kind, (pipeline, row) in pipelines.items()}
    targets: list[Target] = []
    scores: dict[str, list[Floats]] = {kind: [] for kind in scorers}
    for table in stream_tables(parts, membership, TEST, contract, BLOCK_ROWS):
        targets.append(table.column(contract.columns.target.column).to_numpy())
        for kind, scorer in scorers.items():
            scores[kind].append(scorer.score(table))
    return np.concatenate(targets), {kind: np.concatenate(found) for kind, found in scores.items()}


def compare(
    target: Target, scores: dict[str, Floats], threshold: float, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return each model's metrics, and how they differ from those of the model `WITH`, with paired 95 % intervals."""
    values = {kind: compute_metrics(target, found, threshold) for kind, found in scores.items()}
    drawn = resample(target, scores, METRICS, resamples, seed, dict.fromkeys(scores, threshold))

    def bounded(value: float, resampled: Floats) -> dict[str, float]:
        low, high = interval(resampled)
        return {"value": value, "low": low, "high": high}

    return {
        kind: {
            "metrics": {m: bounded(values[kind][m], drawn[kind][m]) for m in METRICS},
            "difference": {
                m: bounded(values[kind][m] - values[WITH][m], drawn[kind][m] - drawn[WITH][m]) for m in METRICS
            },
        }
        for kind in scores
    }
