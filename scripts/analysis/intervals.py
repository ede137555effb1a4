"""Areas under the ROC curve, shares and ratios, each with its 95 % interval."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.shared.statistics import Z, wilson_interval

Floats = npt.NDArray[np.float64]
Target = npt.NDArray[np.int8]


def placements(target: Target, scores: Floats) -> tuple[Floats, Floats]:
    """Return how each row stands among those of the other outcome; the mean of either is the area under the ROC curve.

    DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach. Biometrics 44(3), 837-845.

    Parameters
    ----------
    target, scores
        Shape (rows,), 1 for default; float64.

    Returns
    -------
    tuple
        For each default the share of the others that score lower (shape (defaults,)), for each other the share of the
        defaults that score higher (shape (others,)); ties count half.
    """
    bad, good = scores[target == 1], scores[target == 0]
    sorted_bad, sorted_good = np.sort(bad), np.sort(good)
    below = np.searchsorted(sorted_good, bad, "left") + np.searchsorted(sorted_good, bad, "right")
    not_above = np.searchsorted(sorted_bad, good, "left") + np.searchsorted(sorted_bad, good, "right")
    return below / (2 * max(len(good), 1)), 1 - not_above / (2 * max(len(bad), 1))


def mean_of_placements(of_bad: Floats, of_good: Floats, more_variance: float = 0.0) -> dict[str, Any]:
    """Return value, low and high of an area under the ROC curve, or of a difference of areas on the same rows.

    Parameters
    ----------
    of_bad, of_good
        As `placements` gives them, or their differences; float64.
    more_variance
        What else makes the value uncertain, as a variance.

    Returns
    -------
    dict
        `value`; `low` and `high` by DeLong's variance, None where an outcome has fewer than two rows, or where the
        variance is nothing, since an interval without width would claim certainty.
    """
    value = float(of_bad.mean()) if len(of_bad) and len(of_good) else None
    if value is None or min(len(of_bad), len(of_good)) < 2:
        return {"value": value, "low": None, "high": None}
    variance = of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good) + more_variance
    half = Z * math.sqrt(variance)
    if not half:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def auc(target: Target, scores: Floats) -> dict[str, Any]:
    """Return the area under the ROC curve as `value`, `low`, `high` (DeLong's variance), None where there is none."""
    found = mean_of_placements(*placements(target, scores))
    if found["low"] is not None:
        found |= {"low": max(0.0, found["low"]), "high": min(1.0, found["high"])}
    return found | {"rows": len(target), "defaults": int(target.sum())}


def share(hits: int, rows: int) -> dict[str, Any]:
    """Return a share as `value`, `low`, `high` with its counts; None where there are no rows.

    The interval is Wilson's (1927).

    >>> round(share(0, 10)["high"], 4)
    0.2775
    """
    interval = wilson_interval(hits, rows)
    if interval is None:
        return {"value": None, "low": None, "high": None, "hits": 0, "rows": 0}
    return {"value": hits / rows, "low": interval[0], "high": interval[1], "hits": hits, "rows": rows}


def ratio_of_shares(hits: int, rows: int, other_hits: int, other_rows: int) -> dict[str, Any]:
    """Return the ratio of two independent shares as `value`, `low`, `high`; None where it has none.

    The logarithm of the ratio is taken as normal. Katz, D., Baptista, J., Azen, S. P. and Pike, M. C. (1978). Obtaining
    confidence intervals for the risk ratio in cohort studies. Biometrics 34(3), 469-474. A share of 1 counts as half a
    row less in the variance, which would else be nothing.
    """
    if not rows or not other_hits:
        return {"value": None, "low": None, "high": None}
    value = (hits / rows) / (other_hits / other_rows)
    if not hits:
        return {"value": value, "low": None, "high": None}
    shares = (min(hits, rows - 0.5), rows), (min(other_hits, other_rows - 0.5), other_rows)
    half = Z * math.sqrt(sum(1 / part - 1 / whole for part, whole in shares))
    return {"value": value, "low": value * math.exp(-half), "high": value * math.exp(half)}


def observed_to_expected(defaults: int, rows: int, expected: float) -> dict[str, Any]:
    """Return the observed default rate over the mean score as `value`, `low`, `high`; the mean score counts as known.

    The interval is Wilson's for the rate, divided by the mean score. `expected` is the sum of the scores.
    """
    if not rows or expected <= 0:
        return {"value": None, "low": None, "high": None}
    rate = share(defaults, rows)
    return {key: rate[key] * rows / expected for key in ("value", "low", "high")}
