"""Features as bytes on scratch disk, for a tree that is grown from histograms.

A feature is put into at most 255 bins: its distinct values where there are that many at most, else quantiles. Features
of few bins, such as indicators and the columns of a one-hot encoding, share a byte: seven with two bins each are the
digits of one number below 128, and the histogram of that number has the histograms of all seven.

The rows are read once and written column by column. All that follows takes one column at a time, so that memory depends
neither on the number of rows nor on that of columns.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.streaming.cache import ArrayFile
from scripts.streaming.logistic import Blocks
from scripts.streaming.quantiles import Integers, distinct_values, order_statistics

Singles = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BINS = 255  # one byte holds them
BYTE = 256  # values of a byte
BLOCK_ROWS = 131_072  # rows of a column that are read at once: few calls, and what is computed stays near the processor

CELL_BITS = 14  # bits of a number that don't tell its cell; 2**18 cells are a table of 256 kB
MOST_STEPS = 16  # more comparisons than this cost as much as a binary search


class Columns:
    """A table on scratch disk, column after column, so that a long piece of one column is a single read.

    Parameters
    ----------
    path
        The file; made anew.
    rows, columns
        Shape of the table.
    dtype
        Of its elements.
    """

    def __init__(self, path: Path, rows: int, columns: int, dtype: npt.DTypeLike) -> None:
        self.rows, self.columns = rows, columns
        self._path = path
        self._file = ArrayFile(path, 1, dtype)
        self._file.rows = rows * columns

    def write(self, column: int, start: int, values: npt.NDArray[Any]) -> None:
        """Put values into a column from row `start` on."""
        self._file.write(column * self.rows + start, values)

    def read(self, column: int, start: int, stop: int) -> npt.NDArray[Any]:
        """Return a column's rows from `start` to before `stop`."""
        at = column * self.rows
        return self._file.read(at + start, at + min(stop, self.rows)).reshape(-1)

    def pieces(self, column: int) -> Iterator[npt.NDArray[Any]]:
        """Yield a column in order."""
        for start in range(0, self.rows, BLOCK_ROWS):
            yield self.read(column, start, start + BLOCK_ROWS)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink()


