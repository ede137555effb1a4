"""Who holds the working folder: Snakemake's own lock doesn't say whether its owner still lives.

Each run notes its process beside the lock: before it can take it, among those that start, and as the owner once it has
it. So a later run can tell a killed owner (the lock is stale) from a living one, whenever it was killed. Only the
Snakefile and the driver use this.
"""

import contextlib
import fcntl
import getpass
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from scripts.shared.files import read_json, write_json

OWNER = Path(".snakemake/owner.json")
STARTING = Path(".snakemake/starting.json")
LOCKS = Path(".snakemake/locks")


@dataclass(frozen=True)
class Owner:
    """A process that runs the workflow. `started` is its start in seconds since the epoch: process ids are reused."""

    host: str
    pid: int
    started: float
    user: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


def record_owner() -> None:
    """Note this process as the owner of the working folder, whose lock it has."""
    write_json(OWNER, asdict(_this_process()))
    with _guard():
        _note_starting([owner for owner in _starting() if _lives_here(owner)])


def lock_state() -> tuple[Literal["free", "stale", "held", "unknown"], Owner | None]:
    """Tell whether the working folder is locked, and by whom.

    ``stale``: all that may have taken the lock ran on this host and are dead. ``held``: one lives. ``unknown``: one ran
    on another host, or none was noted.
    """
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return "free", None
    owners = ([Owner(**read_json(OWNER))] if OWNER.exists() else []) + _starting()
    if living := [owner for owner in owners if _lives_here(owner)]:
        return "held", living[0]
    if elsewhere := [owner for owner in owners if owner.host != socket.gethostname()]:
        return "unknown", elsewhere[0]
    return ("stale", owners[-1]) if owners else ("unknown", None)


def release_stale_lock() -> Owner | None:
    """Note that this process starts; remove the lock of a run that was killed, and return its owner.

    Any other lock is left alone. Two runs may start at once and both see the stale lock. The first one to get here
    notes itself before it removes the lock, so that the second finds one that lives: whatever lock is there, it stays.
    Killed at any instant, it leaves either the old lock or its own, with notes of the dead only.
    """
    try:
        OWNER.parent.mkdir(exist_ok=True)
        with _guard():
            state, owner = lock_state()
            _note_starting([*_starting(), _this_process()])
            if state == "stale":
                for lock in LOCKS.iterdir():
                    lock.unlink()
            if state in ("free", "stale"):  # no one has the lock: who ran and is dead need not be known any more
                if OWNER.exists() and not _lives_here(Owner(**read_json(OWNER))):
                    OWNER.unlink()
                here = socket.gethostname()
                _note_starting([each for each in _starting() if each.host != here or _lives_here(each)])
    except PermissionError:  # someone who only looks, by a dry run; Snakemake lets no one run here who can't write
        return None
    return owner if state == "stale" else None


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    """Let one process at a time read and change the notes."""
    with OWNER.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _this_process() -> Owner:
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, psutil.Process(pid).create_time(), getpass.getuser())


def _starting() -> list[Owner]:
    """Return the processes that have noted that they start, oldest first."""
    return [Owner(**each) for each in read_json(STARTING)] if STARTING.exists() else []


def _note_starting(owners: list[Owner]) -> None:
    write_json(STARTING, [asdict(owner) for owner in owners])


def _lives_here(owner: Owner) -> bool:
    return owner.host == socket.gethostname() and _lives(owner)


def _lives(owner: Owner) -> bool:
    try:
        process = psutil.Process(owner.pid)
        # A zombie is dead; it only waits for its parent to notice. Process ids are reused, so the start must agree.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - owner.started) < 1
    except psutil.NoSuchProcess:
        return False
