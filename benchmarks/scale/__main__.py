"""How CPU, memory and time grow with the rows, against whole-file pandas scripts. Run: make bench-scale.

For each number of rows, generate.py makes loans and a fifth as many applications. Ours is the workflow in a copy of the
checkout with the models lr and dt of config/examples/loan_data.yaml, from raw files to predictions; lr on scaled
numbers, as the old side has it, and dt with its limits, which the old side's has not. The old side is
benchmarks/dagman/steps, one script after another, each of which reads and writes whole CSV files, as one would write
them without a limit in mind. It predicts its test rows: as many as there are applications. It gets the same loans with
sound values where ours have some that can't be used, since it checks nothing; all that ours does more counts against
ours.

What each step has used is noted by the step's own process (usage.py says why not Snakemake's benchmark files). The CPU
of a whole run is that of the command and all its descendants (meter/timed.py): Snakemake itself is in it. On the pool,
jobs descend from no driver; there the steps are added, and Snakemake within each job, until the step ends. (HTCondor's
own count of a job looks at its processes from time to time, and misses most of a short one.)

The old side runs with one thread and with a limit of memory, as a job's slot has one (RLIMIT_AS); where one of its
scripts fails, its figures end there, and larger sizes aren't tried.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from benchmarks.scale.usage import (
    STAGES,
    Total,
    Usage,
    by_step,
    growth,
    line_through,
    nearest,
    of_stage,
    read_usage,
    total,
)
from pool.pool import CHECKOUT, ROOT, Pool
from scripts.shared.errors import UserError

HERE = Path(__file__).parent
OLD_STEPS = HERE.parent / "dagman" / "steps"
OLD = ("preprocess", "split", "train_lr", "train_dt", "evaluate_lr", "evaluate_dt", "select_best", "predict")
MODELS = ("lr", "dt")
REFERENCE = 2_000_000  # rows, at or near which the sides are compared
PARTITIONS, CORES = 4, (1, 2)  # of the runs that show what a second core brings
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HEADER = ("step", "jobs", "seconds", "CPU s", "peak MB", "read MB", "written MB")


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


# --- where it runs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command that has ended: exit code, makespan, CPU of it and all its descendants, and what it printed."""

    code: int
    seconds: float
    cpu: float
    output: str


