"""Prints the Python version and those of the packages that a file names, as JSON; the node's own Python runs it."""

import json
import platform
import sys
from importlib import metadata


def versions(names: "list[str]") -> "dict[str, str | None]":  # quoted: an old Python on a node must read this, too
    """Return the version of each package, None where it isn't there."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as lines:  # noqa: PTH123 - no more imports than it takes
        wanted = lines.read().split()
    print(json.dumps({"python": platform.python_version(), "packages": versions(wanted)}))
