"""The Snakemake driver as a job of its own on the access point: how it is described, found, and what came of it.

The names of its files are those of HTCondor's own ``htcondor snake submit``, whose drivers are found as well.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classad2
import htcondor2

from scripts.shared.errors import UserError

LOGS = Path("results/logs/driver")
STEM = "snakemake-mgmt-"
LOG = "SnakemakeDriverLog"  # the attribute that names the file with what a driver prints
# Snakemake 9 with this workflow takes some 250 MB; a thousand jobs add little.
MEMORY_MB = 1024
# So often a driver is started at most when it keeps being killed; restarts of the access point are not limited.
STARTS = 10
# The driver's exit code where Snakemake itself was killed by a signal: HTCondor starts it again.
AGAIN = 75
# Python's exit code where a program has ended, and the last of what it said could not be written.
UNWRITTEN = 120
# How far back the history is read: on a busy access point, the whole of it takes minutes.
HISTORY_DAYS = 60

# What Snakemake, Python and HTCondor's bindings read, of the environment of whoever submits. Not all of it: everyone
# who may look at the queue can read a job's environment.
PASSED_ON = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|XDG_\w+|CONDOR_CONFIG|_CONDOR_\w+")

IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = range(1, 8)
STATES = {IDLE: "idle", RUNNING: "running", REMOVED: "being removed", HELD: "held", SUSPENDED: "suspended"}

ATTRIBUTES = (
    *("ClusterId", "JobStatus", "Iwd", "Err", "NumJobStarts", LOG),
    *("ExitCode", "ExitBySignal", "ExitSignal", "HoldReason", "RemoveReason", "EnteredCurrentStatus"),
)

Ad = Mapping[str, Any]


def describe(
    python: str, folder: Path, arguments: Sequence[str], environment: Mapping[str, str], notify: str | None = None
) -> dict[str, str]:
    """Return the submit description of a driver.

    Parameters
    ----------
    python
        The interpreter that is to run it.
    folder
        The working folder.
    arguments
        What ``scripts.tools.driver`` gets, beside its log.
    environment
        The driver's environment.
    notify
        A mail address that the access point writes to when the driver has ended, well or not.
    """
    mail = {"notification": "Complete", "notify_user": _literal(notify)} if notify else {}
    stem = f"{LOGS}/{STEM}$(ClusterId)"
    own = "SNAKEMAKE_DRIVER_ID=$(ClusterId)"  # the executor puts the number on each job
    return {
        "universe": "local",
        "executable": _literal(python),
        "arguments": _words(["-m", "scripts.tools.driver", *arguments], f"--log {stem}.out"),
        "initialdir": _literal(str(folder)),
        "environment": _words([f"{name}={value}" for name, value in sorted(environment.items())], own),
        "getenv": "False",
        # The local universe empties a job's output when it starts it again, so the driver itself writes .out; .err gets
        # what goes wrong before it can.
        "log": f"{stem}.log",
        "error": f"{stem}.err",
        "batch_name": "loan-default/driver",
        "description": "Snakemake driver",
        "request_cpus": "1",
        "request_memory": f"{MEMORY_MB}MB",
        "request_disk": "512MB",
        # On SIGINT, Snakemake removes its jobs at once; on SIGTERM, it would wait for them.
        "kill_sig": "SIGINT",
        "remove_kill_sig": "SIGINT",
        # When this job is removed, the schedd removes all that carry its number, also if the driver can't any more.
        "+OtherJobRemoveRequirements": '"SnakemakeDriverId =?= $(ClusterId)"',
        # Success or failure ends it; killed by a signal, it is started again and resumes.
        "on_exit_remove": f"(ExitBySignal =?= False && ExitCode =!= {AGAIN}) || NumJobStarts >= {STARTS}",
        f"+{LOG}": f'"{stem}.out"',
        **mail,
    }


def _literal(text: str) -> str:
    """Return a text in which no macro begins."""
    return text.replace("$", "$(DOLLAR)")


def _words(words: Iterable[str], last: str) -> str:
    r"""Return words in the new syntax of HTCondor's ``arguments`` and ``environment``; the last part is taken as it is.

    >>> _words(["-m", "my config.yaml", "it's"], "$(ClusterId)")
    '"-m \'my config.yaml\' \'it\'\'s\' $(ClusterId)"'
    """
    quoted = (f"'{w}'" if not w or re.search(r"[\s']", w) else w for w in (word.replace("'", "''") for word in words))
    return '"' + " ".join([*(_literal(word).replace('"', '""') for word in quoted), last]) + '"'


def pass_on(environment: Mapping[str, str], config_text: str) -> dict[str, str]:
    """Return the part of an environment that the driver needs: what `PASSED_ON` names, and variables in the config.

    >>> pass_on({"HOME": "/h", "SECRET": "x", "DATA": "/d"}, "raw: ${DATA}/loans.csv")
    {'HOME': '/h', 'DATA': '/d'}
    """
    named = set(re.findall(r"\$\{?(\w+)", config_text))
    return {
        name: value
        for name, value in environment.items()
        if (PASSED_ON.fullmatch(name) or name in named) and "\n" not in value
    }


# --- the schedd -----------------------------------------------------------------------------------------------------


def schedd() -> Any:
    """Return this access point's schedd.

    Raises
    ------
    UserError
        Where there is none: this host is no access point.
    """
    try:
        return htcondor2.Schedd()
    except Exception as error:
        raise UserError(
            f"this host is no access point of an HTCondor pool, or its schedd is down ({_sentence(error)}); log in to "
            "an access point, or run on this machine by: make run"
        ) from None


def look(constraint: str, attributes: Sequence[str]) -> list[Ad]:
    """Return attributes of the jobs in the queue that meet a constraint.

    Raises
    ------
    UserError
        Where the schedd doesn't answer.
    """
    here = schedd()
    try:
        return list(here.query(constraint=constraint, projection=list(attributes)))
    except Exception as error:
        raise UserError(f"the schedd does not answer: {_sentence(error)}") from None


def look_back(constraint: str, now: float) -> Ad | None:
    """Return the newest driver in the history that meets a constraint.

    Raises
    ------
    UserError
        Where the schedd doesn't answer.
    """
    here, since = schedd(), f"EnteredCurrentStatus < {int(now) - HISTORY_DAYS * 86400}"
    try:
        found = here.history(constraint=constraint, projection=list(ATTRIBUTES), match=1, since=since)
        return next(iter(found), None)
    except Exception as error:
        raise UserError(f"the schedd does not answer: {_sentence(error)}") from None


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def drivers_of(folder: Path) -> str:
    """Return the constraint that finds the drivers of a working folder, HTCondor's own included."""
    # HTCondor's own name their batch in a way that leaves it undefined, so both are known by their event log.
    return f'JobUniverse == 12 && Iwd =?= {classad2.quote(str(folder))} && regexp("/{STEM}[0-9]+[.]log$", UserLog)'


