"""What a run would submit: Snakemake's own dry run tells its jobs, and each becomes a submit description.

The descriptions hold what decides on a match, as the executors `htcondor` and `htcondor-steady` write it.
"""

import contextlib
import getpass
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNKNOWN = "<TBD>"  # what a dry run says of a resource that follows from a file which isn't there yet
EXECUTORS = ("htcondor", "htcondor-steady")
MOST = 40  # jobs that are judged
# What both executors hand to HTCondor as a rule's resources say it, as far as it decides on a match.
PASSED_ON = (
    *("rank", "request_disk", "request_memory", "requirements", "request_gpus", "require_gpus"),
    *("gpus_minimum_capability", "gpus_minimum_memory", "gpus_minimum_runtime", "cuda_version", "universe"),
    *("container_image", "allowed_execute_duration", "allowed_job_duration", "max_retries", "retry_until"),
)
STEADY_ONLY = ("accounting_group", "accounting_group_user")
# Of the resources that the executors read in MB: the submit command, and how many of its units a MB has.
EXPLICIT = {
    "htcondor_request_mem_mb": ("request_memory", 1),
    "htcondor_request_disk_mb": ("request_disk", 1024),
    "htcondor_gpus_min_mem_mb": ("gpus_minimum_memory", 1),
}
# Snakemake's own names, which the executor htcondor-steady reads.
OWN_NAMES = {
    "mem_mb": ("request_memory", 1),
    "disk_mb": ("request_disk", 1024),
    "runtime": ("allowed_execute_duration", 60),
}


class PlanError(Exception):
    """The run can't be planned; the text says why."""


class NotKnownYet(Exception):  # noqa: N818 - no error
    """A request follows from files that aren't there yet; the text names the resources."""


@dataclass(frozen=True)
class PlannedJob:
    """A job as a dry run tells it."""

    rule: str
    jobid: int
    wildcards: Mapping[str, str]
    threads: int
    resources: Mapping[str, Any]
    group: bool
    works: bool  # it has something to do, so it isn't a mere list of targets


@dataclass(frozen=True)
class Plan:
    """What a run would submit.

    Attributes
    ----------
    executor
        The executor that arguments and profile name; empty where that can't be told.
    settings
        Its settings that go into submit descriptions.
    shared
        Whether the run counts on a shared file system.
    jobs
        All jobs.
    """

    executor: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shared: bool = True
    jobs: tuple[PlannedJob, ...] = ()


class PlanWriter:
    """Writes the jobs of a dry run to a file, a line of JSON each, behind a line of what the run is told.

    Parameters
    ----------
    path
        The file; it appears, whole, with `close`.
    arguments
        Snakemake's arguments; those of this process where they aren't given.
    """

    def __init__(self, path: str | Path, arguments: Sequence[str] | None = None) -> None:
        self._path = Path(path)
        self._lines = [json.dumps(_told(sys.argv[1:] if arguments is None else arguments))]
        self._open = True

    def add(self, record: logging.LogRecord) -> None:
        """Take a record; all but JOB_INFO are passed over."""
        event = getattr(record, "event", None)
        if event is None or getattr(event, "value", event) != "job_info":
            return
        about = record.__dict__
        resources = {name: _plain(value) for name, value in dict(about.get("resources") or {}).items()}
        line = {
            "rule": about.get("rule_name"),
            "jobid": about.get("jobid"),
            "wildcards": {name: str(value) for name, value in dict(about.get("wildcards") or {}).items()},
            "threads": _plain(about.get("threads")),
            "resources": resources,
            "group": bool(about.get("indent")),
            "works": bool(about.get("output") or about.get("shellcmd")),
        }
        self._lines.append(json.dumps(line))

    def close(self) -> None:
        """Write the file, once."""
        if not self._open:
            return
        self._open = False
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        new.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        new.replace(self._path)


