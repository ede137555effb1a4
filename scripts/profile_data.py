"""Step profile: what the clean rows look like, by side of the split and by outcome. Aggregates only."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from scripts.shared.arrays import flags, to_numbers
from scripts.shared.binning import (
    OTHER,
    Floats,
    Integers,
    count_numbers,
    count_texts,
    count_values,
    inner_edges,
    ranks_of_tenths,
)
from scripts.shared.config import Contract, read_config
from scripts.shared.files import write_json
from scripts.shared.membership import stream_tables
from scripts.shared.proportions import default_rate
from scripts.shared.sides import TEST, TRAIN
from scripts.shared.stability import compare
from scripts.streaming.quantiles import Blocks, order_statistics, quantile

SIDES = (TRAIN, TEST)
BLOCK_ROWS = 131_072
# No smallest and largest value: each is some applicant's own. A quantile is left out where fewer rows than RARE lie
# beyond it.
PERCENTS = (1, 5, 25, 50, 75, 95, 99)
RARE = 20  # categories of fewer rows are taken together
MOST_VALUES = 100  # as are those beyond the commonest
SEGMENTS = 10

Tables = Callable[[str], Iterator[pa.Table]]


def main(parts: list[Path], membership: list[Path], profile: Path, config: Path) -> None:
    """Profile the clean rows.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    profile
        JSON; docs/drift.md says what is in it.
    config
        The run's config.
    """
    found = make_profile(parts, membership, read_config(config).contract())
    write_json(profile, found)
    moved = [name for name, about in found["features"].items() if about["psi"]["noise"] is False]
    logging.info(
        "%s train and %s test rows, %d features; train and test differ beyond chance in %s",
        *(f"{found['rows'][side]:,}" for side in SIDES),
        len(found["features"]),
        ", ".join(moved) or "none",
    )


def make_profile(parts: Sequence[Path], membership: Sequence[Path], contract: Contract) -> dict[str, Any]:
    """Return the profile of the clean rows of both sides. Rows are read in blocks, several times over.

    Nothing of it depends on how the rows are spread over the parts.

    Returns
    -------
    dict
        rows, defaults and default_rate of each side; for each feature kind, role, rows, missing, edges or values,
        counts and defaults in each bin, default rates with 95 % intervals, psi of test against train, and of a number
        mean, sd and quantiles; segments: the bins whose default rate is furthest from that of all rows.
    """
    observed = _observed(parts, contract)
    columns = contract.columns
    categorical = [*columns.categorical, *observed]
    wide = contract.model_copy(
        update={"columns": columns.model_copy(update={"categorical": categorical, "observed": []})}
    )

    def tables(side: str) -> Iterator[pa.Table]:
        return stream_tables(parts, membership, side, wide, BLOCK_ROWS)

    target = columns.target.column
    first = {side: _first_look(tables(side), contract.numeric_features(), categorical, target) for side in SIDES}
    roles = dict.fromkeys(contract.features, "derived") | dict.fromkeys(observed, "observed")
    found = _numbers(tables, contract.numeric_features(), target, first)
    found |= {name: _category(name, first) for name in categorical}
    features = {
        name: {"kind": about.pop("kind"), "role": roles.get(name, "given")} | about for name, about in found.items()
    }
    rows, defaults = (sum(getattr(look, what) for look in first.values()) for what in ("rows", "defaults"))
    return {
        "rows": {side: first[side].rows for side in SIDES},
        "defaults": {side: first[side].defaults for side in SIDES},
        "default_rate": {side: default_rate(first[side].defaults, first[side].rows) for side in SIDES}
        | {"all": default_rate(defaults, rows)},
        "features": features,
        "segments": furthest_segments(features, defaults / rows),
    }


def _observed(parts: Sequence[Path], contract: Contract) -> list[str]:
    """Return the observed columns that the parts have."""
    there = set(pa.parquet.read_schema(parts[0]).names)
    return [name for name in contract.columns.observed if name in there]


@dataclass
class _Look:
    """What one reading of a side's rows tells.

    Attributes
    ----------
    rows, defaults
        Of the side.
    missing
        For each feature: rows without a value, and the defaults among them.
    texts
        For each categorical feature: rows of each value, and the defaults among them.
    """

    rows: int = 0
    defaults: int = 0
    missing: dict[str, list[int]] = field(default_factory=dict)
    texts: dict[str, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)


def _first_look(tables: Iterator[pa.Table], numeric: Sequence[str], categorical: Sequence[str], target: str) -> _Look:
    look = _Look(missing={name: [0, 0] for name in (*numeric, *categorical)})
    look.texts = {name: (Counter(), Counter()) for name in categorical}
    for table in tables:
        bad = table.filter(flags(to_numbers(table.column(target)) == 1))
        look.rows += table.num_rows
        look.defaults += bad.num_rows
        for place, rows in enumerate((table, bad)):
            for name in numeric:
                look.missing[name][place] += int(np.isnan(to_numbers(rows.column(name))).sum())
            for name in categorical:
                found, missing = count_texts(rows.column(name))
                look.texts[name][place].update(found)
                look.missing[name][place] += missing
    return look


# --- numbers ------------------------------------------------------------------------------------------------------


def _numbers(tables: Tables, names: Sequence[str], target: str, first: dict[str, _Look]) -> dict[str, dict[str, Any]]:
    """Return what is said of each numeric feature."""
    orders = {}
    for side in SIDES:
        present = [first[side].rows - first[side].missing[name][0] for name in names]
        ranks = [_ranks(rows) for rows in present]
        values = order_statistics(_matrices(tables, side, names), [np.array(r, np.int64) for r in ranks])
        orders[side] = {
            name: _Order(rows, dict(zip(of_name, found.tolist(), strict=True)))
            for name, rows, of_name, found in zip(names, present, ranks, values, strict=True)
        }
    edges = {name: orders[TRAIN][name].edges() for name in names}
    middles = {name: orders[TRAIN][name].quantile(50) or 0.0 for name in names}
    counted = {side: _count(tables(side), target, edges, middles) for side in SIDES}
    return {
        name: {"kind": "numeric"}
        | _in_bins(name, first, {"edges": edges[name]}, {side: counted[side][name].counts for side in SIDES})
        | {
            "mean": {side: counted[side][name].mean() for side in SIDES},
            "sd": {side: counted[side][name].sd() for side in SIDES},
            "quantiles": {side: orders[side][name].quantiles() for side in SIDES},
        }
        for name in names
    }


def _matrices(tables: Tables, side: str, names: Sequence[str]) -> Blocks:
    """Return blocks of numbers as `order_statistics` takes them, each column in one piece."""
    return lambda: (np.array([to_numbers(table.column(name)) for name in names]).T for table in tables(side))


def _ranks(rows: int) -> list[int]:
    """Return the ranks, from 0, of the values that `_Order` needs of a column with so many values."""
    if not rows:
        return []
    beside = [rank for percent in PERCENTS for rank in _neighbours(percent, rows)]
    return sorted({*ranks_of_tenths(rows), *beside, rows - 1})


def _neighbours(percent: int, rows: int) -> tuple[int, int]:
    """Return the ranks between which a quantile lies."""
    low = percent * (rows - 1) // 100
    return low, min(low + 1, rows - 1)


@dataclass(frozen=True)
class _Order:
    """Some order statistics of one column: the values at some ranks of `rows` values."""

    rows: int
    values: dict[int, float]

    def edges(self) -> list[float]:
        """Return the edges between the tenths."""
        if not self.rows:
            return []
        return inner_edges(np.array([self.values[r] for r in ranks_of_tenths(self.rows)]), self.values[self.rows - 1])

    def quantile(self, percent: int) -> float | None:
        """Return a quantile by numpy's default method; None without values."""
        if not self.rows:
            return None
        low, high = _neighbours(percent, self.rows)
        fraction = percent * (self.rows - 1) % 100 / 100
        between = np.array([self.values[low]]), np.array([self.values[high]])
        return float(quantile(between, np.array([fraction]))[0])

    def quantiles(self) -> dict[str, float | None]:
        """Return the quantiles by their percentage; None where they would be nearly one applicant's value."""
        enough = {percent: min(percent, 100 - percent) * self.rows >= 100 * RARE for percent in PERCENTS}
        return {str(percent): self.quantile(percent) if enough[percent] else None for percent in PERCENTS}


