"""Writing files whole, and knowing them by checksum."""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` when the block ends without an error.

    A reader sees the old file or the whole new one, never a part, also when the writer is killed. The name carries
    host and process, since two hosts may share the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())  # on NFS, a full disk shows here at the latest
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_remains(folder: Path) -> int:
    """Remove what killed writers have left below a folder; return how many files. Nobody must be writing there."""
    remains = [path for path in folder.rglob(".*.part") if path.is_file()]
    for path in remains:
        path.unlink(missing_ok=True)
    return len(remains)


LEAST_FREE = 1 << 20  # bytes: Snakemake's locks and notes alone take some


def check_space(folder: Path) -> None:
    """Refuse to begin where nothing can be written.

    Raises
    ------
    UserError
        Where the folder's disk has less than `LEAST_FREE` left.
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < LEAST_FREE:
        raise UserError(f"No space left on device: the disk of {folder} is full; free some space and run again")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole."""
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def to_json(value: Any) -> str:
    """Return readable JSON: keys in the given order, numbers that read back equal, no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    UserError
        Where the file is missing or isn't JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from None


def canonical(value: Any) -> str:
    """Return one text for equal values, for hashing: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_text(text: str) -> str:
    """Return the hexadecimal SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
