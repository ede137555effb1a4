"""Between NumPy and Arrow by their buffers, without a copy where possible.

Arrow's own `pa.array`, `pa.scalar`, `fill_null` and `to_numpy` import pandas when they are first called, to see whether
they are given some of its objects. That takes a fifth of a second, half of what a short step takes in all.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Flags = npt.NDArray[np.bool_]

_TYPES: dict[Any, type[np.generic]] = {
    pa.float64(): np.float64,
    pa.int8(): np.int8,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint64(): np.uint64,
}
_ARROW = {np.dtype(kind): arrow for arrow, kind in _TYPES.items()}


def numbers(values: npt.NDArray[Any], missing: Flags | None = None) -> pa.Array:
    """Return numbers (shape (rows,)) as Arrow's, null where `missing`; they share their memory."""
    plain = np.ascontiguousarray(values)
    valid = None if missing is None or not missing.any() else _bits(~missing)
    return pa.Array.from_buffers(_ARROW[plain.dtype], len(plain), [valid, pa.py_buffer(plain)])


def flags(values: Flags) -> pa.Array:
    """Return booleans (shape (rows,)) as Arrow's, such as `filter` takes."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def texts(values: Iterable[str]) -> pa.Array:
    """Return texts as Arrow's."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def to_numbers(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return Arrow's numbers (shape (rows,)); NaN or 0 where one is missing. Not to be written to."""
    array = _whole(values)
    held = array.buffers()[1]
    kind = _TYPES[array.type]
    if held is None or not len(array):
        return np.zeros(len(array), kind)
    found = np.frombuffer(held, kind)[array.offset : array.offset + len(array)]
    return np.where(nulls(array), kind(np.nan if kind is np.float64 else 0), found) if array.null_count else found


def to_flags(values: pa.Array | pa.ChunkedArray) -> Flags:
    """Return Arrow's booleans (shape (rows,)), False where one is missing."""
    array = _whole(values)
    found = _unpacked(array.buffers()[1], array)
    return found & ~nulls(array) if array.null_count else found


def nulls(values: pa.Array | pa.ChunkedArray) -> Flags:
    """Return where a value is missing (shape (rows,))."""
    array = _whole(values)
    return ~_unpacked(array.buffers()[0], array) if array.null_count else np.zeros(len(array), bool)


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _bits(values: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _unpacked(bits: pa.Buffer | None, array: pa.Array) -> Flags:
    if bits is None or not len(array):
        return np.zeros(len(array), bool)
    end = array.offset + len(array)
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=end, bitorder="little")[array.offset :].view(np.bool_)