@dataclass
class _Counted:
    """Rows of one column and side in its bins, and their sums.

    Attributes
    ----------
    counts
        Shape (2, bins): all rows with a value, and the defaults among them.
    middle
        What is taken from each value before it is summed: the sums of large and nearly equal numbers lose digits.
    total, squares
        Sum of the values less `middle`, and of their squares.
    """

    counts: Integers
    middle: float
    total: float = 0.0
    squares: float = 0.0

    def see(self, values: Floats, bad: Floats, edges: Sequence[float]) -> None:
        """Count some rows, and the defaults among them."""
        self.counts += [count_numbers(some, edges)[0] for some in (values, bad)]
        off = values[~np.isnan(values)] - self.middle
        self.total += float(off.sum())
        self.squares += float(np.square(off).sum())

    def mean(self) -> float | None:
        """Return the mean, None where there is none, or it is beyond all numbers."""
        rows = int(self.counts[0].sum())
        return _finite(self.middle + self.total / rows) if rows else None

    def sd(self) -> float | None:
        """Return the standard deviation (n - 1 below), None where there is none."""
        rows = int(self.counts[0].sum())
        if rows < 2:
            return None
        return _finite(math.sqrt(max(0.0, self.squares - self.total * self.total / rows) / (rows - 1)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _count(
    tables: Iterator[pa.Table], target: str, edges: dict[str, list[float]], middles: dict[str, float]
) -> dict[str, _Counted]:
    """Count one side's rows between the edges."""
    counted = {name: _Counted(np.zeros((2, len(cut) + 1), np.int64), middles[name]) for name, cut in edges.items()}
    for table in tables:
        is_bad = to_numbers(table.column(target)) == 1
        for name, column in counted.items():
            values = to_numbers(table.column(name))
            with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond all reason have no mean
                column.see(values, values[is_bad], edges[name])
    return counted


# --- categories, and both kinds -----------------------------------------------------------------------------------


def _category(name: str, first: dict[str, _Look]) -> dict[str, Any]:
    """Return what is said of a categorical feature."""
    texts = {side: first[side].texts[name] for side in SIDES}
    values = shown_values(texts[TRAIN][0] + texts[TEST][0])
    counts = {side: np.array([count_values(found, values) for found in texts[side]], np.int64) for side in SIDES}
    return {"kind": "categorical"} | _in_bins(name, first, {"values": values}, counts)


def shown_values(rows: dict[str, int]) -> list[str]:
    """Return the values of a category that are told apart, the commonest first, and `OTHER` for those that aren't."""
    common = sorted(
        (text for text, n in rows.items() if n >= RARE and text != OTHER), key=lambda text: (-rows[text], text)
    )
    return [*common[:MOST_VALUES], OTHER]


def _in_bins(name: str, first: dict[str, _Look], bins: dict[str, Any], counted: dict[str, Integers]) -> dict[str, Any]:
    """Return what is said of both kinds of features.

    Parameters
    ----------
    bins
        edges or values.
    counted
        By side, shape (2, bins): rows, and the defaults among them.
    """
    counts, defaults = ({side: counted[side][place].tolist() for side in SIDES} for place in (0, 1))
    missing, bad = ({side: first[side].missing[name][place] for side in SIDES} for place in (0, 1))
    return {
        "rows": {side: first[side].rows for side in SIDES},
        "missing": missing,
        "missing_defaults": bad,
        **bins,
        "counts": counts,
        "defaults": defaults,
        "default_rate": [default_rate(hits, rows) for hits, rows in zip(_both(defaults), _both(counts), strict=True)],
        "missing_default_rate": default_rate(sum(bad.values()), sum(missing.values())),
        "psi": compare(*([*counts[side], missing[side]] for side in SIDES)),
    }


def _both(sides: dict[str, list[int]]) -> list[int]:
    return [sum(of_bin) for of_bin in zip(*sides.values(), strict=True)]


def furthest_segments(features: dict[str, dict[str, Any]], overall: float) -> list[dict[str, Any]]:
    """Return the bins whose default rate is furthest from that of all rows.

    Only those of at least `RARE` rows whose 95 % interval leaves out the rate of all rows. Among so many bins, some do
    so by chance.

    Returns
    -------
    list
        At most `SEGMENTS`, the furthest first: feature; above and to (of a number; None where the bin is open), value
        (of a category) or missing; rows, defaults, rate, low, high; difference from the rate of all rows.
    """
    found = []
    for name, about in features.items():
        segments = [*zip(_labels(about), about["default_rate"], strict=True)]
        for label, rate in [*segments, ({"missing": True}, about["missing_default_rate"])]:
            if rate["rows"] >= RARE and not rate["low"] <= overall <= rate["high"]:
                found.append({"feature": name} | label | rate | {"difference": rate["rate"] - overall})
    return sorted(found, key=lambda segment: -abs(segment["difference"]))[:SEGMENTS]


def _labels(about: dict[str, Any]) -> list[dict[str, Any]]:
    if about["kind"] == "categorical":
        return [{"value": value} for value in about["values"]]
    cuts = [None, *about["edges"], None]
    return [{"above": low, "to": high} for low, high in pairwise(cuts)]
