"""How far metrics would move on other test rows of the same kind: the bootstrap, paired over models.

Rows are drawn with replacement, the same ones for all models, so that differences between models have intervals, too.

Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7(1), 1-26.

Up to EXACT_ROWS rows, each resample draws that many rows, and its metrics are those of scikit-learn on them, ties
included. Beyond, each row is drawn a Poisson(1) number of times on its own (the total then varies by its root, which
shares don't feel), and scores are taken together in bins between quantiles of either outcome's scores, with the
thresholds among the bins' edges. What the bins change in a metric is known on the rows themselves, and is taken off.
On a million rows, the standard deviations of all metrics and of their differences come out within 1 % of those without
bins (benchmarks/figures.py prints it), where 1,000 resamples alone leave 2 % to chance.

Hanley, J. A. and MacGibbon, B. (2006). Creating non-parametric bootstrap samples using Poisson frequencies. Computer
Methods and Programs in Biomedicine 83(1), 57-62.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from scripts.shared.config import METRICS

Target = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float64]

EXACT_ROWS = 200_000
BINS = 500  # between quantiles of each outcome's scores, so twice as many in all
CHUNK_CELLS = 400_000  # counts held at once in the exact way: they fit into a processor's cache
POISSON_CHUNK = 128  # resamples at once beyond
POISSON_ROWS = 8_192  # rows at once beyond
SMALLEST = float(np.finfo(np.float64).eps)  # scikit-learn's limit for the logarithm of a probability


@dataclass(frozen=True)
class _Grouped:
    """One model's rows by score.

    Attributes
    ----------
    group
        Shape (rows,): the group of each row; groups rise with the score.
    at
        First group whose scores reach the threshold.
    squares, logs
        Mean loss of the others and of the defaults in each group, shape (2, groups).
    """

    group: npt.NDArray[np.int64]
    groups: int
    at: int
    squares: FloatArray
    logs: FloatArray


def resample(
    target: Target,
    scores: Mapping[str, Scores],
    metrics: Sequence[str],
    resamples: int,
    seed: int,
    thresholds: Mapping[str, float],
) -> dict[str, dict[str, FloatArray]]:
    """Return the metrics of all models on the same bootstrap samples of the rows.

    A resample without a default, or without another row, has no AUC and is drawn anew. What is drawn depends on the
    seed and on the number and order of the rows, not on the models.

    Parameters
    ----------
    target
        Shape (rows,), 1 for default.
    scores
        Of each model, shape (rows,), probability of default, in the order of `target`.
    metrics
        Some of `config.METRICS`.
    resamples
        How many.
    seed
        Of PCG64.
    thresholds
        Of each model: an application is refused from this probability on.

    Returns
    -------
    dict
        By model and metric, shape (resamples,), float64; element i is of the same rows everywhere.

    Raises
    ------
    ValueError
        Where a metric is unknown, lengths differ, or the rows have one outcome only.
    """
    target = np.asarray(target)
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ValueError(f"no such metric: {', '.join(unknown)}")
    if any(len(values) != len(target) for values in scores.values()):
        raise ValueError("scores and target differ in length")
    if not 0 < int(target.sum()) < len(target):
        raise ValueError("the rows have one outcome only")
    exact = len(target) <= EXACT_ROWS
    grouped = {
        name: _group(target, values, thresholds[name], None if exact else _edges(target, values, thresholds[name]))
        for name, values in scores.items()
    }
    chunks = _exact_counts if exact else _poisson_counts
    rng = np.random.Generator(np.random.PCG64(seed))
    found: dict[str, list[dict[str, FloatArray]]] = {name: [] for name in scores}
    have = 0
    while have < resamples:
        counts = chunks(target, grouped, rng, resamples - have)
        first = next(iter(counts.values()))
        valid = (first.sum(axis=1) > 0).all(axis=0)
        for name, of_model in counts.items():
            found[name].append(_metrics(of_model[:, :, valid], grouped[name], metrics))
        have += int(valid.sum())
    result = {
        name: {metric: np.concatenate([chunk[metric] for chunk in parts])[:resamples] for metric in metrics}
        for name, parts in found.items()
    }
    if not exact:
        for name, values in scores.items():
            plain = _group(target, values, thresholds[name], None)
            right = _metrics(_all_once(target, plain), plain, metrics)
            binned = _metrics(_all_once(target, grouped[name]), grouped[name], metrics)
            for metric in metrics:
                low = -1.0 if metric == "gini" else 0.0
                high = np.inf if metric == "log_loss" else 1.0
                result[name][metric] = np.clip(result[name][metric] + (right[metric] - binned[metric]), low, high)
    return result


def interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled values, or of the differences between two models' values.

    Parameters
    ----------
    values
        Shape (resamples,).
    level
        Share of the values inside.
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _edges(target: Target, scores: Scores, threshold: float) -> FloatArray:
    """Return where bins begin: at quantiles of each outcome's scores, and at the threshold."""
    at = np.linspace(0, 1, BINS + 1)[1:]
    quantiles = [np.quantile(scores[target == outcome], at, method="inverted_cdf") for outcome in (0, 1)]
    return np.unique(np.concatenate([*quantiles, [threshold]]))


