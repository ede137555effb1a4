"""What target and score say about a model in the report: ranks, calibration, grades, cut-offs and costs.

Everything follows from how many defaults and others have each distinct score, so that neither the order of the rows nor
their partitions matter, and rows are sorted once. Nothing here can be traced to one applicant: groups have MIN_ROWS
rows or more, and their limits are short decimals that separate the same scores, not scores. Intervals are of 95 %.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from scripts.shared.config import Cost
from scripts.shared.statistics import (
    Z,
    delong,
    delong_interval,
    holm,
    jeffreys_interval,
    jeffreys_test,
    wilson_interval,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Target = npt.NDArray[np.int8]

MIN_ROWS = 10  # in any group that is told of
TENTHS = 10
CALIBRATION_BINS = 20
GAINS_POINTS = 100
HISTOGRAM_BINS = 50
CUTOFFS = 20  # steps of the approval rate
COST_POINTS = 100  # steps of the threshold
GRADE_EDGES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)  # each grade twice the risk of the one before
LOGIT_CLIP = 1e-6  # scores nearer to 0 or 1 are taken as this near, since the logit of 0 and of 1 is infinite
SIGNIFICANT = 0.05
NEWTON_STEPS = 100


@dataclass(frozen=True)
class Counted:
    """Rows by distinct score.

    Attributes
    ----------
    values
        Shape (distinct scores,), rising.
    bad, good
        Shape (distinct scores,): defaults and others that have each score.
    """

    values: FloatArray
    bad: IntArray
    good: IntArray

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return self.bads + self.goods

    @property
    def bads(self) -> int:
        """Number of defaults."""
        return int(self.bad.sum())

    @property
    def goods(self) -> int:
        """Number of others."""
        return int(self.good.sum())


@dataclass(frozen=True)
class Groups:
    """Neighbouring scores taken together, scores rising.

    Attributes
    ----------
    starts
        Shape (groups,): place of each one's first distinct score.
    rows, bad
        Shape (groups,): rows and defaults.
    mean
        Shape (groups,): mean score.
    limits
        Length groups + 1: a group's scores are at least its limit and below the next one's; 0 and 1 at the ends, where
        1 itself is included.
    """

    starts: IntArray
    rows: IntArray
    bad: IntArray
    mean: FloatArray
    limits: list[float]


def performance(target: Target, scores: FloatArray, threshold: float, cost: Cost) -> dict[str, Any]:
    """Return the figures of the report, ready for JSON; a figure that can't be computed is None.

    Parameters
    ----------
    target
        Shape (rows,), 1 for default; both outcomes occur.
    scores
        Shape (rows,), probability of default.
    threshold
        An application is refused from this probability on.
    cost
        Of the two kinds of error.
    """
    counted = count(target, scores)
    tenths = group(counted, cut_evenly(counted, TENTHS))
    bins = group(counted, cut_evenly(counted, CALIBRATION_BINS))
    area, variance = delong(counted.bad, counted.good)
    deciles, breaks = rank_order(tenths)
    return {
        "rows": counted.rows,
        "defaults": counted.bads,
        "threshold": threshold,
        "roc_auc": {"value": area, "delong_interval": delong_interval(area, variance)},
        "deciles": deciles,
        "rank_order_breaks": len(breaks),
        "rank_order": breaks,
        "gains": gains(counted),
        "ks": ks(counted),
        "calibration": {
            **recalibration(counted),
            "spiegelhalter": spiegelhalter(counted),
            "hosmer_lemeshow": hosmer_lemeshow(tenths),
            "ece": float(np.abs(tenths.rows * tenths.mean - tenths.bad).sum() / counted.rows),
            "ece_bins": len(tenths.rows),
            "bins": [
                {"rows": n, "defaults": d, "mean_score": m, "default_rate": d / n, "interval": wilson_interval(d, n)}
                for n, d, m in zip(bins.rows.tolist(), bins.bad.tolist(), bins.mean.tolist(), strict=True)
            ],
        },
        "brier": brier(counted, bins),
        "grades": grades(counted),
        "scores": histogram(counted),
        "deciles_of_score": {"edges": tenths.limits, "rows": tenths.rows.tolist(), "defaults": tenths.bad.tolist()},
        **costs(counted, threshold, cost),
        "confusion": confusion(counted, threshold),
    }


def count(target: Target, scores: FloatArray) -> Counted:
    """Count the rows by distinct score.

    Raises
    ------
    ValueError
        Where there is one outcome only, or a score is no probability.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    if not len(ordered) or not (ordered[0] >= 0 and ordered[-1] <= 1):  # NaN sorts last
        raise ValueError("scores must be probabilities")
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    bad = np.add.reduceat(target[order], first, dtype=np.int64)
    rows = np.diff(np.append(first, len(ordered)))
    if not 0 < bad.sum() < len(ordered):
        raise ValueError("the rows have one outcome only")
    return Counted(ordered[first], bad, rows - bad)


