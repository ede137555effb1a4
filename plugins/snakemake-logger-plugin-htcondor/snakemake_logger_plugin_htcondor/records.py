"""What happened to the jobs, for machines: one line of JSON for each change of a job's state."""

import contextlib
import json
import math
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, TypedDict

from .jobs import Job


class Record(TypedDict):
    """A line of the file: each has all of these names, null where a value isn't known, and maybe more.

    Attributes
    ----------
    time
        When it happened: ISO 8601, UTC, to the millisecond, such as ``2026-11-25T08:01:53.250Z``.
    change
        What happened: ``submitted``, ``running``, ``held``, ``released``, ``evicted``, ``requeued``, ``done``,
        ``failed``, ….
    cluster
        The job's number in HTCondor.
    jobid, rule, wildcards, attempt
        The job in Snakemake; attempt is 1 for the first.
    host
        Where it runs or ran last.
    requested, used
        Numbers by the names ``memory_mb``, ``disk_mb`` and ``cpus``, as far as they are known; used holds peaks.
    submitted, started, worked, ended
        Its times so far, written as `time` is.
    exit_code, signal
        How it ended.
    reason
        Why it is held, was evicted or removed, or has failed.
    """

    time: str
    change: str
    cluster: int
    jobid: str
    rule: str
    wildcards: dict[str, str]
    attempt: int
    host: str | None
    requested: dict[str, float]
    used: dict[str, float]
    submitted: str | None
    started: str | None
    worked: str | None
    ended: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None


def record(job: Job, change: str, now: float) -> Record:
    """Return what is written of a change."""
    return Record(
        time=_iso(now),
        change=change,
        cluster=job.cluster,
        jobid=job.jobid,
        rule=job.rule,
        wildcards=dict(job.wildcards),
        attempt=job.attempt,
        host=job.host or None,
        requested=_numbers(job.requested),
        used=_numbers(job.used),
        submitted=_iso_or_none(job.submitted),
        started=_iso_or_none(job.started),
        worked=_iso_or_none(job.worked),
        ended=_iso_or_none(job.ended),
        exit_code=job.exit_code,
        signal=job.signal,
        reason=job.reason or None,
    )


class Recorder:
    """Appends records to a file.

    Parameters
    ----------
    path
        The file; it and its folder are made at the first record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._lock = threading.Lock()

    def write(self, job: Job, change: str, now: float, **more: Any) -> None:
        """Append a record, at once.

        Parameters
        ----------
        job
            The job after the change.
        change
            What happened.
        now
            When, in seconds since the epoch.
        more
            Further values, by name.

        Raises
        ------
        OSError
            Where the file can't be written; the next record is tried again.
        """
        line = json.dumps({**record(job, change, now), **more}, ensure_ascii=False, default=str)
        # File names may hold bytes that are no text; so escaped, they are valid JSON.
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                self._append(data)
            except OSError:
                self._close()
                raise

    def close(self) -> None:
        """Close the file; a further record opens it again."""
        with self._lock:
            self._close()

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+", buffering=0)
            if _ends_amid_a_line(self._file):  # a run was killed, or the disk was full
                data = b"\n" + data
        written = self._file.write(data)
        if written != len(data):
            raise OSError(f"{self._path}: only {written} of {len(data)} bytes were written")

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file; one that broke off is left out.

    Raises
    ------
    ValueError
        Where a line was never a record.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            if isinstance(found, dict):
                yield found
            elif not line.startswith("{"):
                raise ValueError(f"{path}, line {number}: not a record")


def _ends_amid_a_line(file: FileIO) -> bool:
    if file.seek(0, 2) == 0:
        return False
    file.seek(-1, 2)
    return file.read(1) != b"\n"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else _iso(seconds)


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no word for."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
