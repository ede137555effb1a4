"""What a check found, and how it is told: on a terminal, as plain text, as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TextIO

from ..words import count

VERSION = 1  # of the JSON document


class Result(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    NOT_RUN = "not run"


# Every check, by its id, and what it looks at; docs/doctor.md says more.
CHECKS = {
    "pool.bindings": "HTCondor's Python bindings",
    "pool.configuration": "HTCondor's configuration",
    "pool.collector": "the collector answers",
    "pool.schedd": "the schedd answers",
    "pool.negotiator": "the negotiator answers",
    "pool.versions": "versions go together",
    "pool.authentication": "you may submit",
    "pool.nodes": "execute nodes are there",
    "run.plan": "the run can be planned",
    "run.match": "a slot can take each rule's jobs",
    "folder.space": "free space on this host",
    "folder.mount": "mount options on this host",
    "node.probe": "each node runs a job",
    "node.folder": "each node has the working folder",
    "node.user": "the same user everywhere",
    "node.clock": "clocks agree",
    "node.mount": "mount options on the nodes",
    "node.space": "free space on the nodes",
    "node.python": "the Python environment on the nodes",
    "node.packages": "the same package versions everywhere",
}


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes
    ----------
    id
        One of `CHECKS`; it stays the same from version to version.
    result
        How it ended.
    sentence
        What was found; of a check that was not run, why.
    remedy
        What to do, where it did not pass.
    subject
        The rule or the nodes that it is about, where it is not about all.
    """

    id: str
    result: Result
    sentence: str
    remedy: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        """Refuse what no reader could look up or act upon."""
        if self.id not in CHECKS:
            raise ValueError(f"{self.id} is no check")
        if self.result in (Result.WARN, Result.FAIL) and not self.remedy:
            raise ValueError(f"{self.id} says {self.result} and no remedy")

    @property
    def line(self) -> str:
        """Subject and sentence."""
        return f"{self.subject}: {self.sentence}" if self.subject else self.sentence


def exit_code(checks: Sequence[Check]) -> int:
    """Return 1 where something failed, else 0."""
    return int(any(check.result is Result.FAIL for check in checks))


def as_json(checks: Sequence[Check]) -> str:
    """Return one JSON document for machines."""
    counts = Counter(check.result for check in checks)
    document = {
        "version": VERSION,
        "result": "fail" if exit_code(checks) else "warn" if counts[Result.WARN] else "pass",
        "counts": {result.value: counts[result] for result in Result},
        "checks": [asdict(check) for check in checks],
    }
    return json.dumps(document, indent=1)  # in ASCII, which any locale can write


def summary(checks: Sequence[Check]) -> str:
    """Return the last line.

    >>> summary([Check("pool.nodes", Result.PASS, "2 nodes"), Check("pool.schedd", Result.FAIL, "silent", "Start it")])
    '1 check failed, 1 passed.'
    """
    counts = Counter(check.result for check in checks)
    parts = [f"{count(counts[Result.FAIL], 'check')} failed"] if counts[Result.FAIL] else []
    parts += [count(counts[Result.WARN], "warning")] if counts[Result.WARN] else []
    parts += [f"{counts[Result.PASS]} passed"] if counts[Result.PASS] else []
    parts += [f"{counts[Result.NOT_RUN]} not run"] if counts[Result.NOT_RUN] else []
    return ", ".join(parts) + "."


def write(checks: Sequence[Check], file: TextIO) -> None:
    """Write the list: with colours on a terminal, as plain text elsewhere."""
    if file.isatty():
        _write_rich(checks, file)
        return
    for check in checks:
        file.write(f"{check.result.upper():8}{check.id}: {check.line}.\n")
        if check.remedy:
            file.write(f"{'':8}-> {check.remedy}.\n")
    file.write(f"{summary(checks)}\n")


def _write_rich(checks: Sequence[Check], file: TextIO) -> None:
    # For a terminal alone: its import takes a while, and each run loads this module.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colours = {Result.PASS: "green", Result.WARN: "yellow", Result.FAIL: "bold red", Result.NOT_RUN: "dim"}
    marks = {Result.PASS: "✓", Result.WARN: "!", Result.FAIL: "✗", Result.NOT_RUN: "–"}
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for check in checks:
        told = Text(f"{check.line}.")
        if check.remedy:
            told.append(f"\n→ {check.remedy}.", style=colours[check.result])
        table.add_row(Text(marks[check.result], style=colours[check.result]), check.id, told)
    console = Console(file=file)
    console.print(table)
    console.print(summary(checks), highlight=False)