def cut_evenly(counted: Counted, groups: int) -> IntArray:
    """Return the places where groups of about equally many rows begin; equal scores stay together.

    There are fewer than `groups` where scores are tied, or where a group would have fewer than MIN_ROWS rows.
    """
    up_to = np.cumsum(counted.bad + counted.good)
    rows = int(up_to[-1])
    groups = max(1, min(groups, rows // MIN_ROWS))
    wanted = [-(-k * rows // groups) for k in range(1, groups)]
    return _large_enough(up_to, np.searchsorted(up_to, wanted, side="left") + 1)


def cut_at(counted: Counted, edges: tuple[float, ...]) -> IntArray:
    """Return the places where groups begin whose scores are at least an edge; small groups join a neighbour."""
    up_to = np.cumsum(counted.bad + counted.good)
    return _large_enough(up_to, np.searchsorted(counted.values, edges, side="left"))


def _large_enough(up_to: IntArray, starts: npt.NDArray[np.integer[Any]]) -> IntArray:
    """Return the starts, 0 among them, but for those that would leave a group with fewer than MIN_ROWS rows."""
    kept, begun = [0], 0
    for start in np.unique(starts).tolist():
        before = int(up_to[start - 1]) if start else 0
        if before - begun >= MIN_ROWS and up_to[-1] - before >= MIN_ROWS:
            kept.append(start)
            begun = before
    return np.array(kept, np.int64)


def group(counted: Counted, starts: IntArray) -> Groups:
    """Take neighbouring scores together, from each start to the next."""
    both = counted.bad + counted.good
    rows = np.add.reduceat(both, starts)
    mean = np.add.reduceat(both * counted.values, starts) / rows
    limits = [0.0, *(separator(counted, start) for start in starts[1:].tolist()), 1.0]
    return Groups(starts, rows, np.add.reduceat(counted.bad, starts), mean, limits)


def separator(counted: Counted, place: int) -> float:
    """Return the shortest decimal above the scores before `place`, and not above the score there.

    At the lowest place it is 0; behind the highest, the next number above the score, since no decimal need be left
    below 1.
    """
    if place == 0:
        return 0.0
    below = float(counted.values[place - 1])
    if place == len(counted.values):
        return math.nextafter(below, math.inf) if below >= 1 else _shortest(below, 1.0)
    return _shortest(below, float(counted.values[place]))


def _shortest(below: float, high: float) -> float:
    middle = below + (high - below) / 2
    for digits in range(1, 20):
        if below < (found := round(middle, digits)) <= high:
            return found
    return high


def rank_order(tenths: Groups) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the tenths of the scores, highest risk first, and the neighbours whose default rates are out of order.

    `lift_interval` is Wilson's of the share of all defaults in the tenth, given how many defaults there are. A break is
    beyond noise where a one-sided test of two shares (pooled) rejects at 5 % divided by the number of neighbours.
    """
    all_rows, all_bad = int(tenths.rows.sum()), int(tenths.bad.sum())
    found: list[dict[str, Any]] = []
    captured = 0
    for i in reversed(range(len(tenths.rows))):
        rows, bad = int(tenths.rows[i]), int(tenths.bad[i])
        captured += bad
        within = wilson_interval(bad, all_bad)
        scale = all_rows / rows
        found.append(
            {
                "decile": len(found) + 1,
                "rows": rows,
                "defaults": bad,
                "default_rate": bad / rows,
                "interval": wilson_interval(bad, rows),
                "score_low": tenths.limits[i],
                "score_high": tenths.limits[i + 1],
                "cumulative_capture": captured / all_bad,
                "lift": bad / all_bad * scale,
                "lift_interval": within and [end * scale for end in within],
                "expected": float(tenths.mean[i]),
            }
        )
    breaks = [
        _break(above, below, len(found) - 1)
        for above, below in itertools.pairwise(found)
        if below["default_rate"] > above["default_rate"]
    ]
    return found, breaks


def _break(above: dict[str, Any], below: dict[str, Any], neighbours: int) -> dict[str, Any]:
    pooled = (above["defaults"] + below["defaults"]) / (above["rows"] + below["rows"])
    difference = below["default_rate"] - above["default_rate"]
    error = math.sqrt(pooled * (1 - pooled) * (1 / above["rows"] + 1 / below["rows"]))
    p = _above(difference / error) if error else 0.0
    return {
        "decile": above["decile"],
        "next": below["decile"],
        "difference": difference,
        "p": p,
        "beyond_noise": p < SIGNIFICANT / neighbours,
    }


def _above(z: float) -> float:
    """Return the probability of a standard normal above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def gains(counted: Counted) -> dict[str, list[float]]:
    """Return the share of rows, highest risk first, and the share of defaults among them, with 0 and 1 at the ends."""
    parts = group(counted, cut_evenly(counted, GAINS_POINTS - 1))
    rows, bad = np.cumsum(parts.rows[::-1]), np.cumsum(parts.bad[::-1])
    return {
        "rows_share": [0.0, *(rows / counted.rows).tolist()],
        "defaults_share": [0.0, *(bad / counted.bads).tolist()],
    }


def ks(counted: Counted) -> dict[str, Any]:
    """Return the largest gap between shares of defaults and of others that reach a score, and that score.

    The interval is that of the difference of two shares by the normal approximation, at this score; None where the
    approximation has no width.
    """
    true_rate = np.append(np.cumsum(counted.bad[::-1])[::-1], 0) / counted.bads
    false_rate = np.append(np.cumsum(counted.good[::-1])[::-1], 0) / counted.goods
    at = int(np.argmax(true_rate - false_rate))
    tpr, fpr = float(true_rate[at]), float(false_rate[at])
    half = Z * math.sqrt(tpr * (1 - tpr) / counted.bads + fpr * (1 - fpr) / counted.goods)
    value = tpr - fpr
    return {
        "value": value,
        "at_score": separator(counted, at),
        "interval": [max(0.0, value - half), min(1.0, value + half)] if half else None,
    }


# --- calibration -------------------------------------------------------------------------------------------------


def recalibration(counted: Counted) -> dict[str, Any]:
    """Return slope and intercept of the outcome's logistic regression on the score's logit.

    Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika 45(3/4), 562-565. A slope
    of 1 and an intercept of 0 are ideal; a slope below 1 says that scores are too extreme. `intercept` is that with the
    slope at 1, calibration in the large: above 0, there is more default than the scores say. `joint_intercept` is
    fitted with the slope. Intervals are Wald's. Where the outcomes don't overlap, or all scores are equal, there is no
    slope: None, and `why_no_slope` says so.
    """
    clipped = np.clip(counted.values, LOGIT_CLIP, 1 - LOGIT_CLIP)
    logit = special.logit(clipped)
    weight, bad = (counted.bad + counted.good).astype(np.float64), counted.bad.astype(np.float64)
    ones = np.ones((1, len(logit)))
    (intercept,), covariance = _logistic(ones, logit, weight, bad)
    result = {
        "slope": None,
        "slope_interval": None,
        "joint_intercept": None,
        "joint_intercept_interval": None,
        "intercept": intercept,
        "intercept_interval": _wald(intercept, covariance[0, 0]),
        "logit_clip": LOGIT_CLIP,
        "clipped": int(weight[clipped != counted.values].sum()),
        "why_no_slope": None,
    }
    of_bad, of_good = logit[counted.bad > 0], logit[counted.good > 0]
    if logit[0] == logit[-1]:
        return result | {"why_no_slope": "all scores are equal"}
    if of_good[-1] <= of_bad[0] or of_bad[-1] <= of_good[0]:
        return result | {"why_no_slope": "no score of a default is among those of the others"}
    (joint, slope), covariance = _logistic(np.vstack([ones, logit]), np.zeros(len(logit)), weight, bad)
    return result | {
        "slope": slope,
        "slope_interval": _wald(slope, covariance[1, 1]),
        "joint_intercept": joint,
        "joint_intercept_interval": _wald(joint, covariance[0, 0]),
    }


def _wald(value: float, variance: float) -> list[float]:
    half = Z * math.sqrt(variance)
    return [value - half, value + half]


def _logistic(
    design: FloatArray, offset: FloatArray, weight: FloatArray, bad: FloatArray
) -> tuple[list[float], FloatArray]:
    """Return coefficients and covariance of a logistic regression by Newton's method, halving steps that go too far.

    Parameters
    ----------
    design
        Shape (coefficients, values).
    offset, weight, bad
        Shape (values,): fixed part of the logit, rows, defaults among them.
    """

    def loss(at: FloatArray) -> float:
        z = at @ design + offset
        return float(weight @ np.logaddexp(0, z) - bad @ z)

    beta = np.zeros(len(design))
    best = loss(beta)
    for _ in range(NEWTON_STEPS):
        p = special.expit(beta @ design + offset)
        information = (design * (weight * p * (1 - p))) @ design.T
        step = np.linalg.solve(information, design @ (bad - weight * p))
        size = 1.0
        while (now := loss(beta + size * step)) > best and size > 1e-6:
            size /= 2
        if now <= best:
            beta, best = beta + size * step, now
        if np.abs(size * step).max() <= 1e-12 * (1 + np.abs(beta).max()) or now > best:
            break
    p = special.expit(beta @ design + offset)
    return beta.tolist(), np.linalg.inv((design * (weight * p * (1 - p))) @ design.T)


def spiegelhalter(counted: Counted) -> dict[str, float] | None:
    """Return z and the two-sided p-value of the hypothesis that the scores are the true probabilities.

    Spiegelhalter, D. J. (1986). Probabilistic prediction in patient management and clinical trials. Statistics in
    Medicine 5(5), 421-433. None where the scores leave no variance: all are 0, 1/2 or 1.
    """
    p, rows = counted.values, counted.bad + counted.good
    tilt = 1 - 2 * p
    variance = float(rows @ (tilt**2 * p * (1 - p)))
    if variance <= 0:
        return None
    z = float(((counted.bad - rows * p) @ tilt) / math.sqrt(variance))
    return {"z": z, "p": 2 * _above(abs(z))}


def hosmer_lemeshow(tenths: Groups) -> dict[str, float | int | None]:
    """Return the chi-squared statistic of observed against expected defaults in tenths of the scores.

    Hosmer, D. W. and Lemeshow, S. (1980). Goodness of fit tests for the multiple logistic regression model.
    Communications in Statistics 9(10), 1043-1069. On rows that the model wasn't fitted on, it has as many degrees of
    freedom as groups. On very many rows, differences without weight in practice are significant, too. Groups whose
    scores are all 0 or 1 leave no variance: chi2 and p are None if they hold the other outcome.
    """
    variance = tenths.rows * tenths.mean * (1 - tenths.mean)
    excess = tenths.bad - tenths.rows * tenths.mean
    certain = variance <= 0
    groups = len(tenths.rows)
    if (excess[certain] != 0).any():
        return {"chi2": None, "groups": groups, "df": groups, "p": None}
    chi2 = float((excess[~certain] ** 2 / variance[~certain]).sum())
    return {"chi2": chi2, "groups": groups, "df": groups, "p": float(special.gammaincc(groups / 2, chi2 / 2))}


def brier(counted: Counted, bins: Groups) -> dict[str, float | int]:
    """Return the Brier score and its parts: value = reliability - resolution + uncertainty + within_bin.

    Murphy, A. H. (1973). A new vector partition of the probability score. Journal of Applied Meteorology 12(4),
    595-600, with the bins of the calibration; `within_bin` is what scores that differ within a bin leave: Stephenson,
    D. B., Coelho, C. A. S. and Jolliffe, I. T. (2008). Two extra components in the Brier score decomposition. Weather
    and Forecasting 23(4), 752-757.
    """
    rows = counted.bad + counted.good
    value = float((counted.bad @ (1 - counted.values) ** 2 + counted.good @ counted.values**2) / counted.rows)
    rate, base = bins.bad / bins.rows, counted.bads / counted.rows
    place = np.repeat(np.arange(len(bins.starts)), np.diff(np.append(bins.starts, len(counted.values))))
    apart = counted.values - bins.mean[place]
    covariance = (counted.bad - rows * rate[place]) @ apart
    return {
        "value": value,
        "reliability": float(bins.rows @ (bins.mean - rate) ** 2 / counted.rows),
        "resolution": float(bins.rows @ (rate - base) ** 2 / counted.rows),
        "uncertainty": base * (1 - base),
        "within_bin": float((rows @ apart**2 - 2 * covariance) / counted.rows),
        "bins": len(bins.rows),
    }


def grades(counted: Counted) -> list[dict[str, Any]]:
    """Return grades of doubling risk, lowest first, each with Jeffreys' test of its default rate against its scores.

    `significant_after_holm`: the test rejects at 5 % for all grades together.
    """
    parts = group(counted, cut_at(counted, GRADE_EDGES))
    p_values = [
        jeffreys_test(bad, rows, mean)
        for bad, rows, mean in zip(parts.bad.tolist(), parts.rows.tolist(), parts.mean.tolist(), strict=True)
    ]
    edges = [0.0, *(_edge_of(counted, start) for start in parts.starts[1:].tolist()), 1.0]
    return [
        {
            "grade": i + 1,
            "low": edges[i],
            "high": edges[i + 1],
            "rows": int(parts.rows[i]),
            "defaults": int(parts.bad[i]),
            "expected": float(parts.mean[i]),
            "default_rate": float(parts.bad[i] / parts.rows[i]),
            "interval": jeffreys_interval(int(parts.bad[i]), int(parts.rows[i])),
            "jeffreys_p": p_values[i],
            "significant_after_holm": rejected,
        }
        for i, rejected in enumerate(holm(p_values, SIGNIFICANT))
    ]


def _edge_of(counted: Counted, start: int) -> float:
    """Return the highest grade's edge that the score at `start` reaches."""
    return max(edge for edge in GRADE_EDGES if edge <= counted.values[start])


def histogram(counted: Counted) -> dict[str, list[Any]]:
    """Return rows by score for both outcomes, in steps of 1/HISTOGRAM_BINS."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    of_edges = np.searchsorted(counted.values, edges[1:-1], side="left")
    return {
        "edges": edges.tolist(),
        "defaults": _between(counted.bad, of_edges),
        "others": _between(counted.good, of_edges),
    }


def _between(counts: IntArray, places: npt.NDArray[np.integer[Any]]) -> list[int]:
    up_to = np.concatenate([[0], np.cumsum(counts)])
    found: list[int] = np.diff(up_to[np.concatenate([[0], places, [len(counts)]])]).tolist()
    return found


# --- decisions ---------------------------------------------------------------------------------------------------


def confusion(counted: Counted, threshold: float) -> dict[str, Any]:
    """Return the decisions at the threshold by outcome, and the shares of right ones with Wilson's intervals."""
    at = int(np.searchsorted(counted.values, threshold, side="left"))
    missed, approved_good = int(counted.bad[:at].sum()), int(counted.good[:at].sum())
    caught, refused_good = counted.bads - missed, counted.goods - approved_good
    shares = {
        "recall": (caught, counted.bads),
        "specificity": (approved_good, counted.goods),
        "precision": (caught, caught + refused_good),
    }
    return {
        "true_positives": caught,
        "false_positives": refused_good,
        "true_negatives": approved_good,
        "false_negatives": missed,
        **{
            name: {"value": right / of if of else None, "interval": wilson_interval(right, of)}
            for name, (right, of) in shares.items()
        },
    }


def costs(counted: Counted, threshold: float, cost: Cost) -> dict[str, Any]:
    """Return the table of cut-offs, the cost over thresholds, and the cheapest threshold.

    Cost per row: (missed_default × approved defaults + refused_good × refused others) / rows; its interval by the
    normal approximation of a mean. The table has thresholds at steps of the approval rate, the chosen one and the
    cheapest. The cheapest is found on the test rows, so it flatters itself; it is not what decides.
    """
    missed = np.concatenate([[0], np.cumsum(counted.bad)])
    approved_good = np.concatenate([[0], np.cumsum(counted.good)])
    total = cost.missed_default * missed + cost.refused_good * (counted.goods - approved_good)
    best = int(np.argmin(total))
    step = np.linspace(0, 1, COST_POINTS + 1)[1:-1]
    places = np.searchsorted(counted.values, step, side="left")
    curve = [_cost(counted.rows, int(missed[i]), counted.goods - int(approved_good[i]), cost) for i in places]
    wanted = {separator(counted, i): i for i in (*cut_evenly(counted, CUTOFFS)[1:].tolist(), best)}
    wanted[threshold] = int(np.searchsorted(counted.values, threshold, side="left"))
    cheapest = separator(counted, best)
    return {
        "cutoffs": [
            {
                "threshold": at,
                "chosen": at == threshold,
                "cheapest": i == best,
                **_cutoff(counted, int(missed[i]), int(approved_good[i]), cost),
            }
            for at, i in sorted(wanted.items())
        ],
        "cost_curve": {
            "threshold": step.tolist(),
            "cost": [value for value, _ in curve],
            "low": [low for _, (low, _) in curve],
            "high": [high for _, (_, high) in curve],
        },
        "cheapest": {
            "threshold": cheapest,
            **_with_interval(_cost(counted.rows, int(missed[best]), counted.goods - int(approved_good[best]), cost)),
        },
        "cost": {"missed_default": cost.missed_default, "refused_good": cost.refused_good},
    }


def _cutoff(counted: Counted, missed: int, approved_good: int, cost: Cost) -> dict[str, Any]:
    approved = missed + approved_good
    refused = counted.rows - approved
    return {
        "approved": approved,
        "refused": refused,
        "approval_rate": approved / counted.rows,
        "bad_rate": missed / approved if approved else None,
        "bad_rate_interval": wilson_interval(missed, approved),
        "recall": (counted.bads - missed) / counted.bads,
        "precision": (counted.bads - missed) / refused if refused else None,
        **_with_interval(_cost(counted.rows, missed, counted.goods - approved_good, cost)),
    }


def _with_interval(found: tuple[float, tuple[float, float]]) -> dict[str, Any]:
    value, interval = found
    return {"cost_per_row": value, "cost_interval": interval}


def _cost(rows: int, missed: int, refused_good: int, cost: Cost) -> tuple[float, tuple[float, float]]:
    mean = (cost.missed_default * missed + cost.refused_good * refused_good) / rows
    square = (cost.missed_default**2 * missed + cost.refused_good**2 * refused_good) / rows
    half = Z * math.sqrt(max(0.0, square - mean**2) / rows)
    return mean, (max(0.0, mean - half), mean + half)
