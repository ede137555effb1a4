"""Versions: of HTCondor's daemons beside each other, and of the packages that a lock file names. Pure functions.

HTCondor (its manual, "Introduction to HTCondor Versions") guarantees protocol compatibility between the feature
releases and the LTS release of a series, and upgrades go from one LTS series to the next. So neighbours in `SERIES` go
together.
"""

import re
from collections.abc import Mapping

from packaging.requirements import InvalidRequirement, Requirement

# The first numbers of the LTS series, in their order; from 23 on, one a year.
SERIES = (8, 9, 10, 23)


def number(version: str) -> tuple[int, ...]:
    """Return the numbers of a version as HTCondor spells it.

    >>> number("$CondorVersion: 23.9.6 2024-08-08 BuildID: 1 $")
    (23, 9, 6)
    """
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else ()


def series(version: str) -> int | None:
    """Return the place of a version's series in their order.

    >>> series("10.0.9"), series("23.9.6"), series("24.12.4"), series("?")
    (2, 3, 4, None)
    """
    numbers = number(version)
    if not numbers:
        return None
    major = numbers[0]
    if major >= SERIES[-1]:
        return len(SERIES) - 1 + major - SERIES[-1]
    return max((place for place, first in enumerate(SERIES) if first <= major), default=-1)


def apart(versions: Mapping[str, str]) -> tuple[str, str] | None:
    """Return two names whose versions are more than one series apart: the oldest and the newest.

    >>> apart({"schedd": "23.9.6", "ep1": "24.0.1"})
    >>> apart({"schedd": "23.9.6", "ep1": "25.0.1", "ep2": "24.0.1"})
    ('schedd', 'ep1')
    """
    places = {name: place for name, version in versions.items() if (place := series(version)) is not None}
    if not places:
        return None
    oldest, newest = min(places, key=lambda name: places[name]), max(places, key=lambda name: places[name])
    return (oldest, newest) if places[newest] - places[oldest] > 1 else None


def shown(version: str) -> str:
    """Return a version as people write it."""
    return ".".join(str(part) for part in number(version)) or "unknown"


def locked_names(lock: str) -> list[str]:
    r"""Return the packages that a lock file pins for this Python: those of other markers are left out.

    >>> locked_names("a==1 \\\n    --hash=sha256:0\nb==2 ; python_version < '3'\n# c==3\n-e ./d\n")
    ['a']
    """
    names = []
    for line in lock.replace("\\\n", " ").splitlines():
        text = re.split(r"\s--|\s#", line)[0].strip()
        if not re.match(r"[A-Za-z0-9]", text):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            names.append(requirement.name)
    return sorted(set(names))
