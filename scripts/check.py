"""Step check: what only shows over all rows: duplicate ids, the counts of all files, the sides of the split.

It knows the split, since the same functions give it that write it later, part by part.
"""

import csv
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.arrays import numbers, to_numbers
from scripts.shared.config import Columns, Rejects, Split, read_config
from scripts.shared.errors import UserError, listing
from scripts.shared.files import atomic, read_json, write_json
from scripts.shared.hashing import Hashes, key_to_seed
from scripts.shared.parts import count_rows, read_part, write_part
from scripts.shared.rejects import HEADER
from scripts.shared.values import LINE, canonical_value
from scripts.split import assign, hash_rows

STANDARD_ERRORS = 4.0
BUCKET_ROWS = 8_000_000  # duplicates are sought in buckets of about so many hashes at a time
DUPLICATE = "the id stands twice; its first row is kept"


def main(
    parts: list[Path],
    summaries: list[Path],
    part_rejects: list[Path],
    duplicates: Path,
    rejects: Path,
    summary: Path,
    config: Path,
) -> None:
    """Check all parts.

    Parameters
    ----------
    parts, summaries, part_rejects
        What preprocess wrote, one of each per partition, in the same order.
    duplicates
        Parquet: `part` (its place, from 0) and `row` (from 0) of the rows whose id an earlier row has.
    rejects
        All rows set aside, duplicates included.
    summary
        The row waterfall, and both parts of the split against what chance allows.
    config
        The run's config.
    """
    settings = read_config(config)
    columns, options = settings.columns, settings.split
    counts = [read_json(path) for path in summaries]
    files = by_file(counts)
    check_counts(files, columns, settings.rejects)

    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset(parts, columns, options, Path(scratch))
        twice = dataset.duplicates()
        if twice and options.duplicate_ids == "fail":
            raise UserError(_duplicate_message(twice, counts, columns))
        split_report = dataset.report(twice).result(options, dataset.cluster_squares(twice))
    with atomic(duplicates) as beside:
        places = np.array([d.part for d in twice], np.int32), np.array([d.row for d in twice], np.int64)
        rows = {"part": numbers(places[0]), "row": numbers(places[1])}
        write_part(pa.table(rows, schema=pa.schema([("part", pa.int32()), ("row", pa.int64())])), beside)
    _write_rejects(rejects, part_rejects, twice, counts, columns)
    result = waterfall(files, len(twice)) | {
        "split": split_report,
        "values_present": _total(counts, "values_present"),
        "set_to_missing": _total(counts, "set_to_missing"),
    }
    write_json(summary, result)


# --- checks over all files ---------------------------------------------------------------------------------------


