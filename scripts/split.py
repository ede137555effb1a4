"""Step split: every clean row goes to train or test by a keyed hash; duplicates are found, and the counts closed.

Membership depends on the row and the key alone, so it stays when rows are appended or come in another order.
"""

import csv
import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from scripts.shared.config import Columns, Rejects, Split, read_config
from scripts.shared.errors import UserError, listing
from scripts.shared.files import atomic, read_json, write_json
from scripts.shared.hashing import (
    Hashes,
    below_share,
    combine,
    hash_numbers,
    hash_texts,
    key_to_seed,
)
from scripts.shared.rejects import HEADER
from scripts.shared.sides import membership_table
from scripts.shared.values import LINE, canonical_value

STANDARD_ERRORS = 4.0
BUCKET_ROWS = 8_000_000  # duplicates are sought in buckets of about so many hashes at a time
DUPLICATE = "the id stands twice; its first row is kept"


def main(
    parts: list[Path],
    summaries: list[Path],
    part_rejects: list[Path],
    membership: list[Path],
    rejects: Path,
    summary: Path,
    config: Path,
) -> None:
    """Split all parts.

    Parameters
    ----------
    parts, summaries, part_rejects
        What preprocess wrote, one of each per raw file, in the same order.
    membership
        One per part: `side` and `key` of each row of the part.
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
    check_counts(counts, columns, settings.rejects)

    dataset = Dataset(parts, columns, options)
    duplicates = dataset.duplicates()
    if duplicates and options.duplicate_ids == "fail":
        raise UserError(_duplicate_message(duplicates, counts, columns))
    report = Report.empty()
    for index, (part, member) in enumerate(zip(parts, membership, strict=True)):
        sides, keys, target = dataset.sides(part)
        sides[[d.row for d in duplicates if d.part == index]] = 2
        with atomic(member) as beside:
            pa.parquet.write_table(membership_table(sides, keys), beside, compression="zstd")
        report.add(sides, target)
    _write_rejects(rejects, part_rejects, duplicates, counts, columns)
    result = waterfall(counts, len(duplicates)) | {
        "split": report.result(options, dataset.cluster_squares(duplicates)),
        "values_present": _total(counts, "values_present"),
        "set_to_missing": _total(counts, "set_to_missing"),
    }
    write_json(summary, result)


# --- checks over all files ---------------------------------------------------------------------------------------


def check_counts(counts: list[dict[str, Any]], columns: Columns, policy: Rejects) -> None:
    """Check what only shows over all files.

    Raises
    ------
    UserError
        Where too many rows of a file were set aside, the target has not two values, or a column is empty throughout.
    """
    for count in counts:
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


# --- membership --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Duplicate:
    """A row whose id an earlier row has: `row` of part `part`, and the first row with that id."""

    part: int
    row: int
    line: int
    first_part: int
    first_line: int


class Dataset:
    """All clean parts, read column by column."""

    def __init__(self, parts: list[Path], columns: Columns, options: Split) -> None:
        self.parts = parts
        self.columns = columns
        self.options = options
        self.seed = key_to_seed(options.key)
        self.rows: list[int] = [pa.parquet.read_metadata(part).num_rows for part in parts]
        self.starts = np.cumsum([0, *self.rows])  # of each part, among all rows

    def sides(self, part: Path) -> tuple[npt.NDArray[np.int8], Hashes, npt.NDArray[np.int8]]:
        """Return side (0 train, 1 test), hash key and target of each row of a part."""
        keys = self._keys(part, self.options.method)
        target = _read(part, [self.columns.target.column]).column(0).to_numpy()
        if self.options.method == "time":
            dates = _read(part, [str(self.columns.date)]).column(0)
            in_test = pc.greater_equal(dates, self.options.test_from).to_numpy()
        else:
            in_test = below_share(keys, self.options.test_share)
        return in_test.astype(np.int8), keys, target

    def _keys(self, part: Path, method: str) -> Hashes:
        """Return the hash of each row's identity: its group, its id, or else its content."""
        name = self.columns.group if method == "group" else self.columns.id
        if name:
            return hash_texts(_read(part, [name]).column(0).combine_chunks(), self.seed)
        table = _read(part, self.columns.features())
        numeric = [hash_numbers(table.column(n).combine_chunks(), self.seed) for n in self.columns.numeric]
        texts = [hash_texts(table.column(n).combine_chunks(), self.seed) for n in self.columns.categorical]
        return combine(numeric + texts)

    def duplicates(self) -> list[Duplicate]:
        """Return all rows whose id an earlier row has."""
        found: list[Duplicate] = []
        if self.columns.id:
            for keys, positions in self._buckets("hash"):
                found += self._duplicates_in(keys, positions)
        return sorted(found, key=lambda d: (d.part, d.row))

    def cluster_squares(self, duplicates: list[Duplicate]) -> int:
        """Return the sum of the squared sizes of the clusters that the split moves as one, less the duplicates.

        Rows that share a hash key go to one side together; the squares tell by how much that widens what chance
        allows.
        """
        if self.columns.id and self.options.method != "group":
            return sum(self.rows) - len(duplicates)  # each id stands once
        dropped = np.array([self.starts[d.part] + d.row for d in duplicates], dtype=np.int64)
        squares = 0
        for keys, positions in self._buckets(self.options.method):
            sizes = np.unique(keys[~np.isin(positions, dropped)], return_counts=True)[1]
            squares += int((sizes.astype(np.int64) ** 2).sum())
        return squares

    def _buckets(self, method: str) -> Iterator[tuple[Hashes, npt.NDArray[np.int64]]]:
        """Yield hash keys, and where their rows stand among all rows: one bucket at a time bounds the memory."""
        buckets = max(1, math.ceil(sum(self.rows) / BUCKET_ROWS))
        for bucket in range(buckets):
            keys, positions = [], []
            for part, start in zip(self.parts, self.starts, strict=False):
                part_keys = self._keys(part, method)
                inside = np.flatnonzero(part_keys % np.uint64(buckets) == bucket)
                keys.append(part_keys[inside])
                positions.append(inside + start)
            yield np.concatenate(keys), np.concatenate(positions)

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
                table = _read(part, [LINE, str(self.columns.id)]).take(rows)
                lines, ids = table.column(0).to_pylist(), table.column(1).to_pylist()
                yield from zip([index] * len(rows), rows.tolist(), lines, ids, strict=True)


def _read(part: Path, columns: list[str]) -> pa.Table:
    return pa.parquet.read_table(part, columns=columns, use_threads=False)


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
    """Rows and defaults of both sides."""

    rows: npt.NDArray[np.int64]
    defaults: npt.NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Report":
        """Return a report of nothing yet."""
        return cls(np.zeros(3, np.int64), np.zeros(3, np.int64))

    def add(self, sides: npt.NDArray[np.int8], target: npt.NDArray[np.int8]) -> None:
        """Count a part."""
        self.rows += np.bincount(sides, minlength=3)
        self.defaults += np.bincount(sides[target == 1], minlength=3)

    def result(self, options: Split, cluster_squares: int) -> dict[str, Any]:
        """Return both sides with what chance allows, and say it; warn beyond four standard errors.

        Raises
        ------
        UserError
            Where a side has no defaults, or nothing else.
        """
        (train, test), (train_bad, test_bad) = self.rows[:2].tolist(), self.defaults[:2].tolist()
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
