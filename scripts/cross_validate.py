"""Step cross_validate: what training rows alone say of a model, for choices that must not touch the test rows."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scripts.shared.config import Contract, Model, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.hashing import folds, sample
from scripts.shared.membership import Rows, read_rows
from scripts.shared.metrics import cheapest_threshold, compute_metrics
from scripts.shared.models import predict_default
from scripts.shared.pipeline import build_pipeline
from scripts.shared.sides import TRAIN
from scripts.train import fit, tuned_row


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
        JSON: metrics per fold, over all held-out rows, and the cheapest threshold.
    name
        The model's name in the config.
    tuned
        What its search found, where it has one, else empty.
    config
        The run's config.
    """
    settings = read_config(config)
    contract, fold_count, threshold = settings.contract(), settings.cv_folds, settings.threshold
    row = tuned_row(settings.models[name], tuned)
    rows = read_rows(parts, membership, TRAIN, contract)
    target = rows.target
    fold, held_out = score_held_out(name, row, rows, contract, fold_count, settings.seed)
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


def score_held_out(
    name: str, row: Model, rows: Rows, contract: Contract, fold_count: int, seed: int, share: float = 1.0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Score each row by a model that was fitted on the other folds.

    Parameters
    ----------
    name
        The model's name in the config, for messages.
    row
        How the model is built.
    rows, contract
        The train rows, and which columns they have.
    fold_count, seed
        Number of folds; the seed of estimators.
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
    frame, target = rows.frame, rows.target
    fold, sampled = folds(rows.keys, fold_count), sample(rows.keys, share)
    held_out = np.empty(len(target))
    for k in range(fold_count):
        inside, outside = fold == k, (fold != k) & sampled
        if len(np.unique(target[inside])) < 2 or len(np.unique(target[outside])) < 2:
            raise UserError(f"cv_folds: fold {k + 1} of {fold_count} lacks one of the outcomes; use fewer folds")
        pipeline = build_pipeline(name, row, contract.numeric_features(), contract.columns.categorical, seed)
        fit(name, pipeline, frame[outside], target[outside])
        held_out[inside] = predict_default(pipeline, frame[inside])
        logging.info("%s: fold %d of %d done", name, k + 1, fold_count)
    return fold, held_out
