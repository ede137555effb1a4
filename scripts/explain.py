"""Step explain: one model's inside, for the report: its drivers, how it stands small changes, groups of applicants."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from scripts.analysis.coefficients import coefficients, drawn_tree
from scripts.analysis.fairness import make_fairness
from scripts.analysis.importance import REPEATS, partial_dependence, permutation_importance
from scripts.analysis.notices import sample_notices
from scripts.analysis.sample import BLOCK_ROWS, Sample, read_sample
from scripts.analysis.sensitivity import overfit, to_missing, to_noise, to_seed
from scripts.shared.config import Config, Contract, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.fitting import fit
from scripts.shared.membership import stream_tables, to_frame
from scripts.shared.models import load_model
from scripts.shared.parts import read_part
from scripts.shared.pipeline import build_pipeline
from scripts.shared.reasons import Reasons, stability, uncalibrated
from scripts.shared.scoring import Scorer, fast_scorer
from scripts.shared.search import tuned_row
from scripts.shared.sides import TEST, TRAIN

REFIT_ROWS = 10_000
COEFFICIENT_ROWS = 200_000
REASON_ROWS = 2_000


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    metrics: Path,
    scores: Path,
    tuned: list[Path],
    cv: list[Path],
    drivers: Path,
    sensitivity: Path,
    fairness: Path,
    config: Path,
) -> None:
    """Explain one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The model, checked against its card before it is loaded.
    metrics, scores
        What evaluate wrote of it: the threshold; target and score of all test rows, in the parts' order.
    tuned, cv
        What its search found, and its cross-validation; empty where there is none.
    drivers, sensitivity, fairness
        JSON: what drives the model; how far small changes move it, and reasons; figures by group of applicants.
    config
        The run's config.
    """
    settings = read_config(config)
    pipeline, about = load_model(model_file, card)
    contract, name = Contract.model_validate(about["contract"]), about["name"]
    threshold = read_json(metrics)["threshold"]
    test = read_sample(parts, membership, TEST, contract, settings.report.sample_rows, name)
    train = read_sample(parts, membership, TRAIN, contract, settings.report.sample_rows, name)
    scorer = fast_scorer(pipeline, about["features"]["numeric"], about["features"]["categorical"])
    write_json(drivers, {"model": name} | make_drivers(pipeline, scorer, about, settings, test, parts, membership))
    logging.info("%s: drivers done", name)
    write_json(
        sensitivity,
        {"model": name, "rows": len(test.target)}
        | make_sensitivity(scorer, about, settings, tuned, train, test)
        | {
            "overfit": overfit(
                scorer, train, test, [fold["roc_auc"] for path in cv for fold in read_json(path)["folds"]]
            ),
            **make_reasons(pipeline, scorer, about, settings, test, threshold),
        },
    )
    logging.info("%s: sensitivity done", name)
    write_json(fairness, {"model": name} | _groups(settings, contract, parts, membership, scores, threshold))


def make_drivers(
    pipeline: Pipeline,
    scorer: Scorer,
    card: dict[str, Any],
    settings: Config,
    test: Sample,
    parts: Sequence[Path],
    membership: Sequence[Path],
) -> dict[str, Any]:
    """Return importance, dependence of the top features, coefficients and the tree's first levels."""
    numeric, categorical = card["features"]["numeric"], card["features"]["categorical"]
    importance = permutation_importance(scorer, test, [*numeric, *categorical], settings.seed)
    expected = settings.report.expected_effects
    top = [each["feature"] for each in importance[: settings.report.top_features]]
    drawn = [*top, *(name for name in expected if name not in top and name in {*numeric, *categorical})]
    train_rows = card["training"]["rows"]
    frames = _train_frames(card, parts, membership)
    return {
        "rows": len(test.target),
        "repeats": REPEATS,
        "permutation_importance": importance,
        "partial_dependence": [partial_dependence(scorer, test, name, name in numeric) for name in drawn],
        "coefficients": _of_plain(pipeline, lambda plain: coefficients(plain, frames, train_rows)),
        "tree": _of_plain(pipeline, lambda plain: drawn_tree(plain, settings.report.tree_depth, categorical)),
    }


