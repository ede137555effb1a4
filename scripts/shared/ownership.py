"""Who holds the working folder: Snakemake's own lock doesn't say whether its owner still lives.

Each run notes its process beside the lock. A later run can then tell a killed owner (the lock is stale) from a living
one. Only the Snakefile and the driver use this.
"""

import fcntl
import getpass
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from scripts.shared.files import read_json, write_json

OWNER = Path(".snakemake/owner.json")
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
    """Note this process as the owner of the working folder."""
    pid = os.getpid()
    owner = Owner(socket.gethostname(), pid, psutil.Process(pid).create_time(), getpass.getuser())
    write_json(OWNER, asdict(owner))


def lock_state() -> tuple[Literal["free", "stale", "held", "unknown"], Owner | None]:
    """Tell whether the working folder is locked, and by whom.

    ``stale``: the owner ran on this host and is dead. ``held``: it lives. ``unknown``: it runs on another host, or no
    owner was noted.
    """
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return "free", None
    if not OWNER.exists():
        return "unknown", None
    owner = Owner(**read_json(OWNER))
    if owner.host != socket.gethostname():
        return "unknown", owner
    return ("held" if _lives(owner) else "stale"), owner


def release_stale_lock() -> Owner | None:
    """Remove the lock of a run that was killed, and return its owner; leave any other lock alone.

    Two runs may start at once and both see the stale lock. The first one to get here removes it together with the note
    of its owner, so that the second finds either nothing, or the new lock of the first with no note yet: "unknown".
    """
    if lock_state()[0] != "stale":
        return None
    with OWNER.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        state, owner = lock_state()
        if state != "stale":
            return None
        OWNER.unlink()
        for lock in LOCKS.iterdir():
            lock.unlink()
    return owner


def _lives(owner: Owner) -> bool:
    try:
        process = psutil.Process(owner.pid)
        # A zombie is dead; it only waits for its parent to notice. Process ids are reused, so the start must agree.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - owner.started) < 1
    except psutil.NoSuchProcess:
        return False
