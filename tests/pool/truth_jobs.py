"""Real jobs that wait, and the ads by which a verdict on them is given."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping

import classad2 as classad

from pool.pool import Pool as Containers
from tests.pool.harness import literal, wait_until
from tests.truth_ads import Ad

PYTHON = "/shared/environment/bin/python"
READ = """
import sys, warnings
warnings.simplefilter("ignore")
import htcondor2
jobs, constraint = sys.argv[1] == "jobs", sys.argv[2]
found = htcondor2.Schedd().query(constraint) if jobs else htcondor2.Collector().query(htcondor2.AdTypes.Startd)
for ad in found:
    print(ad.printOld())
"""
# All by one process: condor_submit takes longer to start than to submit.
SUBMIT = """
import sys, warnings
warnings.simplefilter("ignore")
import htcondor2
schedd = htcondor2.Schedd()
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        schedd.submit(htcondor2.Submit(file.read()))
"""
# Submitted held, so that a verdict can be given before the negotiator gives its own.
DESCRIPTION = """
universe = vanilla
executable = EXECUTABLE
arguments = ARGUMENTS
initialdir = /tmp
hold = HOLD
requirements = REQUIREMENTS
"""
# What a description has words of its own for, or the access point sets.
WORDS = {"RequestCpus": "request_cpus", "RequestMemory": "request_memory", "RequestDisk": "request_disk"}
WORDS |= {"RequestGPUs": "request_gpus"}
SET_BY_HTCONDOR = {"MyType", "TargetType", "ClusterId", "ProcId", "AutoClusterId", "JobStatus", "JobUniverse"}
SET_BY_HTCONDOR |= {"Owner", "User", "FileSystemDomain", "ImageSize", "DiskUsage", "NiceUser", "Requirements"}


class Waiting:
    """Jobs of one test in the queue, named by numbers in their attribute TruthNumber."""

    def __init__(self, containers: Containers) -> None:
        self.pool = containers
        self.name = f"truth-{time.time_ns()}"
        self.folder = containers.shared / self.name
        self.folder.mkdir()
        self.ours = f"TruthTest == {literal(self.name)}"

    def submit(
        self, ads: Mapping[int, Ad], executable: str = "/bin/true", arguments: str = "", hold: bool = True
    ) -> None:
        """Submit jobs with these attributes and Requirements."""
        for number, ad in ads.items():
            text = DESCRIPTION.replace("EXECUTABLE", executable).replace("ARGUMENTS", arguments)
            text = text.replace("HOLD", str(hold)).replace("REQUIREMENTS", ad["Requirements"])
            for name, value in ad.items():
                if name not in SET_BY_HTCONDOR:
                    text += f"{WORDS.get(name, f'MY.{name}')} = {value}\n"
            text += f"MY.TruthTest = {literal(self.name)}\nMY.TruthNumber = {number}\nqueue\n"
            (self.folder / f"{number}.sub").write_text(text, encoding="utf-8")
        files = [f"/shared/{self.name}/{number}.sub" for number in ads]
        done = self.pool.execute("ap", PYTHON, "-c", SUBMIT, *files, user="submit")
        assert done.returncode == 0, done.stdout[-3000:]

    def release(self) -> None:
        """Let the negotiator see the jobs."""
        done = self.pool.execute("ap", "condor_release", "-constraint", self.ours, user="submit")
        assert done.returncode == 0, done.stdout

    def jobs(self, constraint: str = "true") -> dict[int, classad.ClassAd]:
        """Return the ads of the jobs that are in the queue, by their numbers."""
        return {int(ad["TruthNumber"]): ad for ad in self._ads("jobs", f"{self.ours} && ({constraint})")}

    def slots(self) -> list[classad.ClassAd]:
        """Return the ads of all slots."""
        return self._ads("slots", "true")

    def _ads(self, what: str, constraint: str) -> list[classad.ClassAd]:
        done = self.pool.execute("ap", PYTHON, "-c", READ, what, constraint, user="submit")
        assert done.returncode == 0, done.stdout[-3000:]
        return list(classad.parseAds(done.stdout, classad.ParserType.Old)) if done.stdout.strip() else []

    def idle(self, cycles: int, seconds: float) -> set[int]:
        """Return the jobs that are idle still when the negotiator has refused each of them so many times.

        Parameters
        ----------
        cycles
            Refusals that count: each within a second of its own, and after the last job has begun or ended.
        seconds
            How long that may take.
        """
        refused: dict[int, set[int]] = {}
        before: set[int] = set()

        def settled() -> bool:
            nonlocal before
            jobs = self.jobs()
            waiting = {number for number, ad in jobs.items() if ad["JobStatus"] == 1}
            if waiting != before or any(ad["JobStatus"] == 2 and "TruthBlocks" not in ad for ad in jobs.values()):
                refused.clear()
            before = waiting
            for number in waiting:
                if when := jobs[number].get("LastRejMatchTime"):
                    refused.setdefault(number, set()).add(int(when))
            return all(len(refused.get(number, ())) > cycles for number in waiting)

        wait_until(settled, seconds, f"each idle job is refused {cycles} times")
        return before

    def end(self) -> None:
        """Remove the jobs."""
        self.pool.execute("ap", "condor_rm", "-constraint", self.ours, user="submit")
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def configured(containers: Containers, hosts: Mapping[str, Ad]) -> Iterator[None]:
    """Give execute nodes attributes and a START of their own, for as long as this lasts."""
    path = "/etc/condor/config.d/91-truth.conf"
    try:
        for host, ad in hosts.items():
            lines = [f"{name} = {value}" for name, value in ad.items()]
            lines.append("STARTD_ATTRS = $(STARTD_ATTRS) " + " ".join(name for name in ad if name != "START"))
            text = "\n".join([*lines, ""])
            done = containers.execute(host, "sh", "-c", 'printf %s "$1" >"$2" && condor_reconfig', "sh", text, path)
            assert done.returncode == 0, done.stdout
        yield
    finally:
        for host in hosts:
            containers.execute(host, "sh", "-c", f"rm -f {path} && condor_reconfig")
