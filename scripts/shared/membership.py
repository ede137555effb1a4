"""The rows of one side of the split, as models take them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from scripts.shared.config import Contract
from scripts.shared.hashing import Hashes
from scripts.shared.parts import read_part


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
    table, keys = read_table(parts, membership, side, contract)
    target = table.column(contract.columns.target.column).to_numpy()
    return Rows(to_frame(table, contract.numeric_features(), contract.columns.categorical), target, keys)


def read_table(
    parts: Sequence[Path], membership: Sequence[Path], side: str, contract: Contract
) -> tuple[pa.Table, Hashes]:
    """Return the features and the target of one side's rows, and the hash of each row's identity."""
    numeric, categorical = contract.numeric_features(), contract.columns.categorical
    columns = [*numeric, *categorical, contract.columns.target.column]
    tables, keys = [], []
    for part, member in zip(parts, membership, strict=True):
        sides = read_part(member)
        mask = pc.equal(sides.column("side").cast(pa.string()), side).to_numpy()
        rows = read_part(part, columns)
        tables.append(rows.filter(pa.array(mask)))
        keys.append(sides.column("key").to_numpy()[mask])
    return pa.concat_tables(tables).unify_dictionaries(), np.concatenate(keys)


def to_frame(table: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """Return the features as a pandas frame: float64 and object columns, NaN where missing."""
    data: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.object_]] = {}
    for name in numeric:
        data[name] = table.column(name).fill_null(np.nan).to_numpy()
    for name in categorical:
        encoded = table.column(name).combine_chunks()
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        texts = np.array([*encoded.dictionary.to_pylist(), np.nan], dtype=object)
        data[name] = texts[encoded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)]
    return pd.DataFrame(data)
