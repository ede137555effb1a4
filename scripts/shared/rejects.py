"""Rows that can't be used: set aside with file, line, column and reason, and counted."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HEADER = ("file", "line", "column", "value", "reason")
VALUE_LENGTH = 200


@dataclass(frozen=True)
class Reject:
    """One row set aside: the first thing that is wrong with it.

    `line` is the physical line of a CSV file (the header is line 1), or the row of a Parquet file, counted from 1.
    """

    line: int
    column: str
    value: str
    reason: str


@dataclass
class RowProblems:
    """Collects what is wrong with the rows of one block; the first problem of a row counts."""

    lines: npt.NDArray[np.int64]
    bad: npt.NDArray[np.bool_] = field(init=False)
    rejects: list[Reject] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.bad = np.zeros(len(self.lines), dtype=bool)

    def add(self, mask: npt.NDArray[np.bool_], column: str, reason: str, values: pa.Array | None = None) -> None:
        """Reject the rows of `mask` that have no problem yet."""
        for row in np.flatnonzero(mask & ~self.bad):
            value = None if values is None else values[int(row)].as_py()
            self.rejects.append(Reject(int(self.lines[row]), column, _shown(value), reason))
        self.bad |= mask


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as it stood in the file, which the reader has parsed already
    return str(value)[:VALUE_LENGTH]


class RejectsWriter:
    """Writes rejects.csv as they come, and counts them by reason.

    Values are written only where the config allows it: they can hold personal data.
    """

    def __init__(self, file: IO[str], source: str, show_values: bool) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._source = source
        self._show_values = show_values
        self.by_reason: Counter[str] = Counter()
        self.first: Reject | None = None
        self._writer.writerow(HEADER)

    def write(self, rejects: list[Reject]) -> None:
        """Write one block's rejects, in the order of their lines."""
        for reject in sorted(rejects, key=lambda r: (r.line, r.column)):
            value = reject.value if self._show_values else ""
            self._writer.writerow((self._source, reject.line, reject.column, value, reject.reason))
            self.by_reason[f"{reject.column}: {reject.reason}" if reject.column else reject.reason] += 1
            self.first = self.first or reject
