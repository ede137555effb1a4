"""Says why HTCondor jobs of a Snakemake run sit idle, are held or fail, and shows the run as it goes.

A logger plugin: ``snakemake --logger htcondor …``. It hears of jobs from Snakemake's log, watches them in HTCondor's
event log and queue, and speaks through Snakemake's logger. On a terminal it draws a live view below what Snakemake
says.
An executor may tell it more by `LogHandler.before_submission` and `LogHandler.hold`.
"""

import logging
import logging.handlers
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:
    from .doctor.early import EarlyLook
    from .watch import Draw

__version__ = "0.1.0"
__all__ = ["LogHandler", "LogHandlerSettings"]

# What the executors say of a submission: HTCondor's own, and htcondor-steady where a record carries text alone.
SUBMITTED = (
    re.compile(
        r"Job (?P<jobid>\S+) submitted to HTCondor Cluster ID (?P<cluster>\d+) with batch name (?P<title>.+)"
        r"(?:\nThe logs of the HTCondor job are stored in (?P<event_log>.+))?"
    ),
    re.compile(r"Job (?P<jobid>\S+) \((?P<title>.+)\) is HTCondor job (?P<cluster>\d+)\.0\."),
)
SOONEST_REMOVAL = 300  # seconds: nodes come and go, and a healthy job that is removed is worse than one that waits
OURS = "htcondor_says"  # marks a record of our own, which comes back to us


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """What a profile may say, each as ``logger-htcondor-NAME``; `Optional`, as the plugin interface reads the types."""

    idle_after: Optional[int] = field(
        default=60, metadata={"help": "Seconds that a job may wait before it is said why."}
    )
    period: Optional[int] = field(default=10, metadata={"help": "Seconds between two questions to the schedd."})
    never_after: Optional[int] = field(
        default=None,
        metadata={
            "help": "Remove a job that can NEVER start, by what surely stays as it is, after so many seconds (300 or "
            "more), so that its rule fails. By default, none."
        },
    )
    live: Optional[bool] = field(
        default=True, metadata={"help": "Draw a live view where standard error is a terminal."}
    )
    progress: Optional[int] = field(
        default=60,
        metadata={
            "help": "Elsewhere, a line on how the run stands after so many seconds, if that changed; 0 for none."
        },
    )
    summary: Optional[bool] = field(
        default=True,
        metadata={"help": "After the run, a table of waits, work and memory, and what to ask for instead."},
    )
    records: Optional[str] = field(
        default="",
        metadata={
            "help": "File for records in JSON lines, one a change; default: beside the event log; none: no file."
        },
    )
    unnoticed_after: Optional[int] = field(
        default=180,
        metadata={
            "help": "Say when Snakemake misses the end of a job for so many seconds (more than its latency-wait)."
        },
    )
    plan: Optional[str] = field(
        default=None, metadata={"help": "In a dry run: write what each job would ask for to this file, in JSON lines."}
    )


