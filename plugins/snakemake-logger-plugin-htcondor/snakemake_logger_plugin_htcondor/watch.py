"""Watches the jobs of a run beside Snakemake: reads the event log, asks the pool, says what is news.

A thread of its own; whatever fails in it is counted, told once at the end, and harms nothing.
"""

import contextlib
import errno
import getpass
import itertools
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import codes, events, summary
from .asker import JUDGING, Asker, NoAnswer
from .jobs import Job, Run, State, within
from .lines import Line, in_words, name
from .matching import Word
from .records import Recorder
from .waiting import CHECKS, Found, Idle, Waiting, found_of, line, runs, sentence
from .words import count, duration, listed

LOOK_SECONDS = 1.0  # between two looks at the event log
MOST_EARLY = 10_000  # jobs: the log may hold those of earlier runs
EXECUTOR_SECONDS = 60.0  # for an executor that is known to say so
AGAIN_SECONDS = 1.0  # between looks at the pool before the first submission, where one alone isn't enough
SLOTS_SECONDS = 60.0  # between two looks at which slots there are
RETRY_WORDS_SECONDS = 3.0  # for how long a held job's line waits for the executor to say what it does
LOG_LINES, ERROR_LINES = 10, 6
SNAKEMAKES_END = ("Error in rule ", "Shutting down, this might take some time.")
SNAKEMAKES_TIME = re.compile(r"\[\w{3} \w{3} .\d \d\d:\d\d:\d\d \d{4}\]")
NEGOTIATOR_SECONDS = 60.0  # between two questions whether it answers, while it does
SILENT_LOG_CHECKS, SILENT_LOG_SECONDS = 3, 60.0
MUTE_SECONDS = 60.0  # for which nothing more is asked of who doesn't answer, to make a line fuller
LOOKS_AGAIN = 2  # for who is on a node from which a job was evicted
MOST_READ = 1 << 16  # bytes of a log file's end or beginning: some are huge
IDLE, RUNNING, HELD = 1, 2, 5
STATES = {IDLE: State.IDLE, RUNNING: State.RUNNING, HELD: State.HELD}
MOST_RANGES = 20  # of job numbers in a question
SCHEDD = "the access point's schedd"
VERDICTS = "verdicts, "  # before a name: of what was asked to tell why jobs wait

Say = Callable[[str, str], None]  # level and text
Draw = Callable[[Run], Callable[[], object] | str | None]


@dataclass(frozen=True)
class Options:
    """What the settings say, checked: seconds each, but for `records`.

    Attributes
    ----------
    idle_after
        A job that waits longer is explained.
    period
        Between two questions to the schedd.
    never_after
        A job that can never start is removed after so long; None leaves it.
    unnoticed_after
        A job that has ended for so long, and of which Snakemake has said nothing, is told.
    records
        File for the records, "" for one beside the event log, None for none.
    """

    idle_after: float = 60.0
    period: float = 10.0
    never_after: float | None = None
    unnoticed_after: float = 180.0
    records: str | None = ""


