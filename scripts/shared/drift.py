"""Drift of a file of applications from what its model was trained on, counted while the file is scored."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from scripts.shared.arrays import to_numbers
from scripts.shared.binning import Floats, count_numbers, count_texts, count_values
from scripts.shared.files import read_json
from scripts.shared.stability import drift_of

REFERENCE = "reference.json"
NO_REFERENCE = "the model's version has no reference.json: it was published by an older release"
NO_ROWS = "no rows were scored"


def read_reference(version: Path) -> dict[str, Any] | None:
    """Return the reference of a version of the registry, None where it was published without one."""
    path = version / REFERENCE
    return dict(read_json(path)) if path.exists() else None


class Drift:
    """Counts the rows of a file in the bins of a reference.

    Parameters
    ----------
    reference
        As `make_reference` makes it; None: nothing is counted.
    """

    def __init__(self, reference: dict[str, Any] | None) -> None:
        self._reference = reference
        self._features = {name: _Counts(bins) for name, bins in (reference or {"features": {}})["features"].items()}
        self._score = _Counts(reference["score"] | {"kind": "numeric"}) if reference else None
        self._rows = 0

    def see(self, table: pa.Table, scores: Floats) -> None:
        """Count the next rows: clean ones, as the model gets them, and their scores (shape (rows,))."""
        if self._score is None or not len(scores):
            return
        self._rows += len(scores)
        for name, counts in self._features.items():
            counts.see(table.column(name))
        self._score.add(*count_numbers(scores, self._score.bins["edges"]))

    def result(self) -> dict[str, Any]:
        """Return features and score, each as `drift_of` does; or not_run: why there is nothing to say."""
        if self._score is None:
            return {"not_run": NO_REFERENCE}
        if not self._rows:
            return {"not_run": NO_ROWS}
        return {
            "features": {name: counts.result() for name, counts in self._features.items()},
            "score": self._score.result(),
        }


class _Counts:
    """Rows in each bin of one column."""

    def __init__(self, bins: dict[str, Any]) -> None:
        self.bins = bins
        self.counts = [0] * len(bins["counts"])
        self.missing = 0

    def see(self, column: pa.ChunkedArray) -> None:
        """Count some rows."""
        if self.bins["kind"] == "numeric":
            self.add(*count_numbers(to_numbers(column), self.bins["edges"]))
        else:
            found, missing = count_texts(column)
            self.add(count_values(found, self.bins["values"]), missing)

    def add(self, counts: Any, missing: int) -> None:
        """Add counts of some rows."""
        self.counts = [int(before + more) for before, more in zip(self.counts, counts, strict=True)]
        self.missing += missing

    def result(self) -> dict[str, Any]:
        """Return the drift of the column."""
        return drift_of(self.counts, self.missing, self.bins)
