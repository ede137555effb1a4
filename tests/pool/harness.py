"""What the pool tests share: a project for each test, runs that go on beside the test, and the pool's ClassAds."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from pool.pool import CHECKOUT, ROOT, Pool
from scripts.shared.errors import UserError

SNAKEMAKE = "/shared/environment/bin/snakemake --profile htcondor"
LOCAL = "/shared/environment/bin/snakemake --profile profiles/local"
# Whoever waits names the seconds that it takes at most on a machine with nothing else to do; on a busy one it takes
# more. It costs nothing where all is well: nobody waits for longer than he must.
PATIENCE = 3
RESULTS = ("data", "metrics", "models", "predictions", "selection.json")

# Pulls the host's network cable, or puts it back: the address stays. IFF_UP is bit 0 of the flags, netdevice(7).
LINK = """
import fcntl, socket, struct, sys
probe, name = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), b"eth0"
flags = struct.unpack("16sh", fcntl.ioctl(probe, 0x8913, struct.pack("16sh", name, 0)))[1]
flags = flags | 1 if sys.argv[1] == "up" else flags & ~1
fcntl.ioctl(probe, 0x8914, struct.pack("16sh", name, flags))
"""


@contextlib.contextmanager
def running(pool: Pool, tests: str) -> Iterator[Pool]:
    """Start a pool for tests, with the project on it; take it down in the end, whatever happens."""
    try:
        why = ""
        try:
            pool.up()
            pool.sync()  # the profile's link on the access point leads there
        except UserError as error:
            why = f"the {tests} tests can't run: {error}"
        if why:
            cannot_run(why)
        yield pool
    finally:
        with contextlib.suppress(UserError):  # no engine: then there is nothing to take down, and the reason is told
            pool.down()


def cannot_run(why: str) -> NoReturn:
    """End the tests with a sentence; in one of several processes only the test, since pytest would lose it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail(why, pytrace=False)
    pytest.exit(why, returncode=1)


def wait_until(condition: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> object:
    """Return the first true answer; fail with what was waited for, told (or asked for) at the end.

    Parameters
    ----------
    seconds
        Before they are multiplied by `PATIENCE`.
    """
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"after {seconds} s: not {what if isinstance(what, str) else what()}")


def wait_until_no_slot_is_kept(pool: Pool) -> None:
    """Wait until no slot that an earlier job left waits for a next one, and the collector knows what is free again."""
    taken = "Cpus < TotalSlotCpus || Memory < TotalSlotMemory"
    ask = ["condor_status", "-constraint", f'SlotType == "Dynamic" || {taken}', "-af", "Name"]

    def all_free() -> bool:
        told = pool.execute("ap", *ask, user="submit")
        return told.returncode == 0 and not told.stdout.strip()

    wait_until(all_free, 60, "no slot is kept")


