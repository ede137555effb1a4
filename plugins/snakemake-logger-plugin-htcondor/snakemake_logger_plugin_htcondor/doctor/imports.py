"""Imports the packages that a file names, and says which can't be: imports.py NAMES SECONDS MB.

The node's own Python runs it, after `versions.py` has found its packages. A package with compiled parts is imported for
real, since those fail where a library is missing, or the processor is too old; of others, it is looked whether their
modules are there, which takes a hundredth of the time. Its answers, a line each, leave as they are known, so that
they are there, too, where an import ends Python itself. It is ended after SECONDS, and begins no import after half of
them.
"""

import importlib
import importlib.util
import os
import re
import resource
import sys
import time
from importlib import metadata

COMPILED = (".so", ".pyd")
MODULES = (".py", *COMPILED)


def modules(files: "list[str]", name: str) -> "list[str]":  # quoted: an old Python on a node must read this, too
    """Return what a package is imported as: its module of the same name, if it has one, or all that are public.

    Parameters
    ----------
    files
        Its files, below the folder of all packages.
    name
        The package's own name.
    """
    found = set()
    own = re.sub(r"[-_.]+", "_", name).lower()
    for file in files:
        parts = file.split("/")
        stem = parts[-1].split(".")[0]
        if not parts[-1].endswith(MODULES) or len(parts) > 2 or (len(parts) == 2 and stem != "__init__"):
            continue
        top = parts[0].split(".")[0]
        if re.match(r"[^\W\d]\w*$", top) and not top.endswith("__mypyc"):
            found.add(top)
    same = [module for module in found if module.lower() == own]
    return same or sorted(module for module in found if not module.startswith("_")) or sorted(found)


def problem(module: str, real: bool) -> str:
    """Return why a module can't be imported, in one line; empty where it can."""
    try:
        if real:
            importlib.import_module(module)
        elif importlib.util.find_spec(module) is None:
            return "it is not there"
    except BaseException as error:  # whatever a module raises, SystemExit included
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[-1].strip() if lines else 'it says nothing'}"
    return ""


def tell(names: "list[str]", seconds: float, megabytes: float, say) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Say ``importing=NAME`` before each package, ``broken=NAME MODULE REASON`` of those that fail, ``imported=N OF``.

    What is left once the time or the memory is used up is not tried.
    """
    end, done = time.monotonic() + seconds, 0
    for name in names:
        if time.monotonic() > end or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > megabytes * 1024:
            break
        say(f"importing={name}")
        try:
            files = [str(file) for file in metadata.files(name) or []]
        except metadata.PackageNotFoundError:  # the versions tell that
            files = []
        real = any(file.endswith(COMPILED) for file in files)
        for module in modules(files, name):
            if why := problem(module, real):
                say(f"broken={name} {module} {why}")
        done += 1
    say(f"imported={done} {len(names)}")


if __name__ == "__main__":
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - no more imports than it takes
    sys.path[:] = [path for path in sys.path if path != own]  # it is no place for packages
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)  # what a module prints is no answer

    def _say(line: str) -> None:
        answers.write(line + "\n")
        answers.flush()

    with open(sys.argv[1], encoding="utf-8") as lines:  # noqa: PTH123 - no more imports than it takes
        wanted = lines.read().split()
    tell(wanted, float(sys.argv[2]) / 2, float(sys.argv[3]), _say)
    answers.flush()
    os._exit(0)  # threads that a module has started are not waited for