def _plain(value: Any) -> Any:
    """Return a resource as JSON can hold it; a text that Snakemake can't tell yet is the text "<TBD>" itself."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _told(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what Snakemake's own reading of arguments and profile says of the executor."""
    from snakemake.cli import parse_args  # noqa: PLC0415 - where a Snakemake runs

    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            _, options = parse_args(list(arguments))
    except (Exception, SystemExit):  # Snakemake itself has read them; how it does so is its own affair, and may change
        return {"executor": ""}
    group = getattr(options, "htcondor_steady_accounting_group", None)
    return {
        "executor": options.executor or "local",
        "shared": bool(options.shared_fs_usage),
        "settings": {"accounting_group": group} if isinstance(group, str) else {},  # a marker where nobody said it
    }


def read(text: str) -> Plan:
    """Return the plan that a file of `PlanWriter` holds.

    Raises
    ------
    PlanError
        Where it isn't one.
    """
    try:
        head, *lines = [json.loads(line) for line in text.splitlines()]
        return Plan(**head, jobs=tuple(PlannedJob(**line) for line in lines))
    except (ValueError, TypeError) as error:
        raise PlanError(f"the dry run left a plan that can't be read ({error})") from None


def dry_run(arguments: Sequence[str], seconds: float) -> Plan:
    """Run Snakemake's dry run, and return what it would submit.

    Raises
    ------
    PlanError
        Where it fails, with what it said last, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="htcondor-doctor-") as folder:
        file = Path(folder) / "plan"
        command = [sys.executable, "-m", "snakemake", *arguments]
        command += ["--dry-run", "--logger", "htcondor", "--logger-htcondor-plan", str(file)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise PlanError(f"Snakemake's dry run took longer than {seconds:.0f} s") from None
        if done.returncode or not file.exists():
            raise PlanError(f"Snakemake's dry run fails: {last_words(done.stdout)}")
        return read(file.read_text(encoding="utf-8"))


def last_words(output: str) -> str:
    r"""Return the error that a Snakemake has ended with, in one line.

    >>> last_words("host: x\nMissingInputException in rule a:\nMissing input files for rule a:\n    b.csv\n")
    'MissingInputException in rule a: Missing input files for rule a: b.csv'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    starts = [n for n, line in enumerate(lines) if "Error" in line or "Exception" in line or line.startswith("usage:")]
    chosen = lines[starts[0] :] if starts else lines[-2:]
    return " ".join(chosen)[:400].rstrip(".:") or "it says nothing"


# --- from a job to what HTCondor is told ---


def describe(job: PlannedJob, plan: Plan) -> dict[str, str]:
    """Return the part of a job's submit description that decides on a match.

    Raises
    ------
    NotKnownYet
        Where a request follows from files that aren't there yet.
    """
    if missing := _not_known_yet(job, plan):
        raise NotKnownYet(", ".join(missing))
    submit = {"request_cpus": str(job.threads)}
    if _steady(plan) and (group := plan.settings.get("accounting_group")):
        submit["accounting_group"] = str(group)
    for name in (*PASSED_ON, *(STEADY_ONLY if _steady(plan) else ())):
        if job.resources.get(name) is not None:
            submit[name] = str(job.resources[name])
    for name, (command, factor) in EXPLICIT.items():
        if value := job.resources.get(name):
            submit[command] = str(int(value) * factor)
    own = _own(job.resources, quoted=not _steady(plan))
    if _steady(plan):
        submit = _requests(job.resources) | submit | {"should_transfer_files": own.get("should_transfer_files", "NO")}
    return own | submit


def _requests(resources: Mapping[str, Any]) -> dict[str, str]:
    """Return memory, disk and time as Snakemake's own resources name them."""
    return {
        command: str(resources[name] * factor)
        for name, (command, factor) in OWN_NAMES.items()
        if isinstance(resources.get(name), int)
    }


