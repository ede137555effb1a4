"""How far small changes move a model: another seed, noise in the numbers, more missing values, unseen rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.analysis.sample import Sample, auc_of, replaced, roc_auc
from scripts.shared.arrays import numbers, to_numbers
from scripts.shared.scoring import Scorer
from scripts.shared.statistics import auc_interval

SEEDS = 3
NOISE_OF_SD = 0.05
MORE_MISSING = 0.05

Refit = Callable[[int], Scorer]


def to_noise(scorer: Scorer, sample: Sample, numeric: list[str], seed: int) -> dict[str, Any]:
    """Return what normal noise in each number, of 5 % of its standard deviation, does to the ROC AUC."""
    if not numeric:
        return {"not_run": "the model sees no numbers"}
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    table = sample.table
    for name in numeric:
        values = to_numbers(table.column(name))
        spread = np.nanstd(values) if (~np.isnan(values)).any() else 0.0
        table = replaced(table, name, numbers(values + random.normal(0.0, NOISE_OF_SD * spread, len(values))))
    before, after = scorer.score(sample.table), scorer.score(table)
    return {
        "how": f"each number moved by normal noise of {NOISE_OF_SD:.0%} of its standard deviation; scores move by "
        f"{float(np.abs(after - before).mean()):.4f} in the mean",
        "roc_auc_change": roc_auc(sample.target, after) - roc_auc(sample.target, before),
    }


def to_missing(scorer: Scorer, sample: Sample, features: list[str], seed: int) -> dict[str, Any]:
    """Return what taking 5 % of all values away does to the ROC AUC."""
    random = np.random.Generator(np.random.PCG64([seed, 2]))
    table = sample.table
    for name in features:
        gone = pa.array(random.random(len(sample.target)) < MORE_MISSING)
        column = table.column(name).combine_chunks()
        table = replaced(table, name, pa.compute.if_else(gone, pa.scalar(None, column.type), column))
    change = roc_auc(sample.target, scorer.score(table)) - auc_of(scorer, sample)
    return {"how": f"{MORE_MISSING:.0%} of all values taken away", "roc_auc_change": change}


def to_seed(refit: Refit, sample: Sample, seed: int, rows: int) -> dict[str, Any]:
    """Return the spread of the ROC AUC over models that differ in their seed alone."""
    areas = [auc_of(refit(seed + step), sample) for step in range(SEEDS + 1)]
    return {
        "how": f"trained anew on {rows:,} train rows with the config's seed and {SEEDS} others; largest less smallest",
        "roc_auc_change": max(areas) - min(areas),
        "roc_auc": areas,
    }


def overfit(scorer: Scorer, train: Sample, test: Sample, folds: list[float]) -> dict[str, Any]:
    """Return the ROC AUC on train and on test rows, their gap, and that of each fold where there are folds."""
    sides = {"train": train, "test": test}
    found = {name: auc_of(scorer, sample) for name, sample in sides.items()}
    return {
        **{
            name: {
                "value": found[name],
                "interval": auc_interval(found[name], int(sample.target.sum()), int((1 - sample.target).sum())),
                "rows": len(sample.target),
            }
            for name, sample in sides.items()
        },
        "gap": found["train"] - found["test"],
        "folds": folds,
    }