def _group(target: Target, scores: Scores, threshold: float, edges: FloatArray | None) -> _Grouped:
    """Take rows together by equal scores, or in the bins that begin at `edges`."""
    if edges is None:
        values, group = np.unique(scores, return_inverse=True)
        at = int(np.searchsorted(values, threshold, side="left"))
        groups = len(values)
    else:
        group = np.searchsorted(edges, scores, side="right")
        at = int(np.searchsorted(edges, threshold, side="right"))
        groups = len(edges) + 1
    group = group.astype(np.int64, copy=False)
    bounded = np.clip(scores, SMALLEST, 1 - SMALLEST)
    squares, logs = np.zeros((2, groups)), np.zeros((2, groups))
    for outcome in (0, 1):
        rows = target == outcome
        n = np.maximum(np.bincount(group[rows], minlength=groups), 1)
        square = (scores[rows] - outcome) ** 2
        log = -np.log(bounded[rows] if outcome else 1 - bounded[rows])
        squares[outcome] = np.bincount(group[rows], weights=square, minlength=groups) / n
        logs[outcome] = np.bincount(group[rows], weights=log, minlength=groups) / n
    return _Grouped(group, groups, at, squares, logs)


def _all_once(target: Target, of_model: _Grouped) -> FloatArray:
    """Return the counts of the rows themselves, shape (2, groups, 1)."""
    cell = target.astype(np.int64) * of_model.groups + of_model.group
    return np.bincount(cell, minlength=2 * of_model.groups).reshape(2, of_model.groups, 1).astype(np.float64)


def _exact_counts(
    target: Target, grouped: Mapping[str, _Grouped], rng: np.random.Generator, most: int
) -> dict[str, FloatArray]:
    """Draw at most `most` resamples of as many rows; return each model's counts, shape (2, groups, resamples)."""
    rows = len(target)
    resamples = min(most, max(1, CHUNK_CELLS // rows))
    counts = np.empty((rows, resamples), np.float32)
    for i in range(resamples):
        counts[:, i] = np.bincount(rng.integers(0, rows, rows), minlength=rows)
    return {
        name: _sums(target, of_model, slice(None), counts).reshape(2, of_model.groups, -1).astype(np.float64)
        for name, of_model in grouped.items()
    }


def _poisson_counts(
    target: Target, grouped: Mapping[str, _Grouped], rng: np.random.Generator, most: int
) -> dict[str, FloatArray]:
    """Draw at most `most` resamples with Poisson(1) frequencies; return each model's counts, shaped the same."""
    table = _poisson_table()
    resamples = min(most, POISSON_CHUNK)
    sums = {name: np.zeros((2 * of_model.groups, resamples)) for name, of_model in grouped.items()}
    for start in range(0, len(target), POISSON_ROWS):
        rows = slice(start, min(start + POISSON_ROWS, len(target)))
        drawn = rng.integers(0, 65_536, (rows.stop - start, resamples), np.uint16)
        counts = table[drawn]
        for name, of_model in grouped.items():
            sums[name] += _sums(target, of_model, rows, counts)
    return {name: sums[name].reshape(2, of_model.groups, -1) for name, of_model in grouped.items()}


def _poisson_table() -> npt.NDArray[np.float32]:
    """Return Poisson(1) frequencies for 65,536 equally probable numbers."""
    up_to = special.pdtr(np.arange(20), 1.0)
    return np.searchsorted(up_to, (np.arange(65_536) + 0.5) / 65_536).astype(np.float32)


def _sums(target: Target, of_model: _Grouped, rows: slice, counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Add up the rows' counts (rows, resamples) by outcome and group; whole numbers below 2²⁴, so without rounding."""
    cell = target[rows].astype(np.int32) * of_model.groups + of_model.group[rows].astype(np.int32)
    n = len(cell)
    place = sparse.csc_matrix(
        (np.ones(n, np.float32), cell, np.arange(n + 1, dtype=np.int32)), shape=(2 * of_model.groups, n)
    )
    sums: npt.NDArray[np.float32] = place @ counts
    return sums


def _metrics(counts: FloatArray, of_model: _Grouped, metrics: Sequence[str]) -> dict[str, FloatArray]:
    """Return metrics from counts by outcome and group, shape (2, groups, resamples); each has shape (resamples,)."""
    good, bad = counts[0], counts[1]
    goods, bads = good.sum(axis=0), bad.sum(axis=0)
    rows = goods + bads
    result: dict[str, FloatArray] = {}
    if {"roc_auc", "gini", "pr_auc", "ks"} & set(metrics):
        good_to, bad_to = np.cumsum(good, axis=0), np.cumsum(bad, axis=0)
        if {"roc_auc", "gini"} & set(metrics):
            # of pairs: those that stand right, and half of the ties
            right = np.einsum("gr,gr->r", bad, good_to) - 0.5 * np.einsum("gr,gr->r", bad, good)
            result["roc_auc"] = right / (goods * bads)
            result["gini"] = 2 * result["roc_auc"] - 1
        if "ks" in metrics:
            result["ks"] = np.maximum((good_to / goods - bad_to / bads).max(axis=0), 0.0)
        if "pr_auc" in metrics:
            flagged_bad = bads - bad_to + bad
            flagged = flagged_bad + (goods - good_to + good)
            precision = np.divide(flagged_bad, flagged, out=np.zeros_like(flagged), where=flagged > 0)
            result["pr_auc"] = np.einsum("gr,gr->r", bad, precision) / bads
    if "brier" in metrics:
        result["brier"] = (of_model.squares[0] @ good + of_model.squares[1] @ bad) / rows
    if "log_loss" in metrics:
        result["log_loss"] = (of_model.logs[0] @ good + of_model.logs[1] @ bad) / rows
    false_positives, true_positives = good[of_model.at :].sum(axis=0), bad[of_model.at :].sum(axis=0)
    flagged = false_positives + true_positives
    result["accuracy"] = (goods - false_positives + true_positives) / rows
    result["precision"] = np.divide(true_positives, flagged, out=np.zeros_like(rows), where=flagged > 0)
    result["recall"] = true_positives / bads
    result["f1"] = 2 * true_positives / (flagged + bads)
    return {metric: result[metric] for metric in metrics}