def by_file(counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the counts of whole files from those of their partitions, in the same order."""
    files: dict[str, list[dict[str, Any]]] = {}
    for count in counts:
        files.setdefault(count["file"], []).append(count)
    return [
        {
            "file": file,
            **{key: sum(count[key] for count in of_file) for key in ("rows_in", "rows_out", "rows_rejected")},
            "rejected_by_reason": dict(sorted(_total(of_file, "rejected_by_reason").items())),
            "first_reject": next((count["first_reject"] for count in of_file if count["first_reject"]), None),
            "target_values": _total(of_file, "target_values"),
            "values_present": _total(of_file, "values_present"),
        }
        for file, of_file in files.items()
    ]


def check_counts(counts: list[dict[str, Any]], columns: Columns, policy: Rejects) -> None:
    """Check what only shows over all files.

    Raises
    ------
    UserError
        Where too many rows of a file were set aside, the target has not two values, or a column is empty throughout.
    """
    for count in counts:
        if count["rows_in"] == 0:
            raise UserError(f"{count['file']} has a header and no rows; expected at least one row of data")
        share = count["rows_rejected"] / count["rows_in"]
        if share > policy.max_share:
            reasons = sorted(count["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))
            first = count["first_reject"]
            where = f", column {first['column']}" if first["column"] else ""
            raise UserError(
                f"{count['file']}: {count['rows_rejected']} of {count['rows_in']} rows were set aside ({share:.1%}), "
                f"more than rejects.max_share: {policy.max_share:.1%}; reasons: "
                f"{listing(f'{reason} ({n})' for reason, n in reasons)}; the first is line {first['line']}{where}; "
                "see results/data/rejects/"
            )
    target = columns.target
    values = _total(counts, "target_values")
    if len(values) != 2:
        raise UserError(
            f"columns.target: '{target.column}' must have two values, '{target.positive}' and one other; "
            f"the data has {len(values)}: {listing((repr(v) for v in values), limit=5)}"
        )
    if not any(count["target_values"].get(canonical_value(target.positive)) for count in counts):
        raise UserError(
            f"columns.target: '{target.column}' never has the positive value '{target.positive}'; "
            f"it has {listing(repr(v) for v in values)}"
        )
    for name, present in _total(counts, "values_present").items():
        if present == 0:
            raise UserError(f"the column '{name}' has no value in any raw file; take it out of the config's columns")


def _total(counts: list[dict[str, Any]], key: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count[key])
    return dict(total)


def waterfall(counts: list[dict[str, Any]], duplicates: int) -> dict[str, Any]:
    """Return the rows of all files from raw to usable; the sums must be right."""
    rows_in = sum(count["rows_in"] for count in counts)
    rejected = Counter(_total(counts, "rejected_by_reason"))
    if duplicates:
        rejected[DUPLICATE] += duplicates
    usable = sum(count["rows_out"] for count in counts) - duplicates
    if rows_in != usable + rejected.total():
        raise AssertionError(f"{rows_in} rows in, {usable} usable, {rejected.total()} rejected")
    return {
        "rows_in": rows_in,
        "rows_rejected": rejected.total(),
        "rows_usable": usable,
        "rejected_by_reason": dict(sorted(rejected.items())),
        "files": [{k: c[k] for k in ("file", "rows_in", "rows_out", "rows_rejected")} for c in counts],
    }


# --- all rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Duplicate:
    """A row whose id an earlier row has: `row` of part `part`, and the first row with that id."""

    part: int
    row: int
    line: int
    first_part: int
    first_line: int


class Dataset:
    """What must be known of all rows at once: hashes, which lie in files below `scratch`, and a byte for each row."""

    def __init__(self, parts: list[Path], columns: Columns, options: Split, scratch: Path) -> None:
        self.parts = parts
        self.columns = columns
        self.options = options
        self.rows: list[int] = [count_rows(part) for part in parts]
        self.starts = np.cumsum([0, *self.rows])  # of each part, among all rows
        self._sides = np.empty(self.starts[-1], np.int8)  # twice the side, and one more for a default
        self._keys = self._hashes(scratch / "keys")
        # Where the split goes by the id, its keys are those of the ids.
        self._split_by_id = columns.id is not None and options.method != "group"
        self._ids = self._keys if self._split_by_id or not columns.id else self._hashes(scratch / "ids")
        seed = key_to_seed(options.key)
        for part, start, end in zip(parts, self.starts[:-1], self.starts[1:], strict=True):
            sides, self._keys[start:end] = assign(part, columns, options)
            target = to_numbers(read_part(part, [columns.target.column]).column(0))
            self._sides[start:end] = 2 * sides + target
            if self._ids is not self._keys:
                self._ids[start:end] = hash_rows(part, columns, seed, by_group=False)

    def _hashes(self, file: Path) -> Hashes:
        return np.memmap(file, np.uint64, "w+", shape=(max(int(self.starts[-1]), 1),))[: self.starts[-1]]

    def report(self, duplicates: list[Duplicate]) -> "Report":
        """Return rows and defaults of both sides, without the duplicates."""
        counts = np.bincount(self._sides, minlength=4) - np.bincount(
            self._sides[self._positions(duplicates)], minlength=4
        )
        return Report(counts[::2] + counts[1::2], counts[1::2])

    def duplicates(self) -> list[Duplicate]:
        """Return all rows whose id an earlier row has."""
        found: list[Duplicate] = []
        if self.columns.id:
            for keys, positions in _buckets(self._ids):
                if _has_equal(keys):
                    found += self._duplicates_in(keys, positions)
        return sorted(found, key=lambda d: (d.part, d.row))

    def cluster_squares(self, duplicates: list[Duplicate]) -> int:
        """Return the sum of the squared sizes of the clusters that the split moves as one, less the duplicates.

        Rows that share a hash key go to one side together; the squares tell by how much that widens what chance
        allows.
        """
        if self._split_by_id:
            return sum(self.rows) - len(duplicates)  # each id stands once
        dropped = self._positions(duplicates)
        squares = 0
        for keys, positions in _buckets(self._keys):
            sizes = np.unique(keys[~np.isin(positions, dropped)], return_counts=True)[1]
            squares += int((sizes.astype(np.int64) ** 2).sum())
        return squares

    def _positions(self, duplicates: list[Duplicate]) -> npt.NDArray[np.int64]:
        return np.array([self.starts[d.part] + d.row for d in duplicates], dtype=np.int64)

    def _duplicates_in(self, keys: Hashes, positions: npt.NDArray[np.int64]) -> Iterator[Duplicate]:
        order = np.argsort(keys, kind="stable")  # stable: the first row of an id stays first
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        suspects = positions[order[np.unique(np.concatenate([same, same + 1]))]]
        first: dict[str, tuple[int, int]] = {}
        for part, row, line, identity in sorted(self._identities(suspects)):
            if identity in first:  # equal hashes of different ids are no duplicates
                yield Duplicate(part, row, line, *first[identity])
            first.setdefault(identity, (part, line))

    def _identities(self, positions: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int, str]]:
        """Yield (part, row, line, id) of the rows at `positions` among all rows."""
        for index, part in enumerate(self.parts):
            start, end = self.starts[index : index + 2]
            rows = np.sort(positions[(positions >= start) & (positions < end)] - start)
            if len(rows):
                table = read_part(part, [LINE, str(self.columns.id)]).take(numbers(rows))
                lines, ids = table.column(0).to_pylist(), table.column(1).to_pylist()
                yield from zip([index] * len(rows), rows.tolist(), lines, ids, strict=True)


def _buckets(hashes: Hashes) -> Iterator[tuple[Hashes, npt.NDArray[np.int64]]]:
    """Yield hashes, and where they stand among all: one bucket at a time bounds the memory."""
    buckets = max(1, math.ceil(len(hashes) / BUCKET_ROWS))
    if buckets == 1:
        yield np.asarray(hashes), np.arange(len(hashes))
        return
    for bucket in range(buckets):
        inside = [
            start + np.flatnonzero(hashes[start : start + BUCKET_ROWS] % np.uint64(buckets) == bucket)
            for start in range(0, len(hashes), BUCKET_ROWS)
        ]
        positions = np.concatenate([np.empty(0, np.int64), *inside])
        yield hashes[positions], positions


def _has_equal(keys: Hashes) -> bool:
    """Return whether a value stands twice: sorting alone is faster than the order that finds where."""
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())


def _duplicate_message(duplicates: list[Duplicate], counts: list[dict[str, Any]], columns: Columns) -> str:
    shown = (
        f"{counts[d.first_part]['file']} line {d.first_line} and {counts[d.part]['file']} line {d.line}"
        for d in duplicates
    )
    return (
        f"columns.id: {len(duplicates)} rows have an '{columns.id}' that another row has: {listing(shown, limit=3)}; "
        "mend the data, or set split.duplicate_ids: reject to set aside all rows of an id but the first"
    )


def _write_rejects(
    path: Path,
    sources: list[Path],
    duplicates: list[Duplicate],
    counts: list[dict[str, Any]],
    columns: Columns,
) -> None:
    """Write the rejects of all files one after another, then the duplicates."""
    with atomic(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for source in sources:
            with source.open(encoding="utf-8", newline="") as part:
                next(part)
                file.writelines(part)
        for d in duplicates:
            writer.writerow((counts[d.part]["file"], d.line, columns.id, "", DUPLICATE))


# --- is the split what chance allows? ----------------------------------------------------------------------------


@dataclass
class Report:
    """Rows and defaults of both sides (shape (2,): train, test)."""

    rows: npt.NDArray[np.int64]
    defaults: npt.NDArray[np.int64]

    def result(self, options: Split, cluster_squares: int) -> dict[str, Any]:
        """Return both sides with what chance allows, and say it; warn beyond four standard errors.

        Raises
        ------
        UserError
            Where a side has no defaults, or nothing else.
        """
        (train, test), (train_bad, test_bad) = self.rows.tolist(), self.defaults.tolist()
        for name, rows, bad in (("train", train, train_bad), ("test", test, test_bad)):
            if bad in (0, rows):
                raise UserError(
                    f"the {name} rows ({rows}) hold {'no defaults' if bad == 0 else 'nothing but defaults'}; "
                    "models can't be trained and compared so: give more data, or change split"
                )
        share, share_error = share_with_error(train, test, options.test_share, cluster_squares)
        gap, gap_error = rate_gap_with_error(train, train_bad, test, test_bad)
        logging.info("train: %s rows, %.2f %% defaults", f"{train:,}", 100 * train_bad / train)
        logging.info("test:  %s rows, %.2f %% defaults", f"{test:,}", 100 * test_bad / test)
        if options.method != "time":
            _say("share of test rows", share, options.test_share, share_error)
        _say("default rate, test less train", gap, 0.0, gap_error)
        return {
            "method": options.method,
            "train": {"rows": train, "defaults": train_bad, "default_rate": train_bad / train},
            "test": {"rows": test, "defaults": test_bad, "default_rate": test_bad / test},
            "test_share": share,
            "test_share_wanted": None if options.method == "time" else options.test_share,
            "test_share_standard_error": None if options.method == "time" else share_error,
            "default_rate_difference": gap,
            "default_rate_standard_error": gap_error,
        }


def _say(what: str, value: float, expected: float, error: float) -> None:
    """Print a value beside what chance allows around the expected one."""
    beyond = abs(value - expected) / error if error else 0.0
    message = "%s: %.4f; by chance alone %.4f ± %.4f (four standard errors)"
    logging.info(message, what, value, expected, STANDARD_ERRORS * error)
    if beyond > STANDARD_ERRORS:
        logging.warning(
            "warning: %s is %.1f standard errors away from what chance alone would give",
            what,
            beyond,
        )


def share_with_error(train: int, test: int, wanted: float, cluster_squares: int) -> tuple[float, float]:
    """Return the share of test rows, and its standard error by chance alone.

    Clusters of sizes s that move together give the variance p (1 - p) Σs² / (Σs)², which for single rows is the
    binomial p (1 - p) / n.
    """
    rows = train + test
    return test / rows, math.sqrt(wanted * (1 - wanted) * cluster_squares) / rows


def rate_gap_with_error(train: int, train_bad: int, test: int, test_bad: int) -> tuple[float, float]:
    """Return the test part's default rate less the train part's, and the standard error of that difference.

    The pooled two-proportion error √(p (1 - p) (1/n₁ + 1/n₂)).
    """
    pooled = (train_bad + test_bad) / (train + test)
    error = math.sqrt(pooled * (1 - pooled) * (1 / train + 1 / test))
    return test_bad / test - train_bad / train, error
