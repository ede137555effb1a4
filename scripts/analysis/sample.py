"""The rows that a model is tried on: some of one side, the same ones however the data is partitioned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.arrays import flags
from scripts.shared.config import Contract
from scripts.shared.membership import KEY, stream_tables
from scripts.shared.scoring import Scorer
from scripts.streaming.sampling import draw

Floats = npt.NDArray[np.float64]

BLOCK_ROWS = 131_072


@dataclass(frozen=True)
class Sample:
    """Some rows of one side, by their hash.

    Attributes
    ----------
    table
        Features, target and key, in the order of the keys: that of the parts says nothing.
    target
        Shape (rows,), 1 for default.
    of_rows
        How many rows the side has.
    """

    table: pa.Table
    target: npt.NDArray[np.int8]
    of_rows: int

    def first(self, rows: int) -> "Sample":
        """Return the first rows, which are as good as any: the order is that of a hash."""
        return Sample(self.table.slice(0, rows), self.target[:rows], self.of_rows)


def read_sample(
    parts: Sequence[Path], membership: Sequence[Path], side: str, contract: Contract, rows: int, name: str
) -> Sample:
    """Return at most `rows` rows of one side. All are read in blocks, and only those of the sample are held."""
    chosen = draw(membership, side, rows, 0, name)
    blocks = stream_tables(parts, membership, side, contract, BLOCK_ROWS)
    kept = [block.filter(flags(chosen.held(block.column(KEY).to_numpy()))) for block in blocks]
    table = pa.concat_tables(kept).unify_dictionaries()
    table = table.sort_by(KEY)
    return Sample(table, table.column(contract.columns.target.column).to_numpy(), chosen.of_rows)


def replaced(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return a table with other values in one column."""
    return table.set_column(table.schema.get_field_index(name), name, values)


def roc_auc(target: npt.NDArray[np.int8], scores: Floats) -> float:
    """Return the area under the ROC curve; ties count half.

    scikit-learn's `roc_auc_score` gives the same, and takes several times as long for many small calls.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    rows = np.diff(np.append(first, len(ordered)))
    ranks = np.repeat(first + (rows + 1) / 2, rows)  # the mean rank of equal scores
    positives = int(target.sum())
    above = float(ranks[target[order] == 1].sum()) - positives * (positives + 1) / 2
    return above / (positives * (len(target) - positives))


def auc_of(scorer: Scorer, sample: Sample) -> float:
    """Return the area under the ROC curve of a scorer on a sample."""
    return roc_auc(sample.target, scorer.score(sample.table))
