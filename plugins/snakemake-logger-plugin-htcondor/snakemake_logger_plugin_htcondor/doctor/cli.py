"""The command line: ``htcondor-doctor [OPTIONS] [-- SNAKEMAKE ARGUMENTS]``."""

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import checks
from .plan import in_common
from .report import Check, Result, as_json, exit_code, write

LOCK = "requirements.lock"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="htcondor-doctor",
        usage="htcondor-doctor [--json] [--deadline SECONDS] [--no-probe] [--lock FILE] [-- SNAKEMAKE ARGUMENTS]",
        description="Finds out, before the first job, what would stop a Snakemake run on this HTCondor pool. Run it on "
        "the access point, in the workflow's folder, with the arguments that the run is to get. Exit code: 0 nothing "
        "failed, 1 something failed, 2 wrong usage.",
    )
    made.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    made.add_argument(
        "--deadline",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long the nodes' small jobs may take (60)",
    )
    made.add_argument("--no-probe", action="store_true", help="run no small job on each node")
    made.add_argument(
        "--lock", type=Path, metavar="FILE", help=f"the lock file whose packages all nodes must have ({LOCK}, if there)"
    )
    return made


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("from more than 0 to 3600 seconds")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the doctor; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    options, snakemake = parser().parse_args(words[:end]), words[end + 1 :]
    lock = options.lock or (Path(LOCK) if Path(LOCK).exists() else None)
    try:
        names = checks.lock_names(lock)
    except (OSError, UnicodeDecodeError) as error:
        parser().error(f"{lock} can't be read: {error}")
    for number in SIGNALS:  # what was made is removed first
        signal.signal(number, _interrupt)
    try:
        found = run(snakemake, options.deadline, not options.no_probe, names)
    except KeyboardInterrupt:
        print("htcondor-doctor: interrupted; its jobs and files are removed", file=sys.stderr)
        return 130
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the locale has no letters for is written all the same
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        print(as_json(found))
    else:
        write(found, sys.stdout)
    return exit_code(found)


def _interrupt(*_: object) -> None:
    for number in SIGNALS:  # people press it again, and the removing takes a moment
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(snakemake: Sequence[str], deadline: float, probe: bool, names: Sequence[str]) -> list[Check]:
    """Run all checks."""
    folder = Path.cwd().resolve()
    answers = checks.ask_pool(checks.DAEMON_SECONDS)
    found = checks.pool_checks(answers)
    found += checks.place_checks(folder, checks.ask_places(folder))
    if any(check.id in ("pool.bindings", "pool.configuration") and check.result is Result.FAIL for check in found):
        reason = "there is no pool to ask"
        return [*found, Check("run.match", Result.NOT_RUN, reason), Check("node.probe", Result.NOT_RUN, reason)]
    plan = checks.plan_run(snakemake)
    found += checks.run_checks(plan, answers)
    if probe:
        found += checks.node_checks(folder, answers, deadline, names, in_common(plan))
    else:
        found.append(Check("node.probe", Result.NOT_RUN, "--no-probe was given"))
    return found
