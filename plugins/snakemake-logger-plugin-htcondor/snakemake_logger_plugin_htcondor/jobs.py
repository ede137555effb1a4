"""The jobs of a run, as far as they are known: what the event log, the queue and Snakemake have told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """What a job is doing."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"  # ended with an error, or removed


@dataclass
class Job:
    """One HTCondor job of the run.

    Attributes
    ----------
    cluster
        Its number in HTCondor; the job is CLUSTER.0.
    jobid
        Its number in Snakemake, or the id of a group; attempts of one job share it.
    rule, wildcards
        What Snakemake calls it.
    attempt
        1 for the first, 2 for the first retry.
    logs
        The log files that its rule names, as paths relative to the working folder.
    output, error
        Where HTCondor puts its standard output and error; empty where that isn't known.
    submitted, started, worked, ended
        Seconds since the epoch: into the queue; on a node, the last time; where it can be told, when the rule's own
        work began there; out of the queue.
    hosts
        Each host that it ran on, in that order.
    requested, used
        Memory in MB, disk in MB and cores, by the names "memory_mb", "disk_mb" and "cpus", as far as they are known.
        `used` holds peaks.
    exit_code, signal
        How it ended.
    reason
        Why it is held, was removed or has failed, in words.
    hold
        HTCondor's attributes of its last hold.
    """

    cluster: int
    jobid: str
    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    logs: tuple[str, ...] = ()
    output: str = ""
    error: str = ""
    state: State = State.IDLE
    submitted: float | None = None
    started: float | None = None
    worked: float | None = None
    ended: float | None = None
    hosts: list[str] = field(default_factory=list)
    requested: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    hold: dict[str, str | int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Rule and wildcards: ``predict, file=may``."""
        return ", ".join([self.rule, *(f"{name}={value}" for name, value in self.wildcards.items())])

    @property
    def host(self) -> str:
        """The host that it is on, or was on last; empty before it starts."""
        return self.hosts[-1] if self.hosts else ""


@dataclass
class Run:
    """A run of a workflow: its jobs in HTCondor, and how many each rule has in all.

    Attributes
    ----------
    began
        When the run began, in seconds since the epoch.
    planned
        Jobs of each rule that the run is to do, also those that run on the access point, as Snakemake counts them.
    finished
        Jobs of each rule that Snakemake has told to be finished.
    jobs
        The jobs by their cluster number, in the order of their submission.
    """

    began: float
    planned: dict[str, int] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)

    def of_rule(self, rule: str) -> Iterator[Job]:
        """Yield the jobs of a rule."""
        return (job for job in self.jobs.values() if job.rule == rule)

    def in_state(self, *states: State) -> list[Job]:
        """Return the jobs in one of these states."""
        return [job for job in self.jobs.values() if job.state in states]


def within(clusters: Iterable[int], most: int | None = None) -> str:
    """Return the constraint for jobs with these numbers; those of one run mostly follow each other.

    Parameters
    ----------
    clusters
        At least one.
    most
        Ranges that the constraint may have: with more, those nearest to each other become one, and what else lies
        between them is meant, too.

    >>> within([7, 8, 9, 12])
    'ClusterId >= 7 && ClusterId <= 9 || ClusterId == 12'
    >>> within([7, 8, 9, 12, 40], most=2)
    'ClusterId >= 7 && ClusterId <= 12 || ClusterId == 40'
    """
    ordered = sorted(set(clusters))
    gaps = [number for number in range(1, len(ordered)) if ordered[number] - ordered[number - 1] > 1]
    if most is not None:
        widest = sorted(gaps, key=lambda number: ordered[number - 1] - ordered[number])[: most - 1]
        gaps = sorted(widest)
    ranges = zip([0, *gaps], [*gaps, len(ordered)], strict=True)
    return " || ".join(_between(ordered[first], ordered[after - 1]) for first, after in ranges)


def _between(low: int, high: int) -> str:
    return f"ClusterId == {low}" if low == high else f"ClusterId >= {low} && ClusterId <= {high}"
