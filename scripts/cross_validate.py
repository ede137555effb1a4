"""Step cross_validate: what training rows alone say of a model, for choices that must not touch the test rows."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from scripts.shared.config import read_config
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.hashing import Hashes, folds
from scripts.shared.metrics import cheapest_threshold, compute_metrics
from scripts.shared.pipeline import build_pipeline
from scripts.streaming.source import train_rows


def main(
    parts: list[Path],
    membership: list[Path],
    scores: Path,
    name: str,
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
        JSON: metrics per fold, over all held-out rows, and the cheapest threshold.
    name
        The model's name in the config.
    config
        The run's config.
    """
    settings = read_config(config)
    contract, threshold = settings.contract(), settings.threshold
    numeric, categorical = contract.numeric_features(), contract.columns.categorical
    row, fold_count = settings.models[name], settings.cv_folds
    unfitted = build_pipeline(name, row, numeric, categorical, settings.seed)
    with train_rows(name, settings, parts, membership, unfitted) as rows:
        target, fold = rows.target(), folds(rows.keys(), fold_count)
        held_out = np.empty(len(target))
        for k in range(fold_count):
            inside, outside = fold == k, fold != k
            if len(np.unique(target[inside])) < 2 or len(np.unique(target[outside])) < 2:
                raise UserError(f"cv_folds: fold {k + 1} of {fold_count} lacks one of the outcomes; use fewer folds")
            pipeline = clone(unfitted)
            rows.fit(name, pipeline, partial(_in_fold, fold_count, k, inside=False))
            held_out[inside] = rows.scores(pipeline, partial(_in_fold, fold_count, k, inside=True))
            logging.info("%s: fold %d of %d done", name, k + 1, fold_count)
    cost = threshold.cost
    best, cost_per_row = cheapest_threshold(target, held_out, cost.missed_default, cost.refused_good)
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
        },
    )


def _in_fold(fold_count: int, k: int, keys: Hashes, inside: bool) -> npt.NDArray[np.bool_]:
    return np.asarray((folds(keys, fold_count) == k) == inside)