def literal(text: str) -> str:
    """Return a text as a ClassAd string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


DEPTHS = {"lr": 5, "dt": 6}


def slow_models(seconds: float = 6) -> dict[str, object]:
    """Two models whose training takes some seconds, sleeping; they differ in what they learn."""
    return {name: slow_tree(seconds, depth) for name, depth in DEPTHS.items()}


def slow_tree(seconds: float, max_depth: int) -> dict[str, object]:
    """A model's row in the config; `Project` copies the estimator's module."""
    params = {"seconds": seconds, "max_depth": max_depth}
    return {"estimator": "slow_estimator.SlowTree", "params": params, "complexity": max_depth}


@dataclass(frozen=True)
class Training:
    """One time that a slow model was trained, as its own process noted it.

    Attributes
    ----------
    host, pid
        Which process that was.
    began, seen
        Its first note and its last, a fifth of a second apart at most: seconds since the epoch.
    """

    model: str
    host: str
    pid: int
    began: float
    seen: float


def at_once(trainings: Iterable[Training], seconds: float = 0.0) -> list[tuple[Training, Training]]:
    """Return the pairs that trained one model at the same time, for more than so many seconds."""
    ordered = sorted(trainings, key=lambda training: training.began)
    pairs = itertools.combinations(ordered, 2)
    return [(a, b) for a, b in pairs if a.model == b.model and min(a.seen, b.seen) - b.began > seconds]


class Project:
    """A copy of the checkout on the shared folder, as a user has it, below /shared/NAME."""

    def __init__(self, pool: Pool, name: str, models: dict[str, object] | None = None) -> None:
        self.pool = pool
        self.path = pool.shared / name
        self.inside = f"/shared/{name}"
        shutil.rmtree(self.path, ignore_errors=True)  # of an earlier session, with --pool
        self.path.mkdir(parents=True)
        for entry in CHECKOUT:
            source = ROOT / entry
            if source.is_dir():
                shutil.copytree(source, self.path / entry, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, self.path / entry)
        shutil.copy2(Path(__file__).with_name("slow_estimator.py"), self.path)
        if models:
            self.configure(models=models)
        self.runs: list[Run] = []
        self.own()

    def own(self) -> None:
        """Hand the folder to the submitting user."""
        done = self.pool.execute(self.pool.files_host, "chown", "-R", "submit:submit", self.inside)
        assert done.returncode == 0, done.stdout

    def config(self) -> dict[str, Any]:
        """Return config/config.yaml."""
        config: dict[str, Any] = yaml.safe_load((self.path / "config" / "config.yaml").read_text())
        return config

    def configure(self, **changes: object) -> None:
        """Change keys of config/config.yaml at the top level."""
        (self.path / "config" / "config.yaml").write_text(yaml.safe_dump(self.config() | changes))

    def shell(self, line: str, user: str = "submit") -> subprocess.CompletedProcess[str]:
        """Run a shell line in the project on the access point."""
        return self.pool.execute("ap", "bash", "-c", f"cd {shlex.quote(self.inside)} && {line}", user=user)

    def run(self, arguments: str = "", command: str = SNAKEMAKE) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on the access point to its end; ten minutes mean that it hangs."""
        return self.shell(f"timeout -s INT 600 {command} {arguments}")

    def start(self, arguments: str = "", command: str = SNAKEMAKE) -> "Run":
        """Start Snakemake on the access point and go on."""
        self.runs.append(Run(self, f"{command} {arguments}"))
        return self.runs[-1]

    def both_train(self) -> None:
        """Wait until both models are being trained, by jobs that the schedd knows to run."""
        wait_until(lambda: len(self.trainings()) == 2 and len(self.running()) == 2, 90, "both models train")

    def training(self) -> dict[str, Any]:
        """Wait until the job that trains lr runs, and return its ClassAd."""
        found: list[dict[str, Any]] = []
        wait_until(lambda: found.extend(self.running("train_lr")) or found, 60, "lr trains")
        return found[0]

    def patched(self, code: str) -> str:
        """Return the line that starts Snakemake with Python code that runs before it, on the access point alone."""
        folder = self.path / "patches"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code)
        return f"env PYTHONPATH={shlex.quote(self.inside)}/patches {SNAKEMAKE}"

    def end(self) -> None:
        """End what a failed test has left running, and remove its jobs."""
        for run in self.runs:
            if run.process.poll() is None:
                run.signal("KILL")
                run.wait(20)
        folder = literal(self.inside)
        self.pool.execute(
            "ap", "condor_rm", "-constraint", f"SnakemakeWorkdir == {folder} || Iwd == {folder}", user="submit"
        )

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each file of data, metrics, models and predictions."""
        results = self.path / "results"
        found = [p for name in RESULTS for p in [results / name, *(results / name).rglob("*")] if p.is_file()]
        return {str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}

    def train_for(self, seconds: float) -> None:
        """Have each training take another time than its parameters say, also one that has begun: 0 ends it.

        So a fault finds its job at work however slow the machine is, and nobody waits for what is left of it.
        """
        new = self.path / ".seconds"
        new.write_text(str(seconds))
        new.rename(self.path / "seconds")

    def trainings(self) -> list[Training]:
        """Return each time that one of the slow models was trained here."""
        names = {depth: name for name, depth in DEPTHS.items()}
        found = []
        for file in sorted((self.path / "trainings").glob("*")):
            depth, host, pid, _ = file.name.split()
            # Half a line, or none, is what a full disk takes.
            times = [float(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if not times:
                continue
            found.append(Training(names[int(depth)], host, int(pid), times[0], times[-1]))
        return found

    def queue(self, constraint: str = "true") -> list[dict[str, object]]:
        """Return the ClassAds of this project's jobs that are in the queue."""
        return self._ads("condor_q", "-all", constraint)

    def history(self, constraint: str = "true") -> list[dict[str, object]]:
        """Return the ClassAds of this project's jobs that have left the queue, oldest first."""
        return self._ads("condor_history", "", constraint)[::-1]

    def _ads(self, command: str, option: str, constraint: str) -> list[dict[str, object]]:
        own = f"SnakemakeWorkdir == {literal(self.inside)}"
        words = [command, *([option] if option else []), "-json", "-constraint", f"{own} && ({constraint})"]
        done = self.pool.execute("ap", *words, user="submit")
        if done.returncode:
            return []  # the schedd is being restarted
        return json.loads(done.stdout) if done.stdout.strip().startswith("[") else []

    def running(self, rule: str = "") -> list[dict[str, object]]:
        """Return the jobs that run on a node, of one rule or of all."""
        return self.queue("JobStatus == 2" + (f' && SnakemakeRule == "{rule}"' if rule else ""))


