"""What each feature is worth to a model, and how its score moves with it."""

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t

from scripts.analysis.sample import Floats, Sample, auc_of, replaced, roc_auc
from scripts.shared.arrays import to_numbers
from scripts.shared.scoring import Scorer
from scripts.shared.statistics import Z

REPEATS = 10
GRID = 20
GRID_ROWS = 2_000  # for each point of a grid
FEWEST = 20  # rows of a value, or near a point of the grid
MONOTONE = 0.6  # of the way: splines waver
FLAT = 0.001  # of the probability


def permutation_importance(scorer: Scorer, sample: Sample, features: list[str], seed: int) -> list[dict[str, Any]]:
    """Return what each feature's values are worth: the ROC AUC that is lost when they are shuffled.

    Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32; as scikit-learn's `permutation_importance`, of the
    columns before any transformation.

    Returns
    -------
    list
        The most important first: feature, mean, low and high of the 95 % interval of the mean over the repeats
        (Student's t), each shuffle's loss.
    """
    whole = auc_of(scorer, sample)
    found = []
    for place, name in enumerate(features):
        random = np.random.Generator(np.random.PCG64([seed, place]))
        column = sample.table.column(name)
        losses = []
        for _ in range(REPEATS):
            shuffled = column.take(pa.array(random.permutation(len(sample.target))))
            losses.append(whole - roc_auc(sample.target, scorer.score(replaced(sample.table, name, shuffled))))
        mean, half = float(np.mean(losses)), _half(losses)
        found.append({"feature": name, "mean": mean, "low": mean - half, "high": mean + half, "losses": losses})
    return sorted(found, key=lambda each: (-each["mean"], each["feature"]))


def _half(values: list[float]) -> float:
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def partial_dependence(scorer: Scorer, sample: Sample, name: str, numeric: bool) -> dict[str, Any]:
    """Return the mean score as one feature takes each value of a grid in all rows.

    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29(5),
    1189-1232. The grid: quantiles of a number (no smallest and largest value: those are some applicant's own), the
    values of a category that at least FEWEST rows have.

    Returns
    -------
    dict
        feature, kind, rows; grid, mean, low, high (95 % interval of the mean), share of rows at or next to each point;
        direction: rises, falls, mixed, flat, or differs for a category.
    """
    rows = sample.first(GRID_ROWS)
    grid, share = (_number_grid if numeric else _category_grid)(sample.table.column(name))
    means, halves = [], []
    for value in grid:
        column = _filled(rows.table.column(name), value, len(rows.target))
        scores = scorer.score(replaced(rows.table, name, column))
        means.append(float(scores.mean()))
        halves.append(Z * float(scores.std(ddof=1)) / len(scores) ** 0.5)
    return {
        "feature": name,
        "kind": "numeric" if numeric else "categorical",
        "rows": len(rows.target),
        "grid": grid,
        "mean": means,
        "low": [max(0.0, mean - half) for mean, half in zip(means, halves, strict=True)],
        "high": [min(1.0, mean + half) for mean, half in zip(means, halves, strict=True)],
        "share": share,
        "direction": direction(np.array(means)) if numeric else "differs",
    }


def _number_grid(column: pa.ChunkedArray) -> tuple[list[Any], list[float]]:
    values: Floats = to_numbers(column)
    present = values[~np.isnan(values)]
    if len(present) < FEWEST:
        return [], []
    least = FEWEST / len(present)  # at least so many rows lie beyond the ends
    grid = np.unique(np.quantile(present, np.linspace(max(0.02, least / 2), 1 - max(0.02, least / 2), GRID)))
    near = np.abs(present[:, None] - grid[None, :]).argmin(axis=1) if len(present) <= 50_000 else None
    share = np.bincount(near, minlength=len(grid)) / len(values) if near is not None else np.full(len(grid), np.nan)
    return grid.tolist(), share.tolist()


def _category_grid(column: pa.ChunkedArray) -> tuple[list[Any], list[float]]:
    counts = {found["values"]: found["counts"] for found in column.cast(pa.string()).value_counts().to_pylist()}
    kept = sorted(
        (text for text, n in counts.items() if text is not None and n >= FEWEST), key=lambda t: (-counts[t], t)
    )
    return kept, [counts[text] / len(column) for text in kept]


def _filled(column: pa.ChunkedArray, value: Any, rows: int) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return pa.array(np.full(rows, value), pa.float64())
    return pa.array([value] * rows, pa.string()).dictionary_encode().cast(column.type)


def direction(means: Floats) -> str:
    """Return how a curve goes: rises, falls, mixed, or flat where it hardly moves.

    It rises where most of its way is upwards: the sum of its steps is at least MONOTONE of that of their sizes.
    """
    steps = np.diff(means)
    way = float(np.abs(steps).sum())
    if way < FLAT:
        return "flat"
    drift = float(steps.sum()) / way
    return "rises" if drift >= MONOTONE else "falls" if drift <= -MONOTONE else "mixed"
