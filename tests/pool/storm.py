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
import time
from collections import Counter
from collections.abc import Callable

from pool.pool import Done, Pool
from tests.pool.harness import LOCAL, Hosts, Project, Run, boosting, wait_until

MODELS: dict[str, object] = {"lr": boosting(2500), "dt": boosting(2400)}
PAUSE = 30.0  # seconds from one fault to the next
HANG = 240.0  # seconds in which a run gets no further
VACATE = 6.0  # seconds that a job has to end, and some; see job_max_vacate_time in the profile
LONGEST = 900.0  # seconds in which a run is over, whatever happens

# What a run says where it ends with an error, each in words that tell what to do or what happened.
CLEAR = {
    "a job was removed at each attempt": r"was removed/aborted",
    "a job is gone from queue and history": r"is neither in the queue nor in the history",
    "the schedd did not answer in time": r"(could not be submitted|queue can't be looked through).*tried for",
    "HTCondor refused a job": r"HTCondor refuses the job",
    "a step said why": r"^error: ",
    "a job was held": r"held: .* \(hold code",
}


class Storm:
    """Faults and runs, told to the one who watches, and counted."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        self.hosts = Hosts(pool)
        self.random = random.Random(seed)
        self.began = time.monotonic()
        self.project = Project(pool, f"storm-{time.time_ns() // 10**9}", models=MODELS)
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.repairs: list[tuple[float, Callable[[], object]]] = []
        self.broken: set[str] = set()
        self.ended_by: str | None = None
        self.next_fault = 0.0

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"storm: {time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    # --- faults: each returns what it harmed, or None where there is nothing to harm at this moment ---

    def kill_node(self, run: Run) -> str | None:
        """Kill an execute node, and start it again after a quarter of a minute."""
        host = self._whole("ep1", "ep2")
        if host is None:
            return None
        self.hosts.kill(host)
        self._repair_after(15, host, lambda: self.hosts.start(host))
        return host

    def cut_node(self, run: Run) -> str | None:
        """Pull a node's network cable: for less or for longer than a job's lease."""
        host = self._whole("ep1", "ep2")
        if host is None:
            return None
        seconds = self.random.choice([10, 25, 80])
        self.hosts.link(host, "down")
        self._repair_after(seconds, host, lambda: self.hosts.link(host, "up"))
        return f"{host} for {seconds} s"

    def cut_manager(self, run: Run) -> str | None:
        """Kill the central manager's daemons and cut it off."""
        host = self._whole("cm")
        if host is None:
            return None
        seconds = self.random.uniform(10, 20)
        self.hosts.link(host, "down")
        for daemon in ("condor_collecto", "condor_negotiat"):  # 15 letters, as the kernel keeps names
            self.pool.execute(host, "pkill", "-KILL", "-x", daemon)
        self._repair_after(seconds, host, lambda: self.hosts.link(host, "up"))
        return f"{host} for {seconds:.0f} s"

    def kill_schedd(self, run: Run) -> str | None:
        """Kill the schedd; HTCondor's master starts it again."""
        return None if self._schedd("KILL").returncode else "ap"

    def stop_schedd(self, run: Run) -> str | None:
        """Let the schedd stand still for a while: it takes connections and doesn't answer."""
        if self._schedd("STOP").returncode:
            return None
        seconds = self.random.uniform(3, 12)
        self._repair_after(seconds, "schedd", lambda: self._schedd("CONT"))
        return f"ap for {seconds:.0f} s"

    def press_ctrl_c(self, run: Run) -> str | None:
        """Press Ctrl-C."""
        return self._signal(run, "INT")

    def kill_snakemake(self, run: Run) -> str | None:
        """Kill Snakemake."""
        return self._signal(run, "KILL")

    def remove_job(self, run: Run) -> str | None:
        """Remove a job, as a person does by mistake."""
        return self._job("condor_rm")

    def hold_job(self, run: Run) -> str | None:
        """Hold a job, and release it after a while."""
        held = self._job("condor_hold")
        if held:
            number = held.split()[0]
            self._repair_after(6, f"job {number}", lambda: self.project.shell(f"condor_release {number}"))
        return held

    def _schedd(self, signal: str) -> Done:
        return self.pool.execute("ap", "pkill", f"-{signal}", "-x", "condor_schedd")

    def _signal(self, run: Run, name: str) -> str | None:
        with contextlib.suppress(AssertionError, FileNotFoundError):  # it has just ended, or has hardly begun
            run.signal(name)
            self.ended_by = name
            return f"SIG{name}"
        return None

    def _job(self, command: str) -> str | None:
        if "schedd" in self.broken or not (jobs := self.project.queue("JobStatus < 3")):
            return None
        job = self.random.choice(jobs)
        done = self.project.shell(f"{command} {job['ClusterId']}")
        return None if done.returncode else f"{job['ClusterId']} ({job['JobDescription']})"

    def _whole(self, *hosts: str) -> str | None:
        whole = [host for host in hosts if host not in self.broken]
        return self.random.choice(whole) if whole else None

    def _repair_after(self, seconds: float, what: str, repair: Callable[[], object]) -> None:
        self.broken.add(what)

        def make_whole() -> None:
            repair()
            self.broken.discard(what)

        self.repairs.append((time.monotonic() + seconds, make_whole))

    def repair(self, everything: bool = False) -> None:
        """Make whole what is due, or all."""
        now = time.monotonic()
        due = [entry for entry in self.repairs if everything or entry[0] <= now]
        self.repairs = [entry for entry in self.repairs if entry not in due]
        for _, make_whole in due:
            make_whole()

    def harm(self, run: Run) -> None:
        """Make one fault at random."""
        kinds = (
            self.kill_node,
            self.cut_node,
            self.cut_manager,
            self.kill_schedd,
            self.stop_schedd,
            self.press_ctrl_c,
            self.kill_snakemake,
            self.remove_job,
            self.hold_job,
        )
        kind = self.random.choice(kinds)
        if what := kind(run):
            name = kind.__name__.replace("_", " ")
            self.faults[name] += 1
            self.say(f"{name}: {what}")
            self.next_fault = time.monotonic() + PAUSE
        else:
            self.next_fault = time.monotonic() + 1

    # --- runs ---

    def run(self, expected: dict[str, str], end: float) -> None:
        """Make one run, or one rerun of what the last one left undone."""
        began = moved = time.monotonic()
        self.ended_by = None
        run = self.project.start()
        steps: list[str] = []
        while run.process.poll() is None:
            now = time.monotonic()
            self.repair()
            done = re.findall(r"\d+ of \d+ steps|is HTCondor job \d+", run.output)
            if done != steps:
                steps, moved = done, now
            if now - moved > HANG or now - began > LONGEST:
                self.hung(run)
                return
            if self.next_fault < now < end and now - began > 2:
                self.harm(run)
            time.sleep(0.5)
        self.judge(run, expected, time.monotonic() - began)

    def hung(self, run: Run) -> None:
        """Count a run that hangs, and show what there is to see."""
        self.counts["hangs"] += 1
        self.say(f"HANG, the last lines:\n{run.output[-4000:]}")
        print(self.pool.execute("ap", "condor_q", "-all", "-nobatch", user="submit").stdout, flush=True)
        self.project.end()

    def judge(self, run: Run, expected: dict[str, str], seconds: float) -> None:
        """Count how a run has ended."""
        code, output = run.process.returncode, run.output
        if "Traceback (most recent call last)" in output:
            self.counts["unclear"] += 1
            self.say(f"UNCLEAR, a traceback:\n{output[-4000:]}")
        elif code == 0:
            self.finished(expected, seconds, output)
        elif self.ended_by:
            self.counts[f"ended by SIG{self.ended_by}"] += 1
            self.say(f"ended by SIG{self.ended_by} after {seconds:.0f} s")
            if self.ended_by == "INT":
                self.check_queue()
        elif words := [name for name, pattern in CLEAR.items() if re.search(pattern, output, re.MULTILINE)]:
            self.counts["clear errors"] += 1
            self.errors[words[0]] += 1
            self.say(f"ended with a clear error after {seconds:.0f} s: {words[0]}")
        else:
            self.counts["unclear"] += 1
            self.say(f"UNCLEAR, exit code {code}:\n{output[-4000:]}")

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
            self.repair()
            return self.project.shell("condor_q -totals").returncode == 0 and not self.project.queue()

        try:
            wait_until(is_empty, 120, "the queue is empty")
        except AssertionError:
            self.counts["jobs left behind"] += 1
            self.say(f"JOBS LEFT BEHIND: {[job['ClusterId'] for job in self.project.queue()]}")

    def overlaps(self) -> list[str]:
        """Return the jobs that ran, as the schedd knows it, while another one that makes the same files did.

        A job that is removed or held has some seconds to end, in which the next attempt may begin: that is no overlap.
        """
        found, ended = [], dict[str, tuple[float, object]]()
        for job in sorted(self.project.history("JobStartDate > 0"), key=lambda job: float(str(job["JobStartDate"]))):
            what, number = str(job["JobDescription"]), job["ClusterId"]
            until, earlier = ended.get(what, (0.0, None))
            seconds = until - float(str(job["JobStartDate"]))
            if seconds > VACATE:
                found.append(f"{number} ({what}) began {seconds:.0f} s before {earlier} had ended")
            ended[what] = (float(str(job["EnteredCurrentStatus"])), number)
        return found

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
        self.repair(everything=True)
        self.hosts.heal()
        overlaps = self.overlaps()
        self.counts["two at once"] = len(overlaps)
        self.say(f"{minutes:g} minutes are over")
        bad = ("hangs", "wrong", "unclear", "jobs left behind", "two at once")
        for name in ("runs", "right", "ended by SIGINT", "ended by SIGKILL", "clear errors", *bad):
            print(f"{name:<20}{self.counts[name]:>5}")
        for title, counter in (("clear errors", self.errors), ("faults", self.faults)):
            print(f"{title}: " + (", ".join(f"{name} {number}" for name, number in sorted(counter.items())) or "none"))
        if overlaps:
            print(f"ran two at once: {', '.join(overlaps)}")
        return 1 if any(self.counts[name] for name in bad) else 0


def main() -> int:
    """Rage on a pool of its own, or on one that is up; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, help="for the same choices in the same order (default: the clock)")
    parser.add_argument("--pool", help="name of a pool that is up already, to be used and left up")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    pool = Pool(options.pool or f"storm-{os.getpid()}")
    try:
        pool.up()
        pool.sync()
        storm = Storm(pool, seed)
        storm.say(f"seed {seed}, {options.minutes:g} minutes")
        try:
            return storm.rage(options.minutes)
        finally:
            storm.repair(everything=True)
            storm.project.end()
    finally:
        if not options.pool:
            pool.down()


if __name__ == "__main__":
    sys.exit(main())
