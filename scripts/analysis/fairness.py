"""How decisions and errors differ between groups of applicants: counts with intervals, shown and not judged."""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.analysis.sample import Floats, roc_auc
from scripts.shared.arrays import to_numbers
from scripts.shared.config import Group
from scripts.shared.membership import codes_of
from scripts.shared.statistics import Z, auc_interval, wilson_interval

MISSING = "missing"
MIN_ROWS = 30
FOUR_FIFTHS = 0.8

Codes = npt.NDArray[np.int64]


class Division:
    """The groups of one column, gathered block by block."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._codes: list[Codes] = []
        self._names: dict[str, int] = {}

    def see(self, table: pa.Table) -> None:
        """Note the group of each of the next rows."""
        if self.group.edges:
            values = to_numbers(table.column(self.group.column))
            codes = np.searchsorted(self.group.edges, values, side="right")
            codes[np.isnan(values)] = len(self.group.edges) + 1
            self._codes.append(codes.astype(np.int64))
            return
        texts, places = codes_of(table, self.group.column)
        found = [self._names.setdefault(text, len(self._names)) for text in [*texts, MISSING]]
        self._codes.append(np.array(found, np.int64)[places])  # -1 is the last: missing

    def groups(self) -> tuple[list[str], Codes]:
        """Return the names of the groups and the place of each row's among them."""
        codes = np.concatenate([np.empty(0, np.int64), *self._codes])
        if not self.group.edges:
            order = sorted(self._names)  # that of the rows says nothing
            places = np.array([order.index(name) for name in self._names], np.int64)
            return order, places[codes] if len(codes) else codes
        edges = [f"{edge:g}" for edge in self.group.edges]
        between = [f"{low} to below {high}" for low, high in itertools.pairwise(edges)]
        return [f"below {edges[0]}", *between, f"{edges[-1]} and above", MISSING], codes


def compare_groups(
    names: list[str], codes: Codes, target: npt.NDArray[np.int8], scores: Floats, threshold: float
) -> list[dict[str, Any]]:
    """Return each group's figures, in the order of the names; a group without rows has none.

    Parameters
    ----------
    names, codes
        The groups, and the place of each row's (shape (rows,)).
    target, scores
        Shape (rows,).
    threshold
        Refused from this probability on.

    Returns
    -------
    list
        A dict a group: group, rows, defaults, too_small, approval_rate, approval_ratio to the highest approval rate of
        the groups that aren't too small (interval: Katz et al. 1978, on the logarithm), below_four_fifths, recall,
        false_positive_rate, mean_score, default_rate, roc_auc; shares with 95 % intervals after Wilson. None where
        there is nothing to divide by.
    """
    approved = scores < threshold
    counted = []
    for place in range(len(names)):
        inside = codes == place
        if inside.any():
            counted.append((names[place], _counts(target[inside], scores[inside], approved[inside])))
    rates = {name: found["approved"] / found["rows"] for name, found in counted if found["rows"] >= MIN_ROWS}
    best = max(rates, key=lambda name: (rates[name], name), default=None)
    most = dict(counted)[best] if best is not None else None
    return [{"group": name, **_figures(found, most)} for name, found in counted]


def _counts(target: npt.NDArray[np.int8], scores: Floats, approved: npt.NDArray[np.bool_]) -> dict[str, Any]:
    bad = target == 1
    rows, defaults = len(target), int(bad.sum())
    return {
        "rows": rows,
        "defaults": defaults,
        "approved": int(approved.sum()),
        "caught": int((bad & ~approved).sum()),
        "refused_good": int((~bad & ~approved).sum()),
        "mean_score": math.fsum(scores.tolist()) / rows,
        "roc_auc": roc_auc(target, scores) if 0 < defaults < rows else None,
    }


def _figures(found: dict[str, Any], most: dict[str, Any] | None) -> dict[str, Any]:
    rows, defaults, approved = found["rows"], found["defaults"], found["approved"]
    others = rows - defaults
    small = rows < MIN_ROWS
    ratio, interval = _ratio(found, most) if most and not small else (None, None)
    area = None if small else found["roc_auc"]
    return {
        "rows": rows,
        "defaults": defaults,
        "too_small": small,
        "approval_rate": approved / rows,
        "approval_rate_interval": wilson_interval(approved, rows),
        "approval_ratio": ratio,
        "approval_ratio_interval": interval,
        "below_four_fifths": ratio is not None and ratio < FOUR_FIFTHS,
        "recall": found["caught"] / defaults if defaults else None,
        "recall_interval": wilson_interval(found["caught"], defaults),
        "false_positive_rate": found["refused_good"] / others if others else None,
        "false_positive_rate_interval": wilson_interval(found["refused_good"], others),
        "mean_score": found["mean_score"],
        "default_rate": defaults / rows,
        "default_rate_interval": wilson_interval(defaults, rows),
        "roc_auc": area,
        "roc_auc_interval": auc_interval(area, defaults, others) if area is not None else None,
    }


def _ratio(found: dict[str, Any], most: dict[str, Any]) -> tuple[float | None, tuple[float, float] | None]:
    """Return the ratio of approval rates and its interval; 1 without one for the most approved group itself.

    Katz, D., Baptista, J., Azen, S. P. and Pike, M. C. (1978). Obtaining confidence intervals for the risk ratio in
    cohort studies. Biometrics 34(3), 469-474.
    """
    if not most["approved"]:
        return None, None
    ratio = (found["approved"] / found["rows"]) / (most["approved"] / most["rows"])
    if found is most or not found["approved"]:
        return ratio, None
    variance = sum(1 / each["approved"] - 1 / each["rows"] for each in (found, most))
    half = Z * math.sqrt(variance)
    return ratio, (ratio * math.exp(-half), ratio * math.exp(half))


def make_fairness(
    groups: dict[str, Group],
    tables: Iterable[pa.Table],
    target: npt.NDArray[np.int8],
    scores: Floats,
    threshold: float,
) -> dict[str, Any]:
    """Return the figures of all divisions, or not_run: why there are none.

    Parameters
    ----------
    groups
        The config's.
    tables
        The test rows, in the order of target and scores.
    """
    if not groups:
        return {"not_run": "no groups are configured (fairness.groups in the config)"}
    divisions = {name: Division(group) for name, group in groups.items()}
    for table in tables:
        for division in divisions.values():
            division.see(table)
    return {
        "rows": len(target),
        "threshold": threshold,
        "min_rows": MIN_ROWS,
        "divisions": {
            name: {
                "column": division.group.column,
                "groups": compare_groups(*division.groups(), target, scores, threshold),
            }
            for name, division in divisions.items()
        },
    }
