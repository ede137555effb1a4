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


def order_statistics(blocks: Blocks, ranks: list[Integers], ordered: bool = False) -> list[Floats]:
    """Return the values at some ranks of each column.

    Parameters
    ----------
    blocks
        Gives the blocks anew at each call, shape (rows, columns); NaN is left out.
    ranks
        For each column the ranks to find, from 0 (the smallest) to its number of values less 1.
    ordered
        Whether each column of a block is sorted already.

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
                    values = block[:, index] if ordered else np.sort(block[:, index])  # NaN comes last
                    column.see(values[: np.searchsorted(values, np.nan)].astype(np.float64))
        for column in columns:
            column.narrow()
    return [column.result() for column in columns]


def distinct_values(blocks: Blocks, columns: int, limit: int) -> list[Floats | None]:
    """Return the sorted distinct values of each column, None where there are more than `limit`; NaN is left out."""
    found: list[Floats | None] = [np.empty(0)] * columns
    for block in blocks():
        for index in range(columns):
            known, values = found[index], block[:, index]
            if known is not None and not _two_at_most(known, values):
                of_block = np.unique(values).astype(np.float64)
                union = np.union1d(known, of_block[~np.isnan(of_block)])
                found[index] = union if len(union) <= limit else None
        if all(values is None for values in found):
            break
    return found


def _two_at_most(known: Floats, values: Matrix) -> bool:
    """Return whether all values are one of two known ones, which is quickly seen."""
    return 0 < len(known) <= 2 and bool(((values == known[0]) | (values == known[-1])).all())


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
    values: Floats = field(default_factory=lambda: np.empty(0))  # the edges as numbers
    counts: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    collected: list[Floats] = field(default_factory=list)

    def look_between(self, edges: npt.NDArray[np.uint64]) -> None:
        """Count the values between edges in the next pass."""
        self.edges, self.values = edges, _floats(edges)
        self.counts = np.zeros(len(edges) + 1, np.int64)


class _Column:
    def __init__(self, ranks: Iterable[int]) -> None:
        self.ranks = [int(rank) for rank in ranks]
        self.found: dict[int, float] = {}
        whole = _Fence(_LOWEST, _HIGHEST, 0, -1, sorted(set(self.ranks)))
        self.fences = [whole] if self.ranks else []
        self.bounds = _bounds(self.fences)

    def see(self, values: Floats) -> None:
        """Count one block's values, sorted, or collect them."""
        if not len(values):
            return
        spans = np.searchsorted(values, self.bounds)  # of all fences at once: there may be hundreds
        for fence, (start, stop) in zip(self.fences, spans.tolist(), strict=True):
            if fence.count < 0 and not len(fence.edges):
                fence.look_between(_edges_of(values))
            if len(fence.edges):
                at = np.searchsorted(values, fence.values)
                fence.counts += np.diff(np.concatenate([[start], at, [stop]]))
            elif start < stop:
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
        self.bounds = _bounds(self.fences)

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
            narrower.look_between(np.array(range(low + step, high, step), dtype=np.uint64))
        yield narrower


def _bounds(fences: list[_Fence]) -> Floats:
    """Return the least values in and beyond each fence, shape (fences, 2)."""
    bits = [(fence.low, fence.high) for fence in fences]
    return _floats(np.array(bits, dtype=np.uint64).reshape(-1, 2))


def _bits(values: Floats) -> npt.NDArray[np.uint64]:
    """Return integers in the order of the floating-point numbers; -0 counts as 0."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _floats(bits: npt.NDArray[np.uint64]) -> Floats:
    """Undo `_bits`."""
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
