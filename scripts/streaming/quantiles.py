"""Exact order statistics of columns that don't fit in memory, by a few passes over their blocks.

The values of each rank are fenced in: a pass counts the values between edges, and the next looks only between the two
edges that hold the rank. The first edges are values of the first block, which suit any distribution; later ones divide
the fence evenly in the order of the floating-point bits, so that every pass narrows it at least a thousandfold and the
worst case is a few passes more, never an error.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]
Blocks = Callable[[], Iterator[Matrix]]

EDGES = 4_096  # edges of the first pass, a column
REFINE = 1_024  # edges within a fence of a later pass
COLLECT = 16_384  # values of a fence that are simply collected and sorted

_SIGN = np.uint64(1 << 63)
_LOWEST, _HIGHEST = 0x000FFFFFFFFFFFFF, 0xFFF0000000000001  # ordered bits of -inf, and right above those of inf


def order_statistics(blocks: Blocks, ranks: list[Integers]) -> list[Floats]:
    """Return the values at some ranks of each column.

    Parameters
    ----------
    blocks
        Gives the blocks anew at each call, shape (rows, columns); NaN is left out.
    ranks
        For each column the ranks to find, from 0 (the smallest) to its number of values less 1.

    Returns
    -------
    list
        For each column the values at its ranks, float64.
    """
    columns = [_Column(column_ranks) for column_ranks in ranks]
    while any(column.fences for column in columns):
        for block in blocks():
            for index, column in enumerate(columns):
                if column.fences:
                    values = np.sort(block[:, index].astype(np.float64))  # NaN comes last
                    column.see(values[: np.searchsorted(values, np.nan)])
        for column in columns:
            column.narrow()
    return [column.result() for column in columns]


def distinct_values(blocks: Blocks, columns: int, limit: int) -> list[Floats | None]:
    """Return the sorted distinct values of each column, None where there are more than `limit`; NaN is left out."""
    found: list[Floats | None] = [np.empty(0)] * columns
    for block in blocks():
        for index in range(columns):
            known = found[index]
            if known is not None:
                values = np.unique(block[:, index].astype(np.float64))
                union = np.union1d(known, values[~np.isnan(values)])
                found[index] = union if len(union) <= limit else None
        if all(values is None for values in found):
            break
    return found


def quantile(values: tuple[Floats, Floats], fraction: Floats) -> Floats:
    """Interpolate between two neighbours as numpy's default method does (type 7 of Hyndman and Fan 1996)."""
    low, high = values
    step = high - low
    return np.where(fraction >= 0.5, high - step * (1 - fraction), low + step * fraction)


@dataclass
class _Fence:
    """Values from `low` to before `high` (as ordered bits) hold the ranks; `before` values lie below."""

    low: int
    high: int
    before: int
    count: int
    ranks: list[int]
    edges: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    counts: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    collected: list[Floats] = field(default_factory=list)


class _Column:
    def __init__(self, ranks: Iterable[int]) -> None:
        self.ranks = [int(rank) for rank in ranks]
        self.found: dict[int, float] = {}
        whole = _Fence(_LOWEST, _HIGHEST, 0, -1, sorted(set(self.ranks)))
        self.fences = [whole] if self.ranks else []

    def see(self, values: Floats) -> None:
        """Count one block's values, sorted, or collect them."""
        if not len(values):
            return
        for fence in self.fences:
            if fence.count < 0 and not len(fence.edges):
                fence.edges = _edges_of(values)
                fence.counts = np.zeros(len(fence.edges) + 1, np.int64)
            if len(fence.edges):
                at = np.searchsorted(values, _floats(fence.edges))
                start, stop = _span(values, fence)
                fence.counts += np.diff(np.concatenate([[start], at, [stop]]))
            else:
                start, stop = _span(values, fence)
                fence.collected.append(values[start:stop].copy())

    def narrow(self) -> None:
        """Look at what the pass found, and set up the next."""
        fences = []
        for fence in self.fences:
            if len(fence.edges):
                fences += list(_parts(fence))
            else:
                values = np.sort(np.concatenate(fence.collected))
                self.found |= {rank: float(values[rank - fence.before]) for rank in fence.ranks}
        self.fences = []
        for fence in fences:
            if fence.high - fence.low == 1:
                value = float(_floats(np.array([fence.low], np.uint64))[0])
                self.found |= dict.fromkeys(fence.ranks, value)
            else:
                self.fences.append(fence)

    def result(self) -> Floats:
        """Return the values at the ranks, in the order that they were asked for."""
        return np.array([self.found[rank] for rank in self.ranks], dtype=np.float64)


def _edges_of(values: Floats) -> npt.NDArray[np.uint64]:
    """Return edges at some of the values and right above them, so that a frequent value is fenced in alone."""
    some = values[np.linspace(0, len(values) - 1, min(EDGES, len(values))).astype(np.int64)]
    bits = np.unique(_bits(some))
    return np.unique(np.concatenate([bits, bits + np.uint64(1)]))


def _parts(fence: _Fence) -> Iterator[_Fence]:
    """Yield the parts of a counted fence that hold ranks, each ready for the next pass."""
    bounds = [fence.low, *map(int, fence.edges), fence.high]
    ends = fence.before + np.cumsum(fence.counts)
    of_rank = np.searchsorted(ends, fence.ranks, side="right")
    for part in np.unique(of_rank):
        low, high, count = bounds[part], bounds[part + 1], int(fence.counts[part])
        ranks = [rank for rank, at in zip(fence.ranks, of_rank, strict=True) if at == part]
        narrower = _Fence(low, high, int(ends[part]) - count, count, ranks)
        if count > COLLECT and high - low > 1:
            step = max(1, (high - low) // REFINE)
            narrower.edges = np.array(range(low + step, high, step), dtype=np.uint64)
            narrower.counts = np.zeros(len(narrower.edges) + 1, np.int64)
        yield narrower


def _span(values: Floats, fence: _Fence) -> tuple[int, int]:
    """Return the places in sorted values where a fence starts and stops."""
    start, stop = np.searchsorted(values, _floats(np.array([fence.low, fence.high], np.uint64)))
    return int(start), int(stop)


def _bits(values: Floats) -> npt.NDArray[np.uint64]:
    """Return integers in the order of the floating-point numbers; -0 counts as 0."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _floats(bits: npt.NDArray[np.uint64]) -> Floats:
    """Undo `_bits`."""
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