class Watch:
    """The jobs of one run, watched.

    Parameters
    ----------
    options
        See `Options`.
    say
        Prints a line; never called with the lock held.
    draw
        Called once a second with the run and the lock held, so it writes nothing itself: it returns a line to be said,
        or what draws it, to be called without the lock, as a terminal may stop to read; may be None.
    """

    def __init__(self, options: Options, say: Say, draw: Draw | None = None) -> None:
        self.run = Run(time.time())
        self.lock = threading.RLock()
        self.failures: dict[str, int] = {}
        self._options, self._say, self._draw = options, say, draw
        self._asker = Asker()
        self._waiting = Waiting(options.idle_after, options.period)
        self._logs: dict[str, events.EventLog] = {}
        self._recorder: Recorder | None = None
        self._known: dict[str, Job] = {}  # by jobid: rule, wildcards and logs, before there is a cluster
        self._asks: dict[str, str] = {}  # by jobid: the same for jobs of a rule that ask for the same
        self._groups: dict[str, tuple[str, ...]] = {}  # by jobid of a member: what their group may be called
        self._reported: set[int] = set()  # clusters of which Snakemake has told the end
        self._unnoticed: set[int] = set()
        self._heard = 0.0  # when Snakemake last told the end of a job
        self._by_jobid: dict[str, list[int]] = {}
        self._early: dict[int, list[events.Event]] = {}  # of jobs that Snakemake hasn't told us of yet
        self._speaks = False  # the executor tells what it does about holds
        self._mute_until: dict[str, float] = {}  # by question
        self._users: dict[str, str] = {}  # by host, as it was in this look
        self._explain_at = 0.0  # when the schedd is asked next why jobs are held
        self._evicted: list[events.Change] = []
        self._holds: dict[int, tuple[float, Mapping[str, Any], str]] = {}  # since when, ad, what the executor does
        self._told_of: deque[tuple[int, float, Mapping[str, Any], str]] = deque()  # holds, by the executor
        self._seen: set[str] = set()  # names of the slots that the pool has had in this run
        self._disagree: dict[int, int] = {}
        self._complained: set[str] = set()
        self._silent: dict[str, int] = {}
        self._negotiator = ("", 0.0)
        self._slots_asked = self._draw_at = 0.0
        self._asked = 0.0
        self._idle: list[Idle] = []
        self._owner = ""  # of the run's jobs, as the schedd calls whoever submitted them
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what Snakemake tells ---

    def plan(self, counts: Mapping[str, int]) -> None:
        """Note how many jobs each rule is to have."""
        with self.lock:
            self.run.planned = {rule: int(number) for rule, number in counts.items() if rule != "total"}

    def know(
        self,
        jobid: str,
        rule: str,
        wildcards: Mapping[str, str],
        logs: Iterable[str],
        asked: Mapping[str, float],
        asks: str = "",
    ) -> None:
        """Note what a job is, before it is submitted; `asked` as `Job.requested`, `asks` all that it asks for."""
        with self.lock:
            self._asks[jobid] = asks
            self._known[jobid] = Job(0, jobid, rule, dict(wildcards), logs=tuple(logs), requested=dict(asked))

    def group(self, members: Iterable[str], names: Iterable[str]) -> None:
        """Note that jobs are one job in HTCondor, whose jobid is one of these names."""
        with self.lock:
            self._groups.update(dict.fromkeys(members, tuple(names)))

    def submitted(
        self,
        jobid: str,
        cluster: int,
        event_log: str,
        title: str = "",
        output: str = "",
        error: str = "",
        speaks: bool = False,
    ) -> None:
        """Note that a job is in the queue, and begin to watch; `speaks` where its executor tells of holds, too."""
        with self.lock:
            self._speaks = self._speaks or speaks
            known = self._known.get(jobid) or Job(0, jobid, title or f"job {jobid}")
            attempt = 1 + len(self._by_jobid.get(jobid, ()))
            job = Job(
                cluster,
                jobid,
                known.rule,
                known.wildcards,
                attempt,
                known.logs,
                output,
                error,
                submitted=time.time(),
                requested=dict(known.requested),
            )
            self.run.jobs[cluster] = job
            self._by_jobid.setdefault(jobid, []).append(cluster)
            if event_log and event_log not in self._logs:
                self._logs[event_log] = events.EventLog(event_log)
                self._open_records(event_log)
        self._begin()

    def finished(self, jobid: str) -> None:
        """Note that Snakemake counts a job as done."""
        with self.lock:
            known = self._known.get(jobid)
            if known:
                self.run.finished[known.rule] = self.run.finished.get(known.rule, 0) + 1
            self._told(jobid)

    def failed(self, jobid: str) -> None:
        """Note that Snakemake counts a job, or an attempt of it, as failed."""
        with self.lock:
            self._told(jobid)

    def _told(self, jobid: str) -> None:
        names = (jobid, *self._groups.get(jobid, ()))  # of a group, only its members' ends are told
        self._reported.update(cluster for name in names for cluster in self._by_jobid.get(name, ()))
        self._heard = time.time()

    def hold(self, cluster: int, ad: Mapping[str, Any], does: str) -> None:
        """Take what the executor knows of a held job, and what it does about it; waits for no one."""
        self._told_of.append((cluster, time.time(), dict(ad), does))

    def before_submission(self, described: Mapping[str, str], deadline: float = 10.0) -> None:
        """Look whether jobs that are about to be submitted could ever start, and say where they can't.

        Parameters
        ----------
        described
            Their ClassAds as text, by what they are called.
        deadline
            Seconds that an answer may take.
        """
        with self._counted("the look before the first submission"):
            try:
                found, slots = self._expected(described, deadline)
                never = {title: one for title, one in found.items() if slots and one.word is Word.NEVER}
                for _ in range(CHECKS[Word.NEVER] - 1):
                    if never:  # a healthy run doesn't wait for it
                        self._stop.wait(AGAIN_SECONDS)
                        again, _slots = self._expected({title: described[title] for title in never}, deadline)
                        never = {title: one for title, one in again.items() if one.word is Word.NEVER}
            except NoAnswer as error:
                self._say("warning", f"the pool can't be looked at before the first submission: {error}")
                return
            if not slots:
                self._say("warning", sentence(next(iter(found.values()))) if found else "the pool has no slots")
                return
            for title, one in never.items():
                self._say("warning", f"{title} can't start on this pool as it is. {sentence(one)}")
            try:
                problem = self._asker.ask("negotiator", deadline)
            except NoAnswer as error:
                problem = f"the negotiator doesn't answer ({error})"
            if problem:
                self._say("warning", f"{problem}, so no job is matched until it does")

    def _expected(self, described: Mapping[str, str], deadline: float) -> tuple[dict[str, Found], list[str]]:
        """Return what is found of jobs to come, by what they are called, and the names of the pool's slots."""
        about: dict[str, Any] = {"described": list(described.values()), "seen": sorted(self._seen)}
        about |= {"clusters": {}, "negotiator": "", "seconds": self._asker.time_to_judge(deadline)}
        told = self._asker.ask("diagnoses", deadline, **about)
        self._seen.update(told["slots"])
        answers = zip(described, told["described"], strict=True)
        return {title: found_of(one) for title, one in answers if one is not None}, told["slots"]

    # --- the thread ---

    def _begin(self) -> None:
        with self.lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._watch, name="htcondor-watch", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()
            if time.monotonic() - self._asked >= self._options.period:
                self._asked = time.monotonic()
                with self._counted("asking the pool"):
                    self._ask()
            self._redraw()

    def _look(self) -> None:
        with self._counted("reading the event log"):
            self._users.clear()
            self._say_all(self._lines(self._read()))
            for words in self._waiting.starts():
                self._say("info", words)
        with self._counted("telling of held jobs"):
            self._tell_holds()

    def _redraw(self) -> None:
        if not self._draw or time.monotonic() < self._draw_at:
            return
        began, found = time.monotonic(), None
        with self._counted("drawing"), self.lock:
            found = self._draw(self.run)
        self._draw_at = time.monotonic() + 20 * (time.monotonic() - began)  # a run of 100,000 jobs takes a while
        if callable(found):
            with self._counted("drawing"):
                found()
        elif found:
            self._say("info", found)

    def close(self) -> None:
        """Stop watching, read what is left, and end the process that asks."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)
        self._asker.close()  # before the last look, whose questions nobody has to wait for
        if self._thread:
            self._look()
            self._redraw()
        if self._recorder:
            self._recorder.close()

    @contextlib.contextmanager
    def _counted(self, what: str) -> Any:
        try:
            yield
        except Exception as error:
            with self.lock:
                key = f"{what}: {type(error).__name__}: {error}"
                self.failures[key] = self.failures.get(key, 0) + 1

    # --- events ---

    def _read(self) -> list[events.Change]:
        with self.lock:
            logs = list(self._logs.values())
        changes = []
        for log in logs:
            with self._counted("reading the event log"):  # what was read before is told all the same
                for event in itertools.chain(self._late_known(), log.new()):
                    with self.lock:
                        if event.cluster not in self.run.jobs and len(self._early) < MOST_EARLY:
                            self._early.setdefault(event.cluster, []).append(event)
                        change = events.apply(self.run, event)
                    if change:
                        changes.append(change)
                        self._record(change.kind, change.job, event.time)
        # An eviction is no news where a hold or a removal follows at once: that one tells more. So it waits for a look.
        followed = {change.job.cluster for change in changes if change.kind in ("held", "removed")}
        last = {change.job.cluster: change for change in changes}
        told = [*self._evicted, *changes]
        self._evicted = [c for c in changes if c.kind == "evicted" and c is last[c.job.cluster]]
        waits = {id(change) for change in self._evicted}
        return [c for c in told if c.kind != "evicted" or (c.job.cluster not in followed and id(c) not in waits)]

    def _late_known(self) -> list[events.Event]:
        """Return the events that came before Snakemake told of their jobs, of those that it has told of by now."""
        with self.lock:
            known = [cluster for cluster in self._early if cluster in self.run.jobs]
            return [event for cluster in known for event in self._early.pop(cluster)]

    def _say_all(self, lines: Iterable[Line]) -> None:
        for level, words in in_words(lines):
            self._say(level, words)

    def _lines(self, changes: Iterable[events.Change]) -> Iterator[Line]:
        for change in changes:
            with self._counted("telling what happened"):  # what else happened is told all the same
                if found := self._line(change):
                    yield found

    def _line(self, change: events.Change) -> Line | None:
        """Note what a change means to what is said, and return what is said of it at once."""
        job = change.job
        if change.kind == "running" and self._waiting.started(job) and not change.text:
            return Line("info", job, runs(job), job.host)
        if change.kind == "held":
            self._holds.setdefault(job.cluster, (time.time(), {}, ""))
        elif change.kind == "failed":
            return Line(
                "error", job, events.failure(job), job.host, failure=events.ending(job), more=lambda: _tails(job)
            )
        elif change.kind == "done" and job.error and job.started:
            with contextlib.suppress(OSError):
                job.worked = summary.startup(_text(job.error, end=False), job.started, job.ended)
        elif change.kind == "removed":
            self._waiting.forget(job.cluster)
            # Snakemake's own removals are no news: what was behind each is said elsewhere.
            if job.reason and not job.reason.startswith(("Python-initiated", "Snakemake")):
                return Line("error", job, change.text)
        elif change.kind in ("evicted", "requeued"):
            more = partial(self._who_is_on, change.host) if change.kind == "evicted" else partial(_tails, job)
            return Line("warning", job, change.text, change.host, more=more)
        elif change.text:
            host = job.host if job.host in change.text else ""
            return Line("warning" if change.kind != "reconnected" else "info", job, change.text, host)
        return None

    def _who_is_on(self, host: str) -> str:
        """Say whose jobs are on a node now: who took a job's place, where HTCondor gives no reason."""
        if not host:
            return ""
        if host not in self._users:
            others = self._others_on(host)
            for _ in range(0 if self._users else LOOKS_AGAIN):  # once in a look: more may have been said meanwhile
                if others or self._stop.wait(AGAIN_SECONDS):
                    break
                others = self._others_on(host)  # who takes a slot is told to the collector a moment later
            self._users[host] = f". {host} runs jobs of {listed(others)} now" if others else ""
        return self._users[host]

    def _others_on(self, host: str) -> list[str]:
        users = self._ask_aside("users", machine=host) or []
        return [user for user in users if user.partition("@")[0] != (self._owner or _user())]

    def _ask_aside(self, question: str, **about: Any) -> Any:
        """Ask what makes a line fuller; None where no one answers, who then isn't asked again for a while."""
        if time.monotonic() < self._mute_until.get(question, 0.0):
            return None
        try:
            return self._asker.ask(question, 10.0, **about)
        except NoAnswer:
            self._mute_until[question] = time.monotonic() + MUTE_SECONDS
            return None

    def _tell_holds(self) -> None:
        patience = EXECUTOR_SECONDS if self._speaks else RETRY_WORDS_SECONDS
        # Jobs that are held one by one are asked of together, once in a period.
        asks = time.monotonic() >= self._explain_at or self._stop.is_set()
        while self._told_of:
            cluster, at, ad, does = self._told_of.popleft()
            self._holds[cluster] = (self._holds.get(cluster, (at,))[0], ad, does)
        with self.lock:
            for cluster in [c for c, (_, _, does) in self._holds.items() if not does and self._is_over(c)]:
                del self._holds[cluster]
            due = [
                (self.run.jobs[cluster], ad, does)
                for cluster, (since, ad, does) in self._holds.items()
                if cluster in self.run.jobs
                and ((does and self._has_read_of(cluster)) or time.time() - since > patience)
                and (ad or asks)
            ]
            for job, _, _ in due:
                del self._holds[job.cluster]
        unknown = [job.cluster for job, ad, _ in due if not ad]
        found: Mapping[str, Any] = {}
        if unknown:
            found = self._ask_aside("held", clusters=unknown) or {}
            self._explain_at = time.monotonic() + self._options.period
        self._say_all(_hold_line(job, ad or found.get(str(job.cluster), {}), does) for job, ad, does in due)

    def _is_over(self, cluster: int) -> bool:
        """Return whether a held job was released before anything was said of it."""
        job = self.run.jobs.get(cluster)
        return job is not None and job.state in (State.IDLE, State.RUNNING)

    def _has_read_of(self, cluster: int) -> bool:
        """Return whether a hold's event was read; the executor may read it first, and it is to be said once."""
        return self.run.jobs[cluster].state not in (State.IDLE, State.RUNNING)

    # --- questions ---

    def _ask(self) -> None:
        with self.lock:
            active = {
                c: job for c, job in self.run.jobs.items() if job.state in (State.IDLE, State.RUNNING, State.HELD)
            }
        self._check_unnoticed()
        if not active:
            return
        try:
            answer = self._asker.ask("queue", constraint=_constraint(active, self._owner))
        except NoAnswer as error:
            self._complain(SCHEDD, error)
            return
        self._heal(SCHEDD)
        told = {int(ad["ClusterId"]): ad for ad in answer if int(ad["ClusterId"]) in active}
        # Whom a token stands for, the schedd alone knows: it need not be the user's name here.
        self._owner = next((str(ad["Owner"]) for ad in told.values() if ad.get("Owner")), "")
        self._look_at_slots()
        self._note_files(active, told)
        self._compare(active, told)
        self._explain(active, told)

    def _note_files(self, active: Mapping[int, Job], told: Mapping[int, Mapping[str, Any]]) -> None:
        """Learn from the queue what an executor hasn't told: the event log, and where a job's output goes."""
        with self.lock:
            for cluster, job in active.items():
                ad = told.get(cluster)
                if ad is None:
                    continue
                folder = Path(str(ad.get("Iwd", ".")))
                job.error = job.error or str(folder / str(ad.get("Err", "")))
                job.output = job.output or str(folder / str(ad.get("Out", "")))
                if not self._logs and ad.get("UserLog"):
                    path = str(folder / str(ad["UserLog"]))
                    self._logs[path] = events.EventLog(path)
                    self._open_records(path)

    def _compare(self, active: Mapping[int, Job], told: Mapping[int, Mapping[str, Any]]) -> None:
        """Notice an event log that no longer tells what the schedd does."""
        for cluster, job in active.items():
            if job.state in STATES.values() and _went_on(job, told.get(cluster)):
                self._disagree[cluster] = self._disagree.get(cluster, 0) + 1
            else:
                self._disagree.pop(cluster, None)
        checks = max(SILENT_LOG_CHECKS, math.ceil(SILENT_LOG_SECONDS / self._options.period))
        late = [cluster for cluster, number in self._disagree.items() if number >= checks and cluster in active]
        if late and "event log" not in self._complained:
            self._complained.add("event log")
            log = next(iter(self._logs), "the event log")
            self._say(
                "warning",
                f"{log} no longer tells what happens: by the schedd, {count(len(late), 'job')} "
                f"({listed([str(cluster) for cluster in late])}) went on for "
                f"{duration(checks * self._options.period)} without an event. Snakemake may wait for "
                "events that never come. Look whether its disk is full or it was moved; if the run doesn't go on, end "
                "it with Ctrl-C and run again",
            )
        elif not late:
            self._complained.discard("event log")

    def _check_unnoticed(self) -> None:
        """Notice an executor that no longer notices: its thread may be dead."""
        now = time.time()
        with self.lock:
            late = [
                job
                for job in self.run.in_state(State.DONE, State.FAILED)
                if job.cluster not in self._reported
                and job.cluster not in self._unnoticed
                and now - self._heard > self._options.unnoticed_after  # it may be busy
                and now - (job.ended or now) > self._options.unnoticed_after
            ]
            self._unnoticed.update(job.cluster for job in late)
        if late:
            self._say(
                "error",
                f"Snakemake has not noticed for {duration(self._options.unnoticed_after)} that "
                f"{listed([name(job) for job in late])} ended. The executor's thread that watches the jobs may be "
                "dead. If the run doesn't go on, end it with Ctrl-C and run again: what is done is not done again",
            )

    def _explain(self, active: Mapping[int, Job], told: Mapping[int, Mapping[str, Any]]) -> None:
        now = time.time()
        self._idle = [
            Idle(job, float(ad["EnteredCurrentStatus"]), self._kind_of(job, ad))
            for cluster, job in active.items()
            if (ad := told.get(cluster)) and ad["JobStatus"] == IDLE
        ]
        waiting = {one.job.cluster for one in self._idle}
        for cluster in [cluster for cluster in active if cluster not in waiting]:
            if cluster in told and told[cluster]["JobStatus"] != RUNNING:  # a start is told by its event
                self._waiting.forget(cluster)
        groups = self._waiting.to_ask(self._idle, now)
        if not groups:
            return
        try:
            answer = self._asker.ask(
                "diagnoses",
                clusters={str(cluster): _ahead(cluster, told) for cluster in groups},
                described=[],
                seen=sorted(self._seen),
                negotiator=self._ask_negotiator(),
                seconds=self._asker.time_to_judge(),
                kinds={str(one.job.cluster): one.kind for one in self._idle if one.job.cluster in groups},
            )
        except NoAnswer as error:
            self._waiting.unsure()
            self._complain_of_verdicts(error)
            return
        self._heal_verdicts()
        self._seen.update(answer["slots"])  # for good: a node that is away for an hour may come back, too
        self._waiting.later(map(int, answer["left"]), groups, self._idle)
        for cluster, found in answer["jobs"].items():
            for alike in groups[int(cluster)]:
                self._waiting.note(alike, found_of(found), now)
        for news in self._waiting.news(self._idle, now):
            self._say("warning", line(news.found, news.jobs, now))
            for one in news.joined:
                self._record("diagnosis", one.job, now, word=news.found.word, reason=sentence(self._waiting.found(one)))
        if self._options.never_after is not None:
            self._remove(now, self._options.never_after)

    def _kind_of(self, job: Job, ad: Mapping[str, Any]) -> str:
        """Return what kind of job one is to HTCondor.

        The schedd doesn't know before a negotiator has told it what matters; until then, jobs are alike for which
        Snakemake asks for the same. What that makes of a job is told only: a removal looks at each job's own ad.
        """
        if "AutoClusterId" in ad:
            return f"{ad['AutoClusterId']}, {job.rule}"
        asks = self._asks.get(job.jobid)
        return f"job {job.cluster}" if asks is None else f"{job.rule}, {job.attempt}, {job.requested}, {asks}"

    def _look_at_slots(self) -> None:
        """Note each minute which slots there are, so that one that goes away is missed later."""
        if time.monotonic() - self._slots_asked < SLOTS_SECONDS:
            return
        self._slots_asked = time.monotonic()
        try:
            self._seen.update(self._asker.ask("slots"))
        except NoAnswer:  # whether the collector answers is said elsewhere
            return

    def _ask_negotiator(self) -> str:
        problem, at = self._negotiator
        if problem or time.monotonic() - at > NEGOTIATOR_SECONDS or not at:
            try:
                problem = self._asker.ask("negotiator")
            except NoAnswer as error:
                problem = f"the negotiator doesn't answer ({error})"
            self._negotiator = (problem, time.monotonic())
        return problem

    def _remove(self, now: float, seconds: float) -> None:
        with self.lock:
            jobs = dict(self.run.jobs)
        hopeless = dict(self._waiting.hopeless(self._idle, now, seconds))
        if not hopeless:
            return
        about = {
            str(cluster): {
                "key": found.key,
                "reason": f"Snakemake removed it, as it can never start. {sentence(found)}",
            }
            for cluster, found in hopeless.items()
        }
        try:
            answer = self._asker.ask("remove", jobs=about, seen=sorted(self._seen), seconds=self._asker.time_to_judge())
        except NoAnswer as error:  # tried again at the next check
            self._complain(error.who or SCHEDD, error, topic="removal")
            return
        self._silent.pop("removal", None)
        self._say_all(
            Line("error", jobs[cluster], f"is removed, as it can never start. {sentence(hopeless[cluster])}")
            for cluster in answer["removed"]
        )
        for cluster in hopeless.keys() - set(answer["left"]):
            self._waiting.forget(cluster)

    def _complain(self, who: str, error: NoAnswer, then: str = "", topic: str = "") -> None:
        """Say once that someone doesn't answer, when that isn't for a moment only."""
        key = topic or who
        self._silent[key] = self._silent.get(key, 0) + 1
        if self._silent[key] == 2:
            self._say("warning", f"{who} doesn't answer ({error})" + (f". {then}" if then else ""))

    def _heal(self, who: str, topic: str = "") -> None:
        if self._silent.pop(topic or who, 0) >= 2:
            self._say("info", f"{who} answers again")

    def _complain_of_verdicts(self, error: NoAnswer) -> None:
        """Say who it is that doesn't answer, where it can't be told why jobs wait."""
        who = error.who or "the process that asks the pool"
        if who != JUDGING:
            # The schedd may well answer the other question, about all jobs, and that doesn't heal this one.
            self._complain(who, error, "Why jobs wait can't be told until it does", _verdicts_of(who))
            return
        key = _verdicts_of(JUDGING)
        self._silent[key] = self._silent.get(key, 0) + 1
        if self._silent[key] == 2:
            self._say("warning", f"why jobs wait can't be told: to judge them takes too long ({error})")

    def _heal_verdicts(self) -> None:
        self._silent.pop(_verdicts_of(JUDGING), None)
        for key in [key for key in self._silent if key.startswith(VERDICTS)]:
            self._heal(key.removeprefix(VERDICTS), key)

    # --- records ---

    def _open_records(self, event_log: str) -> None:
        if self._recorder is None and self._options.records is not None:
            path = self._options.records or str(Path(event_log).with_suffix(".jsonl"))
            self._recorder = Recorder(Path(path))

    def _record(self, kind: str, job: Job, at: float | None = None, **more: Any) -> None:
        if self._recorder:
            with self._counted("writing the records"):
                self._recorder.write(job, kind, at or time.time(), **more)


