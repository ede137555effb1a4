"""The reference group that reasons compare an applicant with: one row that is typical of the repaid train rows.

Each number is the median of those that are there; each category is the most frequent value, which may be the missing
one. Equal counts are settled by the alphabet, the missing value last. So the row is the same from memory and from
blocks, and however the rows are divided. It need not be any one applicant's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scripts.streaming.cache import Block, Keep, RowCache
from scripts.streaming.quantiles import order_statistics


def reference_in_memory(
    frame: pd.DataFrame, target: npt.NDArray[np.int8], categorical: Sequence[str]
) -> dict[str, Any]:
    """Return the reference group of rows in memory.

    Parameters
    ----------
    frame
        Features as `to_frame` gives them.
    target
        Shape (rows,): 0 is repaid.
    categorical
        Which features are categories.

    Returns
    -------
    dict
        `description` in words, `rows` that it stands for, and `values` by feature, None where missing.
    """
    repaid = frame[target == 0]
    values: dict[str, float | str | None] = {}
    for name in frame.columns:
        if name in categorical:
            counts = repaid[name].value_counts(dropna=True).to_dict()
            values[name] = _mode(counts, len(repaid) - sum(counts.values()))
        else:
            numbers = np.sort(repaid[name].dropna().to_numpy(np.float64))
            values[name] = _middle(numbers[_ranks(len(numbers))])
    return _about(len(repaid), values)


def reference_in_blocks(cache: RowCache, keep: Keep | None = None) -> dict[str, Any]:
    """Return the same of rows on scratch disk; a block is held in memory, and what narrows the medians down."""
    rows = 0
    present = np.zeros(len(cache.numeric), np.int64)
    counts = [np.zeros(len(texts) + 1, np.int64) for texts in cache.texts]
    for block in map(_repaid, cache.blocks(keep)):
        rows += len(block.target)
        present += (~np.isnan(block.numeric)).sum(axis=0)
        for at, codes in enumerate(block.codes.T):
            size = len(counts[at])
            counts[at] += np.bincount(np.where(codes < 0, size - 1, codes), minlength=size)
    ranks = [_ranks(int(number)) for number in present]
    middles = order_statistics(lambda: (_repaid(block).numeric for block in cache.blocks(keep)), ranks)
    values: dict[str, float | str | None] = dict(zip(cache.numeric, map(_middle, middles), strict=True))
    for name, texts, found in zip(cache.categorical, cache.texts, counts, strict=True):
        values[name] = _mode({text: int(found[code]) for text, code in texts.items()}, int(found[-1]))
    return _about(rows, values)


def _repaid(block: Block) -> Block:
    mask = block.target == 0
    return Block(block.numeric[mask], block.codes[mask], block.target[mask], block.keys[mask])


def _ranks(count: int) -> npt.NDArray[np.int64]:
    """Return the ranks of the two middle values, which may be one; none of no values."""
    return np.array([(count - 1) // 2, count // 2] if count else [], np.int64)


def _middle(values: npt.NDArray[np.float64]) -> float | None:
    return float(values[0] / 2 + values[1] / 2 + 0.0) if len(values) else None


def _mode(counts: Mapping[str, int], missing: int) -> str | None:
    text = min(counts, key=lambda text: (-counts[text], text), default=None)
    return text if text is not None and counts[text] >= missing else None


def _about(rows: int, values: dict[str, float | str | None]) -> dict[str, Any]:
    description = (
        f"typical of the {rows:,} train rows that were repaid: the median of each number, the most frequent value of "
        "each category"
    )
    return {"description": description, "rows": rows, "values": values}