def _not_known_yet(job: PlannedJob, plan: Plan) -> list[str]:
    """Return the names of what the executor reads and a dry run can't tell yet."""
    read_here = {*PASSED_ON, *EXPLICIT, *(STEADY_ONLY if _steady(plan) else ())}
    read_here |= set(OWN_NAMES) if _steady(plan) else set()
    prefixes = ("classad_", "htcondor_submit_")
    missing = [
        name
        for name, value in job.resources.items()
        if value == UNKNOWN and (name in read_here or name.startswith(prefixes))
    ]
    missing += ["threads"] if not isinstance(job.threads, int) else []
    return sorted(missing)


def _steady(plan: Plan) -> bool:
    return plan.executor == "htcondor-steady"


def _own(resources: Mapping[str, Any], quoted: bool) -> dict[str, str]:
    """Return what resources named ``classad_NAME`` and ``htcondor_submit_NAME`` add.

    A text in an attribute is a ClassAd string; in a submit command, it is so for HTCondor's own executor alone.
    """
    found = {}
    for name, value in resources.items():
        literal = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
        if name.startswith("classad_"):
            found["+" + name.removeprefix("classad_")] = literal
        elif name.startswith("htcondor_submit_"):
            command = name.removeprefix("htcondor_submit_").replace("__", ".")
            found[command] = literal if quoted or command.upper().startswith("MY.") else str(value)
    return found


@dataclass(frozen=True)
class Request:
    """A submit description, and the jobs of one rule that ask for it or less.

    Attributes
    ----------
    rule
        The rule.
    jobs
        How many of its jobs this one stands for.
    description
        The submit description.
    """

    rule: str
    jobs: int
    description: Mapping[str, str]


@dataclass(frozen=True)
class Requests:
    """What there is to judge, and what can't be.

    Attributes
    ----------
    known
        One request, or a few, for each rule: the largest of each kind.
    later
        Of each rule with jobs that can't be told yet, the resources.
    groups
        Rules that run in groups.
    dropped
        How many requests are beyond the limit.
    """

    known: tuple[Request, ...]
    later: Mapping[str, str]
    groups: tuple[str, ...]
    dropped: int = 0


def requests(plan: Plan, most: int = MOST) -> Requests:
    """Return what is to be judged: of each rule the requests that no other of its requests exceeds in all amounts."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    later: dict[str, str] = {}
    groups: dict[str, None] = {}
    for job in plan.jobs:
        if not job.works:
            continue
        if job.group:
            groups[job.rule] = None
            continue
        try:
            description = describe(job, plan)
        except NotKnownYet as missing:
            later.setdefault(job.rule, str(missing))
            continue
        kind = {name: value for name, value in description.items() if name not in AMOUNTS or _amount(value) is None}
        found.setdefault((job.rule, json.dumps(kind, sort_keys=True)), []).append(description)
    known = []
    for (rule, _), descriptions in found.items():
        largest = _largest(descriptions)
        known += [Request(rule, len(descriptions) if not n else 0, one) for n, one in enumerate(largest)]
    known.sort(key=lambda request: request.rule)  # a dry run tells its jobs in no lasting order
    return Requests(tuple(known[:most]), later, tuple(sorted(groups)), max(0, len(known) - most))


def in_common(plan: Plan | PlanError) -> dict[str, str]:
    """Return what all jobs of a run tell a pool's policy of themselves: the accounting group, and attributes.

    A pool may refuse jobs without them, the doctor's own small ones, too.
    """
    if isinstance(plan, PlanError):
        return {}
    first, *others = [dict(request.description) for request in requests(plan).known] or [{}]
    same = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    found = {name: value for name, value in same.items() if name in STEADY_ONLY or name.startswith(("+", "MY."))}
    if "accounting_group" in found:
        found.setdefault("accounting_group_user", getpass.getuser())  # as the executor does
    return found


AMOUNTS = ("request_cpus", "request_memory", "request_disk", "request_gpus")


def _amount(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None  # with a unit, or an expression: a kind of its own


def _largest(descriptions: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    amounts = {tuple(_amount(one.get(name, "0")) or 0.0 for name in AMOUNTS): one for one in descriptions}
    return [
        one
        for own, one in sorted(amounts.items(), reverse=True)
        if not any(other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other in amounts)
    ]
