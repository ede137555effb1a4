"""From the config's patterns to files, each with a name that is unique within the run.

Imported by the Snakefile, which every job parses: nothing heavy here.
"""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.shared.errors import UserError, listing

WILDCARD = re.compile(r"[*?\[]")
ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".txt", ".txt.gz", ".txt.zst", ".parquet", ".pq")


VARIABLE = re.compile(r"\$\{?(\w+)")


def variables(patterns: Iterable[str]) -> list[str]:
    """Return the environment variables that patterns name, which a job on another host needs, too.

    >>> variables(["$DATA/loans.csv", "${DATA}/more/${YEAR}*.csv", "plain.csv"])
    ['DATA', 'YEAR']
    """
    return sorted({name for pattern in patterns for name in VARIABLE.findall(pattern)})


def find_inputs(patterns: Sequence[str], key: str, reserved: Sequence[str] = ()) -> dict[str, str]:
    """Return ``{name: path}`` of all files that match, sorted by name.

    The name is the path below the pattern's fixed part, without the ending: ``apps/*/*.csv`` names ``apps/a/jan.csv``
    ``a/jan``. It becomes a file name in results.

    Parameters
    ----------
    patterns
        Paths or globs; ``~`` and environment variables are expanded.
    key
        The config key that holds the patterns, for messages.
    reserved
        Endings that a name must not have, since results beside it are named so.

    Raises
    ------
    UserError
        For a path that doesn't exist, an unset variable, an ending that isn't known, or two files of one name.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        expanded = _expand(pattern, key)
        for path in _matches(expanded, pattern, key):
            name = _name(path, fixed_part(expanded))
            parts = name.split("/")
            if re.search(r"[{}\n]", name) or ".." in parts or "" in parts or name.endswith(tuple(reserved)):
                raise UserError(f"{key}: the file name '{path}' can't be used here; rename the file")
            if found.setdefault(name, path) != path:
                raise UserError(
                    f"{key}: '{found[name]}' and '{path}' would both be called '{name}' in results; "
                    "name them by one glob that covers both folders, or rename one"
                )
    return dict(sorted(found.items()))


def _expand(pattern: str, key: str) -> str:
    expanded = os.path.expanduser(os.path.expandvars(pattern))  # noqa: PTH111 - a pattern, not a path
    unset = VARIABLE.search(expanded)
    if unset:
        raise UserError(f"{key}: the environment variable {unset[1]} in '{pattern}' is not set")
    return expanded


def _matches(expanded: str, pattern: str, key: str) -> list[str]:
    if Path(expanded).is_file():  # also a name that happens to hold a glob character
        paths = [expanded]
    elif WILDCARD.search(expanded):
        paths = sorted(p for p in glob.glob(expanded, recursive=True) if Path(p).is_file())  # noqa: PTH207 - keeps the spelling
    else:
        raise UserError(f"{key}: the file '{pattern}' does not exist")
    for path in paths:
        if not path.lower().endswith(ENDINGS):
            raise UserError(f"{key}: '{path}' is neither CSV nor Parquet by its ending; known: {listing(ENDINGS)}")
    return paths


def fixed_part(pattern: str) -> str:
    """Return the folder above the first wildcard, or the file's folder.

    >>> fixed_part("apps/2026-*/x/*.csv"), fixed_part("apps/x.csv"), fixed_part("*.csv")
    ('apps', 'apps', '')
    """
    folders = pattern.split("/")[:-1]
    fixed = []
    for folder in folders:
        if WILDCARD.search(folder):
            break
        fixed.append(folder)
    return "/".join(fixed)


def _name(path: str, fixed: str) -> str:
    below = path[len(fixed) :].lstrip("/") if fixed or path.startswith("/") else path
    ending = max((e for e in ENDINGS if below.lower().endswith(e)), key=len)
    return below[: -len(ending)]
