"""Counting rows in bins: of numbers by edges, of categories by their values."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.arrays import to_numbers

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

OTHER = "(other)"  # the last of a category's values: rare ones, and those that nobody had seen
BLOCK_ROWS = 32_768  # stays near the processor while it is compared with each edge


def count_numbers(values: Floats, edges: Sequence[float]) -> tuple[Integers, int]:
    """Count numbers between edges.

    Parameters
    ----------
    values
        Shape (rows,), NaN where missing.
    edges
        Rising; bin n holds the numbers above edge n - 1 and up to edge n, the edge included.

    Returns
    -------
    tuple
        Rows in each bin, shape (edges + 1,), and rows without a value.
    """
    # With some ten edges, comparing with each is faster than a binary search.
    above = np.zeros(len(edges) + 2, np.int64)
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        above[0] += np.count_nonzero(block == block)  # noqa: PLR0124 - NaN alone differs from itself
        for place, edge in enumerate(edges, start=1):
            above[place] += np.count_nonzero(block > edge)
    return above[:-1] - above[1:], len(values) - int(above[0])


def count_texts(column: pa.ChunkedArray) -> tuple[dict[str, int], int]:
    """Return the rows of each value of a categorical column, and the rows without one."""
    encoded = column.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    used = np.bincount(to_numbers(encoded.indices.drop_null()), minlength=len(texts)).tolist()
    return {text: n for text, n in zip(texts, used, strict=True) if n}, encoded.null_count


def count_values(found: dict[str, int], values: Sequence[str]) -> list[int]:
    """Return the rows of each of some values (shape (values,)); the last one, `OTHER`, takes all that isn't named."""
    named = [found.get(value, 0) for value in values[:-1]]
    return [*named, sum(found.values()) - sum(named)]


def inner_edges(tenths: Floats, highest: float) -> list[float]:
    """Return the edges between the tenths of a sample.

    Parameters
    ----------
    tenths
        Shape (9,): the values that 10, 20, … 90 % of the rows don't exceed.
    highest
        The largest value: nothing lies above it, so it is no edge.
    """
    return [edge for edge in np.unique(tenths).tolist() if edge < highest]


def ranks_of_tenths(rows: int) -> list[int]:
    """Return the ranks, from 0, of the nine values for `inner_edges` (numpy's method inverted_cdf)."""
    return [-(-rows * tenth // 10) - 1 for tenth in range(1, 10)]
