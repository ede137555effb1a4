"""What the processes of a run have used, from the notes that meter/sitecustomize.py leaves, and what follows from it.

Snakemake's benchmark files can't say it. They do count children, but hold the last sample of /proc, taken twice a
second for 15 s and then every 30 s: a job of 44 s lacks up to 29 s of its CPU, and perhaps its peak. And they count
what reached the disk, where a file in the page cache counts nothing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# What did the work of one stage, of ours by rule, and of the old scripts by name.
STAGES = {
    "preprocess": ("divide", "preprocess"),
    "split": ("check", "split", "profile"),
    "train_lr": ("train_lr",),
    "train_dt": ("train_dt",),
    "evaluate": ("score", "evaluate", "evaluate_lr", "evaluate_dt"),
    "select": ("compare", "select", "select_best"),
    "predict": ("divide_application", "predict", "predict_share", "join", "predict_batch"),
}


@dataclass(frozen=True)
class Usage:
    """What one process has used; times in seconds (`started` and `ended` since the epoch), sizes in MB.

    `starter` is the CPU of the process that started it, until it ended: in a job of the pool, of Snakemake there.

    `read` and `written` are what went through system calls, from the page cache as well; what is mapped into memory
    isn't in it.
    """

    step: str
    started: float
    ended: float
    cpu: float
    peak: float
    read: float
    written: float
    starter: float

    @property
    def seconds(self) -> float:
        """From start to end."""
        return self.ended - self.started


@dataclass(frozen=True)
class Total:
    """What the jobs of one step, or of some, have used together: sums, but `peak` is the highest.

    `span` is the time from the first start to the last end.
    """

    jobs: int
    seconds: float
    span: float
    cpu: float
    peak: float
    read: float
    written: float


def read_usage(folder: Path) -> list[Usage]:
    """Return what is noted in a folder, in order of start."""
    noted = (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json"))
    found = [
        Usage(
            step_name(one["command"]),
            *(one[key] for key in ("started", "ended", "cpu", "peak_mb", "read_mb", "written_mb", "starter_cpu")),
        )
        for one in noted
    ]
    return sorted(found, key=lambda usage: usage.started)


def step_name(command: list[str]) -> str:
    """Return which step a process was: the rule, by the folder of its log, or the script's name.

    >>> step_name(["python", "-m", "scripts.step", "check", "--log", "results/logs/check/check.log", "--threads", "1"])
    'check'
    >>> step_name(["python", "split.py"])
    'split'
    """
    if "--log" in command:
        return Path(command[command.index("--log") + 1]).parts[2]
    return Path(next((word for word in command if word.endswith(".py")), command[0])).stem


def total(usages: Iterable[Usage]) -> Total:
    """Return what some processes have used together; nothing where there is none."""
    found = list(usages)
    return Total(
        jobs=len(found),
        seconds=sum(one.seconds for one in found),
        span=max((one.ended for one in found), default=0.0) - min((one.started for one in found), default=0.0),
        cpu=sum(one.cpu for one in found),
        peak=max((one.peak for one in found), default=0.0),
        read=sum(one.read for one in found),
        written=sum(one.written for one in found),
    )


def by_step(usages: Iterable[Usage]) -> dict[str, Total]:
    """Return the totals of the steps, in order of their first start."""
    groups: dict[str, list[Usage]] = {}
    for usage in usages:
        groups.setdefault(usage.step, []).append(usage)
    return {step: total(group) for step, group in groups.items()}


def of_stage(usages: Iterable[Usage], *stages: str) -> Total:
    """Return the total of one stage, or of some."""
    steps = {step for stage in stages for step in STAGES[stage]}
    return total(usage for usage in usages if usage.step in steps)


def nearest(sizes: Iterable[int], wanted: int) -> int:
    """Return the size that is nearest to the wanted one, by ratio.

    >>> nearest([200_000, 1_000_000, 20_000_000], 2_000_000)
    1000000
    """
    return min(sizes, key=lambda size: max(size / wanted, wanted / size))


def growth(cpu: Mapping[int, float], reference: int) -> float:
    """Return the CPU at the largest size by what it would be if it grew from the reference in step with the rows.

    >>> growth({2_000_000: 10.0, 20_000_000: 90.0}, 2_000_000)
    0.9
    """
    largest = max(cpu)
    return cpu[largest] / (cpu[reference] * largest / reference)


def line_through(cpu: Mapping[int, float]) -> tuple[float, float]:
    """Return what is spent however few the rows, and what each million rows adds, by the smallest and largest size.

    >>> line_through({1_000_000: 5.0, 3_000_000: 11.0})
    (2.0, 3.0)
    """
    small, large = min(cpu), max(cpu)
    each = (cpu[large] - cpu[small]) / (large - small) * 1e6
    return cpu[small] - each * small / 1e6, each
