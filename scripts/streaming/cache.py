"""Rows on the job's scratch disk, in a form that many passes can read quickly: fixed-width arrays, block by block."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from scripts.shared.hashing import Hashes
from scripts.shared.membership import KEY, codes_of, numbers_of

# Rows of a block. A block of 150 float64 columns is 20 MB: small beside the libraries, large enough for BLAS.
BLOCK_ROWS = 16_384

Keep = Callable[[Hashes], npt.NDArray[np.bool_]]


class ArrayFile:
    """A two-dimensional array on disk that grows by appended rows.

    It is read by plain reads, since the pages of a memory map would count as the job's memory.

    Parameters
    ----------
    path
        The file; made anew.
    columns
        Width of the array.
    dtype
        Of its elements.
    """

    def __init__(self, path: Path, columns: int, dtype: npt.DTypeLike) -> None:
        self.columns = columns
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.rows = 0
        self._file = path.open("w+b")

    def append(self, block: npt.NDArray[Any]) -> None:
        """Add rows; `block` has the shape (rows, columns)."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(block, dtype=self.dtype).data)
        self.rows += len(block)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows from `start` to before `stop`."""
        self._file.seek(start * self.columns * self.dtype.itemsize)
        count = max(0, min(stop, self.rows) - start)
        return np.fromfile(self._file, self.dtype, count * self.columns).reshape(count, self.columns)

    def write(self, start: int, block: npt.NDArray[Any]) -> None:
        """Replace rows from `start` on."""
        self._file.seek(start * self.columns * self.dtype.itemsize)
        self._file.write(np.ascontiguousarray(block, dtype=self.dtype).data)

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[npt.NDArray[Any]]:
        """Yield all rows in order."""
        for start in range(0, self.rows, rows):
            yield self.read(start, start + rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Block:
    """Some rows.

    Attributes
    ----------
    numeric
        Shape (rows, numeric columns), float64, NaN where missing.
    codes
        Shape (rows, categorical columns), int32; positions in `RowCache.texts`, -1 where missing.
    target
        Shape (rows,), int8.
    keys
        Shape (rows,), uint64.
    """

    numeric: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int32]
    target: npt.NDArray[np.int8]
    keys: Hashes

    def slice(self, start: int, stop: int) -> "Block":
        """Return the rows from `start` to before `stop`."""
        return Block(self.numeric[start:stop], self.codes[start:stop], self.target[start:stop], self.keys[start:stop])


class RowCache:
    """The rows of one side of the split on scratch disk: about 8 bytes a number and 4 a category.

    Parameters
    ----------
    folder
        Where the files go.
    numeric, categorical
        The feature columns.
    target
        The column of outcomes.

    Attributes
    ----------
    texts
        Per categorical column the values seen so far; a code is a position in it.
    """

    def __init__(self, folder: Path, numeric: list[str], categorical: list[str], target: str) -> None:
        self.folder = folder
        self.numeric, self.categorical, self.target = numeric, categorical, target
        self.texts: list[dict[str, int]] = [{} for _ in categorical]
        self._numbers = ArrayFile(folder / "numeric", len(numeric), np.float64)
        self._codes = ArrayFile(folder / "codes", len(categorical), np.int32)
        self._target = ArrayFile(folder / "target", 1, np.int8)
        self._keys = ArrayFile(folder / "keys", 1, np.uint64)

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self._target.rows

    def append(self, rows: pa.Table) -> None:
        """Add rows, as `stream_tables` gives them."""
        self._numbers.append(_columns([numbers_of(rows, name) for name in self.numeric], rows.num_rows) + 0.0)  # no -0
        self._codes.append(_columns([self._encode(rows, at) for at in range(len(self.categorical))], rows.num_rows))
        self._target.append(rows.column(self.target).to_numpy()[:, None])
        self._keys.append(rows.column(KEY).to_numpy()[:, None])

    def _encode(self, rows: pa.Table, at: int) -> npt.NDArray[np.int32]:
        found, places = codes_of(rows, self.categorical[at])
        known = self.texts[at]
        codes = [known.setdefault(text, len(known)) for text in found]
        return np.asarray(np.array([*codes, -1], dtype=np.int32)[places])

    def blocks(self, keep: Keep | None = None) -> Iterator[Block]:
        """Yield the rows in order; `keep` says by key which rows count."""
        for start in range(0, self.rows, BLOCK_ROWS):
            stop = start + BLOCK_ROWS
            keys = self._keys.read(start, stop)[:, 0]
            block = Block(
                self._numbers.read(start, stop),
                self._codes.read(start, stop),
                self._target.read(start, stop)[:, 0],
                keys,
            )
            if keep is not None:
                mask = keep(keys)
                block = Block(block.numeric[mask], block.codes[mask], block.target[mask], keys[mask])
            if len(block.target):
                yield block

    def frame(self, block: Block) -> pd.DataFrame:
        """Return a block's features as `to_frame` gives them."""
        data: dict[str, npt.NDArray[Any]] = {name: block.numeric[:, i] for i, name in enumerate(self.numeric)}
        for i, name in enumerate(self.categorical):
            data[name] = self.values(i)[block.codes[:, i]]
        return pd.DataFrame(data, columns=[*self.numeric, *self.categorical])

    def values(self, at: int) -> npt.NDArray[np.object_]:
        """Return the values of a categorical column by code, and NaN last, where the code -1 finds it."""
        return np.array([*self.texts[at], np.nan], dtype=object)

    def close(self) -> None:
        """Close all files."""
        for file in (self._numbers, self._codes, self._target, self._keys):
            file.close()


@contextlib.contextmanager
def cached(blocks: Iterable[pa.Table], numeric: list[str], categorical: list[str], target: str) -> Iterator[RowCache]:
    """Write rows to a folder of their own on the scratch disk (TMPDIR), which is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="train-") as folder:
        cache = RowCache(Path(folder), numeric, categorical, target)
        try:
            for rows in blocks:
                cache.append(rows)
            yield cache
        finally:
            cache.close()


def _columns(columns: list[npt.NDArray[Any]], rows: int) -> npt.NDArray[Any]:
    return np.column_stack(columns) if columns else np.empty((rows, 0))