def _of_plain(pipeline: Any, make: Callable[[Pipeline], dict[str, Any]]) -> dict[str, Any]:
    pipeline = uncalibrated(pipeline)
    if getattr(pipeline, "steps", None) is None or [name for name, _ in pipeline.steps] != ["columns", "model"]:
        return {"not_run": "the model is not one of columns and an estimator"}
    return make(pipeline)


def _train_frames(card: dict[str, Any], parts: Sequence[Path], membership: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """Yield a sample of the train rows in frames, for what is summed over rows."""
    contract, features = Contract.model_validate(card["contract"]), card["features"]
    sample = read_sample(parts, membership, TRAIN, contract, COEFFICIENT_ROWS, card["name"])
    for start in range(0, len(sample.target), BLOCK_ROWS // 8):
        block = sample.table.slice(start, BLOCK_ROWS // 8)
        yield to_frame(block, features["numeric"], features["categorical"])


def make_sensitivity(
    scorer: Scorer, card: dict[str, Any], settings: Config, tuned: list[Path], train: Sample, test: Sample
) -> dict[str, Any]:
    """Return how far the ROC AUC moves with the seed, noise and missing values."""
    name, features = card["name"], card["features"]
    numeric, categorical = features["numeric"], features["categorical"]
    row = tuned_row(settings.models[name], tuned)
    rows = train.first(REFIT_ROWS)
    frame = to_frame(rows.table, numeric, categorical)

    def refit(seed: int) -> Scorer:
        pipeline = clone(build_pipeline(name, row, numeric, categorical, seed))
        fit(name, pipeline, frame, rows.target)
        return fast_scorer(pipeline, numeric, categorical)

    try:
        by_seed = to_seed(refit, test, settings.seed, len(rows.target))
    except (UserError, ValueError) as error:  # so few rows may lack an outcome, or what the estimator needs
        by_seed = {"not_run": f"{len(rows.target):,} rows don't do for it: {error}"}
    return {
        "seed": by_seed,
        "noise": to_noise(scorer, test, numeric, settings.seed),
        "missing": to_missing(scorer, test, [*numeric, *categorical], settings.seed),
    }


def make_reasons(
    pipeline: Any, scorer: Scorer, card: dict[str, Any], settings: Config, test: Sample, threshold: float
) -> dict[str, Any]:
    """Return how stable the reasons of refused rows are, and notices of made-up applications."""
    options = settings.predict.reasons
    if not options.count:
        return {"reasons": {"not_run": "reasons are switched off (predict.reasons.count)"}, "notices": []}
    reasons = Reasons.of(pipeline, card, options.count, settings.labels)
    refused = np.flatnonzero(scorer.score(test.table) >= threshold)[:REASON_ROWS]
    if not len(refused):
        return {"reasons": {"not_run": "no test row is refused"}, "notices": []}
    found = stability(reasons.model, test.table.take(refused), card, options.count, settings.seed)
    return {
        "reasons": {"method": reasons.model.method} | found,
        "notices": sample_notices(reasons, scorer, test, card, threshold),
    }


def _groups(
    settings: Config,
    contract: Contract,
    parts: Sequence[Path],
    membership: Sequence[Path],
    scores: Path,
    threshold: float,
) -> dict[str, Any]:
    groups = settings.fairness.groups
    there = set(pyarrow.parquet.read_schema(parts[0]).names)
    if missing := sorted({group.column for group in groups.values()} - there):
        return {"not_run": f"the clean rows lack {', '.join(missing)}"}
    table = read_part(scores)
    columns = contract.columns.model_copy(
        update={"categorical": [*contract.columns.categorical, *contract.columns.observed], "observed": []}
    )
    wide = contract.model_copy(update={"columns": columns})
    blocks = stream_tables(parts, membership, TEST, wide, BLOCK_ROWS) if groups else iter(())
    target, found = table.column("target").to_numpy(), table.column("score").to_numpy()
    return make_fairness(groups, blocks, target, found, threshold)