@dataclass(frozen=True)
class Bins:
    """The bins of all features, and the bytes that hold them.

    Attributes
    ----------
    edges
        For each feature the upper edges of its bins but for the last: values of the data, each in the bin it ends.
    above
        The lowest value above each edge, infinity where there is none.
    starts
        Shape (features + 1,): where each feature's bins start among those of all features.
    group
        Shape (features,): the byte that holds a feature.
    stride
        Shape (features,): what the feature's bin is multiplied with in the byte.
    values
        Shape (bytes,): values that each byte has at most.
    """

    edges: list[Singles]
    above: list[Singles]
    starts: Integers
    group: Integers
    stride: Integers
    values: Integers

    @classmethod
    def of(cls, edges: list[Singles], above: list[Singles]) -> "Bins":
        """Let neighbours share a byte, as long as it has room."""
        sizes = [len(of_feature) + 1 for of_feature in edges]
        group, stride, values = [], [], [1]
        for size in sizes:
            if values[-1] * size > BYTE:
                values.append(1)
            group.append(len(values) - 1)
            stride.append(values[-1])
            values[-1] *= size
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return cls(edges, above, *(np.array(v, dtype=np.int64) for v in (starts, group, stride, values)))

    @property
    def sizes(self) -> Integers:
        """Return the number of bins of each feature."""
        return np.diff(self.starts)

    def digits(self, feature: Integers, byte: Bytes) -> Bytes:
        """Return the bins of some features, given the bytes that hold them; all of the same shape, uint8."""
        stride, size = self.stride.astype(np.uint8), self.sizes.astype(np.uint8)
        return np.asarray(byte // stride[feature] % size[feature])

    def tell_apart(self, counts: list[Integers], result: Integers, nodes: list[int]) -> None:
        """Turn the counts by value of each byte into those by bin of each feature.

        Parameters
        ----------
        counts
            For each byte the shape (nodes, classes, values of the byte).
        result
            Shape (any, classes, bins of all features); gets the counts.
        nodes
            Places in `result`.
        """
        for feature, (group, stride, size) in enumerate(zip(self.group, self.stride, self.sizes, strict=True)):
            digits = counts[group].reshape(*counts[group].shape[:2], -1, size, stride)
            result[nodes, :, self.starts[feature] : self.starts[feature + 1]] = digits.sum(axis=(2, 4))


def bin_rows(blocks: Blocks, rows: int, scratch: Path, target: ArrayFile) -> tuple[Bins, Columns]:
    """Choose the bins, and write the bytes of all rows.

    Parameters
    ----------
    blocks
        Gives features (rows, width) and target (rows,) anew at each call.
    rows
        Number of all rows.
    scratch
        Folder for the bytes, and meanwhile for four bytes a feature.
    target
        Gets the targets of all rows.

    Returns
    -------
    tuple
        The bins, and the bytes: a column for each byte, uint8.

    Raises
    ------
    ValueError
        Where a feature has missing values, or the rows are not as many as said.
    """
    with closing(Columns(scratch / "singles", rows, next(blocks())[0].shape[1], np.float32)) as singles:
        _fill(singles, blocks, target)
        found = [_edges(singles, feature, scratch) for feature in range(singles.columns)]
        bins = Bins.of([edges for edges, _ in found], [above for _, above in found])
        return bins, _bytes(bins, singles, scratch)


def _fill(singles: Columns, blocks: Blocks, target: ArrayFile) -> None:
    """Write all features in single precision, as scikit-learn's trees see them, in training and later."""
    for features, of_rows in blocks():
        block = np.ascontiguousarray(features.T, np.float32) + np.float32(0)  # -0 becomes 0
        if np.isnan(block).any():
            raise ValueError("Input X contains NaN")
        for feature, values in enumerate(block):
            singles.write(feature, target.rows, values)
        target.append(of_rows[:, None])
    if target.rows != singles.rows:  # a column would run into the next, or end in zeros
        raise ValueError(f"{target.rows:,} rows instead of {singles.rows:,}")


def _edges(singles: Columns, feature: int, scratch: Path) -> tuple[Singles, Singles]:
    """Return the edges of a feature's bins, and the lowest value above each."""
    known = distinct_values(lambda: (piece[:, None] for piece in singles.pieces(feature)), 1, BINS)[0]
    if known is not None:
        values = known.astype(np.float32)
        return values[:-1], values[1:]
    # Pieces, each sorted once for several passes.
    with closing(Columns(scratch / "ordered", singles.rows, 1, np.float32)) as ordered:
        start = 0
        for piece in singles.pieces(feature):
            ordered.write(0, start, np.sort(piece))
            start += len(piece)
        ranks = (np.arange(1, BINS) * singles.rows // BINS).astype(np.int64)
        found = order_statistics(lambda: (piece[:, None] for piece in ordered.pieces(0)), [ranks], ordered=True)
        edges = np.unique(found[0]).astype(np.float32)
        above = np.full(len(edges), np.inf, np.float32)
        for piece in ordered.pieces(0):
            following = np.append(piece, np.float32(np.inf))[np.searchsorted(piece, edges, side="right")]
            np.minimum(above, following, out=above)
    return edges, above


def _bytes(bins: Bins, singles: Columns, scratch: Path) -> Columns:
    """Write the bytes of all rows."""
    result = Columns(scratch / "bytes", singles.rows, len(bins.values), np.uint8)
    for group in range(result.columns):
        finders = {int(feature): bin_finder(bins.edges[feature]) for feature in np.flatnonzero(bins.group == group)}
        for start in range(0, singles.rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, singles.rows)
            byte = np.zeros(stop - start, np.uint8)
            for feature, find in finders.items():
                byte += find(singles.read(feature, start, stop)) * bins.stride[feature].astype(np.uint8)
            result.write(group, start, byte)
    return result


def bin_finder(edges: Singles) -> Callable[[Singles], Bytes]:
    """Return a function that finds the bins of values: as `np.searchsorted(edges, values)`, and many times faster.

    A number's first bits, its cell, tell by a table which bins come into question; a few comparisons do the rest.

    Parameters
    ----------
    edges
        At most 254, ascending, none twice.
    """
    cells = edges.view(np.uint32) >> CELL_BITS
    steps = int(np.unique(cells, return_counts=True)[1].max(initial=0))
    if len(edges) <= 2:
        return lambda values: _climb(values, np.zeros(len(values), np.uint8), edges, len(edges))
    if steps > MOST_STEPS:
        return lambda values: np.searchsorted(edges, values).astype(np.uint8)
    table = np.searchsorted(edges, _lowest_of_cells()).astype(np.uint8)
    return lambda values: _climb(values, np.take(table, values.view(np.uint32) >> CELL_BITS), edges, steps)


def _climb(values: Singles, at: Bytes, edges: Singles, steps: int) -> Bytes:
    """Return the bins, given ones that are too low by `steps` at most."""
    beyond = np.append(edges, np.float32(np.inf))
    for _ in range(steps):
        at += values > np.take(beyond, at)
    return at


def _lowest_of_cells() -> Singles:
    """Return the lowest number of each cell, that is of all that begin with the same bits; shape (cells,)."""
    bits = np.arange(2 ** (32 - CELL_BITS), dtype=np.uint32) << CELL_BITS
    rest = np.uint32(2**CELL_BITS - 1)
    lowest = np.where(bits >> 31, bits | rest, bits).view(np.float32)  # among negative ones the largest magnitude
    return np.where(np.isnan(lowest) & np.signbit(lowest), np.float32(-np.inf), lowest)
