"""Our workflow against the same eight steps under DAGMan, on one pool and the same 58,645 rows. Run: make bench-dagman.

DAGMan runs steps/: eight scripts, eight submit files and a DAG, written by hand as one would without Snakemake. Ours is
``snakemake --profile htcondor`` with config/examples/loan_data.yaml, restricted to the models lr and dt and one file of
applications (as many rows as a test set has): all that the workflow does, rejects, metrics and checks included. DAGMan
mostly waits, ours mostly computes: other load on the machine, which is printed, counts against ours.

Both run in turn, three times each, each from a clean folder and with no claimed slot left of the other. A makespan is
the time of the command: ``condor_submit_dag`` until ``condor_wait`` sees the DAG done, and ``snakemake`` until it ends.
timeline.py says where the figures of each job are from. Then 200 jobs that each make an empty file, for the cost of a
job itself: the makespan by the number of jobs.

DAGMan and the pool are as HTCondor sets them but for pool/condor/, which holds for both sides; its one-second
negotiation helps DAGMan, too. The settings of DAGMan that matter are printed.

LOAN_DATA_DIR names the folder that holds loan_data.csv.
"""

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.dagman.timeline import (
    LOG_AFTER,
    OUR_PARENTS,
    STRETCHES,
    Job,
    Parents,
    explain,
    read_events,
    read_nodes,
    read_parents,
)
from pool.pool import PROJECT, ROOT, Pool
from scripts.shared.errors import UserError

HERE = Path(__file__).parent
ROUNDS, SMALL_JOBS, GROUP = 3, 200, 50
MODELS = ("lr", "dt")
SETTINGS = (
    "DAGMAN_USER_LOG_SCAN_INTERVAL",
    "DAGMAN_SUBMIT_DELAY",
    "DAGMAN_MAX_SUBMITS_PER_INTERVAL",
    "DAGMAN_MAX_JOBS_IDLE",
    "DAGMAN_HOLD_CLAIM_TIME",
    "DAGMAN_USE_DIRECT_SUBMIT",
    "SCHEDD_INTERVAL",
    "NEGOTIATOR_INTERVAL",
)
FINISHED = re.compile(r"^Finished jobid: (\d+) ")
SNAKEMAKE = "exec /shared/environment/bin/snakemake --profile htcondor"


def dag_command(name: str) -> str:
    """Return the line that runs a DAG and waits for its end."""
    return f"cd /shared/bench/{name} && condor_submit_dag {name}.dag && condor_wait {name}.dag.dagman.log"


@dataclass
class Run:
    """A command on the access point: when it started and ended, and its lines with the time at which each came."""

    started: float
    ended: float
    lines: list[tuple[float, str]]

    @property
    def seconds(self) -> float:
        """The makespan."""
        return self.ended - self.started


