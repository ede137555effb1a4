"""What can go wrong on a pool, made to happen: a fault returns what it harmed, or None where nothing can be harmed."""

import os
import random
import subprocess
import time
from collections.abc import Callable

from pool.pool import Done, Pool
from tests.pool.harness import Hosts, Project, SmallDisk
from tests.pool.storm.attempts import Attempt, Submitted

# Who has no key tries to see the slots, to read the queue and to remove all jobs.
STRANGER = """
timeout 15 condor_status -pool cm -af Machine | grep -q . && exit 42
timeout 15 condor_q -addr "$SCHEDD" -all -af Owner | grep -q . && exit 42
timeout 15 condor_rm -addr "$SCHEDD" -all && exit 42
exit 0
"""
LET_IN = 42


class Faults:
    """Faults, and their repair.

    Parameters
    ----------
    disk
        The file system that the project lies on; without one, it isn't filled.
    """

    def __init__(self, pool: Pool, project: Project, disk: SmallDisk | None, chance: random.Random) -> None:
        self.pool = pool
        self.project = project
        self.disk = disk
        self.hosts = Hosts(pool)
        self.random = chance
        self.broken: set[str] = set()
        self._repairs: list[tuple[float, Callable[[], object]]] = []
        self._strangers: list[subprocess.Popen[bytes]] = []

    def kinds(self) -> list[Callable[[Attempt], str | None]]:
        """Return all faults, in the order that a seed chooses from."""
        return [
            self.kill_node,
            self.cut_node,
            self.cut_manager,
            self.kill_schedd,
            self.stop_schedd,
            self.interrupt,
            self.kill_snakemake,
            self.remove_job,
            self.hold_job,
            self.starve_job,
            self.kill_step,
            self.fill_disk,
            self.log_out,
            self.reboot_access_point,
            self.send_stranger,
        ]

    # --- hosts ---

    def kill_node(self, attempt: Attempt) -> str | None:
        """Kill an execute node, and start it again after a quarter of a minute."""
        host = self._whole("ep1", "ep2")
        if host is None:
            return None
        self.hosts.kill(host)
        self._repair_after(15, host, lambda: self._start(host))
        return host

    def cut_node(self, attempt: Attempt) -> str | None:
        """Pull a node's network cable: for less or for longer than a job's lease."""
        host = self._whole("ep1", "ep2")
        if host is None:
            return None
        seconds = self.random.choice([10, 25, 80])
        self.hosts.link(host, "down")
        self._repair_after(seconds, host, lambda: self.hosts.link(host, "up"))
        return f"{host} for {seconds} s"

    def cut_manager(self, attempt: Attempt) -> str | None:
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

    def reboot_access_point(self, attempt: Attempt) -> str | None:
        """Kill all that runs on the access point, and start it again; a run in a terminal would be over."""
        if not isinstance(attempt, Submitted) or not attempt.driver or not self._whole("schedd"):
            return None
        self.hosts.kill("ap")
        self._start("ap")
        attempt.follow_again()
        return "ap"

    def _start(self, host: str) -> None:
        self.hosts.start(host)
        if self.disk:
            self.disk.mount(host)

    # --- daemons and drivers ---

    def kill_schedd(self, attempt: Attempt) -> str | None:
        """Kill the schedd; HTCondor's master starts it again."""
        return None if self._schedd("KILL").returncode else "ap"

    def stop_schedd(self, attempt: Attempt) -> str | None:
        """Let the schedd stand still for a while: it takes connections and doesn't answer."""
        if self._schedd("STOP").returncode:
            return None
        seconds = self.random.uniform(3, 12)
        self._repair_after(seconds, "schedd", lambda: self._schedd("CONT"))
        return f"ap for {seconds:.0f} s"

    def interrupt(self, attempt: Attempt) -> str | None:
        """Press Ctrl-C, or remove the driver's job."""
        return attempt.interrupt() if self._whole("schedd") else None

    def kill_snakemake(self, attempt: Attempt) -> str | None:
        """Kill Snakemake."""
        return attempt.kill()

    def log_out(self, attempt: Attempt) -> str | None:
        """Log out while a submitted driver runs."""
        return attempt.log_out() if isinstance(attempt, Submitted) else None

    def _schedd(self, signal: str) -> Done:
        return self.pool.execute("ap", "pkill", f"-{signal}", "-x", "condor_schedd")

    # --- jobs ---

    def remove_job(self, attempt: Attempt) -> str | None:
        """Remove a job, as a person does by mistake."""
        return self._job("JobStatus < 3", "condor_rm")

    def hold_job(self, attempt: Attempt) -> str | None:
        """Hold a job, and release it after a while."""
        held = self._job("JobStatus < 3", "condor_hold")
        if held:
            number = held.split()[0]
            self._repair_after(6, f"job {number}", lambda: self.project.shell(f"condor_release {number}"))
        return held

    def starve_job(self, attempt: Attempt) -> str | None:
        """Let a job have asked for less memory than it takes: the access point's policy holds it."""
        return self._job("JobStatus == 2", "condor_qedit", "RequestMemory 1")

    def kill_step(self, attempt: Attempt) -> str | None:
        """Kill a step on its node, as the kernel does that is out of memory."""
        host = self._whole("ep1", "ep2")
        if host is None or self.pool.execute(host, "pkill", "-KILL", "-o", "-f", "scripts.step").returncode:
            return None
        return host

    def _job(self, which: str, command: str, arguments: str = "") -> str | None:
        if "schedd" in self.broken or not (jobs := self.project.queue(which)):
            return None
        job = self.random.choice(jobs)
        done = self.project.shell(f"{command} {job['ClusterId']} {arguments}")
        return None if done.returncode else f"{job['ClusterId']} ({job['JobDescription']})"

    # --- the shared folder, and the network ---

    def fill_disk(self, attempt: Attempt) -> str | None:
        """Fill the shared folder, and make room again after a while."""
        if self.disk is None or not self._whole("disk"):
            return None
        seconds = self.random.choice([8, 60])
        attempt.on_full_disk = True
        self.disk.fill()
        self._repair_after(seconds, "disk", self.disk.free)
        return f"for {seconds} s"

    def send_stranger(self, attempt: Attempt) -> str | None:
        """Send someone without a key to the pool's doors."""
        told = self.pool.execute("ap", "condor_status", "-schedd", "-af", "MyAddress", user="submit")
        if told.returncode or not told.stdout.startswith("<"):
            return None
        engine = self.pool.engine
        name = f"{self.pool.name}-stranger-{len(self._strangers)}"
        options = ["--rm", "--name", name, "--network", f"{self.pool.project}_default", "--entrypoint", "sh"]
        options += ["-e", f"SCHEDD={told.stdout.strip()}"]
        command = [engine.command, "run", *options, self.pool.image, "-c", STRANGER]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._strangers.append(subprocess.Popen(command, env=os.environ | engine.environment, **quiet))
        return "with no key"

    def strangers(self) -> tuple[int, int]:
        """Return how many strangers were let in, and how many could not even try."""
        codes = [stranger.wait(90) for stranger in self._strangers]
        return codes.count(LET_IN), len([code for code in codes if code not in (0, LET_IN)])

    # --- repair ---

    def _whole(self, *parts: str) -> str | None:
        whole = [part for part in parts if part not in self.broken]
        return self.random.choice(whole) if whole else None

    def _repair_after(self, seconds: float, what: str, repair: Callable[[], object]) -> None:
        self.broken.add(what)

        def make_whole() -> None:
            repair()
            self.broken.discard(what)

        self._repairs.append((time.monotonic() + seconds, make_whole))

    def repair(self, everything: bool = False) -> None:
        """Make whole what is due, or all."""
        now = time.monotonic()
        due = [entry for entry in self._repairs if everything or entry[0] <= now]
        self._repairs = [entry for entry in self._repairs if entry not in due]
        for _, make_whole in due:
            make_whole()
