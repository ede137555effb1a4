"""HTCondor's event log: what it tells of a job, and what of that is news for a person. Pure functions on events.

Most of it is never heard of in a run: evicted, its shadow failed, the connection lost. Source of the events and their
attributes: HTCondor's manual, "Job event log codes".
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import htcondor2 as htcondor

from . import codes
from .jobs import Job, Run, State
from .words import duration, megabytes

ABOVE_ZERO = re.compile(r"[.](\d+)")


@dataclass(frozen=True)
class Event:
    """One event of one job: its kind as HTCondor names it, such as JOB_HELD, when it was, and what it carries."""

    kind: str
    cluster: int
    time: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What an event changed.

    Attributes
    ----------
    kind
        The word that the records use, such as "evicted".
    job
        The job that it concerns.
    text
        What is said of it; empty where it is no news.
    host
        Of an eviction, or of an end that HTCondor starts again: where. The job may be on another node when it is told.
    """

    kind: str
    job: Job
    text: str = ""
    host: str = ""


class EventLog:
    """Reads what is new in an event log."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._reader: Any = None

    def new(self) -> Iterator[Event]:
        """Yield the events since the last call.

        Raises
        ------
        OSError
            Where the log can't be read; the next call goes on behind what was read.
        """
        if self._reader is None:
            if not Path(self.path).exists():
                return
            self._reader = htcondor.JobEventLog(self.path)
        try:
            for event in _events(self._reader):
                attributes = dict(event)
                yield Event(event.type.name, event.cluster, _time(event.timestamp, attributes), attributes)
        except Exception as error:  # the bindings have a class of their own, of no use to a caller
            raise OSError(f"{self.path} can't be read: {error}") from error


def _events(reader: Any) -> Iterator[Any]:
    """Yield what is new, also events with text that isn't UTF-8, which the bindings read over but can't return."""
    while True:
        try:
            yield from reader.events(stop_after=0)
        except UnicodeDecodeError as error:  # an event's text, whole
            with tempfile.NamedTemporaryFile("w", encoding="utf-8") as readable:
                readable.write(error.object.decode("utf-8", errors="replace") + "...\n")
                readable.flush()
                yield from htcondor.JobEventLog(readable.name).events(stop_after=0)
        else:
            return


def _time(seconds: int, attributes: Mapping[str, Any]) -> float:
    """Return when an event was, with the fraction of a second that some pools log."""
    fraction = ABOVE_ZERO.search(str(attributes.get("EventTime", "")))
    return seconds + (float(f"0.{fraction[1]}") if fraction else 0.0)


def host_of(attributes: Mapping[str, Any]) -> str:
    """Return the host of an execute event.

    >>> host_of({"SlotName": "slot1_1@ep2"})
    'ep2'
    >>> host_of({"ExecuteHost": "<10.0.0.4:9618?addrs=10.0.0.4-9618&alias=ep1&noUDP>"})
    'ep1'
    """
    if slot := str(attributes.get("SlotName", "")):
        return slot.rpartition("@")[2]
    told = str(attributes.get("ExecuteHost", ""))
    alias = re.search(r"[?&]alias=([^&>]+)", told)
    address = re.match(r"<([^:>?]+)", told)
    return alias[1] if alias else address[1] if address else told


def apply(run: Run, event: Event) -> Change | None:
    """Note what an event tells in the run, and return what it changed; None where it concerns no job of the run."""
    job = run.jobs.get(event.cluster)
    if job is None or event.kind not in _HANDLERS:
        return None
    return _HANDLERS[event.kind](job, event)


def _submitted(job: Job, event: Event) -> Change | None:
    job.submitted = event.time
    return Change("submitted", job)


def _running(job: Job, event: Event) -> Change:
    before, host = job.host, host_of(event.attributes)
    job.state, job.started, job.worked = State.RUNNING, event.time, None
    job.hosts.append(host)
    again = len(job.hosts)
    if again == 1:
        return Change("running", job)
    moved = f"starts again, on {host}" + (f" (it was on {before})" if before != host else "")
    return Change("running", job, f"{moved}; this is start {again}")


def _image_size(job: Job, event: Event) -> None:
    _note_used(job, event.attributes)


def _left(job: Job) -> str:
    """Note that a job waits again, and return where it ran; empty where it hadn't begun, this time."""
    host = job.host if job.state is State.RUNNING else ""
    job.state, job.started = State.IDLE, None
    return host


def _evicted(job: Job, event: Event) -> Change:
    told, host = event.attributes, _left(job)
    if told.get("TerminatedAndRequeued"):
        how = f"by signal {told.get('TerminatedBySignal')}"
        if told.get("TerminatedNormally"):
            how = f"with exit code {told.get('ReturnValue')}"
        again = "HTCondor starts it again, as its submit description asks (max_retries, on_exit_remove)"
        return Change("requeued", job, f"ended {how} on {host or 'its node'}; {again}", host)
    reason = told.get("Reason") or codes.vacated(told.get("ReasonCode"), told.get("ReasonSubCode"))
    where = f"was evicted from {host}" if host else "came back to the queue before it began"
    return Change("evicted", job, f"{where}: {reason}; it waits in the queue again", host)


