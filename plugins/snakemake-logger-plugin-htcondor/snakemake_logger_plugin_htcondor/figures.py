"""Figures of a run, and how they are written: what the view while it goes and the summary after it share."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size

from .jobs import Job, Run, State


@dataclass
class Count:
    """How the jobs of one rule stand, each job by its last attempt.

    Attributes
    ----------
    rule
        Its name.
    total, done
        Jobs in all, and finished ones.
    running, idle, held, failed
        Jobs in HTCondor, by state.
    hosts
        Where its running jobs are.
    planned
        Whether Snakemake has named the rule; a group of jobs goes by a name of its own.
    """

    rule: str
    total: int = 0
    done: int = 0
    running: int = 0
    idle: int = 0
    held: int = 0
    failed: int = 0
    hosts: set[str] = field(default_factory=set)
    planned: bool = True

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.done >= self.total


def last_attempts(run: Run) -> list[Job]:
    """Return the last attempt of each job."""
    last: dict[tuple[str, str], Job] = {}
    for job in run.jobs.values():
        before = last.get((job.rule, job.jobid))
        if before is None or job.attempt >= before.attempt:
            last[job.rule, job.jobid] = job
    return list(last.values())


def counts(run: Run, last: Iterable[Job] | None = None) -> list[Count]:
    """Count the jobs of each rule, in the order in which Snakemake has named the rules.

    Parameters
    ----------
    run
        The run.
    last
        The last attempts of its jobs, where the caller has them already.
    """
    found = {rule: Count(rule) for rule in run.planned}
    for job in last_attempts(run) if last is None else last:
        count = found.get(job.rule) or found.setdefault(job.rule, Count(job.rule, planned=False))
        count.total += 1
        if job.state == State.DONE:
            count.done += 1
        elif job.state == State.RUNNING:
            count.running += 1
            if job.host:
                count.hosts.add(short_host(job.host))
        elif job.state == State.IDLE:
            count.idle += 1
        elif job.state == State.HELD:
            count.held += 1
        else:
            count.failed += 1
    for rule, count in found.items():
        # A checkpoint adds jobs that were not planned; a job on the access point is known to Snakemake alone.
        count.done = max(count.done, run.finished.get(rule, 0))
        count.total = max(count.total, count.done, run.planned.get(rule, 0))
    return list(found.values())


def done_of_all(rules: Iterable[Count]) -> tuple[int, int]:
    """Return how many jobs of the run are done, and how many there are.

    A group's members are counted as jobs of their own rules, where Snakemake has named any.
    """
    rules = list(rules)
    counted = [count for count in rules if count.planned] or rules
    return sum(count.done for count in counted), sum(count.total for count in counted)


def short_host(name: str) -> str:
    """Return a host's name without its slot and domain; an address stays whole.

    >>> short_host("slot1_2@ep1.pool.example"), short_host("192.0.2.7"), short_host("2001:db8::7")
    ('ep1', '192.0.2.7', '2001:db8::7')
    """
    host = name.rpartition("@")[2]
    return host if re.fullmatch(r"[\d.]+|[^.]*:.*", host) else host.partition(".")[0]


def some(names: Iterable[str], width: int, mark: str = "…") -> str:
    """List names, as many as fit, and the number of the others.

    >>> some(["ep10", "ep2", "ep1", "ep3", "ep4"], 13)
    'ep1, ep2 +3'
    """
    ordered = sorted(set(names), key=_natural)
    more = ""
    for shown in range(min(len(ordered), width), 0, -1):
        more = f" +{len(ordered) - shown}" if shown < len(ordered) else ""
        text = ", ".join(ordered[:shown]) + more
        if cell_len(text) <= width:
            return text
    return f"{shortened(ordered[0], width - len(more), mark)}{more}" if ordered else ""


def shortened(text: str, width: int, mark: str = "…") -> str:
    """Cut a text to a width in cells of the terminal, and mark the cut.

    >>> shortened("train_logistic", 8)
    'train_l…'
    """
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1)}{mark}" if width > 0 else ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort ep2 before ep10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