class Run:
    """Snakemake on the access point, beside the test; what it prints is in `output`."""

    def __init__(self, project: Project, line: str) -> None:
        self.project = project
        # Not in the project's folder, whose disk may be full: a terminal never is.
        self.file = project.pool.shared / f"run-{time.monotonic_ns()}.txt"
        said = f"/shared/{self.file.name}"
        shell = f"cd {shlex.quote(project.inside)} && echo $$ >{said}.pid && exec {line} >{said} 2>&1"
        engine, container = project.pool.engine, project.pool.container("ap")
        command = [engine.command, "exec", "-u", "submit", container, "bash", "-c", shell]
        self.process = subprocess.Popen(command, env=os.environ | engine.environment)

    @property
    def output(self) -> str:
        """What Snakemake has printed so far."""
        return self.file.read_text(errors="replace") if self.file.exists() else ""

    def signal(self, name: str) -> None:
        """Send a signal to Snakemake."""
        pid = Path(f"{self.file}.pid").read_text().strip()
        done = self.project.pool.execute("ap", "kill", f"-{name}", pid)
        assert done.returncode == 0, done.stdout

    def wait(self, seconds: float = 110) -> int:
        """Wait until Snakemake ends, as `wait_until` does; return its exit code."""
        seconds *= PATIENCE
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the run did not end in {seconds} s:\n{self.output[-3000:]}") from None

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Wait until Snakemake has printed what a pattern matches."""
        wait_until(
            lambda: re.search(pattern, self.output),
            seconds,
            lambda: f"printed {pattern!r}:\n{self.output[-2000:]}",  # what it has printed by then
        )


class Hosts:
    """The pool's hosts, to be harmed."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def kill(self, host: str) -> None:
        """Kill all that runs on a host, as a power cut does."""
        done = self.pool.engine.run("kill", self.pool.container(host))
        assert done.returncode == 0, done.stdout

    def start(self, host: str) -> None:
        """Start a host that was killed."""
        done = self.pool.engine.run("start", self.pool.container(host))
        assert done.returncode == 0, done.stdout

    def link(self, host: str, state: str) -> None:
        """Pull a host's network cable ("down"), or put it back ("up")."""
        container = self.pool.container(host)
        done = self.pool.engine.run("exec", "--privileged", container, "python3", "-c", LINK, state)
        assert done.returncode == 0, done.stdout

    def heal(self) -> None:
        """Make all hosts whole again, and wait until both nodes have told the pool so."""
        for host in self.pool.hosts:
            running = self.pool.engine.run("inspect", "-f", "{{.State.Running}}", self.pool.container(host))
            if running.stdout.strip() == "true":
                self.link(host, "up")
            else:
                self.start(host)
        healed = time.time()

        def fresh() -> bool:
            told = self.pool.execute("ap", "condor_status", "-af", "Machine", "LastHeardFrom", user="submit")
            if told.returncode:
                return False
            lines = [line.split() for line in told.stdout.splitlines()]
            return {words[0] for words in lines if len(words) == 2 and int(words[1]) > healed} >= {"ep1", "ep2"}

        wait_until(fresh, 90, "both nodes are in the pool again")


class SmallDisk:
    """A folder below the shared one, on a file system of its own that can be filled: the same on every host.

    Needs root, for the loop device and to mount it in containers.

    Parameters
    ----------
    image
        Where the file system lies on this machine.
    """

    def __init__(self, pool: Pool, name: str, image: Path, megabytes: int) -> None:
        self.pool = pool
        self.name = name
        self.folder = pool.shared / name
        self.folder.mkdir()
        self.ballast = self.folder / "ballast"
        self.hosts = [host for host in pool.hosts if host != "cm"]
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        self._call("mkfs.ext4", "-q", str(image))
        self.device = self._call("losetup", "--find", "--show", str(image))
        try:
            self._call("mount", self.device, str(self.folder))
            for host in self.hosts:
                self.mount(host)
        except BaseException:
            self.close()
            raise

    def mount(self, host: str) -> None:
        """Mount it on a host; a host that has been started anew has lost it."""
        minor = os.minor(Path(self.device).stat().st_rdev)
        inside = f"/shared/{self.name}"
        script = f"rm -f /run/small; mknod /run/small b 7 {minor}; mountpoint -q {inside} || mount /run/small {inside}"
        self._call(*self._within(host), script)

    def fill(self, left: int = 0) -> None:
        """Take all that is left, to the last block; or leave so many bytes for users."""
        file = os.open(self.ballast, os.O_WRONLY | os.O_CREAT)
        for size in (1 << 20, 1 << 10):
            with contextlib.suppress(OSError):
                while os.write(file, bytes(size)):
                    pass
        while self.left < left:  # some of what is given back is for root alone
            os.truncate(file, os.fstat(file).st_size - (4 << 10))
        os.close(file)
        assert self.left <= left + (8 << 10)

    @property
    def left(self) -> int:
        """How many bytes users may still write."""
        now = os.statvfs(self.folder)
        return now.f_bavail * now.f_frsize

    def free(self) -> None:
        """Give it back."""
        self.ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it everywhere."""
        script = f"umount -l /shared/{self.name}; rm -f /run/small"
        for host in self.hosts:
            subprocess.run([*self._within(host), script], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)
        subprocess.run(["losetup", "-d", self.device], check=False)

    def _within(self, host: str) -> list[str]:
        """The start of a command within a host's own mounts."""
        pid = self.pool.engine.run("inspect", "-f", "{{.State.Pid}}", self.pool.container(host)).stdout.strip()
        return ["nsenter", "-t", pid, "-m", "-p", "sh", "-c"]

    @staticmethod
    def _call(*words: str) -> str:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"
        return done.stdout.strip()


def node_of(job: dict[str, object]) -> str:
    """Return the host that a running job is on."""
    return str(job["RemoteHost"]).partition("@")[2].split(".")[0]
