"""Figures and lists in words."""

from collections.abc import Sequence

# What the executor htcondor reads in place of Snakemake's own resources, in MB, too.
HTCONDORS = {"mem_mb": "request_memory", "disk_mb": "htcondor_request_disk_mb"}


def setting(name: str, text: str = "") -> str:
    """Return the name of a rule's resource, or a text that has it, as it is right for each of the executors.

    >>> setting("mem_mb", "mem_mb=800"), setting("threads")
    ('mem_mb=800 (request_memory with executor htcondor)', 'threads')
    """
    other = HTCONDORS.get(name)
    return f"{text or name} ({other} with executor htcondor)" if other else text or name


def megabytes(value: float) -> str:
    """Return an amount of memory or disk, given in MB, in a unit that suits it.

    >>> megabytes(612), megabytes(8192), megabytes(100_000), megabytes(1 << 21)
    ('612 MB', '8 GB', '97.7 GB', '2 TB')
    """
    for unit in ("MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{round(value, 1):,g} {unit}" if unit != "MB" else f"{value:,.0f} MB"


def duration(seconds: float) -> str:
    """Write a duration in one unit.

    >>> [duration(s) for s in (0.42, 9.96, 42.4, 170, 9000)]
    ['0.4 s', '10 s', '42 s', '2.8 min', '2.5 h']
    """
    for size, unit in ((1, "s"), (60, "min"), (3600, "h")):
        number = seconds / size
        text = f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
        if number < 90 or unit == "h":
            return f"{text} {unit}"
    raise AssertionError("the last unit takes all")


def count(number: int, thing: str, things: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "slot"), count(2, "slot"), count(0, "match", "matches")
    ('1 slot', '2 slots', '0 matches')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def form(number: int, one: str, many: str) -> str:
    """Return the form of a word that goes with a number.

    >>> form(1, "is", "are"), form(2, "is", "are")
    ('is', 'are')
    """
    return one if number == 1 else many


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names in a row, and how many more there are.

    >>> listed(["ep1"]), listed(["ep1", "ep2"]), listed(["a", "b", "c", "d", "e"])
    ('ep1', 'ep1 and ep2', 'a, b, c and 2 more')
    """
    if len(names) <= 1:
        return "".join(names)
    if len(names) <= most:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:most])} and {len(names) - most} more"