class Bench:
    """Both sides on one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.folder = pool.shared / "bench"
        self.project = pool.shared / "project"

    def prepare(self, data: Path) -> None:
        """Put data, project and config onto the shared folder."""
        self.pool.sync()
        target = self.pool.shared / "data"
        target.mkdir(exist_ok=True)
        shutil.copy(data, target / "loan_data.csv")
        with data.open(encoding="utf-8", newline="") as file:
            rows = [row[:-1] for row in csv.reader(file)]  # the outcome stands last, and applications have none
        with (target / "applications.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([rows[0], *rows[1::5]])
        config = yaml.safe_load((ROOT / "config" / "examples" / "loan_data.yaml").read_text(encoding="utf-8"))
        config["data"] |= {"raw": "/shared/data/loan_data.csv", "applications": "/shared/data/applications.csv"}
        config["models"] = {name: config["models"][name] for name in MODELS}
        (self.project / "bench.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    # --- running ---

    def on_access_point(self, script: str) -> Run:
        """Run a shell line as the submitting user, and stamp each line that it prints."""
        command = [self.pool.engine.command, "exec", "-u", "submit", self.pool.container("ap"), "bash", "-c", script]
        started = time.time()
        with subprocess.Popen(
            command,
            env=os.environ | self.pool.engine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101  (for the type checker)
            lines = [(time.time(), line.rstrip("\n")) for line in process.stdout]
        ended = time.time()
        if process.returncode:
            end = "\n".join(line for _, line in lines[-20:])
            raise UserError(f"on the access point, a command failed ({script.splitlines()[0]}):\n{end}")
        return Run(started, ended, lines)

    def fresh_folder(self, name: str) -> Path:
        """Return an empty folder for a run, below the shared one."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def hand_over(self) -> None:
        """Give what was made here to the submitting user."""
        self.pool.execute("ap", "chown", "-R", "submit:submit", "/shared/bench")

    def wait_for_free_slots(self) -> None:
        """Wait until no slot is claimed, so that no run finds a claim that an earlier one left."""
        while self.pool.execute("ap", "condor_status", "-claimed", "-af", "Name", user="submit").stdout.strip():
            time.sleep(1)

    # --- the eight steps ---

    def dagman(self) -> tuple[Run, list[Job]]:
        """Run the DAG of hand-written submit files."""
        folder = self.fresh_folder("loan")
        for file in (HERE / "steps").iterdir():
            if file.is_file():
                shutil.copy(file, folder)
        self.hand_over()
        self.wait_for_free_slots()
        run = self.on_access_point(dag_command("loan"))
        log = folder / "loan.dag.nodes.log"
        nodes = read_nodes(log)
        if not (folder / "predictions.csv").exists():
            raise UserError(f"DAGMan's run left no predictions; see {folder}/loan.dag.dagman.out")
        return run, [Job.at(nodes[cluster], times) for cluster, times in read_events(log).items()]

    def ours(self) -> tuple[Run, list[Job]]:
        """Run the workflow."""
        self.pool.execute("ap", "bash", "-c", f"cd {PROJECT} && rm -rf results deployed .snakemake")
        self.wait_for_free_slots()
        run = self.on_access_point(f"cd {PROJECT} && {SNAKEMAKE} --configfile bench.yaml")
        return run, self.read_jobs(run)

    def read_jobs(self, run: Run) -> list[Job]:
        """Return our jobs' times, from what timeline.py names; the queue's history says which job is which rule's."""
        attributes = "ClusterId,SnakemakeJobId,JobDescription,Iwd,UserLog"
        query = f"condor_history -constraint 'QDate >= {int(run.started)}' -attributes {attributes} -json"
        done = self.pool.execute("ap", "bash", "-c", query, user="submit")
        finished = {}
        for moment, line in run.lines:
            if match := FINISHED.match(line):
                finished[match[1]] = moment
        jobs = []
        for entry in json.loads(done.stdout):
            rule, _, wildcard = entry["JobDescription"].partition(", ")
            wildcard = wildcard.partition("=")[2]
            log = self.pool.shared / (Path(entry["Iwd"]) / entry["UserLog"]).relative_to("/shared")
            name = f"{rule}_{wildcard}" if rule == "evaluate" else rule
            job = Job.at(name, read_events(log)[entry["ClusterId"]])
            stem = f"{rule}/{wildcard or rule}"
            born = self.pool.execute("ap", "stat", "--format=%.W", f"{PROJECT}/results/logs/{stem}.log")
            benchmark = (self.project / f"results/benchmarks/{stem}.tsv").read_text(encoding="utf-8").splitlines()
            job.step_start = float(born.stdout) - LOG_AFTER
            job.step_end = job.step_start + float(benchmark[1].split("\t")[0])
            job.noticed = finished[entry["SnakemakeJobId"]]
            jobs.append(job)
        return jobs

    # --- many small jobs ---

    def small_dagman(self) -> Run:
        """Run a DAG of small jobs, one submit file for all."""
        folder = self.fresh_folder("small")
        shutil.copy(HERE / "small" / "touch.sub", folder)
        lines = (f'JOB n{n} touch.sub\nVARS n{n} number="{n}"\n' for n in range(SMALL_JOBS))
        (folder / "small.dag").write_text("".join(lines), encoding="utf-8")
        self.hand_over()
        self.wait_for_free_slots()
        run = self.on_access_point(dag_command("small"))
        self.check_small(folder)
        return run

    def small_ours(self, options: str) -> Run:
        """Run the same small jobs under our profile."""
        folder = self.fresh_folder("small")
        shutil.copy(HERE / "small" / "Snakefile", folder)
        self.hand_over()
        self.wait_for_free_slots()
        run = self.on_access_point(f"cd /shared/bench/small && {SNAKEMAKE} --config jobs={SMALL_JOBS} {options}")
        self.check_small(folder / "small")
        return run

    def check_small(self, folder: Path) -> None:
        """Raise UserError unless each job left its file."""
        found = len(list(folder.glob("*.txt")))
        if found != SMALL_JOBS:
            raise UserError(f"{found} of {SMALL_JOBS} small jobs left their file in {folder}")