def jobs_of(folder: Path) -> str:
    """Return the constraint that finds the jobs which drivers of a working folder have submitted."""
    return f"SnakemakeWorkdir =?= {classad2.quote(str(folder))}"


def log_of(ad: Ad) -> Path:
    """Return the file with what a driver prints, whether `make submit` or ``htcondor snake submit`` started it."""
    # Of HTCondor's own, Snakemake's words are in the standard error.
    return Path(ad["Iwd"]) / str(ad.get(LOG) or ad["Err"])


# --- what came of it, and what is going on ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a driver ended: the exit code for whoever waited, and a sentence."""

    code: int
    sentence: str


def outcome(ad: Ad) -> Outcome:
    """Return how a driver ended, from its ClassAd.

    >>> outcome({"JobStatus": 4, "ExitCode": 0})
    Outcome(code=0, sentence='done')
    """
    if ad["JobStatus"] == REMOVED:
        return Outcome(1, f"removed ({ad.get('RemoveReason') or 'no reason is given'}); make submit resumes")
    if ad.get("ExitBySignal") or ad.get("ExitCode") == AGAIN:
        signal = f"signal {ad['ExitSignal']}" if ad.get("ExitBySignal") else "a signal"
        return Outcome(1, f"killed by {signal} at each of {ad.get('NumJobStarts')} starts; make submit resumes")
    code = int(ad.get("ExitCode", 1))
    if code == UNWRITTEN:
        return Outcome(code, "failed, and could not write why: its disk is full, or was; make submit resumes")
    if code:
        return Outcome(code, f"failed with exit code {code}; once that is mended, make submit resumes")
    return Outcome(0, "done")


def waiting(ad: Ad) -> str | None:
    """Return why a driver in the queue is not running, or None where it is.

    >>> waiting({"ClusterId": 7, "JobStatus": 1})
    'the access point has not started it yet'
    """
    state = ad["JobStatus"]
    if state == HELD:
        reason, number = ad.get("HoldReason") or "no reason is given", ad["ClusterId"]
        return f"held: {reason}; condor_release {number} lets it go on, condor_rm {number} ends it"
    if state == IDLE:
        return "the access point has not started it yet"
    return "it is being removed" if state == REMOVED else None


def counts(jobs: Iterable[Ad]) -> str:
    """Return how many jobs of each rule are in which state.

    >>> counts([{"SnakemakeRule": "predict", "JobStatus": s} for s in (1, 2, 1)])
    'predict 2 idle, 1 running'
    """
    rules: dict[str, Counter[int]] = {}
    for job in jobs:
        rules.setdefault(str(job.get("SnakemakeRule", "?")), Counter())[int(job["JobStatus"])] += 1
    return "; ".join(
        f"{rule} " + ", ".join(f"{number} {STATES.get(state, 'ending')}" for state, number in sorted(states.items()))
        for rule, states in sorted(rules.items())
    )
