"""Figures and lists in words."""

from collections.abc import Sequence


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
    """Return a time span.

    >>> duration(0.4), duration(75), duration(3700), duration(200_000)
    ('0 s', '75 s', '61 min', '55 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min" if seconds < 7200 else f"{seconds // 3600:.0f} h"


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
