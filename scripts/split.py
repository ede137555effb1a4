"""Step split: every row of a clean part goes to train or test by a keyed hash.

Membership depends on the row and the key alone, so it stays when rows are appended, come in another order, or lie in
other partitions.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from scripts.shared.arrays import to_flags, to_numbers
from scripts.shared.config import Columns, Split, read_config
from scripts.shared.files import atomic
from scripts.shared.hashing import (
    Hashes,
    below_share,
    combine,
    hash_numbers,
    hash_texts,
    key_to_seed,
)
from scripts.shared.parts import read_part, write_part
from scripts.shared.sides import membership_table

REJECTED = 2  # the place in `membership_table`


def main(part: Path, duplicates: Path, number: int, membership: Path, config: Path) -> None:
    """Split one part.

    Parameters
    ----------
    part
        Clean rows.
    duplicates
        The rows to set aside, by the step `check`.
    number
        The part's place among all, from 0, as `duplicates` has it.
    membership
        `side` and `key` of each row of the part.
    config
        The run's config.
    """
    settings = read_config(config)
    dropped = read_part(duplicates)
    rows = to_numbers(dropped.column("row"))[to_numbers(dropped.column("part")) == number]
    split(part, rows, membership, settings.columns, settings.split)


def split(part: Path, dropped: npt.NDArray[np.int64], membership: Path, columns: Columns, options: Split) -> None:
    """Write a part's membership; the rows `dropped` are on neither side."""
    sides, keys = assign(part, columns, options)
    sides[dropped] = REJECTED
    with atomic(membership) as beside:
        write_part(membership_table(sides, keys), beside)


def assign(part: Path, columns: Columns, options: Split) -> tuple[npt.NDArray[np.int8], Hashes]:
    """Return side (0 train, 1 test) and hash key of each row of a part."""
    keys = hash_rows(part, columns, key_to_seed(options.key), by_group=options.method == "group")
    if options.method == "time":
        dates = read_part(part, [str(columns.date)]).column(0)
        in_test = to_flags(pc.greater_equal(dates, options.test_from))
    else:
        in_test = below_share(keys, options.test_share)
    return in_test.astype(np.int8), keys


def hash_rows(part: Path, columns: Columns, seed: np.uint64, by_group: bool) -> Hashes:
    """Return the hash of each row's identity: its group, its id, or else its content."""
    name = columns.group if by_group else columns.id
    if name:
        return hash_texts(read_part(part, [name]).column(0).combine_chunks(), seed)
    table = read_part(part, columns.features())
    numeric = [hash_numbers(table.column(n).combine_chunks(), seed) for n in columns.numeric]
    texts = [hash_texts(table.column(n).combine_chunks(), seed) for n in columns.categorical]
    return combine(numeric + texts)
