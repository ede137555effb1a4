"""Measures on the access point what questions cost its schedd (schedd_cost.py); prints JSON as its last line.

The CPU is the schedd's own and that of the processes that it starts to answer, from /proc. Each way has its turn in
each round, so that what else the schedd does, above all negotiation, counts for all alike.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import htcondor2 as htcondor
from snakemake_logger_plugin_htcondor.asker import Asker
from snakemake_logger_plugin_htcondor.jobs import within

JOBS, KINDS = 1000, 20  # of so many kinds, as many as are asked about at once
PERIOD, TURN, ROUNDS = 10.0, 20.0, 3  # seconds between two questions, and of a turn
BURST = 20
TOO_MUCH_MB = 1 << 24  # more memory than any slot has


def submit() -> list[int]:
    """Put jobs that can't run into the queue, described as the executor describes them; return their numbers."""
    schedd, folder = htcondor.Schedd(), Path.cwd()
    clusters = []
    for number in range(JOBS):
        rule = f"step_{number % KINDS}"
        description = {
            "executable": "/shared/environment/bin/python",
            "arguments": f"-m snakemake --snakefile {folder}/workflow/Snakefile --target-jobs {rule}:file={number}",
            "log": str(folder / "run.log"),
            "output": str(folder / f"logs/{rule}/{number}.htcondor-1.out"),
            "error": str(folder / f"logs/{rule}/{number}.htcondor-1.err"),
            "getenv": "False",
            "batch_name": f"snakemake/{rule}",
            "description": f"{rule}, file={number}",
            "+SnakemakeRule": f'"{rule}"',
            "+SnakemakeJobId": f'"{number}"',
            "+SnakemakeAttempt": "1",
            "+SnakemakeRun": '"20261125T080000-1-abcdef01"',
            "+SnakemakeFolder": f'"{folder}"',
            "request_cpus": "1",
            "request_memory": str(TOO_MUCH_MB + number % KINDS),
            "request_disk": "1024",
        }
        clusters.append(schedd.submit(htcondor.Submit(description)).cluster())
    return clusters


def schedd_pid() -> int:
    """Return the schedd's process: of several of this name, the others answer for it."""
    named = [path.parent for path in Path("/proc").glob("[0-9]*/comm") if _text(path).strip() == "condor_schedd"]
    pids = {int(path.name) for path in named}
    return next(int(path.name) for path in named if int(_stat(int(path.name))[1]) not in pids)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Return the CPU of a process and of its children that have ended."""
    return sum(int(field) for field in _stat(pid)[11:15]) / os.sysconf("SC_CLK_TCK")


def turn(pid: int, ask: Callable[[], object]) -> float:
    """Return the schedd's CPU over a turn, with something asked at each period."""
    began, before = time.monotonic(), cpu_seconds(pid)
    for number in range(int(TURN / PERIOD)):
        time.sleep(max(0.0, began + number * PERIOD - time.monotonic()))
        ask()
    time.sleep(max(0.0, began + TURN - time.monotonic()))
    return cpu_seconds(pid) - before


def burst(pid: int, ask: Callable[[], object], idle: float) -> float:
    """Return the schedd's CPU for one of many in a row, without what it uses anyway, `idle` of each second."""
    began, before = time.monotonic(), cpu_seconds(pid)
    for _ in range(BURST):
        ask()
    time.sleep(1)  # the last process that answered has ended, and counts
    return (cpu_seconds(pid) - before - idle * (time.monotonic() - began)) / BURST


def seconds(ask: Callable[[], object]) -> float:
    """Return the median time of an answer."""
    found = []
    for _ in range(5):
        began = time.monotonic()
        ask()
        found.append(time.monotonic() - began)
    return median(found)


def main() -> None:
    """Measure."""
    clusters = submit()
    asker, pid = Asker(), schedd_pid()
    constraint, asked = within(clusters), itertools.count()

    def question() -> Any:
        return asker.ask("queue", constraint=constraint)

    def condor_q() -> None:
        subprocess.run(["condor_q"], stdout=subprocess.DEVNULL, check=True)  # noqa: S607 - as the user would

    def diagnoses(kind: str = "") -> Any:
        kinds = [str(number) for number in clusters[:KINDS]]
        return asker.ask(
            "diagnoses",
            clusters=dict.fromkeys(kinds, 0),
            described=[],
            seen=[],
            negotiator="",
            seconds=asker.time_to_judge(),
            kinds=dict.fromkeys(kinds, kind),
        )

    def watching() -> None:
        """Ask as the plugin does while jobs wait: it knows their ads for a minute."""
        question()
        diagnoses()

    def jobs() -> Any:
        """Ask why, of jobs that have become another kind each time: the schedd is asked for their ads."""
        return diagnoses(f"kind {next(asked)}")

    time.sleep(30)  # the schedd has told the negotiator of all of them
    told = question()
    if len(told) != JOBS or any(ad["JobStatus"] != 1 for ad in told):
        sys.exit(f"{len(told)} of {JOBS} jobs are in the queue, or some are not idle")
    words = {found["word"] for found in diagnoses()["jobs"].values()}
    if words != {"NEVER"}:
        sys.exit(f"the jobs can run: {words}")
    ways: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "question": question,
        "watching": watching,
        "condor_q": condor_q,
    }
    cpu = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, ask in ways.items():
            cpu[name] += turn(pid, ask)
    idle = cpu["nothing"] / (ROUNDS * TURN)
    found = {
        "jobs": JOBS,
        "kinds": KINDS,
        "seconds": ROUNDS * TURN,
        "asked": ROUNDS * int(TURN / PERIOD),
        "burst": BURST,
        "bytes": len(json.dumps(told)),
        "question": seconds(question),
        "diagnoses": seconds(diagnoses),
        "cpu": cpu,
        "each": {
            name: burst(pid, ask, idle)
            for name, ask in {"question": question, "jobs": jobs, "condor_q": condor_q}.items()
        },
    }
    asker.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
