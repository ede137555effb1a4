"""After the run: where its time and memory went, and what its rules could ask for instead."""

import calendar
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import last_attempts, short_host, shortened, some
from .jobs import Job, Run, State
from .words import count, duration, setting

NOTHING = "-"
HEADROOM = 1.25
MEASURED_SECONDS = (
    60  # HTCondor measures a job's use now and then, by default each minute: of a shorter one it knows little
)
TIGHT = 0.9  # of its request: a little more data, and the job is stopped
WAIT_SECONDS = 60  # shorter waits are HTCondor's own pace
HOSTS_WIDTH = 16
RULE_WIDTH = 32
GO_FIRST = (
    "hosts",
    "retried",
    "start-up",
    "used",
    "queue",
    "memory, MB",
)  # of the columns, where the width doesn't suffice


# --- the table ---


def table(run: Run, width: int = 120) -> str:
    """Return a table of the rules that ran in HTCondor, as plain text.

    Parameters
    ----------
    run
        The run, at its end.
    width
        Most characters of a line.

    Notes
    -----
    Times are medians of all attempts, with the longest behind them where it differs. Queue: from submission until
    execution. Start-up: from there until the rule's own work began, where that is known; where it isn't, the work's
    time holds it. Memory: of the job that used most, with its request, and with ≥ where it was too short to be
    measured. Where the width doesn't suffice, columns go.
    """
    last = _by_rule(run, last_attempts(run))
    rows = [_row(rule, jobs, last[rule]) for rule, jobs in _by_rule(run, run.jobs.values()).items()]
    if not rows:
        return "No job ran in HTCondor."
    text = StringIO()
    console = Console(
        file=text, width=width, color_system=None, force_terminal=False, legacy_windows=False, no_color=True
    )
    columns = list(rows[0])
    for name in ("", *GO_FIRST):  # as many columns as there is room for
        columns = [column for column in columns if column != name]
        drawn = _drawn(rows, columns)
        if console.measure(drawn, options=console.options.update(max_width=10_000)).maximum <= width:
            break
    console.print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).rstrip()


