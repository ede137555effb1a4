"""How steady a model is: against its seed, noise in the numbers, missing cells, and rows it wasn't trained on."""

import inspect
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from scripts.analysis.features import generator, rederived, replaced
from scripts.analysis.intervals import Floats, Target, auc, mean_of_placements, placements
from scripts.shared.arrays import numbers
from scripts.shared.config import Contract, Model
from scripts.shared.files import read_json
from scripts.shared.fitting import fit
from scripts.shared.membership import codes_of, numbers_of, to_rows
from scripts.shared.pipeline import build_pipeline
from scripts.shared.scoring import Scorer, fast_scorer

SEEDS = 3
NOISE = (0.01, 0.05)  # of a column's standard deviation
MISSING = 0.05  # of the cells that are there
NO_SEED_SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky")


def seed_is_idle(pipeline: Pipeline, row: Model) -> str | None:
    """Return why a model comes out the same for each seed, None where it may not."""
    model = pipeline["model"]
    if row.numeric.also_as_category:
        return None  # its folds are drawn
    if "random_state" not in inspect.signature(type(model)).parameters:
        return f"{type(model).__name__} draws nothing at random"
    if type(model) is LogisticRegression and model.solver in NO_SEED_SOLVERS:
        return f"the solver {model.solver} draws nothing at random"
    return None


def to_seed(
    name: str, row: Model, contract: Contract, train: pa.Table, test: pa.Table, target: Target, seed: int
) -> dict[str, Any]:
    """Return how far the area under the ROC curve spreads over refits with other seeds.

    Parameters
    ----------
    name, row
        The model, with the parameters that its search found.
    contract
        Of the rows.
    train
        What the refits see.
    test, target
        What they are tested on, shape (rows,).
    seed
        The run's: the refits take the numbers after it.

    Returns
    -------
    dict
        `not_run` with the reason, or `refits` (`seed`, `value`, `low`, `high`), `spread` (highest less lowest), `sd`,
        `mean_change` (mean absolute difference of a row's score between two refits), `train_rows`.
    """
    numeric, categorical = contract.features_of(row)
    params = {key: value for key, value in row.params.items() if key != "random_state"}
    free = row.model_copy(update={"params": params})
    if reason := seed_is_idle(build_pipeline(name, free, numeric, categorical, seed), free):
        return {"not_run": reason}
    rows = to_rows(train, numeric, categorical, contract.columns.target.column)
    if len(np.unique(rows.target)) < 2:
        return {"not_run": "the sample of the train rows has one outcome only"}
    if len(np.unique(target)) < 2:
        return {"not_run": "the sample of the test rows has one outcome only"}
    scores, refits = [], []
    for other in ((seed + n) % 2**32 for n in range(1, SEEDS + 1)):
        pipeline = build_pipeline(name, free, numeric, categorical, other)
        fit(name, pipeline, rows.frame, rows.target)
        scores.append(fast_scorer(pipeline, numeric, categorical).score(test))
        refits.append({"seed": other, **auc(target, scores[-1])})
    values = [one["value"] for one in refits]
    changes = [float(np.abs(a - b).mean()) for i, a in enumerate(scores) for b in scores[:i]]
    return {
        "refits": refits,
        "spread": max(values) - min(values),
        "sd": statistics.stdev(values),
        "mean_change": math.fsum(changes) / len(changes),
        "train_rows": train.num_rows,
    }


def to_noise(
    scorer: Scorer, table: pa.Table, target: Target, contract: Contract, seed: int, before: Floats
) -> list[dict[str, Any]]:
    """Return what noise in all given numbers does: normal, of 1 % and 5 % of each column's standard deviation.

    Derived features are computed anew. See `_change` for what is returned; `noise` is the share.
    """
    found = []
    for share in NOISE:
        changed = table
        for name in contract.columns.numeric:
            values = numbers_of(table, name)
            there = values[~np.isnan(values)]
            sd = float(there.std()) if len(there) else 0.0
            noisy = values + generator(seed, "noise", str(share), name).normal(0, share * sd, len(values))
            changed = replaced(changed, name, numbers(noisy, np.isnan(noisy)))
        found.append({"noise": share, **_change(scorer, rederived(changed, contract), target, before)})
    return found


def to_missing(
    scorer: Scorer, table: pa.Table, target: Target, contract: Contract, seed: int, before: Floats
) -> dict[str, Any]:
    """Return what it does when 5 % of the cells that are there are missing; derived features are computed anew."""
    changed = table
    for name in contract.columns.features():
        gone = generator(seed, "missing", name).uniform(size=table.num_rows) < MISSING
        if name in contract.columns.numeric:
            values = np.where(gone, np.nan, numbers_of(table, name))
            changed = replaced(changed, name, numbers(values, np.isnan(values)))
        else:
            known, places = codes_of(table, name)
            codes = np.where(gone, -1, places).astype(np.int32)
            column = pa.DictionaryArray.from_arrays(numbers(codes, codes < 0), pa.array(known, pa.string()))
            changed = replaced(changed, name, column)
    try:
        return {"missing": MISSING, **_change(scorer, rederived(changed, contract), target, before)}
    except ValueError as error:
        if "NaN" not in str(error):
            raise
        return {"not_run": "the estimator can't take missing values"}


def _change(scorer: Scorer, table: pa.Table, target: Target, before: Floats) -> dict[str, Any]:
    """Return the area under the ROC curve (`auc`), how it changed (`change`, paired), and the mean |Δ score|."""
    after = scorer.score(table)
    old, new = placements(target, before), placements(target, after)
    moved = np.abs(after - before)
    return {
        "auc": auc(target, after),
        "change": mean_of_placements(new[0] - old[0], new[1] - old[1]),
        "mean_change": float(moved.mean()),
        "largest_change": float(moved.max()),
        "rows": len(target),
    }


def overfit(
    scorer: Scorer, train: pa.Table, train_target: Target, target: Target, scores: Floats, cv: Sequence[Path]
) -> dict[str, Any]:
    """Return the area under the ROC curve on train rows and on test rows, and the gap with its 95 % interval.

    Both sets of rows are independent, so their variances add. With a cross-validation, `folds` has its AUCs, too.
    """
    seen = placements(train_target, scorer.score(train))
    fresh = placements(target, scores)
    gap = mean_of_placements(*seen), mean_of_placements(*fresh)
    value = low = high = None
    if gap[0]["value"] is not None and gap[1]["value"] is not None:
        value = gap[0]["value"] - gap[1]["value"]
    if value is not None and gap[0]["low"] is not None and gap[1]["low"] is not None:
        half = math.hypot(*(one["high"] - one["value"] for one in gap))
        low, high = value - half, value + half
    return {
        "train": auc(train_target, scorer.score(train)),
        "test": auc(target, scores),
        "gap": {"value": value, "low": low, "high": high},
        "folds": _folds(cv),
    }


def _folds(cv: Sequence[Path]) -> dict[str, Any]:
    if not cv:
        return {"not_run": "no choice of this run is made by cross-validation (threshold.method, select.on)"}
    values = [fold["roc_auc"] for fold in read_json(cv[0])["folds"]]
    return {"values": values, "spread": max(values) - min(values), "sd": statistics.stdev(values)}
