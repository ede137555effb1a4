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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json

OWNER = Path(".snakemake/owner.json")
STARTING = Path(".snakemake/starting.json")
ALIVE = Path(".snakemake/owner.alive")  # each owner shares a lock on it while it lives, which other hosts can see
IS_RUNNING = "is running the workflow in this folder; wait for it, or end it, then run again"
LOCKS = Path(".snakemake/locks")
HTCONDOR, REMOVES_ORPHANS = "htcondor", "htcondor-steady"  # executors: what their names begin with, and ours


@dataclass(frozen=True)
class Owner:
    """A process that runs the workflow.

    Attributes
    ----------
    started
        When it was started, as `_start_of` tells: process ids are used again.
    executor
        Snakemake's name of what runs its jobs: those of some live on when it is killed. Empty where it isn't known.
    """

    host: str
    pid: int
    started: str
    user: str
    executor: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


def record_owner(executor: str = "") -> None:
    """Note this process as the owner of the working folder, whose lock it has.

    Snakemake's lock is one of files: it lets two runs with different targets into one folder, where each would replace
    the plan that the other one works by.

    Parameters
    ----------
    executor
        As `Owner.executor`.

    Raises
    ------
    UserError
        Where another run is at work in this folder, or HTCondor still has jobs of one that was killed, which this run's
        executor doesn't remove.
    """
    with _guard():
        own = _this_process(executor)
        if noted := _noted():
            if _lives_here(noted) and noted.pid not in _own_line():
                raise UserError(f"{noted} {IS_RUNNING}")
            if noted.host != own.host and _one_lives():
                raise UserError(f"{noted} {IS_RUNNING}")
            if noted.executor.startswith(HTCONDOR) and executor not in ("", REMOVES_ORPHANS):
                _refuse_orphans(noted)
            if not executor:  # a driver, which doesn't remove what a killed run left: its Snakemake does
                own = replace(own, executor=noted.executor)
        write_json(OWNER, asdict(own))
        _stay_alive()
        _note_starting([owner for owner in _starting() if _lives_here(owner)])


def forget_owner() -> None:
    """Remove this process' note, as its run ends by itself and none of its jobs is left. A killed one can't."""
    with _guard():
        noted = _noted()
        if noted and noted.host == socket.gethostname() and noted.pid == os.getpid():
            OWNER.unlink()


def _refuse_orphans(killed: Owner) -> None:
    """Raise UserError where jobs of a killed run are in HTCondor's queue: they would write the same files."""
    # Here, since it costs half a second, and needs HTCondor's bindings.
    from snakemake_executor_plugin_htcondor_steady.queue import Queue, QueueError, of_folder  # noqa: PLC0415

    constraint = of_folder(str(Path.cwd().resolve()))
    try:
        jobs = Queue(lambda _: None, 0).look(constraint, ["ClusterId"])
    except QueueError as error:
        raise UserError(
            f"{killed} was killed, and whether its jobs are still in HTCondor's queue can't be told ({error}); they "
            f"would write the same files. When you know that there are none, delete {OWNER} and run again"
        ) from None
    if jobs:
        numbers = ", ".join(map(str, sorted(int(job["ClusterId"]) for job in jobs)))
        raise UserError(
            f"{killed} was killed, and its jobs are still in HTCondor's queue ({numbers}): they would write the same "
            "files. snakemake --profile htcondor removes them and goes on; to end them alone: "
            f"condor_rm -constraint '{constraint}'"
        )


def lock_state() -> tuple[Literal["free", "stale", "held", "unknown"], Owner | None]:
    """Tell whether the working folder is locked, and by whom.

    ``stale``: all that may have taken the lock ran on this host and are dead. ``held``: one lives. ``unknown``: one ran
    on another host, or none was noted.
    """
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return "free", None
    owners = [owner for owner in [_noted()] if owner] + _starting()
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
        with _guard():
            state, owner = lock_state()
            _note_starting([*_starting(), _this_process()])
            if state == "stale":
                for lock in LOCKS.iterdir():
                    lock.unlink()
            if state in ("free", "stale"):  # no one has the lock: who ran and is dead need not be known any more
                noted = _noted()
                # Of jobs that outlive it, the note tells who starts next.
                if noted and not _lives_here(noted) and not noted.executor.startswith(HTCONDOR):
                    OWNER.unlink()
                here = socket.gethostname()
                _note_starting([each for each in _starting() if each.host != here or _lives_here(each)])
    except PermissionError:  # someone who only looks, by a dry run; Snakemake lets no one run here who can't write
        return None
    return owner if state == "stale" else None


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    """Let one process at a time read and change the notes."""
    OWNER.parent.mkdir(exist_ok=True)
    with OWNER.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _stay_alive() -> None:
    """Share the owners' lock for as long as this process lives: it goes with it, however it ends."""
    descriptor = os.open(ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # whoever looks whether one lives has it for an instant
    except OSError:  # a file system without locks: other hosts can't be warned
        os.close(descriptor)


def _one_lives() -> bool:
    """Tell whether an owner of this folder lives on any host, as far as its file system passes locks on."""
    try:
        with ALIVE.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _this_process(executor: str = "") -> Owner:
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, _start_of(pid), getpass.getuser(), executor)


def _own_line() -> set[int]:
    """Return the ids of this process and of those that it comes from, such as a driver that has noted itself."""
    own = psutil.Process()
    return {own.pid, *(parent.pid for parent in own.parents())}


def _start_of(pid: int) -> str:
    """Return a text that no other process of this number has.

    On Linux from what the kernel counts since its boot: the time of day that psutil makes of it moves with the clock.
    """
    try:
        # After the last ")": a program's name may hold anything. Field 22 of proc_pid_stat(5).
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(psutil.Process(pid).create_time())
    return f"{ticks} after boot {boot}"


def _noted() -> Owner | None:
    """Return the noted owner, if there is one."""
    return Owner(**read_json(OWNER)) if OWNER.exists() else None


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
        # A zombie is dead; it only waits for its parent to notice.
        return process.status() != psutil.STATUS_ZOMBIE and _start_of(owner.pid) == owner.started
    except psutil.NoSuchProcess:
        return False