def _by_rule(run: Run, jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Return the jobs of each rule that has any, in the order in which Snakemake has named the rules."""
    found: dict[str, list[Job]] = {rule: [] for rule in run.planned}
    for job in jobs:
        found.setdefault(job.rule, []).append(job)
    return {rule: of_rule for rule, of_rule in found.items() if of_rule}


def _drawn(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for name in columns:
        drawn.add_column(name, justify="left" if name in ("rule", "hosts") else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(row[name]) for name in columns))
    return drawn


def _row(rule: str, jobs: Sequence[Job], last: Sequence[Job]) -> dict[str, str]:
    failed = sum(job.state == State.FAILED for job in last)
    finished = [job for job in jobs if job.state == State.DONE]
    retried = len(jobs) - len(last)
    used, share = _memory(jobs)
    return {
        "rule": shortened(rule, RULE_WIDTH),
        "jobs": f"{len(last):,}" + (f", {failed:,} failed" if failed else ""),
        "queue": _spread(_differences((job.submitted, job.started) for job in jobs)),
        "start-up": _spread(_differences((job.started, job.worked) for job in jobs)),
        "work": _spread(
            _differences((job.started if job.worked is None else job.worked, job.ended) for job in finished)
        ),
        "memory, MB": used,
        "used": share,
        "hosts": some((short_host(host) for job in jobs for host in job.hosts), HOSTS_WIDTH) or NOTHING,
        "retried": f"{retried:,}" if retried else NOTHING,
    }


def _differences(pairs: Iterable[tuple[float | None, float | None]]) -> list[float]:
    """Return the seconds between two times where both are known; clocks of two hosts may differ a little."""
    return [max(0.0, end - start) for start, end in pairs if start is not None and end is not None]


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return NOTHING
    middle, longest = duration(median(seconds)), duration(max(seconds))
    return middle if middle == longest else f"{middle} / {longest}"


def _memory(jobs: Sequence[Job]) -> tuple[str, str]:
    """Return the memory of the job that used most with its request, and the share of that in percent."""
    asked = max((job.requested.get("memory_mb", 0.0) for job in jobs), default=0.0)
    known = [job for job in jobs if "memory_mb" in job.used]
    if not known:
        return (f"? of {asked:,.0f}" if asked else NOTHING), NOTHING
    most = max(known, key=lambda job: job.used["memory_mb"])
    used, asked = most.used["memory_mb"], most.requested.get("memory_mb", 0.0)
    least = "" if _is_measured(most) else "≥ "
    if not asked:
        return f"{least}{used:,.0f}", NOTHING
    return f"{least}{used:,.0f} of {asked:,.0f}", f"{least}{100 * used / asked:.0f} %"


def _is_measured(job: Job) -> bool:
    """Tell whether a job ran for so long that what HTCondor says of its use is near its peak."""
    return job.started is not None and job.ended is not None and job.ended - job.started >= MEASURED_SECONDS


# --- advice ---


@dataclass(frozen=True)
class Resource:
    """A resource that rules ask for.

    Attributes
    ----------
    name
        Its name among a job's figures.
    word
        What people call it.
    setting
        Its name in a rule's resources.
    worth
        Megabytes that must be saved for the saving to be worth a word.
    """

    name: str
    word: str
    setting: str
    worth: float


MEMORY = Resource("memory_mb", "memory", "mem_mb", 500)


def advice(run: Run) -> list[str]:
    """Return what to ask for instead, rule by rule: less, where much more was asked for than used, or more.

    Rules of which nothing is known get no advice, nor do those whose jobs were too short to be measured; those with
    failed or retried jobs are never told to ask for less.
    """
    found: list[str] = []
    ends = [job.ended for job in run.jobs.values() if job.ended is not None]
    for rule, jobs in _by_rule(run, run.jobs.values()).items():
        if sentence := _about_request(rule, jobs, MEMORY):
            found.append(sentence)
        found.extend(_about_waiting(rule, jobs, max(ends) - run.began if ends else 0))
    return found


def _about_request(rule: str, jobs: Sequence[Job], resource: Resource) -> str:
    done = [
        job
        for job in jobs
        if job.state == State.DONE
        and job.used.get(resource.name, 0) > 0
        and job.requested.get(resource.name, 0) > 0
        and _is_measured(job)
    ]
    if not done:
        return ""
    used = max(job.used[resource.name] for job in done)
    enough = math.ceil(used * HEADROOM / 100) * 100
    asking = setting(resource.setting, f"{resource.setting}={enough}")
    first = {job.jobid: job.requested.get(resource.name, 0) for job in jobs if job.attempt == 1}
    again = [job for job in done if job.attempt > 1 and job.used[resource.name] > first.get(job.jobid, math.inf)]
    if again:
        least = min(first[job.jobid] for job in again)
        return (
            f"{rule}: {count(len(again), 'job')} had to be retried, since {least:,.0f} MB of {resource.word} were too "
            f"little; {asking} would do at once."
        )
    tightest = max(done, key=lambda job: job.used[resource.name] / job.requested[resource.name])
    share = tightest.used[resource.name] / tightest.requested[resource.name]
    if share >= TIGHT:
        return (
            f"{tightest.title}: used {tightest.used[resource.name]:,.0f} of the "
            f"{tightest.requested[resource.name]:,.0f} MB of {resource.word} it asked for; raise it, such as to "
            f"{asking}."
        )
    asked = [job.requested[resource.name] for job in done]
    if any(job.state != State.DONE or job.attempt > 1 for job in jobs):
        return ""
    if min(asked) > 2 * enough and min(asked) - enough >= resource.worth:
        of = f"{min(asked):,.0f}" + (f" to {max(asked):,.0f}" if max(asked) > min(asked) else "")
        return (
            f"{rule}: {count(len(done), 'job')} used at most {used:,.0f} of {of} MB of {resource.word}; "
            f"{asking} would do."
        )
    return ""


def _about_waiting(rule: str, jobs: Sequence[Job], whole: float) -> Iterator[str]:
    """Say where the queue took most of the run's time."""
    waits = _differences((job.submitted, job.started) for job in jobs)
    wait = median(waits) if waits else 0.0
    if whole > 0 and wait > WAIT_SECONDS and wait > whole / 2:
        yield (
            f"{rule}: {count(len(waits), 'job')} waited {duration(wait)} (median) in the queue of a run of "
            f"{duration(whole)}: "
            "the pool is busy, or few slots have what the rule asks for (cores, memory, disk)."
        )


# --- when a rule's own work began ---

STAMP = re.compile(
    r"^\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<day>\d{1,2}) "
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d) (?P<year>\d{4})\]\s*$",
    re.MULTILINE,
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUARTER = 900
# Quarter hours by which the world's zones are ahead of UTC, where they aren't whole hours: 5:45 is 23.
ODD_ZONES = frozenset((-38, -14, -10, 14, 18, 22, 23, 26, 35, 38, 42, 51, 55))
BEFORE = 2.0  # seconds: the stamp leaves out the part of a second, and clocks differ


def startup(error_text: str, started: float, ended: float | None = None) -> float | None:
    """Return when the rule's own work began, by what the Snakemake within the job wrote.

    Parameters
    ----------
    error_text
        The job's standard error, or its beginning. Snakemake writes a line such as ``[Wed Nov 25 08:01:53 2026]`` when
        a rule begins: the local time of the execute node, whose zone isn't known here.
    started, ended
        When the execution began and, where it is over, ended, in seconds since the epoch.

    Returns
    -------
    The first such time that can lie within the execution in one of the world's zones; None where there is none.
    """
    for stamp in STAMP.finditer(error_text):
        local = _as_if_utc(stamp)
        if local is None:
            continue
        ahead = local - started
        # The least time after the start that leaves a zone of the world.
        after = (ahead + BEFORE) % QUARTER - BEFORE
        longest = 4 * QUARTER if ended is None else min(4 * QUARTER, ended - started + BEFORE)
        while after < longest:
            if _is_zone(round((ahead - after) / QUARTER)):
                return started + max(0.0, after)
            after += QUARTER
    return None


def _as_if_utc(stamp: re.Match[str]) -> float | None:
    year, day, hour, minute, second = (int(stamp[name]) for name in ("year", "day", "hour", "minute", "second"))
    month = MONTHS.index(stamp["month"]) + 1
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60 and year >= 1970):
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _is_zone(quarters: int) -> bool:
    return quarters in ODD_ZONES or (quarters % 4 == 0 and -48 <= quarters <= 56)
