"""A sample of the train rows that is asked for by name: the rows whose mixed keys are the lowest.

Which rows these are depends on keys alone, not on files, their order or the number of parts. Rows of one key (of one
borrower, or of equal content) stay together, so a sample may have a few rows less than asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scripts.shared.errors import UserError
from scripts.shared.hashing import Hashes, mix
from scripts.shared.membership import read_keys

_SALT = np.uint64(0x53414D504C452121)  # neither the split nor the folds say anything about the sample
_ALL = np.uint64(2**64 - 1)
DIVISORS = (8, 4, 2, 1)


@dataclass(frozen=True)
class SampleOf:
    """Bounds on the mixed keys.

    Attributes
    ----------
    limits
        Rows below these are an eighth, a quarter, a half and the whole of the sample.
    end
        Rows from the last limit to before this are held out, to see what more rows bring.
    of_rows, held_rows
        Number of all rows, and of the sample's and held-out rows.
    """

    limits: tuple[np.uint64, ...]
    end: np.uint64
    of_rows: int
    held_rows: int

    def below(self, limit: np.uint64, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return which rows lie below a limit."""
        return np.less(_order(keys), limit)

    def chosen(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return which rows are in the sample."""
        return self.below(self.limits[-1], keys)

    def beyond(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return which rows are held out."""
        order = _order(keys)
        return np.greater_equal(order, self.limits[-1]) & np.less(order, self.end)

    def held(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return which rows are in the sample or held out."""
        return self.below(self.end, keys)


def _order(keys: Hashes) -> Hashes:
    return mix(keys ^ _SALT) >> np.uint64(1)  # below 2^63, so that _ALL lies above each


def draw(membership: Sequence[Path], side: str, rows: int, held_out: int, name: str) -> SampleOf:
    """Return the sample of at most `rows` rows of one side, and `held_out` rows that follow it.

    Raises
    ------
    UserError
        Where rows that belong together are so many that none fit.
    """
    wanted = rows + held_out
    lowest = np.empty(0, np.uint64)
    count = 0
    for keys in read_keys(membership, side):
        count += len(keys)
        lowest = np.concatenate([lowest, _order(keys)])
        if len(lowest) > wanted + 1:
            lowest = np.partition(lowest, wanted)[: wanted + 1]
    lowest = np.sort(lowest)

    def limit(size: int) -> np.uint64:
        return lowest[size] if size < len(lowest) else _ALL

    limits = tuple(limit(rows // divisor) for divisor in DIVISORS)
    if not np.searchsorted(lowest, limits[-1]):
        raise UserError(f"models.{name}.sample.rows: more than {rows:,} rows share one key; raise it")
    end = limit(wanted)
    return SampleOf(limits, end, count, int(np.searchsorted(lowest, end)))
