"""The side of the split that each row of a clean part is on."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.arrays import numbers, texts
from scripts.shared.hashing import Hashes

TRAIN, TEST, REJECTED = "train", "test", "rejected"
SCHEMA = pa.schema([("side", pa.dictionary(pa.int8(), pa.string())), ("key", pa.uint64())])


def membership_table(sides: npt.NDArray[np.int8], keys: Hashes) -> pa.Table:
    """Return a part's membership: `side` (0 train, 1 test, 2 rejected) in words, and the hash `key` of each row."""
    words = pa.DictionaryArray.from_arrays(numbers(sides), texts([TRAIN, TEST, REJECTED]))
    return pa.table({"side": words, "key": numbers(keys)}, schema=SCHEMA)