def _went_on(job: Job, ad: Mapping[str, Any] | None) -> bool:
    """Return whether the schedd tells of something whose event should be in the log; None is a job that has left it."""
    if ad is None:
        return True
    says = STATES.get(int(ad["JobStatus"]))
    if says is State.RUNNING and job.state is State.IDLE:
        # Running begins with the shadow, and the event comes with the job itself: behind its input, its image, a hook.
        # The date may be that of an earlier start.
        return int(ad.get("JobCurrentStartExecutingDate", -1)) >= int(ad.get("JobCurrentStartDate", 0))
    return says not in (None, job.state)


def _hold_line(job: Job, ad: Mapping[str, Any], does: str) -> Line:
    codes_of = job.hold | dict(ad)
    kind = tuple(codes_of.get(name) for name in ("HoldReasonCode", "HoldReasonSubCode"))
    return Line("error", job, _held(job, ad, does), job.host, kind)


def _held(job: Job, ad: Mapping[str, Any], does: str) -> str:
    """Say why a job is held, what to do, and what the executor does."""
    asked = job.requested.get("memory_mb")
    known = {"ClusterId": job.cluster, "RequestMemory": asked} | job.hold | dict(ad)
    why = codes.explain({name: value for name, value in known.items() if value is not None})
    then = does or "Snakemake waits for it as long as its held-timeout says"
    where = f" on {job.host}" if job.host else ""
    return f"is held{where}. {why.happened} {why.todo} {then[0].upper()}{then[1:]}."


