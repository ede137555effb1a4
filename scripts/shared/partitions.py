"""How a large file is divided into partitions, one job each.

How many there are follows from the size, so that the dry run shows all jobs; where each begins, the step `divide`
finds out. Imported by the Snakefile, which every job parses: nothing heavy here.
"""

import math
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError
from scripts.shared.files import read_json

# How many bytes of CSV a byte of a file holds, about: measured on loan data, gzip 4, zstd 4, Parquet with zstd 3.
EXPANSION = {".gz": 4, ".zst": 4, ".parquet": 3, ".pq": 3}


@dataclass(frozen=True)
class InputFile:
    """A file as it was when the run began.

    Attributes
    ----------
    path
        Where it lies.
    size, modified
        Bytes, and nanoseconds since the epoch: by them, a file that changes while the run goes on is noticed.
    partitions
        Into how many it is divided.
    """

    path: str
    size: int
    modified: int
    partitions: int

    def check(self) -> None:
        """See whether the file is still as it was when the run began.

        Raises
        ------
        UserError
            Where it isn't, or can't be opened.
        """
        try:
            now = _opened(self.path)
        except FileNotFoundError:
            raise UserError(f"{self.path} has been removed since the run began; restore it and run again") from None
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            raise UserError(
                f"{self.path} has changed since the run began ({self.size:,} bytes then, {now.st_size:,} now); "
                "run again, when nothing writes to it any more"
            )


@dataclass(frozen=True)
class Partition:
    """One of the parts that a file is divided into: `number` from 1 to `of`."""

    file: str
    number: int
    of: int

    @property
    def name(self) -> str:
        """The name in results: the file's own where it is not divided."""
        return self.file if self.of == 1 else f"{self.file}.{self.number:04d}-of-{self.of:04d}"


def look_at(path: str, partition_mb: float) -> InputFile:
    """Return a file as it is now, and into how many partitions of about `partition_mb` (10⁶ bytes of CSV) it goes.

    Raises
    ------
    UserError
        Where it can't be opened.
    """
    try:
        now = _opened(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    size = now.st_size * EXPANSION.get(Path(path).suffix.lower(), 1)
    return InputFile(path, now.st_size, now.st_mtime_ns, max(1, math.ceil(size / (partition_mb * 1e6))))


def _opened(path: str) -> os.stat_result:
    """Return what a file's attributes are once it is open.

    Otherwise, what a network file system tells of a file that another host has changed may be a minute old
    (docs/shared-storage.md).
    """
    try:
        with Path(path).open("rb") as file:
            return os.fstat(file.fileno())
    except PermissionError:
        raise UserError(f"{path} can't be read by this user; check its permissions") from None


def partitions_of(files: Mapping[str, InputFile]) -> dict[str, Partition]:
    """Return the partitions of all files by their names, in the files' order.

    Raises
    ------
    UserError
        Where a file is named as another one's partition would be.
    """
    found: dict[str, Partition] = {}
    for name, file in files.items():
        for partition in _numbered(name, file.partitions):
            if partition.name in found:
                raise UserError(
                    f"'{file.path}' and '{files[found[partition.name].file].path}' would both be called "
                    f"'{partition.name}' in results; rename one"
                )
            found[partition.name] = partition
    return found


def _numbered(name: str, count: int) -> Iterable[Partition]:
    return (Partition(name, number, count) for number in range(1, count + 1))


def batches(files: Mapping[str, InputFile], most: int, partition_mb: float) -> list[list[str]]:
    """Return the files' names, in order, in batches of at most `most` files and about `partition_mb` at most.

    Files that come after the last one by name change no batch but the last.
    """
    found: list[list[str]] = []
    left = 0.0
    for name, file in files.items():
        if not found or len(found[-1]) == most or file.size > left:
            found.append([])
            left = partition_mb * 1e6
        found[-1].append(name)
        left -= file.size
    return found


def to_ask_for(outputs: Sequence[str], there: Container[str]) -> str:
    """Return the first output of a batch that isn't there, or the first: asked for it alone, the batch runs if need be.

    >>> to_ask_for(["a", "b", "c"], {"a", "c"}), to_ask_for(["a", "b"], {"a", "b"})
    ('b', 'a')
    """
    return next((output for output in outputs if output not in there), outputs[0])


def to_plain(files: Mapping[str, InputFile]) -> dict[str, dict[str, Any]]:
    """Return what JSON can hold."""
    return {name: asdict(file) for name, file in files.items()}


def from_plain(files: Mapping[str, Mapping[str, Any]]) -> dict[str, InputFile]:
    """Return what `to_plain` was given."""
    return {name: InputFile(**file) for name, file in files.items()}


def planned_file(plan: Path, path: Path) -> InputFile:
    """Return what the frozen plan says of one of its files."""
    return planned_files(plan, [path])[0]


def planned_files(plan: Path, paths: Sequence[Path]) -> list[InputFile]:
    """Return what the frozen plan says of some of its files.

    Raises
    ------
    UserError
        For a file that is not in it.
    """
    frozen = read_json(plan)
    files = {file["path"]: file for kind in ("raw", "applications") for file in frozen[kind].values()}
    for path in paths:
        if str(path) not in files:
            raise UserError(f"{path} is not in {plan}: it came after the run began; run again")
    return [InputFile(**files[str(path)]) for path in paths]
