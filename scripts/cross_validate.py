"""Step cross_validate: what training rows alone say of a model, for choices that must not touch the test rows."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from scripts.shared.calibrated import apply_map
from scripts.shared.calibration import calibrate
from scripts.shared.config import read_config
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.hashing import Hashes, folds, sample
from scripts.shared.metrics import cheapest_threshold, compute_metrics
from scripts.shared.pipeline import build_pipeline
from scripts.shared.search import tuned_row
from scripts.streaming.source import TrainRows, train_rows


def main(
    parts: list[Path],
    membership: list[Path],
    scores: Path,
    name: str,
    tuned: list[Path],
    config: Path,
) -> None:
    """Cross-validate one model on the train rows.

    Folds follow from the same hash as the split: stable under appended rows, and rows of one id, group or content stay
    together, so that nothing leaks between folds.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    scores
        JSON: metrics per fold, over all held-out rows, and the cheapest threshold; of a model that is calibrated, the
        map, and all of these for calibrated scores.
    name
        The model's name in the config.
    tuned
        What its search found, where it has one, else empty.
    config
        The run's config.
    """
    settings = read_config(config)
    contract, threshold, fold_count = settings.contract(), settings.threshold, settings.cv_folds
    row = tuned_row(settings.models[name], tuned)
    numeric, categorical = contract.features_of(row)
    unfitted = build_pipeline(name, row, numeric, categorical, settings.seed)
    with train_rows(name, settings, parts, membership, unfitted) as rows:
        target = rows.target()
        fold, held_out = score_held_out(name, unfitted, rows, fold_count)
    cost, final = threshold.cost, held_out
    calibration = None if row.calibration == "none" else calibrate(name, row.calibration, target, held_out, fold)
    if calibration:
        # A threshold is for scores of the map that is deployed; metrics are of maps that didn't see the fold.
        final, held_out = apply_map(calibration.mapping, held_out), calibration.nested
    best, cost_per_row = cheapest_threshold(target, final, cost.missed_default, cost.refused_good)
    at = best if threshold.method == "cost" else threshold.value
    per_fold = [compute_metrics(target[fold == k], held_out[fold == k], at) for k in range(fold_count)]
    write_json(
        scores,
        {
            "model": name,
            "folds": per_fold,
            "mean": {key: float(np.mean([f[key] for f in per_fold])) for key in per_fold[0]},
            "cheapest_threshold": best,
            "cost_per_row": cost_per_row,
            **({"calibration": calibration.about} if calibration else {}),
        },
    )


def score_held_out(
    name: str, unfitted: Pipeline, rows: TrainRows, fold_count: int, share: float = 1.0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Score each row by a model that was fitted on the other folds.

    Parameters
    ----------
    name
        The model's name in the config, for messages.
    unfitted
        The model; each fold fits a copy of it.
    rows
        The train rows.
    fold_count
        Number of folds.
    share
        Share of the other folds' rows that models are fitted on, by the rows' hash; all rows are scored.

    Returns
    -------
    fold
        Shape (rows,), from 0.
    held_out
        Shape (rows,), the probability of default.

    Raises
    ------
    UserError
        Where a fold, or what is fitted beside it, lacks one of the outcomes.
    """
    target, keys = rows.target(), rows.keys()
    fold, held_out = folds(keys, fold_count), np.empty(len(target))
    for k in range(fold_count):
        inside, outside = fold == k, _fitted_on(fold_count, k, share, keys)
        if len(np.unique(target[inside])) < 2 or len(np.unique(target[outside])) < 2:
            raise UserError(f"cv_folds: fold {k + 1} of {fold_count} lacks one of the outcomes; use fewer folds")
        pipeline = clone(unfitted)
        rows.fit(name, pipeline, partial(_fitted_on, fold_count, k, share))
        held_out[inside] = rows.scores(pipeline, partial(_held_out, fold_count, k))
        logging.info("%s: fold %d of %d done", name, k + 1, fold_count)
    return fold, held_out


def _fitted_on(fold_count: int, k: int, share: float, keys: Hashes) -> npt.NDArray[np.bool_]:
    return np.asarray((folds(keys, fold_count) != k) & sample(keys, share))


def _held_out(fold_count: int, k: int, keys: Hashes) -> npt.NDArray[np.bool_]:
    return np.asarray(folds(keys, fold_count) == k)
