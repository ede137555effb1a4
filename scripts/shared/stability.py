"""How far a distribution has moved from another: the population stability index, and what chance alone makes of it.

PSI is the sum over the bins of (a - b) ln(a / b), where a and b are the shares of two samples (Siddiqi 2006). The marks
0.1 and 0.25 are custom and have no error rate: a small sample passes them by chance, and a huge one stays below them
however surely it has moved. So each value stands beside the limit that the sizes of the samples alone explain (Yurdakul
and Naranjo 2020).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import chdtri  # scipy.stats has the same, and takes half a second to import

MODERATE, LARGE = 0.1, 0.25
HALF_A_ROW = 0.5
CHANCE = 0.05


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Return the population stability index of two samples, by their counts in the same bins.

    Half a row is added to each bin of both samples, so that the index is finite where one of them has an empty bin.
    Bins that are empty in both don't count.

    Parameters
    ----------
    expected, actual
        Rows in each bin, at least one row in all; the index is the same with the two exchanged.
    """
    a, b = (np.asarray(counts, dtype=np.float64) for counts in (expected, actual))
    there = a + b > 0
    a, b = a[there] + HALF_A_ROW, b[there] + HALF_A_ROW
    a, b = a / a.sum(), b / b.sum()
    return float(((a - b) * np.log(a / b)).sum())


def psi_limit(expected_rows: int, actual_rows: int, bins: int) -> float:
    """Return what the index of two samples of one distribution stays below in 95 of 100 cases.

    (1/n + 1/m) times the 95 % quantile of chi-square with B - 1 degrees of freedom (Yurdakul and Naranjo 2020,
    "Statistical properties of the population stability index", Journal of Risk Model Validation 14). It is an
    approximation for large samples; docs/drift.md says how it does with small ones.

    Parameters
    ----------
    expected_rows, actual_rows
        Rows of the two samples, at least 1.
    bins
        Bins that are not empty in both.
    """
    if bins < 2:
        return 0.0
    return float((1 / expected_rows + 1 / actual_rows) * chdtri(bins - 1, CHANCE))


def mark(value: float) -> str:
    """Return what custom calls an index: stable (below 0.1), moderate (below 0.25) or large."""
    if value < MODERATE:
        return "stable"
    return "moderate" if value < LARGE else "large"


def compare(expected: Sequence[int], actual: Sequence[int]) -> dict[str, Any]:
    """Return the index of two samples as it is reported.

    Parameters
    ----------
    expected, actual
        Rows in each bin; missing values are a bin like any other.

    Returns
    -------
    dict
        psi; limit: what the samples' sizes alone explain; status: the usual mark; noise: whether psi is within the
        limit. All None where one of the samples has no rows.
    """
    rows = sum(expected), sum(actual)
    if not all(rows):
        return {"psi": None, "limit": None, "status": None, "noise": None}
    value = psi(expected, actual)
    limit = psi_limit(*rows, sum(a + b > 0 for a, b in zip(expected, actual, strict=True)))
    return {"psi": value, "limit": limit, "status": mark(value), "noise": value <= limit}


def drift_of(counts: Sequence[int], missing: int, reference: dict[str, Any]) -> dict[str, Any]:
    """Return the drift of one feature, or of the score, from its reference.

    Parameters
    ----------
    counts, missing
        Rows in each bin of the reference, and without a value.
    reference
        `counts` and `missing` of the rows that it is compared with.

    Returns
    -------
    dict
        What `compare` returns, rows, missing, counts, and the reference's counts and missing.
    """
    before, without = list(reference["counts"]), int(reference.get("missing", 0))
    return compare([*before, without], [*counts, missing]) | {
        "rows": sum(counts) + missing,
        "missing": missing,
        "counts": list(counts),
        "reference": {"counts": before, "missing": without},
    }


def join_drift(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the drift of a file from that of its shares: the counts add up, and the index is computed from them."""
    counted = [part for part in parts if "features" in part]
    if not counted:
        return dict(parts[0])
    features = {name: _joined([part["features"][name] for part in counted]) for name in counted[0]["features"]}
    return {"features": features, "score": _joined([part["score"] for part in counted])}


def _joined(shares: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = [sum(of_bin) for of_bin in zip(*(share["counts"] for share in shares), strict=True)]
    return drift_of(counts, sum(share["missing"] for share in shares), shares[0]["reference"])
