"""How groups of applicants fare: counts and intervals over all test rows. It shows, and doesn't judge."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.analysis.intervals import Floats, Target, auc, observed_to_expected, ratio_of_shares, share
from scripts.shared.config import Group
from scripts.shared.membership import codes_of, numbers_of
from scripts.shared.scoring import Scorer

SMALLEST = 30  # rows; fewer are too few to judge
FOUR_FIFTHS = 0.8
MOST_GROUPS = 30  # of one column; the rows of more are taken together
MISSING, OTHERS = "missing", "all others"
NOTE = (
    "The four-fifths ratio is a screen that employment law knows, not a verdict on lending: a ratio below 0.8 asks for "
    "a closer look, and one above it clears nobody."
)


class Groups:
    """The groups of one column, known as their rows come.

    Parameters
    ----------
    group
        Its row in the config.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self._names: dict[str, int] = {}
        if group.edges:
            low = [f"below {group.edges[0]:g}"]
            between = [f"{a:g} to below {b:g}" for a, b in zip(group.edges[:-1], group.edges[1:], strict=True)]
            self._names = {name: n for n, name in enumerate([*low, *between, f"from {group.edges[-1]:g}"])}
        self._rows: list[npt.NDArray[np.int32]] = []

    def update(self, table: pa.Table) -> None:
        """See the next rows."""
        if self.group.edges:
            values = numbers_of(table, self.group.column)
            codes = np.searchsorted(self.group.edges, values, side="right")
            self._rows.append(np.where(np.isnan(values), -1, codes).astype(np.int32))
        else:
            texts, places = codes_of(table, self.group.column)
            own = [self._names.setdefault(text, len(self._names)) for text in texts]
            self._rows.append(np.array([*own, -1], np.int32)[places])

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the rows of each group that has some: by edge or the largest first, missing ones last."""
        rows = np.concatenate([np.empty(0, np.int32), *self._rows])
        names = {n: name for name, n in self._names.items()}
        counts = Counter(dict(zip(*(a.tolist() for a in np.unique(rows, return_counts=True)), strict=True)))
        present = [n for n in counts if n >= 0]
        ordered = sorted(present) if self.group.edges else sorted(present, key=lambda n: (-counts[n], names[n]))
        kept, rest = ordered[:MOST_GROUPS], ordered[MOST_GROUPS:]
        found = {names[n]: rows == n for n in kept}
        if rest:
            found[_free(OTHERS, found)] = np.isin(rows, rest)
        if counts[-1]:
            found[_free(MISSING, found)] = rows == -1
        return found


def _free(name: str, taken: Iterable[str]) -> str:
    return f"({name})" if name in taken else name


def compare_groups(
    blocks: Iterable[pa.Table], scorer: Scorer, target: str, groups: Mapping[str, Group], threshold: float
) -> dict[str, Any]:
    """Return how each group of applicants fares.

    Parameters
    ----------
    blocks
        Test rows, with the groups' columns.
    scorer
        Of the model.
    target
        The column of outcomes.
    groups
        By name, as configured.
    threshold
        An application is refused from this score on.

    Returns
    -------
    dict
        `not_run` with the reason, or `groups`: by name what `describe` gives; `note` says what the ratio is.
    """
    if not groups:
        return {"not_run": "fairness.groups names no column: set it to compare groups of applicants"}
    found = {name: Groups(group) for name, group in groups.items()}
    outcomes, scores = [np.empty(0, np.int8)], [np.empty(0)]
    for table in blocks:
        scores.append(scorer.score(table))
        outcomes.append(table.column(target).to_numpy())
        for of_column in found.values():
            of_column.update(table)
    outcome, score = np.concatenate(outcomes), np.concatenate(scores)
    return {
        "threshold": threshold,
        "rows": len(outcome),
        "note": NOTE,
        "groups": {
            name: {"column": of.group.column, **describe(outcome, score, of.masks(), threshold)}
            for name, of in found.items()
        },
    }


def describe(
    target: Target, scores: Floats, masks: Mapping[str, npt.NDArray[np.bool_]], threshold: float
) -> dict[str, Any]:
    """Return the groups side by side.

    Parameters
    ----------
    target, scores
        Shape (rows,).
    masks
        The rows of each group, shape (rows,).
    threshold
        An application is refused from this score on.

    Returns
    -------
    dict
        `reference`, the largest group; `highest_approval`, of the groups that are large enough (of all, where none is);
        `groups`: a list of `group`, `rows`, `defaults`, `too_small`, and with `value`, `low`, `high` (95 %):
        `approval`, `recall` (defaults that are refused), `false_positive_rate` (others that are), `default_rate`,
        `observed_to_expected` (default rate over mean score), `auc`, `approval_ratio` (to the highest approval; Katz
        1978), `to_reference` (approval, to the reference group). `below_four_fifths` is None for a group too small.
    """
    rows = [_one(name, target[mask], scores[mask], threshold) for name, mask in masks.items()]
    if not rows:
        return {"reference": None, "highest_approval": None, "groups": []}
    large = [one for one in rows if not one["too_small"]] or rows
    reference = max(rows, key=lambda one: one["rows"])
    highest = max(large, key=lambda one: one["approval"]["value"])
    for one in rows:
        for key, other in (("approval_ratio", highest), ("to_reference", reference)):
            same = {"value": 1.0, "low": None, "high": None}
            counts = [part["approval"][key] for part in (one, other) for key in ("hits", "rows")]
            one[key] = same if one is other else ratio_of_shares(*counts)
        ratio = one["approval_ratio"]["value"]
        one["below_four_fifths"] = None if one["too_small"] or ratio is None else ratio < FOUR_FIFTHS
    shown = [_counted(one) if one["too_small"] else one for one in rows]
    return {"reference": reference["group"], "highest_approval": highest["group"], "groups": shown}


def _counted(one: dict[str, Any]) -> dict[str, Any]:
    """Return a small group with nothing but its rows: its rates would be about some applicants."""
    estimates = {key: {**value, **dict.fromkeys(value)} for key, value in one.items() if isinstance(value, dict)}
    hidden = dict.fromkeys(("defaults", "mean_score", "below_four_fifths"))
    return {"group": one["group"], "rows": one["rows"], "too_small": True} | hidden | estimates


def _one(name: str, target: Target, scores: Floats, threshold: float) -> dict[str, Any]:
    refused = scores >= threshold
    rows, defaults = len(target), int(target.sum())
    expected = float(scores.sum())
    return {
        "group": name,
        "rows": rows,
        "defaults": defaults,
        "too_small": rows < SMALLEST,
        "approval": share(int((~refused).sum()), rows),
        "recall": share(int((refused & (target == 1)).sum()), defaults),
        "false_positive_rate": share(int((refused & (target == 0)).sum()), rows - defaults),
        "default_rate": share(defaults, rows),
        "mean_score": expected / rows,
        "observed_to_expected": observed_to_expected(defaults, rows, expected),
        "auc": auc(target, scores),
    }