class Here:
    """A scratch folder in the checkout, without HTCondor."""

    profile = "profiles/local"
    python = sys.executable

    def __init__(self, cores: int | None) -> None:
        self.folder = ROOT / ".bench"
        self.inside = str(self.folder)
        self.options = ["--cores", str(cores)] if cores else []

    def up(self) -> None:
        """Have the scratch folder."""
        self.folder.mkdir(exist_ok=True)

    def down(self) -> None:
        """Nothing runs on."""

    def run(self, folder: str, command: list[str], memory_mb: int = 0) -> Command:
        """Run a command in a folder of the scratch folder, with a limit of memory or none, and wait for it."""
        shutil.copy(HERE / "meter" / "timed.py", self.folder)
        timed = [self.python, f"{self.inside}/timed.py", f"{self.inside}/{folder}", str(memory_mb), *command]
        done = subprocess.run(
            [*self._start(), *timed],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        output, _, last = done.stdout.rstrip().rpartition("\n")
        try:
            used = json.loads(last)
        except ValueError:
            why = done.stdout.strip()[-600:] or f"it ended by itself or by a signal, with {done.returncode}"
            raise UserError(f"{shlex.join(command)} could not be timed: {why}") from None
        return Command(used["code"], used["seconds"], used["cpu"], output)

    def hand_over(self) -> None:
        """All files are this user's own."""

    def _start(self) -> list[str]:
        """The words before a command that bring it to where it runs."""
        return []

    def _environment(self) -> dict[str, str]:
        # A PYTHONPATH that holds the working folder would have Snakemake itself noted, as if it were a step.
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def cpu_of_jobs(self, usages: Iterable[Usage]) -> float:
        """Return the CPU of jobs that aren't children of the command."""
        del usages
        return 0.0


class OnPool(Here):
    """A pool in containers of its own: the workflow's jobs on its nodes, the old scripts on its access point."""

    profile = "profiles/htcondor"
    python = "/shared/environment/bin/python"

    def __init__(self) -> None:
        self.pool = Pool("bench-scale", 2)
        self.folder = self.pool.shared / "scale"
        self.inside = "/shared/scale"
        self.options = []

    def up(self) -> None:
        """Start the pool."""
        self.pool.up()
        self.folder.mkdir(exist_ok=True)

    def down(self) -> None:
        """Stop the pool, and remove what it left."""
        self.pool.down()

    def hand_over(self) -> None:
        """Give what was made here to the submitting user."""
        self.pool.execute("ap", "chown", "-R", "submit:submit", self.inside)

    def _start(self) -> list[str]:
        return [self.pool.engine.command, "exec", "-u", "submit", self.pool.container("ap")]

    def _environment(self) -> dict[str, str]:
        return os.environ | self.pool.engine.environment

    def cpu_of_jobs(self, usages: Iterable[Usage]) -> float:
        """Return the CPU of the steps, and of Snakemake within their jobs."""
        return sum(one.cpu + one.starter for one in usages)


# --- what is run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One side at one size."""

    command: Command
    usages: list[Usage]

    @property
    def cpu(self) -> float:
        """All of it: the steps, and whatever started them."""
        return self.command.cpu


class Bench:
    """Both sides at one size."""

    def __init__(self, place: Here, rows: int) -> None:
        self.place, self.rows = place, rows
        self.applications = max(1, rows // 5)
        self.files = place.folder / "data"
        self.project, self.old_folder = place.folder / "project", place.folder / "old"

    def generate(self) -> None:
        """Make the data, in processes of their own: what this one holds would count as its children's peak."""
        made = self.files / "rows"
        if made.exists() and made.read_text() == str(self.rows):
            return
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        for name, rows, *options in (
            ("loans", self.rows),
            ("sound", self.rows, "--valid"),
            ("applications", self.applications, "--applications", "--seed", "2", "--first-id", str(self.rows)),
        ):
            command = [sys.executable, "-m", "benchmarks.scale.generate", str(self.files / f"{name}.csv")]
            subprocess.run([*command, "--rows", str(rows), *options], cwd=ROOT, check=True)
        made.write_text(str(self.rows))

    def copy_project(self) -> None:
        """Copy the checkout into the scratch folder, with the meter in it."""
        shutil.rmtree(self.project, ignore_errors=True)
        self.project.mkdir()
        for name in CHECKOUT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, self.project / name)
        shutil.copy(HERE / "meter" / "sitecustomize.py", self.project)
        self.place.hand_over()
        self.place.run("project", [self.place.python, "-m", "compileall", "-q", "scripts"])  # as from the second run on

    def config(self, models: Iterable[str], applications: str, partition_mb: float | None = None) -> dict[str, Any]:
        """Return the config of a run."""
        config = yaml.safe_load((ROOT / "config" / "examples" / "loan_data.yaml").read_text(encoding="utf-8"))
        where = f"{self.place.inside}/data"
        config["data"] |= {"raw": f"{where}/loans.csv", "applications": f"{where}/{applications}.csv"}
        config["models"] = {name: config["models"][name] for name in models}
        if "lr" in models:
            config["models"]["lr"]["numeric"] = {"transform": "scale"}  # as the old side has it
        if partition_mb:
            config["partitions"] = {"mb": partition_mb}
        return dict(config)

    def ours(self, config: Mapping[str, Any], *options: str) -> Run:
        """Run the workflow.

        Raises
        ------
        UserError
            Where it fails.
        """
        (self.project / "bench.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        usage = fresh(self.project / "usage")
        self.place.hand_over()
        snakemake = [self.place.python, "-m", "snakemake", "--profile", self.place.profile]
        done = self.place.run("project", [*snakemake, "--configfile", "bench.yaml", *(options or self.place.options)])
        if done.code:
            raise UserError(f"the workflow failed at {self.rows:,} rows:\n{done.output[-3000:]}")
        usages = read_usage(usage)
        return Run(replace(done, cpu=done.cpu + self.place.cpu_of_jobs(usages)), usages)

    def forget(self) -> None:
        """Remove what runs have left, so that the next begins from nothing."""
        for name in ("results", "deployed", ".snakemake"):
            shutil.rmtree(self.project / name, ignore_errors=True)

    def old(self, memory_mb: int) -> tuple[Run, str]:
        """Run the old scripts until one fails; return what they used, and what failed (or nothing)."""
        folder = fresh(self.old_folder)
        usage = fresh(folder / "usage")
        shutil.copy(HERE / "meter" / "sitecustomize.py", folder)
        for step in OLD:
            shutil.copy(OLD_STEPS / f"{step}.py", folder)
        self.place.hand_over()
        settings = ["env", "PYTHONPATH=.", *(f"{name}=1" for name in THREADS)]
        seconds, cpu, usages = 0.0, 0.0, list[Usage]()
        for step in OLD:
            command = [*settings, self.place.python, f"{step}.py"]
            if step == "preprocess":
                command.append(f"{self.place.inside}/data/sound.csv")
            done = self.place.run("old", command, memory_mb)
            seconds, cpu = seconds + done.seconds, cpu + done.cpu
            if done.code:
                reason = done.output.strip().rpartition("\n")[2] or f"exit code {done.code}"
                return Run(Command(done.code, seconds, cpu, done.output), usages), f"{step}: {reason}"
            # A script ends with a sweep over all that its libraries made, after its note.
            usages += [replace(one, cpu=done.cpu) for one in read_usage(usage) if one.step == step]
        return Run(Command(0, seconds, cpu, ""), usages), ""

    def predict_rates(self) -> dict[str, float]:
        """Return the rows a second and core of each model: all loans, as applications, scored by it alone."""
        rates = {}
        for model in MODELS:
            run = self.ours(self.config([model], "loans"), "--forcerun", "select", *self.place.options)
            rates[model] = self.rows / of_stage(run.usages, "predict").cpu
        return rates

    def two_cores(self) -> dict[str, tuple[float, float]]:
        """Return the time of the partitions' jobs with one core and with two, by step."""
        mb = (self.files / "loans.csv").stat().st_size / PARTITIONS / 1e6 * 1.001
        spans: dict[str, list[float]] = {"preprocess": [], "predict_share": []}
        for cores in CORES:
            self.forget()
            run = self.ours(self.config(["dt"], "loans", mb), "--cores", str(cores))
            for step, found in spans.items():
                found.append(total(usage for usage in run.usages if usage.step == step).span)
        return {step: (found[0], found[1]) for step, found in spans.items()}


def fresh(folder: Path) -> Path:
    """Return a folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# --- what is printed ------------------------------------------------------------------------------------------------


def figures(name: str, used: Total) -> list[Any]:
    """Return a line of a table."""
    return [name, used.jobs, used.seconds, used.cpu, used.peak, used.read, used.written]


def table(title: str, run: Run, rest: str) -> None:
    """Print what each step has used, what is left of the CPU for whatever started them, and the whole."""
    whole = total(run.usages)
    lines = [figures(step, used) for step, used in by_step(run.usages).items()]
    lines.append([rest, None, None, run.cpu - whole.cpu, None, None, None])
    lines.append(["all", whole.jobs, run.command.seconds, run.cpu, whole.peak, whole.read, whole.written])
    say(f"\n{title}")
    say(tabulate(lines, HEADER, floatfmt=("", "", ".1f", ".1f", ".0f", ".0f", ".0f"), missingval="-"))


def compare(ours: Run, old: Run) -> None:
    """Print the ratios of the stages that the old side has come to."""
    lines = []
    for stage in STAGES:
        mine, theirs = of_stage(ours.usages, stage), of_stage(old.usages, stage)
        if theirs.jobs:
            lines.append([stage, mine.cpu, theirs.cpu, mine.cpu / theirs.cpu, mine.peak, theirs.peak])
    if old.command.code == 0:
        peaks = total(ours.usages).peak, total(old.usages).peak
        lines.append(["all", ours.cpu, old.cpu, ours.cpu / old.cpu, *peaks])
    say("\nours by theirs")
    header = ("stage", "our CPU s", "their CPU s", "ratio", "our peak MB", "their peak MB")
    say(tabulate(lines, header, floatfmt=("", ".1f", ".1f", ".2f", ".0f", ".0f")))


def measure(bench: Bench, memory_mb: int, with_old: bool) -> tuple[Run, Run | None]:
    """Measure both sides at one size, and print it; the old side is None where it was not tried or has failed."""
    bench.generate()
    bench.copy_project()
    megabytes = (bench.files / "loans.csv").stat().st_size / 1e6
    say(f"\n== {bench.rows:,} rows, {megabytes:,.0f} MB (load of this machine {os.getloadavg()[0]:.1f})")
    ours = bench.ours(bench.config(MODELS, "applications"))
    table("ours", ours, "Snakemake")
    cpu = of_stage(ours.usages, "preprocess", "split").cpu
    say(f"preprocess and split: {bench.rows / cpu:,.0f} rows a second and core")
    for model, rate in bench.predict_rates().items():
        say(f"predict by {model}, {bench.rows:,} rows: {rate:,.0f} rows a second and core")
    if not with_old:
        return ours, None
    old, failure = bench.old(memory_mb)
    table(f"old, with at most {memory_mb:,} MB", old, "what failed" if failure else "the rest")
    if failure:
        say(f"failed in {failure}")
    compare(ours, old)
    return ours, None if failure else old


def efficiency(bench: Bench) -> None:
    """Print what a second core brings to the steps that are divided."""
    bench.generate()
    bench.copy_project()
    say(f"\n{PARTITIONS} partitions of {bench.rows:,} rows (load of this machine {os.getloadavg()[0]:.1f})")
    for step, (one, two) in bench.two_cores().items():
        say(f"{step}: {one:.1f} s on one core, {two:.1f} s on two, parallel efficiency {one / two / 2:.2f}")


def growth_by_stage(ours: Mapping[int, Run]) -> None:
    """Print what each stage costs however few the rows, and for each million of them: the line through two sizes."""
    small, large = min(ours), max(ours)
    lines = []
    for stage in [*STAGES, "all"]:
        cpu = {n: ours[n].cpu if stage == "all" else of_stage(ours[n].usages, stage).cpu for n in (small, large)}
        lines.append([stage, *line_through(cpu)])
    say(f"\nour CPU as a line through {small:,} and {large:,} rows")
    say(tabulate(lines, ("stage", "s a run", "s for each million rows"), floatfmt=("", ".1f", ".2f")))


def conclude(ours: Mapping[int, Run], old: Mapping[int, Run]) -> None:
    """Print how ours grows, and the ratio of the sides at the size nearest to the reference."""
    cpu = {rows: run.cpu for rows, run in ours.items()}
    if len(cpu) > 1:
        growth_by_stage(ours)
    reference, largest = nearest(cpu, REFERENCE), max(cpu)
    if reference != largest:
        times = growth(cpu, reference)
        say(f"our CPU at {largest:,} rows, by that at {reference:,} grown in step with the rows: {times:.2f}")
    if old:
        rows = nearest(old, REFERENCE)
        say(f"\nat {rows:,} rows: old {old[rows].cpu:.1f} s of CPU, ours {cpu[rows]:.1f} s")
        say(f"ratio: {cpu[rows] / old[rows].cpu:.2f}")


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="CPU and memory by the rows")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, REFERENCE])
    parser.add_argument("--where", choices=["local", "pool"], default="local")
    parser.add_argument("--cores", type=int, help="of a local run (default: all)")
    parser.add_argument("--memory-mb", type=int, default=8_000, help="limit of the old side (default: 8000)")
    parser.add_argument("--no-old", action="store_true", help="ours alone")
    parser.add_argument("--no-efficiency", action="store_true", help="without the runs on one core and on two")
    parser.add_argument("--keep", action="store_true", help="leave data, results and pool")
    options = parser.parse_args()
    place = OnPool() if options.where == "pool" else Here(options.cores)
    ours: dict[int, Run] = {}
    old: dict[int, Run] = {}
    try:
        place.up()
        tried = not options.no_old
        for rows in sorted(options.rows):
            ours[rows], theirs = measure(Bench(place, rows), options.memory_mb, tried)
            if theirs:
                old[rows] = theirs
            tried = theirs is not None
        if options.where == "local" and not options.no_efficiency:
            efficiency(Bench(place, nearest(ours, REFERENCE)))
        conclude(ours, old)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            place.down()
            shutil.rmtree(place.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
