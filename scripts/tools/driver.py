"""Run Snakemake on the access point, as the job that `make submit` puts into the queue.

Snakemake is its child. Told to stop (SIGINT or SIGTERM, as HTCondor does it for `condor_rm`), it lets Snakemake remove
its jobs, but not for ever: HTCondor itself waits without end for a local-universe job, and removes the jobs that carry
the driver's number once the driver is gone.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from scripts.shared.driver_job import AGAIN
from scripts.shared.errors import UserError
from scripts.shared.ownership import record_owner, release_stale_lock
from scripts.tools.run import failures, refuse_held_lock, summary

GRACE_SECONDS = 60
STOPPED = 130


class Driver:
    """Snakemake as a child process, and what signals do to it."""

    def __init__(self, grace: int = GRACE_SECONDS) -> None:
        self.told = False
        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._end)

    def run(self, command: list[str]) -> int:
        """Run Snakemake to its end; return its exit code, negative where a signal killed it."""
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if self.told:
            self._pass_on()
        code = self._child.wait()
        signal.alarm(0)
        return code

    def _stop(self, *_: object) -> None:
        if self.told:
            return
        self.told = True
        say(f"told to stop; Snakemake has {self._grace} s to remove its jobs")
        if self._child:
            self._pass_on()

    def _pass_on(self) -> None:
        assert self._child is not None  # noqa: S101
        self._child.send_signal(signal.SIGINT)
        signal.alarm(self._grace)

    def _end(self, *_: object) -> None:
        say(f"Snakemake did not end within {self._grace} s and is killed; the schedd removes its jobs")
        assert self._child is not None  # noqa: S101
        self._child.kill()


def say(text: str) -> None:
    """Print a line, also from within a signal handler, where a buffered stream may be in use."""
    with contextlib.suppress(OSError):  # on a full disk, what the line tells of is done all the same
        os.write(1, f"{time.strftime('%Y-%m-%d %H:%M:%S')} driver: {text}\n".encode())


def main() -> int:
    """Run Snakemake; return the exit code by which HTCondor knows what to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, help="file to which all that is printed is appended")
    parser.add_argument("--profile", default="profiles/htcondor")
    parser.add_argument("--config", help="config file (default: config/config.yaml)")
    options = parser.parse_args()
    if options.log:
        _print_to(options.log)
    forget_scratch()
    # The target stands first: --configfile takes all that follows it.
    command = [sys.executable, "-m", "snakemake", "all", "--profile", options.profile]
    command += ["--configfile", options.config] if options.config else []
    return drive(command, Driver())


def drive(command: list[str], driver: Driver) -> int:
    """Run a Snakemake command in this folder, after a killed one's lock is removed; say what came out."""
    started = time.time()
    say(f"started on {socket.gethostname()}, process {os.getpid()}")
    try:
        refuse_held_lock()
    except UserError as error:
        print(f"error: {error}", flush=True)
        return 1
    if owner := release_stale_lock():
        say(f"{owner} was ended before it was done; its lock is removed and the run resumes")
    # Snakemake notes itself when its first job starts; killed before that, this note tells that its lock is stale.
    record_owner()
    code = driver.run(command) if not driver.told else STOPPED
    if driver.told:
        say("stopped")
        return STOPPED
    if code < 0:
        say(f"Snakemake was killed by signal {-code}; HTCondor starts the driver again")
        return AGAIN
    print("\n".join(failures(started)) if code else summary(), flush=True)
    say(f"ended with exit code {code}")
    return code


def forget_scratch() -> None:
    """Drop the variables that name HTCondor's scratch folder for this job, such as TMPDIR and APPTAINER_CACHEDIR.

    Snakemake hands some of them on to its jobs, on whose hosts there is no such folder; and it is gone with this job.
    """
    scratch = os.environ.get("_CONDOR_SCRATCH_DIR")
    for name in [name for name, value in os.environ.items() if scratch and value == scratch]:
        del os.environ[name]


def _print_to(log: Path) -> None:
    """Append all that this process and its children print to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


if __name__ == "__main__":
    sys.exit(main())
