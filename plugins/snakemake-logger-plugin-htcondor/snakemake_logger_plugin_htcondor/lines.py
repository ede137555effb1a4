"""What is said of jobs to which something happened: a line each of a few, and one line of many that are alike.

A node that dies takes dozens of jobs with it, and a mistake in a rule holds or fails all of them. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .jobs import Job
from .words import count, listed

SINGLY = 3  # so many that are alike are each said
OF_ITS_OWN = re.compile(r"\S*/\S*|\d[\d.,]*")  # paths and figures: they differ where the reason is the same


@dataclass(frozen=True)
class Line:
    """What is said of a job.

    Attributes
    ----------
    level
        As of a log record.
    job
        The job.
    text
        What is said, behind the job's name.
    host
        The host that it is said of, if any.
    kind
        What must be the same for jobs to be alike, beside their rule and the words of the text.
    failure
        How it failed, in words, such as "failed with exit code 1": that alone makes failures alike, and as their causes
        may differ all the same, a few are said in full.
    more
        Returns the rest of the text; called for what is said in full alone.
    """

    level: str
    job: Job
    text: str
    host: str = ""
    kind: object = None
    failure: str = ""
    more: Callable[[], str] = str


def name(job: Job) -> str:
    """Return what a job is called."""
    return f"{job.title} (job {job.cluster}.0)"


def in_words(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """Yield levels and texts: of jobs of one rule, what is alike but for hosts, paths and figures is said once."""
    groups: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.level, line.job.rule, line.kind, line.failure or _words(line)), []).append(line)
    for group in groups.values():
        first, rule = group[0], group[0].job.rule
        if len(group) <= SINGLY:
            yield from map(_full, group)
        elif first.failure:
            yield from map(_full, group[:SINGLY])
            rest = group[SINGLY:]
            who = f"{count(len(rest), 'more job')} of {rule}"
            yield first.level, f"and {who} {first.failure}{_hosts(rest)}: {_numbers(rest)}"
        else:
            who = f"{count(len(group), 'job')} of {rule}{_hosts(group)} ({_numbers(group)})"
            yield first.level, f"{who}, alike: {_full(first)[1]}"


def _full(line: Line) -> tuple[str, str]:
    return line.level, f"{name(line.job)} {line.text}{line.more()}"


def _words(line: Line) -> str:
    text = line.text
    for host in sorted({line.host, *line.job.hosts} - {""}, key=len, reverse=True):
        text = text.replace(host, "")
    return OF_ITS_OWN.sub("", text)


def _hosts(lines: Iterable[Line]) -> str:
    hosts = listed(list(dict.fromkeys(line.host for line in lines if line.host)))
    return f" on {hosts}" if hosts else ""


def _numbers(lines: Sequence[Line]) -> str:
    return listed([str(line.job.cluster) for line in lines])
