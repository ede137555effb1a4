"""When what happened to the jobs of one run, and where the time went: HTCondor's event log is the clock.

The pool's event logs tell fractions of a second, in UTC (pool/condor/20-submit.conf). For a job of ours, the stretches
from one event to the next are

- ``submission``: all that it waited for was seen to be done → the job's submit event (for the first job: from the
  start of the command, so that Snakemake's own start, its DAG included, is in it);
- ``match``: submit → execute event;
- ``job start``: execute event → the step starts. That is Python and Snakemake within the job. The step's start is the
  birth of its log file, less ``LOG_AFTER`` (the step opens its log first of all);
- ``work``: the step itself, imports included: the seconds in Snakemake's benchmark file;
- ``job end``: the step's end → terminated event;
- ``noticing``: terminated event → Snakemake's line "Finished jobid", stamped when it arrives here.

For DAGMan ``work`` is execute → terminated event, and ``submission`` holds all of DAGMan's own waiting: its noticing
that jobs ended is not told apart from its submitting the next.
"""

import itertools
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

Parents = dict[str, tuple[str, ...]]
EVENT = re.compile(r"^(000|001|005) \((\d+)\.000\.000\) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)Z ", re.MULTILINE)
EVENT_NAMES = {"000": "submit", "001": "execute", "005": "terminated"}
NODE = re.compile(r"^000 \((\d+)\..*\n    DAG Node: (\S+)", re.MULTILINE)
OUR_PARENTS: Parents = {
    "preprocess": (),
    "split": ("preprocess",),
    "train_lr": ("split",),
    "train_dt": ("split",),
    "evaluate_lr": ("train_lr",),
    "evaluate_dt": ("train_dt",),
    "compare": ("evaluate_lr", "evaluate_dt"),
    "select": ("evaluate_lr", "evaluate_dt"),
    "predict": ("select",),
}
STRETCHES = ("submission", "match", "job start", "work", "job end", "noticing")
LOG_AFTER = 0.06  # from the start of Python to that, measured on an idle host


@dataclass
class Job:
    """One job; times in seconds since the epoch."""

    name: str
    submit: float
    execute: float
    terminated: float
    step_start: float | None = None
    step_end: float | None = None
    noticed: float | None = None
    stretches: dict[str, float] = field(default_factory=dict)

    @classmethod
    def at(cls, name: str, times: dict[str, float]) -> "Job":
        """Return a job with the times of its events."""
        return cls(name, times["submit"], times["execute"], times["terminated"])

    @property
    def done(self) -> float:
        """When its children could start."""
        return self.noticed or self.terminated


def read_events(log: Path) -> dict[int, dict[str, float]]:
    """Return ``{cluster: {event: seconds since the epoch}}`` of an event log; the last of each kind."""
    events: dict[int, dict[str, float]] = {}
    for number, cluster, moment in EVENT.findall(log.read_text(encoding="utf-8")):
        seconds = datetime.fromisoformat(f"{moment}+00:00").timestamp()
        events.setdefault(int(cluster), {})[EVENT_NAMES[number]] = seconds
    return events


def read_nodes(log: Path) -> dict[int, str]:
    """Return ``{cluster: node}`` of DAGMan's node log."""
    return {int(cluster): node for cluster, node in NODE.findall(log.read_text(encoding="utf-8"))}


def read_parents(dag: Path) -> Parents:
    """Return ``{node: parents}`` of a DAG file."""
    parents: Parents = {}
    for words in (line.split() for line in dag.read_text(encoding="utf-8").splitlines()):
        if words[0] == "JOB":
            parents[words[1]] = ()
        elif words[0] == "PARENT":
            middle = words.index("CHILD")
            for child in words[middle + 1 :]:
                parents[child] += tuple(words[1:middle])
    return parents


def explain(jobs: list[Job], family: Parents, started: float, ended: float) -> tuple[list[Job], float]:
    """Set each job's stretches; return the critical path, and the seconds from its last job's end to the end of all.

    The path goes back from the job that was done last, each time to the parent that was done last. Its stretches, and
    the end, add up to the makespan.
    """
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        parents = [by_name[name] for name in family[job.name]]
        ready = max((parent.done for parent in parents), default=started)
        moments = [ready, job.submit, job.execute]
        moments.append(job.step_start if job.step_start is not None else job.execute)
        moments.append(job.step_end if job.step_end is not None else job.terminated)
        moments += [job.terminated, job.done]
        pairs = itertools.pairwise(moments)
        job.stretches = dict(zip(STRETCHES, (end - start for start, end in pairs), strict=True))
    path = [max(jobs, key=lambda job: job.done)]
    while names := family[path[0].name]:
        path.insert(0, max((by_name[name] for name in names), key=lambda job: job.done))
    return path, ended - path[-1].done
