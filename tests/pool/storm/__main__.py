"""Runs on a real pool with a fault every half minute: `make test-storm [MINUTES=20] [SEED=1]`.

Each run must end right (the bytes of a run without a pool) or with an error that says why, and none may hang. It prints
each fault and each end, then counts, and exits with 1 where a run hung, was wrong, or ended without saying why.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pool.pool import Pool
from tests.pool.harness import LOCAL, Project, SmallDisk, at_once, slow_models, wait_until
from tests.pool.storm.attempts import Attempt, Submitted
from tests.pool.storm.faults import Faults

MODELS: dict[str, object] = slow_models(seconds=10)
PAUSE = 30.0  # seconds from one fault to the next
HANG = 240.0  # seconds in which a run gets no further
LINGERS = 12.0  # seconds that a job which was given up may go on
LONGEST = 900.0  # seconds in which a run is over, whatever happens
DISK_MEGABYTES = 300
LAST_LINES = 60
FLAGS = re.DOTALL | re.MULTILINE

# What a run says where it ends with an error, each in words that tell what to do or what happened.
CLEAR = {
    "the shared folder was full": r"No space left on device|its disk is full, or was",
    "a job was removed at each attempt": r"was removed/aborted",
    "a job is gone from queue and history": r"is neither in the queue nor in the history",
    "the schedd did not answer in time": r"(could not be submitted|queue can't be looked through).*tried for",
    "HTCondor refused a job": r"HTCondor refuses the job",
    "a step said why": r"^error: ",
    "a job was held": r"held: .* \(hold code",
}


class Storm:
    """Runs, told to the one who watches, and counted, while faults are made."""

    def __init__(self, pool: Pool, seed: int, disk: SmallDisk | None) -> None:
        self.random = random.Random(seed)
        self.began = time.monotonic()
        folder = f"{disk.name}/storm" if disk else f"storm-{time.time_ns() // 10**9}"
        self.project = Project(pool, folder, models=MODELS)
        self.faults = Faults(pool, self.project, disk, self.random)
        self.counts: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.next_fault = 0.0

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"storm: {time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def harm(self, attempt: Attempt) -> None:
        """Make one fault at random."""
        kind = self.random.choice(self.faults.kinds())
        if what := kind(attempt):
            name = kind.__name__.replace("_", " ")
            self.made[name] += 1
            self.say(f"{name}: {what}")
            self.next_fault = time.monotonic() + PAUSE
        else:
            self.next_fault = time.monotonic() + 1

    def run(self, expected: dict[str, str], end: float) -> None:
        """Make one run, or one rerun of what the last one left undone."""
        began = moved = time.monotonic()
        kind = self.random.choice([Attempt, Submitted])
        self.say(kind.kind)
        attempt = kind(self.project)
        steps: list[str] = []
        while attempt.exit_code is None:
            now = time.monotonic()
            self.faults.repair()
            done = re.findall(r"\d+ of \d+ steps|is HTCondor job \d+", attempt.output)
            if done != steps:
                steps, moved = done, now
            if now - moved > HANG or now - began > LONGEST:
                self.hung(attempt)
                return
            if self.next_fault < now < end and now - began > 2:
                self.harm(attempt)
            time.sleep(0.5)
        self.judge(attempt, expected, time.monotonic() - began)

    def hung(self, attempt: Attempt) -> None:
        """Count a run that hangs, and show what there is to see."""
        self.counts["hangs"] += 1
        self.say(f"HANG, the last lines:\n{attempt.output[-4000:]}")
        print(self.project.shell("condor_q -all -nobatch").stdout, flush=True)
        self.project.end()

    def judge(self, attempt: Attempt, expected: dict[str, str], seconds: float) -> None:
        """Count how a run has ended."""
        # Python itself says so where a log can't be written: the disk is full.
        output = re.sub(r"--- Logging error ---\nTraceback .*?(?=^\S|\Z)", "", attempt.output, flags=FLAGS)
        told = attempt.on_full_disk and "No space left on device" in the_end(output)
        if "Traceback (most recent call last)" in output and not told:
            self.counts["unclear"] += 1
            self.say(f"UNCLEAR, a traceback:\n{output[-4000:]}")
        elif attempt.exit_code == 0:
            self.finished(expected, seconds, output)
        elif attempt.ended_by:
            self.counts[f"ended by {attempt.ended_by}"] += 1
            self.say(f"ended by {attempt.ended_by} after {seconds:.0f} s")
            if attempt.ended_by != "SIGKILL":
                self.check_queue()
        elif words := [name for name, pattern in CLEAR.items() if re.search(pattern, the_end(output), re.MULTILINE)]:
            self.counts["clear errors"] += 1
            self.errors[words[0]] += 1
            self.say(f"ended with a clear error after {seconds:.0f} s: {words[0]}")
        else:
            self.counts["unclear"] += 1
            self.say(f"UNCLEAR, exit code {attempt.exit_code}:\n{output[-4000:]}")

    def finished(self, expected: dict[str, str], seconds: float, output: str) -> None:
        """Compare what a run has made, and clear it away for the next one."""
        found = self.project.checksums()
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        self.counts["wrong" if wrong else "right"] += 1
        say = f"WRONG after {seconds:.0f} s: {', '.join(wrong)}:\n{output[-4000:]}"
        self.say(say if wrong else f"right after {seconds:.0f} s")
        self.check_queue()
        self.clear()

    def clear(self) -> None:
        """Remove all that runs have made."""
        for name in ("results", "deployed"):
            shutil.rmtree(self.project.path / name, ignore_errors=True)

    def check_queue(self) -> None:
        """See that a run that has ended leaves no job behind, as soon as the schedd answers."""

        def is_empty() -> bool:
            self.faults.repair()
            return self.project.shell("condor_q -totals").returncode == 0 and not self.project.queue()

        try:
            wait_until(is_empty, 120, "the queue is empty")
        except AssertionError:
            self.counts["jobs left behind"] += 1
            self.say(f"JOBS LEFT BEHIND: {[job['ClusterId'] for job in self.project.queue()]}")

    def overlaps(self) -> list[str]:
        """Return the trainings that went on while another process trained the same model, by what they note themselves.

        A job that is removed has some seconds to end, and so has one on a node that is cut off for longer than its
        lease but still has the shared folder (docs/pool.md).
        """
        pairs = at_once(self.project.trainings(), LINGERS)
        return [f"{a.model} on {a.host} and on {b.host}, for {min(a.seen, b.seen) - b.began:.0f} s" for a, b in pairs]

    def rage(self, minutes: float) -> int:
        """Run until the time is over; print the counts, and return the exit code."""
        self.say("the same work without a pool")
        done = self.project.run(command=LOCAL)
        assert done.returncode == 0, done.stdout[-3000:]
        expected = self.project.checksums()
        self.clear()
        end = time.monotonic() + 60 * minutes
        self.next_fault = time.monotonic() + 5
        while time.monotonic() < end:
            self.counts["runs"] += 1
            self.run(expected, end)
        self.faults.repair(everything=True)
        self.faults.hosts.heal()
        self.counts["strangers let in"], self.counts["strangers that failed"] = self.faults.strangers()
        overlaps = self.overlaps()
        self.counts["two at once"] = len(overlaps)
        self.say(f"{minutes:g} minutes are over")
        bad = ("hangs", "wrong", "unclear", "jobs left behind", "two at once")
        bad += ("strangers let in", "strangers that failed")
        ended = ("ended by SIGINT", "ended by SIGKILL", "ended by condor_rm")
        for name in ("runs", "right", *ended, "clear errors", *bad):
            print(f"{name:<22}{self.counts[name]:>5}")
        for title, counter in (("clear errors", self.errors), ("faults", self.made)):
            print(f"{title}: " + (", ".join(f"{name} {number}" for name, number in sorted(counter.items())) or "none"))
        if overlaps:
            print(f"ran two at once: {', '.join(overlaps)}")
        return 1 if any(self.counts[name] for name in bad) else 0


def the_end(output: str) -> str:
    """Return the last lines of what a run has printed: what ended it stands there, and not what it lived through."""
    return "\n".join(output.splitlines()[-LAST_LINES:])


def main() -> int:
    """Rage on a pool of its own, or on one that is up; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, help="for the same choices in the same order (default: the clock)")
    parser.add_argument("--pool", help="name of a pool that is up already, to be used and left up")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    pool = Pool(options.pool or f"storm-{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if not options.pool:
            stack.callback(pool.down)
        pool.up()
        pool.sync()
        disk = None
        if os.geteuid() == 0:
            disk = SmallDisk(pool, f"disk-{time.time_ns() // 10**9}", Path(folder) / "disk.ext4", DISK_MEGABYTES)
            stack.callback(disk.close)
        storm = Storm(pool, seed, disk)
        stack.callback(storm.project.end)
        stack.callback(storm.faults.repair, everything=True)
        storm.say(f"seed {seed}, {options.minutes:g} minutes")
        if disk is None:
            storm.say("you are not root, so the shared folder is never full")
        return storm.rage(options.minutes)


if __name__ == "__main__":
    sys.exit(main())
