"""Run one step: ``python -m scripts.step NAME --log FILE --threads N [--file-or-parameter VALUE …]``.

The command line of a step follows from the signature of its ``main``: ``Path`` and ``list[Path]`` take paths, ``str``
and ``int`` themselves. This is the one place where a step meets the outside world: threads, logging, and errors.
It starts light: a job's time is its own.
"""

import argparse
import ctypes
import gc
import importlib
import inspect
import logging
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from scripts.shared.errors import UserError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "ARROW_NUM_THREADS",
)
PARSERS: dict[Any, dict[str, Any]] = {
    Path: {"type": Path},
    list[Path]: {"type": Path, "nargs": "*"},
    list[str]: {"nargs": "*"},
    str: {},
    int: {"type": int},
}


def build_parser(main: Callable[..., None]) -> argparse.ArgumentParser:
    """Return the command line of a step, made from its signature."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(main), allow_abbrev=False)
    hints = get_type_hints(main)
    for name, parameter in inspect.signature(main).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=name, required=required, default=default, **PARSERS[hints[name]])
    return parser


def limit_threads(threads: int) -> None:
    """Bound the threads of all numeric libraries. Must run before they are imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))


def die_with_parent() -> None:
    """Ask Linux to end this process when the Snakemake that started it is gone, also by SIGKILL.

    Otherwise an orphan would go on and write beside the run that resumes. PR_SET_PDEATHSIG is 1, see prctl(2).
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it went before the request was made
            os.kill(os.getpid(), signal.SIGKILL)


def start_logging(log: Path | None) -> None:
    """Log to the rule's log file and to standard error."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"host: {os.uname().nodename}\n", encoding="utf-8")  # the report says which rule ran where
        handlers.append(logging.FileHandler(log, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
    logging.captureWarnings(True)


def run(name: str, arguments: list[str], log: Path | None = None) -> int:
    """Run a step by its module's name and return its exit code."""
    start_logging(log)
    try:
        main = _imported(name).main
        main(**vars(build_parser(main).parse_args(arguments)))
    except UserError as error:
        logging.error("error: %s", error)
        return 1
    except OSError as error:
        if error.errno is None or isinstance(error, FileNotFoundError):
            logging.exception("unexpected error in %s", name)
        else:  # disk full, quota, permission: the system's own words say what
            logging.error("error: %s: %s", error.filename or name, error.strerror)
        return 1
    except Exception:
        logging.exception("unexpected error in %s (a defect: please report it)", name)
        return 1
    return 0


def _imported(name: str) -> types.ModuleType:
    """Import a step. What importing makes stays: to look for garbage in it takes up to a tenth of the time."""
    gc.disable()
    try:
        return importlib.import_module(f"scripts.{name}")
    finally:
        gc.enable()


def main() -> int:
    """Parse what all steps share, then run the step."""
    shared = argparse.ArgumentParser(prog="python -m scripts.step", add_help=False, allow_abbrev=False)
    shared.add_argument("name")
    shared.add_argument("--log", type=Path)
    shared.add_argument("--threads", type=int, default=1)
    options, rest = shared.parse_known_args()
    die_with_parent()
    limit_threads(options.threads)
    code = run(options.name, rest, options.log)
    gc.freeze()  # Python's last sweep over all that the libraries made takes up to 0.2 s, and does nothing for us
    return code


if __name__ == "__main__":
    sys.exit(main())
