"""Intervals and tests of shares, areas and calibration, from counts or from target and score."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

Interval = tuple[float, float]
FloatArray = npt.NDArray[np.float64]
Target = npt.NDArray[np.int8]

Z = statistics.NormalDist().inv_cdf(0.975)  # both sides together: 95 %


def wilson_interval(successes: int, trials: int) -> Interval | None:
    """Return the 95 % interval of a share, or None of no trials.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of the American
    Statistical Association 22(158), 209-212.

    >>> low, high = wilson_interval(0, 10)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.2775)
    """
    if not trials:
        return None
    share, square = successes / trials, Z * Z / trials
    centre = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def jeffreys_interval(successes: int, trials: int) -> Interval | None:
    """Return the 95 % interval of a share by Jeffreys' prior, or None of no trials.

    Brown, L. D., Cai, T. T. and DasGupta, A. (2001). Interval estimation for a binomial proportion. Statistical Science
    16(2), 101-133: the lower limit of no successes is 0, the upper one of successes alone is 1.
    """
    if not trials:
        return None
    a, b = successes + 0.5, trials - successes + 0.5
    low = float(special.betaincinv(a, b, 0.025)) if successes else 0.0
    high = float(special.betaincinv(a, b, 0.975)) if successes < trials else 1.0
    return low, high


def jeffreys_test(defaults: int, rows: int, expected: float) -> float:
    """Return the p-value of the hypothesis that the true default rate isn't above the expected one.

    Small: more default than the model says. European Central Bank, Instructions for reporting the validation results of
    internal models, February 2019: the distribution function at `expected` of Beta(defaults + 1/2, rows - defaults +
    1/2).
    """
    return float(special.betainc(defaults + 0.5, rows - defaults + 0.5, expected))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Return which hypotheses are rejected, such that any true one is with a probability of `level` at most.

    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2),
    65-70.

    >>> holm([0.01, 0.04, 0.02])
    [True, True, True]
    >>> holm([0.01, 0.04, 0.03])
    [True, False, False]
    """
    rejected = [False] * len(p_values)
    for done, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] > level / (len(p_values) - done):
            break
        rejected[i] = True
    return rejected


def auc_interval(auc: float, positives: int, negatives: int) -> Interval | None:
    """Return the 95 % interval of an area under the ROC curve; None where the formula gives an error of nothing.

    That is so for areas of 0 and 1, where an interval without width would claim certainty.

    Hanley, J. A. and McNeil, B. J. (1982). The meaning and use of the area under a receiver operating characteristic
    (ROC) curve. Radiology 143(1), 29-36, doi:10.1148/radiology.143.1.7063747.

    Parameters
    ----------
    auc
        The area A.
    positives, negatives
        Defaults and others among the rows.
    """
    if auc in {0.0, 1.0} or not positives or not negatives:
        return None
    two_positives = auc / (2 - auc)
    two_negatives = 2 * auc * auc / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (two_positives - auc * auc) + (negatives - 1) * (two_negatives - auc * auc)
    ) / (positives * negatives)
    half = Z * math.sqrt(variance)
    return max(0.0, auc - half), min(1.0, auc + half)


def delong(bad: npt.NDArray[np.int64], good: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance, from counts by distinct score.

    DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach. Biometrics 44(3), 837-845. By ranks as in Sun,
    X. and Xu, W. (2014), IEEE Signal Processing Letters 21(11), 1389-1393.

    Parameters
    ----------
    bad, good
        Shape (distinct scores,), scores rising: defaults and others that have each.

    Returns
    -------
    tuple
        Area and variance; the variance is NaN where an outcome has fewer than two rows.
    """
    of_bad, of_good = _placements(bad, good)
    bads, goods = int(bad.sum()), int(good.sum())
    area = float(bad @ of_bad / bads)
    if min(bads, goods) < 2:
        return area, math.nan
    variance = bad @ (of_bad - area) ** 2 / (bads - 1) / bads + good @ (of_good - area) ** 2 / (goods - 1) / goods
    return area, float(variance)


def delong_interval(area: float, variance: float) -> Interval | None:
    """Return the 95 % interval of `delong`; None where the variance is unknown or nothing."""
    if not variance > 0:
        return None
    half = Z * math.sqrt(variance)
    return max(0.0, area - half), min(1.0, area + half)


def delong_difference(target: Target, first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Return by how much the first area exceeds the second on the same rows, and the variance of that (DeLong 1988).

    Parameters
    ----------
    target
        Shape (rows,), 1 for default; at least two rows of each outcome.
    first, second
        Shape (rows,), scores of two models.
    """
    differences = []
    for outcome in (1, 0):
        of_first, of_second = (_row_placements(target, scores, outcome) for scores in (first, second))
        differences.append(of_first - of_second)
    variance = sum(float(values.var(ddof=1)) / len(values) for values in differences)
    return float(differences[0].mean()), variance


def _row_placements(target: Target, scores: FloatArray, outcome: int) -> FloatArray:
    values, group = np.unique(scores, return_inverse=True)
    bad = np.bincount(group[target == 1], minlength=len(values))
    good = np.bincount(group[target == 0], minlength=len(values))
    of_bad, of_good = _placements(bad, good)
    placements: FloatArray = (of_bad if outcome else of_good)[group[target == outcome]]
    return placements


def _placements(bad: npt.NDArray[np.int64], good: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return the share of others below a default of each score, and of defaults above another row; ties are halves."""
    of_bad = (np.cumsum(good) - good / 2) / good.sum()
    of_good = 1 - (np.cumsum(bad) - bad / 2) / bad.sum()
    return of_bad, of_good