class LogHandler(LogHandlerBase):
    """Hears what Snakemake logs, and has the jobs watched."""

    _early: "EarlyLook | None" = None
    _looked = False  # the executor has had us look, before its first submission

    def __post_init__(self) -> None:
        """Set up; nothing runs before there is a job in HTCondor."""
        settings = self.settings if isinstance(self.settings, LogHandlerSettings) else LogHandlerSettings()
        self._settings = settings
        self._failures: dict[str, int] = {}
        self._quiet = bool(self.common_settings.dryrun)
        self._console = None if self._quiet else self._set_up("the live view", self._live_view)
        from .watch import Options, Watch  # noqa: PLC0415 - each Snakemake imports all plugins, used or not

        options = Options(
            idle_after=float(settings.idle_after if settings.idle_after is not None else 60),
            period=float(max(1, settings.period or 10)),
            never_after=float(max(settings.never_after, SOONEST_REMOVAL)) if settings.never_after else None,
            unnoticed_after=float(settings.unnoticed_after or 180),
            records=None if settings.records == "none" else settings.records or "",
        )
        self._watch = Watch(options, self._say, self._drawing())
        self._plan = _plan_writer(settings.plan) if settings.plan and self._quiet else None
        self._closed = False

    def _set_up(self, what: str, make: Callable[[], Any]) -> Any:
        """Return what is made, or None where it can't be: a run is not to end for want of it."""
        try:
            return make()
        except Exception as error:
            self._count(error, what)
            return None

    def _live_view(self) -> Any:
        """Return the console with a live view, where one can be drawn; else None, and Snakemake's own is kept."""
        return _console(self._settings, self.common_settings)

    def _drawing(self) -> "Draw | None":
        """Return what shows the run as it goes."""
        if self._console is not None:
            return self._console.drawing  # type: ignore[no-any-return]
        if not self._settings.progress:
            return None
        from .plain import PlainLines  # noqa: PLC0415 - each Snakemake imports all plugins, used or not

        return PlainLines(float(self._settings.progress)).update

    # --- what an executor may tell; each is called with what it knows at once ---

    def before_submission(self, described: Mapping[str, str]) -> None:
        """Look whether jobs could ever start: their ClassAds as text, by what they are called."""
        if not self._quiet:
            self._looked = True
            self._watch.before_submission(described)

    def hold(self, cluster: int, ad: Mapping[str, Any], does: str) -> None:
        """Take the ad of a held job, and what the executor does about it, and say both in one line."""
        self._watch.hold(cluster, ad, does)

    # --- Snakemake's log ---

    def emit(self, record: logging.LogRecord) -> None:
        """Take what a record tells; show it where we are the console."""
        try:
            self._hear(record)
        except Exception as error:
            self._count(error)
        self._show(record)

    def _show(self, record: logging.LogRecord) -> None:
        """Show a record where we are the console; in plain words where it can't be shown as Snakemake does."""
        if self._console is None:
            return
        try:
            self._console.show(record)
        except Exception as error:
            self._count(error, "showing Snakemake's log")
            print(record.getMessage(), file=sys.stderr)

    def _hear(self, record: logging.LogRecord) -> None:
        if getattr(record, OURS, False):
            return
        told = record.__dict__
        event = told.get("event")
        if self._quiet:
            self._hear_dry_run(event, record)
        elif event == LogEvent.RUN_INFO:
            self._watch.plan(told.get("stats") or {})
            self._tell_of_the_soonest_removal()
        elif event == LogEvent.RESOURCES_INFO and "nodes" in told:  # a run with work to do, and a remote executor
            self._look_early()
        elif event == LogEvent.JOB_INFO:
            self._know(told)
        elif event == LogEvent.JOB_FINISHED:
            self._watch.finished(str(told.get("job_id", told.get("jobid"))))
        elif event == LogEvent.JOB_ERROR:
            self._watch.failed(str(told.get("jobid")))
        elif event == LogEvent.GROUP_INFO:
            members = list(told.get("jobs") or [])  # a group's jobid is the UUID of one of them
            self._watch.group([str(job.jobid) for job in members], [str(job.uuid()) for job in members])
        elif event is None:
            self._hear_submission(record)

    def _tell_of_the_soonest_removal(self) -> None:
        asked = self._settings.never_after
        if asked and asked < SOONEST_REMOVAL:
            self._say(
                "warning",
                f"never-after is {asked} s, which is too soon to give a job up: nodes come and go. A job that can "
                f"NEVER start is removed after {SOONEST_REMOVAL} s",
            )

    def _hear_dry_run(self, event: object, record: logging.LogRecord) -> None:
        if self._plan is not None and event == LogEvent.JOB_INFO:
            self._plan.add(record)

    def _look_early(self) -> None:
        """Have pool and folder checked, once, while the run goes on; what is wrong is said."""
        if self._early is None:
            from .doctor.early import EarlyLook  # noqa: PLC0415 - each Snakemake imports all plugins, used or not

            self._early = EarlyLook(self._say, self._count, self._looked)

    def _know(self, told: Mapping[str, Any]) -> None:
        resources = told.get("resources") or {}
        asked = {
            name: float(resources[key])
            for name, key in (("memory_mb", "mem_mb"), ("disk_mb", "disk_mb"))
            if isinstance(resources.get(key), int)
        }
        if isinstance(threads := told.get("threads"), int):
            asked["cpus"] = float(threads)
        wildcards = {str(name): str(value) for name, value in dict(told.get("wildcards") or {}).items()}
        logs = [str(path).removesuffix(" (retrieve from storage)") for path in told.get("log") or []]
        asks = f"{sorted(f'{name}={value}' for name, value in resources.items())}, {threads}"
        self._watch.know(str(told.get("jobid")), str(told.get("rule_name")), wildcards, logs, asked, asks)

    def _hear_submission(self, record: logging.LogRecord) -> None:
        if job := getattr(record, "htcondor_job", None):
            self._watch.submitted(**job, speaks=True)
            return
        for pattern in SUBMITTED:
            if found := pattern.fullmatch(str(record.msg).strip()):
                told = found.groupdict()
                self._watch.submitted(told["jobid"], int(told["cluster"]), told.get("event_log") or "", told["title"])
                return

    def _count(self, error: Exception, what: str = "hearing Snakemake") -> None:
        key = f"{what}: {type(error).__name__}: {error}"
        self._failures[key] = self._failures.get(key, 0) + 1

    # --- what we say ---

    def _say(self, level: str, text: str) -> None:
        """Say a line through Snakemake's logger, so that it reaches the console and the log file."""
        getattr(logging.getLogger("snakemake.logging"), level)(f"htcondor: {text}", extra={OURS: True})

    def close(self) -> None:
        """End the watching and say what is left to say."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._early is not None:
                self._early.close()
            self._watch.close()
            if self._plan is not None:
                self._plan.close()
            self._end()
        except Exception as error:
            self._count(error)
        finally:
            if self._console is not None:
                self._console.stop()  # gives the cursor back, also where a second Ctrl-C came in between
        super().close()

    def _end(self) -> None:
        run = self._watch.run
        if self._console is not None:
            self._console.stop()
        if run.jobs and self._settings.summary:
            from . import summary  # noqa: PLC0415 - rich is loaded where something is drawn

            self._last("info", summary.table(run))
            for line in summary.advice(run):
                self._last("info", f"htcondor: {line}")
        failures = self._watch.failures | self._failures
        if failures:
            number = sum(failures.values())
            first = next(iter(failures))
            self._last(
                "warning",
                f"htcondor: this plugin failed {number} times, which harmed no job; what it had to say may be missing. "
                f"First: {first}",
            )

    def _last(self, level: str, text: str) -> None:
        """Say a line after Snakemake has stopped to bring us records: where we are the console, show it ourselves."""
        logger = logging.getLogger("snakemake.logging")
        record = logger.makeRecord(
            logger.name, getattr(logging, level.upper()), __file__, 0, text, (), None, extra={OURS: True}
        )
        for handler in logger.handlers:
            if not isinstance(handler, logging.handlers.QueueHandler):
                handler.handle(record)
        self._show(record)

    # --- the interface ---

    @property
    def writes_to_stream(self) -> bool:
        """On a terminal we are the console, as the live view needs."""
        return self._console is not None

    @property
    def writes_to_file(self) -> bool:
        """Records go to a file of their own, which is no log file in Snakemake's sense."""
        return False

    @property
    def has_filter(self) -> bool:
        """All records are heard; what is shown is filtered by the console."""
        return True

    @property
    def has_formatter(self) -> bool:
        """The console formats as Snakemake does."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False


def _console(settings: LogHandlerSettings, common: Any) -> Any:
    """Return the console with a live view, where one can be drawn; else None."""
    stream = sys.stdout if common.stdout else sys.stderr
    if not settings.live or not stream.isatty():
        return None
    from .console import Console  # noqa: PLC0415 - rich is loaded where something is drawn

    return Console(common, stream)


def _plan_writer(path: str) -> Any:
    from .doctor.plan import PlanWriter  # noqa: PLC0415 - of use in a dry run alone

    return PlanWriter(path)