def _shadow_exception(job: Job, event: Event) -> Change:
    host = _left(job)
    message = " ".join(str(event.attributes.get("Message", "no message")).split())
    words = f"lost its shadow on the access point while it was on {host}: {message}; HTCondor starts it again"
    if not host:
        words = f"could not be started: {message}; HTCondor tries again"
    return Change("shadow exception", job, words)


def _disconnected(job: Job, event: Event) -> Change:
    told = event.attributes
    reason = told.get("DisconnectReason") or told.get("Reason") or "no reason is given"
    return Change("disconnected", job, f"lost the connection to {job.host} ({reason}); HTCondor tries to reconnect")


def _reconnected(job: Job, event: Event) -> Change:
    job.state = State.RUNNING
    return Change("reconnected", job, f"is connected to {job.host} again; it went on there")


def _reconnect_failed(job: Job, event: Event) -> Change:
    job.state, job.started = State.IDLE, None
    reason = event.attributes.get("Reason") or "no reason is given"
    return Change(
        "reconnect failed", job, f"could not be connected to {job.host} again ({reason}); it starts again elsewhere"
    )


def _suspended(job: Job, event: Event) -> Change:
    return Change("suspended", job, f"is suspended on {job.host}: its owner or a policy of the node stopped it for now")


def _unsuspended(job: Job, event: Event) -> Change:
    return Change("unsuspended", job, f"goes on, on {job.host}")


def _held(job: Job, event: Event) -> Change:
    job.state, job.started = State.HELD, None
    job.reason = str(event.attributes.get("HoldReason", ""))
    names = ("HoldReason", "HoldReasonCode", "HoldReasonSubCode")
    job.hold = {name: event.attributes[name] for name in names if name in event.attributes}
    return Change("held", job)  # told by whoever knows more of it than the event


def _released(job: Job, event: Event) -> Change:
    job.state, job.reason = State.IDLE, ""
    return Change("released", job, f"is released: {event.attributes.get('Reason') or 'no reason is given'}")


def _ended(job: Job, event: Event) -> Change:
    told = event.attributes
    job.ended = event.time
    _note_used(job, told)
    for name, attribute, divisor in (
        ("cpus", "RequestCpus", 1),
        ("memory_mb", "RequestMemory", 1),
        ("disk_mb", "RequestDisk", 1024),
    ):
        if isinstance(value := told.get(attribute), int | float):
            job.requested[name] = value / divisor
    if told.get("TerminatedNormally", True):
        job.exit_code = int(told.get("ReturnValue", 0))
    else:
        job.signal = int(told.get("TerminatedBySignal", 0))
    job.state = State.DONE if job.exit_code == 0 else State.FAILED
    return Change("done" if job.state is State.DONE else "failed", job)


def _removed(job: Job, event: Event) -> Change:
    job.ended, job.state = event.time, State.FAILED
    job.reason = str(event.attributes.get("Reason") or "")
    return Change("removed", job, f"was removed: {job.reason or 'no reason is given'}")


def _not_executable(job: Job, event: Event) -> Change:
    return Change(
        "not executable", job, f"could not be started on {job.host or 'its node'}: its executable can't be run there"
    )


def _note_used(job: Job, told: Mapping[str, Any]) -> None:
    for name, attribute, divisor in (
        ("memory_mb", "MemoryUsage", 1),
        ("disk_mb", "DiskUsage", 1024),
        ("cpus", "CpusUsage", 1),
    ):
        if isinstance(value := told.get(attribute), int | float):
            job.used[name] = max(job.used.get(name, 0.0), value / divisor)


_HANDLERS = {
    "SUBMIT": _submitted,
    "EXECUTE": _running,
    "EXECUTABLE_ERROR": _not_executable,
    "IMAGE_SIZE": _image_size,
    "JOB_EVICTED": _evicted,
    "JOB_TERMINATED": _ended,
    "SHADOW_EXCEPTION": _shadow_exception,
    "JOB_ABORTED": _removed,
    "JOB_SUSPENDED": _suspended,
    "JOB_UNSUSPENDED": _unsuspended,
    "JOB_HELD": _held,
    "JOB_RELEASED": _released,
    "JOB_DISCONNECTED": _disconnected,
    "JOB_RECONNECTED": _reconnected,
    "JOB_RECONNECT_FAILED": _reconnect_failed,
}


def ending(job: Job) -> str:
    """Say how a job failed, in short."""
    return f"failed by signal {job.signal}" if job.signal else f"failed with exit code {job.exit_code}"


def failure(job: Job) -> str:
    """Say how a job ended that failed: exit code or signal, host, time, and memory against its request."""
    after = f" after {duration(job.ended - job.started)}" if job.ended and job.started else ""
    used, asked = job.used.get("memory_mb"), job.requested.get("memory_mb")
    if used is None:
        memory = "; its memory was not measured"
    else:
        memory = f"; it used {megabytes(used)}" + (
            f" of the {megabytes(asked)} of memory it asked for" if asked else " of memory"
        )
    return f"{ending(job)} on {job.host or 'no host'}{after}{memory}"