def _tails(job: Job) -> str:
    """Return the ends of the files that a job has written, each line on a line of its own."""
    files = [*((log, LOG_LINES) for log in job.logs), (job.error, ERROR_LINES)]
    return "".join(f"\n{found}" for path, most in files if path for found in tail(path, most))


def _ahead(cluster: int, told: Mapping[int, Mapping[str, Any]]) -> int:
    """Return how many idle jobs come before one: of a higher JobPrio, or of the same and submitted before."""

    def place(number: int) -> tuple[int, int, int]:
        ad = told[number]
        return -int(ad.get("JobPrio", 0)), int(ad.get("QDate", 0)), number

    return sum(ad["JobStatus"] == IDLE and place(number) < place(cluster) for number, ad in told.items())


def _verdicts_of(who: str) -> str:
    return f"{VERDICTS}{who}"


def _constraint(active: Iterable[int], owner: str) -> str:
    """Return the constraint for the jobs of the run, short however many there are: others may lie between them."""
    ranges = within(active, MOST_RANGES)
    quoted = owner.replace("\\", "\\\\").replace('"', '\\"')
    return f'({ranges}) && Owner == "{quoted}"' if owner else ranges


def _user() -> str:
    """Return the user's name here; empty where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid may have no name; Python 3.13 has another error for it
        return ""


def _text(path: str, end: bool = True) -> str:
    """Return the end of a file, or its beginning.

    Raises
    ------
    OSError
        Where it can't be read, or is no file: a pipe would be waited for.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(errno.EINVAL, "not a regular file", path)
    with Path(path).open("rb") as file:
        if end:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_READ))
        return file.read(MOST_READ).decode("utf-8", errors="replace")


def tail(path: str, most: int) -> list[str]:
    """Return the last lines of a file that say something, indented, under its name."""
    try:
        lines = [found.rstrip() for found in _text(path).splitlines() if found.strip()]
    except OSError as error:
        return [f"  {path}: {error.strerror}"]
    # What the Snakemake within a job says after the error is the same each time.
    ends = [number for number, found in enumerate(lines) if found.startswith(SNAKEMAKES_END)]
    lines = lines[: ends[0]] if ends and ends[0] else lines
    if lines and SNAKEMAKES_TIME.fullmatch(lines[-1]):
        lines.pop()
    if not lines:
        return [f"  {path} is empty"]
    return [f"  the end of {path}:", *(f"    {found}" for found in lines[-most:])]