# --- what is printed ----------------------------------------------------------------------------------------------


def table(jobs: list[Job], family: Parents, run: Run, title: str) -> None:
    """Print each job's stretches, in order of submission, and their sums along the critical path."""
    path, rest = explain(jobs, family, run.started, run.ended)
    print(f"\n{title}: {run.seconds:.1f} s; seconds of each job (* on the critical path)")
    print(f"{'':14}" + "".join(f"{name:>12}" for name in STRETCHES))
    for job in sorted(jobs, key=lambda job: job.submit):
        mark = "* " if job in path else "  "
        print(f"{mark}{job.name:12}" + "".join(f"{job.stretches[name]:12.2f}" for name in STRETCHES))
    sums = [sum(job.stretches[name] for job in path) for name in STRETCHES]
    print(f"{'sum of *':14}" + "".join(f"{seconds:12.2f}" for seconds in sums))
    print(f"and from the last job's end to the end of the command: {rest:.2f}")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def compare(bench: Bench, rounds: int) -> tuple[float, float]:
    """Run both sides in turn; return the median makespans, DAGMan's and ours."""
    sides: dict[str, list[tuple[Run, list[Job]]]] = {"DAGMan": [], "ours": []}
    for number in range(rounds):
        for name, side in (("DAGMan", bench.dagman), ("ours", bench.ours)):
            sides[name].append(side())
            seconds = sides[name][-1][0].seconds
            say(f"round {number + 1}: {name} {seconds:.1f} s (load of this machine {os.getloadavg()[0]:.1f})")
    medians = []
    for name, runs in sides.items():
        middle = sorted(runs, key=lambda result: result[0].seconds)[len(runs) // 2]
        family = OUR_PARENTS if name == "ours" else read_parents(HERE / "steps" / "loan.dag")
        table(middle[1], family, middle[0], f"{name}, the run of the median")
        medians.append(statistics.median(run.seconds for run, _ in runs))
    return medians[0], medians[1]


def compare_small(bench: Bench) -> None:
    """Print the cost of a small job on both sides."""
    say(f"\n{SMALL_JOBS} small jobs on the pool's four slots")
    dagman = bench.small_dagman().seconds
    ours = bench.small_ours("").seconds
    grouped = bench.small_ours(f"--groups touch=small --group-components small={GROUP} --cores 1").seconds
    for name, seconds in (("DAGMan", dagman), ("ours", ours), (f"ours in groups of {GROUP}", grouped)):
        say(f"{name:24}{seconds:7.1f} s, {seconds / SMALL_JOBS:.2f} s a job, ratio {seconds / dagman:.2f}")


def find_data() -> Path:
    """Return loan_data.csv.

    Raises
    ------
    UserError
        Where LOAN_DATA_DIR doesn't say where it is.
    """
    folder = os.environ.get("LOAN_DATA_DIR")
    if not folder:
        raise UserError("LOAN_DATA_DIR is not set; set it to the folder that holds loan_data.csv and run again")
    data = Path(folder) / "loan_data.csv"
    if not data.exists():
        raise UserError(f"LOAN_DATA_DIR is {folder}, and there is no loan_data.csv in it")
    return data


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dagman", description="our workflow against DAGMan")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-small", action="store_true", help="without the small jobs")
    parser.add_argument("--keep", action="store_true", help="leave the pool running")
    options = parser.parse_args()
    try:
        data = find_data()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    pool = Pool("bench-dagman", 2)
    try:
        pool.up()
        bench = Bench(pool)
        bench.prepare(data)
        values = pool.execute("ap", "condor_config_val", *SETTINGS).stdout.split()
        say("settings: " + ", ".join(f"{name} {value}" for name, value in zip(SETTINGS, values, strict=True)))
        dagman, ours = compare(bench, options.rounds)
        if not options.no_small:
            compare_small(bench)
        say(f"\nDAGMan {dagman:.1f} s, ours {ours:.1f} s\nratio: {ours / dagman:.2f}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            pool.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
