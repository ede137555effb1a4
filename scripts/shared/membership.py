"""The rows of one side of the split, as models take them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from scripts.shared.config import Contract
from scripts.shared.files import sha256_text
from scripts.shared.hashing import Hashes, hash_texts
from scripts.shared.parts import part_batches

KEY = "__key"  # names that start with two underscores are taken by the project
BATCH_ROWS = 65_536
COUNT_ROWS = 1_000_000  # memberships are small: so many rows of one column at a time


@dataclass(frozen=True)
class Rows:
    """Rows of one side, in the order of the parts.

    Attributes
    ----------
    frame
        The features, as `to_frame` gives them.
    target
        Shape (rows,), int8; 1 is default.
    keys
        Shape (rows,), uint64; the hash of each row's identity.
    """

    frame: pd.DataFrame
    target: npt.NDArray[np.int8]
    keys: Hashes


def read_rows(parts: Sequence[Path], membership: Sequence[Path], side: str, contract: Contract) -> Rows:
    """Return the rows of one side."""
    table = read_table(parts, membership, side, contract)
    columns = contract.columns
    return to_rows(table, contract.numeric_features(), columns.categorical, columns.target.column)


def read_table(parts: Sequence[Path], membership: Sequence[Path], side: str, contract: Contract) -> pa.Table:
    """Return features, target and `KEY` of one side's rows. The other side's are never held as a whole."""
    tables = list(_tables(parts, membership, side, contract, BATCH_ROWS))
    return pa.concat_tables(tables).unify_dictionaries()


def stream_tables(
    parts: Sequence[Path],
    membership: Sequence[Path],
    side: str,
    contract: Contract,
    rows_per_block: int,
    observed: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Yield features, target, `KEY` and the columns `observed` of one side in tables of exactly `rows_per_block` rows.

    The last one may be shorter. The tables are pieces of one long one, so that nothing computed block by block depends
    on how the rows are spread over the parts. Memory is bounded by the blocks, also where one part holds all rows.
    """
    for table in _exact_blocks(_tables(parts, membership, side, contract, rows_per_block, observed), rows_per_block):
        yield table.unify_dictionaries()


def to_rows(table: pa.Table, numeric: Sequence[str], categorical: Sequence[str], target: str) -> Rows:
    """Return a table of `stream_tables`, or several in a row, as models take it."""
    unified = table.unify_dictionaries()
    return Rows(
        to_frame(unified, numeric, categorical),
        unified.column(target).to_numpy(),
        unified.column(KEY).to_numpy(),
    )


def _tables(
    parts: Sequence[Path],
    membership: Sequence[Path],
    side: str,
    contract: Contract,
    rows: int,
    observed: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Yield features, target and `KEY` of one side's rows in tables of at most `rows` rows."""
    for part, member in zip(parts, membership, strict=True):
        sides = _exact_blocks(_batches(member, ["side", "key"], rows), rows)
        of_part = _exact_blocks(_batches(part, [*_columns(contract), *observed], rows), rows)
        for of_rows, of_sides in zip(of_part, sides, strict=True):
            whole = of_rows.append_column(KEY, of_sides.column("key"))
            yield whole.filter(pc.equal(of_sides.column("side").cast(pa.string()), side))


class Digest:
    """A checksum of one side's rows, by content and order: however they are spread over parts and tables.

    The SHA-256 of the checksums of all columns: float64 (a missing number is the usual NaN), the hash of each text, the
    target, and the hash of each row's identity.
    """

    def __init__(self, contract: Contract) -> None:
        self._columns = {name: hashlib.blake2b() for name in (*_columns(contract), KEY)}

    def update(self, rows: pa.Table) -> pa.Table:
        """See the next rows, with `KEY`, and return them."""
        for batch in rows.to_batches(BATCH_ROWS):
            for name, checksum in self._columns.items():
                checksum.update(_plain_bytes(batch.column(name)))
        return rows

    def __str__(self) -> str:
        """Return the checksum of the rows seen so far."""
        return sha256_text("".join(f"{name}={found.hexdigest()}\n" for name, found in self._columns.items()))


def digest(parts: Sequence[Path], membership: Sequence[Path], side: str, contract: Contract) -> str:
    """Return the checksum of one side's rows."""
    found = Digest(contract)
    for table in _tables(parts, membership, side, contract, BATCH_ROWS):
        found.update(table)
    return str(found)


def _plain_bytes(values: pa.Array) -> bytes:
    if pa.types.is_dictionary(values.type):
        return hash_texts(values, np.uint64(0)).tobytes()
    if pa.types.is_floating(values.type):
        values = values.fill_null(np.nan)
    return bytes(values.to_numpy(zero_copy_only=False).tobytes())


def _columns(contract: Contract) -> list[str]:
    return [*contract.numeric_features(), *contract.columns.categorical, contract.columns.target.column]


def read_keys(membership: Sequence[Path], side: str) -> Iterator[Hashes]:
    """Yield the keys of the rows of one side, block by block."""
    for member in membership:
        for batch in _batches(member, ["side", "key"], COUNT_ROWS):
            yield batch.filter(pc.equal(batch.column("side").cast(pa.string()), side)).column("key").to_numpy()


@dataclass(frozen=True)
class Survey:
    """How much there is, known without holding it.

    Attributes
    ----------
    rows
        Of one side.
    categories
        For each categorical column the number of values on any side.
    """

    rows: int
    categories: dict[str, int]


def survey(parts: Sequence[Path], membership: Sequence[Path], side: str, names: list[str]) -> Survey:
    """Count the rows of one side, and the values of the categorical columns `names`."""
    rows = 0
    for member in membership:
        for batch in _batches(member, ["side"], COUNT_ROWS):
            rows += pc.sum(pc.equal(batch.column("side").cast(pa.string()), side)).as_py() or 0
    values: dict[str, set[str]] = {name: set() for name in names}
    for part in parts if names else ():
        for batch in _batches(part, names, COUNT_ROWS):
            for name in names:
                values[name].update(batch.column(name).unique().drop_null().cast(pa.string()).to_pylist())
    return Survey(rows, {name: len(found) for name, found in values.items()})


def _batches(path: Path, columns: list[str], rows: int) -> Iterator[pa.Table]:
    """Yield a Parquet file in tables of at most `rows` rows."""
    for batch in part_batches(path, columns, rows):
        yield pa.Table.from_batches([batch])


def _exact_blocks(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of exactly `rows` rows, the last one shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            waiting, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting)


def to_frame(table: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """Return the features as a pandas frame: float64 and object columns, NaN where missing."""
    data: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.object_]] = {}
    for name in numeric:
        data[name] = numbers_of(table, name)
    for name in categorical:
        found, places = codes_of(table, name)
        data[name] = np.array([*found, np.nan], dtype=object)[places]
    return pd.DataFrame(data)


def numbers_of(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return a numeric column, NaN where missing."""
    return np.asarray(table.column(name).fill_null(np.nan).to_numpy())


def codes_of(table: pa.Table, name: str) -> tuple[list[str], npt.NDArray[np.integer]]:
    """Return the values of a categorical column, and the place of each row's among them; -1 where missing."""
    encoded = table.column(name).combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
