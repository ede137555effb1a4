"""Snakemake's HTCondor executor, made steady.

It builds on `snakemake_executor_plugin_htcondor` and keeps how that reads the event log. What it does itself:

- each run has an event log of its own, so that no run believes the events of an earlier one, also where a rebuilt pool
  numbers its jobs from 1 again;
- the status thread starts to look when the executor is set up, survives a log that can't be read, and ends the run with
  an error where it dies itself; now and then it compares with the schedd, for events that were never written;
- a submission is tried again while the schedd is away, and never made twice;
- all jobs of a run are removed with it, and those that a killed run left behind before the next one starts;
- a job held for memory asks for more; another hold fails at once with its reason; a person's hold is waited for;
- arguments arrive as they were meant, and HTCondor's output lies beside the rule's own log.
"""

import asyncio
import contextlib
import errno
import getpass
import importlib.metadata
import math
import os
import signal
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Optional

from snakemake_executor_plugin_htcondor import Executor as HTCondorExecutor
from snakemake_executor_plugin_htcondor import JobState, JobStatus, common_settings
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

from . import alive, description, holds, local_universe
from .queue import FOLDER, HELD, REMOVED, RUN, STATUS, FullError, Queue, QueueError, RefusedError, host_configuration

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOOK_SECONDS = 0.1  # how often the size of the event log is looked at: one stat on the access point
COMPARE_SECONDS = 20.0  # how often the schedd is asked whether an event was missed
GONE_SECONDS = 300.0  # for how long a new run waits until the jobs of a killed one are gone
START_SECONDS = 60.0  # for how long a run waits for a schedd before its first job: there may be none on this host
KEPT_EVENT_LOGS = 10
IN_THE_AIR_SECONDS = 30.0  # how long a submission takes at most that HTCondor's bindings have begun
PROBE_BYTES = 8192
MOST_DESCRIBED = 100  # jobs of different requests that are looked at before the first submission
NEVER_STARTS = "as it can never start"  # in the reason of a removal


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]
    """What a profile may say, each as ``htcondor-steady-NAME``; `Optional`, as the plugin interface reads the types."""

    logs: Optional[str] = field(
        default="logs",
        metadata={"help": "Folder for the run's event logs, and for HTCondor's output of jobs without a log file."},
    )
    batch_name: Optional[str] = field(
        default="snakemake",
        metadata={"help": "First part of the batch name that condor_q shows; the rule is the second."},
    )
    accounting_group: Optional[str] = field(
        default=None, metadata={"help": "Accounting group of all jobs, where the pool has groups."}
    )
    held_timeout: Optional[int] = field(
        default=14400,
        metadata={"help": "Seconds to wait for a person who held a job; other holds are never waited for."},
    )
    patience: Optional[int] = field(
        default=600, metadata={"help": "Seconds for which a schedd that doesn't answer is asked again."}
    )
    max_idle: Optional[int] = field(
        default=None,
        metadata={"help": "Most jobs that wait for a slot at once; further ones are submitted when some have started."},
    )
    submit_rate: Optional[int] = field(default=20, metadata={"help": "Most submissions a second."})
    node_copy: Optional[str] = field(
        default=None,
        metadata={"help": "Folder on each node's own disk, for a copy of the Python environment that jobs run from."},
    )


class Executor(HTCondorExecutor):  # type: ignore[misc]  # the plugin has no type hints
    """Submits jobs, watches them, and leaves none behind."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        self._ended_by: WorkflowError | None = None
        self._cancelled = False
        self._not_yet: deque[JobExecutorInterface] = deque()  # as many as may be are idle
        self._submitting = threading.Lock()
        self._ready = threading.Event()  # the parent starts its status thread before it calls __post_init__
        self.active_jobs: list[SubmittedJobInfo] = []
        super().__init__(workflow, logger)

    def __post_init__(self) -> None:
        """Set up the run, and clear what a killed run left in the queue."""
        settings = self.workflow.executor_settings
        if not self.workflow.storage_settings.shared_fs_usage:
            raise WorkflowError(
                "executor htcondor-steady needs a shared file system; without one, use executor htcondor"
            )
        self._settings: ExecutorSettings = settings
        self._logs = Path(settings.logs or ".")
        settings.jobdir, settings.shared_fs_prefixes = str(self._logs), None  # what the parent wants to find
        super().__post_init__()
        self._run = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._began = int(time.time())
        self._folder = str(Path.cwd().resolve())
        self._unified_log_file = str(_new_event_log(self._logs / "htcondor", self._run))
        self._queue = Queue(self.logger.warning, settings.patience or 0)
        self._constraint = f"{RUN} == {description.string(self._run)}"
        self._settled: set[int] = set()
        self._said_to_wait: set[int] = set()
        self._held: dict[int, Mapping[str, Any]] = {}
        self._missing: dict[int, int] = {}
        self._log_failures = 0
        self._full = 0
        self._compared = time.monotonic()
        self._submissions = 0
        self._last_submission = 0.0
        self._node_copy = _node_copy_words(settings.node_copy) if settings.node_copy else []
        self._driver = self._join_own_job()
        if self.workflow.execution_settings.lock:
            self._alive = alive.stay_alive(self._run)
            self._remove_orphans()
        self._listeners = [
            h for h in self.workflow.logger_manager.get_log_handlers() if hasattr(h, "before_submission")
        ]
        self._tell_what_comes()
        self._ready.set()

    def _tell_what_comes(self) -> None:
        """Show logger plugins that care what the run's jobs will ask for, before the first is submitted."""
        if not self._listeners:
            return
        described: dict[str, str] = {}  # from ClassAd to what it is called
        here = host_configuration()
        for job in sorted(self.workflow.dag.needrun_jobs(), key=lambda job: (job.rule.name, job.jobid)):
            if self.workflow.is_local(job.rule) or len(described) == MOST_DESCRIBED:
                continue
            try:
                ad = description.expected_ad(self._ask_for(job), getpass.getuser(), here)
            except Exception:  # noqa: S112 - it can't be told before its inputs exist: said when it is submitted
                continue
            described.setdefault(ad, _title(job))
        for listener in self._listeners:
            listener.before_submission({title: ad for ad, title in described.items()})

    def _join_own_job(self) -> int | None:
        """Where Snakemake is a job itself: have its jobs removed together with it, and return its number."""
        ad = local_universe.own_job(os.environ)
        if ad is None:
            return None
        number = int(ad["ClusterId"])
        if local_universe.WITH_IT not in ad:
            try:
                constraint = description.string(local_universe.removed_with(number))
                self._queue.edit(f"{number}.0", local_universe.WITH_IT, constraint)
            except QueueError as error:
                self.logger.warning(
                    f"Jobs may outlive HTCondor job {number}.0, their driver, when it is removed: {error}"
                )
        deployment = self.workflow.deployment_settings
        if local_universe.lies_in_scratch(deployment.apptainer_prefix, os.environ):
            # HTCondor sets APPTAINER_CACHEDIR to that folder; a job would try to make it on its own host.
            deployment.apptainer_prefix = None
        return number

    def _remove_orphans(self) -> None:
        """Remove the jobs of runs that were killed; a run with other targets may be at work in this folder, too."""
        constraint = f"{FOLDER} == {description.string(self._folder)} && {RUN} != {description.string(self._run)}"
        try:
            jobs = self._queue.look_patiently(constraint, ["ClusterId", RUN], START_SECONDS)
            living = sorted(run for run in {str(job.get(RUN, "")) for job in jobs} if run and alive.lives(run))
            if living:
                self.logger.warning("Another run of this folder goes on; its jobs are left alone.")
                constraint += "".join(f" && {RUN} != {description.string(run)}" for run in living)
            if numbers := [str(job["ClusterId"]) for job in jobs if job.get(RUN) not in living]:
                self.logger.warning(
                    f"An earlier run of this folder left jobs in the queue; removing them: {', '.join(numbers)}"
                )
            self._queue.remove(constraint, gone_within=GONE_SECONDS)
        except QueueError as error:
            raise WorkflowError(
                f"HTCondor's queue can't be looked through for jobs of an earlier run: {error}"
            ) from None

    # --- submission ---

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, or keep it back until fewer are idle."""
        if self._ended_by:
            raise self._ended_by
        self._hear_sigterm()
        with self._submitting:
            self._not_yet.append(job)
            self._submit_some()

    def _hear_sigterm(self) -> None:
        """Have SIGTERM end the run also where it comes while Snakemake holds its scheduler's lock.

        Snakemake's handler takes that lock in the main thread. Where that thread has it already, as while it waits for
        a finished job's output to appear, it would wait for itself; a thread of its own waits until the lock is free.
        """
        handler = getattr(self.workflow.scheduler, "exit_gracefully", None)  # made after its executor
        if handler is None or signal.getsignal(signal.SIGTERM) != handler:
            return
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=handler, daemon=True).start())

    def _submit_some(self) -> None:
        """Submit the jobs that were kept back, oldest first, as far as there is room and may be more idle ones."""
        if self._not_yet and self._is_ending():
            self._leave_the_rest()
        most = self._settings.max_idle or math.inf
        while self._not_yet and self._queue.has_room() and self._count_idle() < most:
            try:
                job = self._not_yet.popleft()
            except IndexError:  # the other thread has just ended the run
                return
            self._submit(job)

    def _is_ending(self) -> bool:
        """Tell whether Snakemake only waits for the jobs that it believes to run: one has failed, or it got SIGTERM."""
        scheduler = self.workflow.scheduler
        if scheduler is None:  # it is made after its executor
            return False
        return bool(scheduler._user_kill or (scheduler._errors and not scheduler.keepgoing))

    def _leave_the_rest(self) -> None:
        """Hand back, without a word for each, the jobs that were kept back: Snakemake would wait for hours for them."""
        left = []
        while self._not_yet:
            left.append(self._not_yet.popleft())
        self.logger.info(f"The run is ending: {len(left)} jobs that were not submitted yet are left to the next one.")
        scheduler = self.workflow.scheduler
        with scheduler._lock:
            for job in left:
                job.attempt = job.restart_times + 1
                # Not by its callback: that removes a failed job's files, and what lies there of these is whole.
                scheduler._handle_error(job, postprocess_job=False)
        scheduler._open_jobs.release()

    def _count_idle(self) -> int:
        with self.lock:
            clusters = [info.external_jobid for info in self.active_jobs]
        states = (self._job_current_states.get(cluster) for cluster in clusters)
        return sum(state is None or state.status in (JobStatus.PENDING, JobStatus.IDLE) for state in states)

    def _submit(self, job: JobExecutorInterface) -> None:
        self._keep_submit_rate()
        self._submissions += 1
        key = f"{self._run}/{self._submissions}"
        try:
            submit = self._describe(job)
            cluster = self._queue.submit(submit, key, self._constraint, self._gives_up)
        except FullError:
            if not self._gives_up():
                self._not_yet.appendleft(job)  # the thread that watches tries again
            return
        except RefusedError as error:
            if self._gives_up():
                raise self._ended_by or WorkflowError("The run is cancelled.") from None
            self._fail_alone(job, str(error))
            return
        except QueueError as error:
            raise WorkflowError(f"Job {job.jobid} ({_title(job)}) could not be submitted: {error}") from None
        except ValueError as error:  # a name that can't be handed over: this job alone fails, and would again
            self._fail_alone(job, str(error))
            return
        output, errors = self._files(job)
        told = {"jobid": str(job.jobid), "cluster": cluster, "event_log": self._unified_log_file, "title": _title(job)}
        self.logger.info(
            f"Job {job.jobid} ({_title(job)}) is HTCondor job {cluster}.0.",
            extra={"htcondor_job": told | {"output": str(output), "error": str(errors)}},  # for logger plugins
        )
        self.report_job_submission(SubmittedJobInfo(job=job, external_jobid=cluster, aux={"error": errors}))

    def _gives_up(self) -> bool:
        """Tell whether nothing is to be submitted any more."""
        return self._cancelled or self._ended_by is not None

    def _fail_alone(self, job: JobExecutorInterface, why: str) -> None:
        """Report that a job can't be submitted, nor could another attempt; the others go on."""
        sentence = f"Job {job.jobid} ({_title(job)}) can't run on the pool: {why.rstrip('.')}"
        self.logger.error(f"{sentence}.")
        job.attempt = job.restart_times + 1
        self.report_job_error(SubmittedJobInfo(job=job), msg=f"{sentence}. ")

    def get_job_args(self, job: JobExecutorInterface, **kwargs: Any) -> str:
        """Return what Snakemake is told within the job."""
        arguments = str(super().get_job_args(job, **kwargs))
        # Its scheduler starts a timer of a second whenever it has started a job, and Python waits for that: a job of
        # less would take a second. A group has jobs that wait for a core, and turns of no pause would take one.
        return arguments if job.is_group() else f"{arguments} --max-jobs-per-timespan 1/0s"

    def _keep_submit_rate(self) -> None:
        """Wait where the last submission was a moment ago."""
        # Snakemake's own --max-jobs-per-timespan starts a timer at each turn of its scheduler, which starts a turn.
        pause = self._last_submission + 1 / (self._settings.submit_rate or 20) - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._last_submission = time.monotonic()

    def _describe(self, job: JobExecutorInterface) -> dict[str, Any]:
        """Return the submit description of a job.

        Raises
        ------
        ValueError
            Where a name in it can't be handed over.
        """
        description.check_wildcards([spec.wildcards_dict for spec in job.get_target_spec()])
        output, error = self._files(job)
        output.parent.mkdir(parents=True, exist_ok=True)
        wrapper = job.resources.get("job_wrapper")
        words = description.command(self.format_job_exec(job), sys.executable, wrapper)
        if self._node_copy and words[0] == sys.executable:
            words = [*self._node_copy, *words[1:]]
        submit: dict[str, Any] = {
            "executable": words[0],
            "arguments": description.arguments(words[1:]),
            "log": self._unified_log_file,
            "output": description.verbatim(str(output)),
            "error": description.verbatim(str(error)),
            "getenv": False,
            "batch_name": f"{self._settings.batch_name}/{job.name}",
            "description": description.verbatim(_title(job)),
            "+SnakemakeRule": description.string(job.name),
            "+SnakemakeJobId": description.string(str(job.jobid)),  # a number, or of a group a UUID
            "+SnakemakeAttempt": str(job.attempt),
            f"+{RUN}": description.string(self._run),
            f"+{FOLDER}": description.verbatim(description.string(self._folder)),
        }
        if self._driver is not None:
            submit["+SnakemakeDriverId"] = str(self._driver)
        submit = self._ask_for(job) | submit
        if environment := description.environment(self.envvars(), job.resources.get("environment")):
            submit["environment"] = environment
        return submit

    def _ask_for(self, job: JobExecutorInterface) -> dict[str, Any]:
        """Return the submit commands that decide where a job can run.

        Raises
        ------
        ValueError
            Where memory or disk can't be told, or a text can't be handed over.
        """
        submit: dict[str, Any] = {"request_cpus": str(job.threads)}
        # HTCondor's default takes a node without the shared folder, too, and brings nothing but the program there.
        submit["should_transfer_files"] = "NO"
        if self._settings.accounting_group:
            submit["accounting_group"] = self._settings.accounting_group
        for name in description.PASSED_ON:
            self._set_resources(submit, job, name)
        if "accounting_group" in submit:
            # The bindings leave the user's part empty where condor_submit takes the user's name.
            submit.setdefault("accounting_group_user", getpass.getuser())
        self._handle_explicit_unit_resources(job, submit)
        if not job.is_group():  # a group makes some of its inputs itself
            description.check_requests(job.resources)
        for name, value in description.requests(job.resources).items():
            submit.setdefault(name, value)
        own = description.own_attributes(_own_resources(job))
        if "should_transfer_files" in own:  # a pool whose nodes have the folder, and say that they have another
            submit["should_transfer_files"] = own["should_transfer_files"]
        return own | submit

    def _files(self, job: JobExecutorInterface) -> tuple[Path, Path]:
        """Return where HTCondor's output and error of a job go."""
        wildcards = {} if job.is_group() else dict(job.wildcards_dict)
        log = [] if job.is_group() else [str(path) for path in job.log]
        group = str(job.jobid) if job.is_group() else ""
        return description.files_for(job.name, log, wildcards, job.attempt, self._logs, group)

    # --- watching ---

    def _wait_thread(self) -> None:
        """Watch the jobs until the run is over; where that fails, end the run with an error."""
        self._ready.wait()
        try:
            asyncio.run(self._wait_for_jobs())
        except WorkflowError as error:
            self._end_run(error)
        except BaseException as error:
            self._end_run(WorkflowError(f"The thread that watches the HTCondor jobs has died: {error!r}."))

    def _end_run(self, error: WorkflowError) -> None:
        self._not_yet.clear()
        if self._cancelled:  # by Ctrl-C, which sees to the jobs: what this thread was doing matters no more
            return
        self._ended_by = error  # before the removal: what the main thread submits from now on would outlive it
        self.logger.error(f"{error} The run ends; run again to resume.")
        self._remove_jobs()
        while self.workflow.scheduler is None:  # it is made after its executor
            time.sleep(LOOK_SECONDS)
        self.workflow.scheduler.executor_error_callback(error)

    async def _wait_for_jobs(self) -> None:
        while True:
            with self.lock:
                if not self.wait:
                    return
                active = list(self.active_jobs)
            async for _ in self.check_active_jobs(active):
                pass
            with self.lock:
                self.active_jobs = [info for info in self.active_jobs if info.external_jobid not in self._settled]
            # The main thread may be waiting for the schedd in there, and sees to it then.
            if self._not_yet and self._submitting.acquire(blocking=False):
                try:
                    self._submit_some()
                finally:
                    self._submitting.release()
            await self.sleep()

    async def sleep(self) -> None:
        """Wait for the next event, at most for the seconds between two status checks."""
        seconds = self.workflow.remote_execution_settings.seconds_between_status_checks
        size = _size(self._unified_log_file)
        end = time.monotonic() + seconds
        while self.wait and time.monotonic() < end and _size(self._unified_log_file) == size:
            await asyncio.sleep(LOOK_SECONDS)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Read new events and report what they mean; yield the jobs that go on."""
        self._read_events()
        compares = time.monotonic() - self._compared > COMPARE_SECONDS
        if compares:
            self._compared = time.monotonic()
            self._check_space()
            self._compare_with_schedd(active_jobs)
        states, unknown = [], False
        for info in active_jobs:
            cluster = info.external_jobid
            state = self._job_current_states.setdefault(cluster, JobState())
            has_news = compares or cluster not in self._said_to_wait
            if self._event_logs.get(cluster):
                state, has_news = self._read_job_events(cluster) or state, True
            states.append((info, state))
            unknown |= state.status == JobStatus.HELD and (has_news or not self._is_in_time(state))
        self._held = self._look_at_held() if unknown else {}
        for info, state in states:
            if self._report_and_resolve_job_state(info, state) is not None:
                yield info

    def _read_events(self) -> None:
        try:
            self._drain_unified_log()
            self._log_failures = 0
        except Exception as error:  # such as half an event, on a disk that is full
            self._log_failures += 1
            if self._log_failures == 1:
                self.logger.warning(f"{self._unified_log_file} can't be read ({error}); the schedd is asked instead.")
            self._unified_event_log_reader = None
            # It is read from its start again, so what came before the damage would be news for ever.
            self._event_logs.clear()
            self._compared = min(self._compared, time.monotonic() - COMPARE_SECONDS + 2)

    def _check_space(self) -> None:
        """End the run where the event log's disk is full.

        HTCondor lets no job end whose event it can't write: the job's shadow fails and is started again, for ever.
        """
        probe = Path(f"{self._unified_log_file}.probe")
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
            self._full = 0
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                return
            self._full += 1
            if self._full > 1:  # not for a moment only
                raise WorkflowError(
                    f"{error.strerror}: {self._unified_log_file} can't grow, so HTCondor ends no job. Free some space."
                ) from None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _compare_with_schedd(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Correct what an event that was never written, or could not be read, left wrong."""
        if not active_jobs:
            return
        try:
            queued = {int(ad["ClusterId"]): ad for ad in self._queue.look(self._constraint, STATUS)}
            for info in active_jobs:
                cluster = info.external_jobid
                state = self._job_current_states.get(cluster)
                if state and (state.status.is_terminal() or self._event_logs.get(cluster)):
                    continue
                if cluster in queued:
                    self._missing.pop(cluster, None)
                    # One that is being removed may still write, and a retry beside it would write the same files.
                    if int(queued[cluster]["JobStatus"]) != REMOVED:
                        self._job_current_states[cluster] = _state(queued[cluster])
                    continue
                self._missing[cluster] = self._missing.get(cluster, 0) + 1
                if self._missing[cluster] > 1:  # its last events had twenty seconds to arrive
                    self._job_current_states[cluster] = self._last_state(cluster)
        except QueueError as error:
            self.logger.debug(f"The schedd doesn't answer: {error}")

    def _last_state(self, cluster: int) -> JobState:
        found = self._queue.last_words(cluster, self._constraint, STATUS, self._began)
        if found:
            return _state(found[0])
        self.logger.warning(
            f"HTCondor job {cluster}.0 is neither in the queue nor in the history; it counts as removed."
        )
        return JobState(status=JobStatus.REMOVED)

    def _report_and_resolve_job_state(
        self, current_job: SubmittedJobInfo, job_state: JobState
    ) -> SubmittedJobInfo | None:
        cluster = current_job.external_jobid
        if cluster in self._settled:
            return None
        if job_state.status == JobStatus.HELD:
            goes_on = self._handle_hold(current_job, job_state)
        else:
            self._said_to_wait.discard(cluster)
            if job_state.status == JobStatus.COMPLETED and job_state.exit_code and not job_state.exit_by_signal:
                self._say_if_killed(current_job)
            if job_state.status == JobStatus.REMOVED and (never := self._can_never_start(cluster)):
                current_job.job.attempt = current_job.job.restart_times + 1  # nor could another attempt
                self.report_job_error(current_job, msg=f"{never} ")
                self._cleanup_job_tracking(cluster)
                self._settled.add(cluster)
                return None
            goes_on = super()._report_and_resolve_job_state(current_job, job_state) is not None
        if goes_on:
            return current_job
        self._settled.add(cluster)
        return None

    def _say_if_killed(self, info: SubmittedJobInfo) -> None:
        """Say that a signal ended the step: only the Snakemake inside the job knows, and that ends with 1 itself."""
        error = Path((info.aux or {})["error"])
        try:
            found = description.killed_by(error.read_text(errors="replace"))
        except OSError:
            return
        if found:
            why = " (a node that runs out of memory does that)" if found == "SIGKILL" else ""
            more = "retried with more" if self._is_retried(info.job) else "no retry is left"
            name = f"Job {info.job.jobid} ({_title(info.job)}), HTCondor job {info.external_jobid}.0"
            self.logger.error(f"{name}: its step was ended by {found}{why}; {more}. See {error}.")

    def _can_never_start(self, cluster: int) -> str:
        """Return why a job was removed, where that is because it can never start; a logger plugin does so if it may."""
        try:
            found = self._queue.last_words(cluster, self._constraint, ["RemoveReason"], self._began)
        except QueueError:
            return ""
        reason = str(found[0].get("RemoveReason", "")) if found else ""
        return reason if NEVER_STARTS in reason else ""

    @staticmethod
    def _is_retried(job: JobExecutorInterface) -> bool:
        return bool(job.restart_times > job.attempt - 1)

    def _look_at_held(self) -> dict[int, Mapping[str, Any]]:
        """Return the ClassAds of the run's held jobs by cluster, in one query: a person may hold hundreds at once."""
        try:
            constraint = f"({self._constraint}) && JobStatus == {HELD}"
            ads = self._queue.look(constraint, ["ClusterId", "JobStatus", *holds.ATTRIBUTES])
        except QueueError:
            return {}  # told at the next look
        return {int(ad["ClusterId"]): ad for ad in ads if ad["JobStatus"] == HELD}

    def _is_in_time(self, state: JobState) -> bool:
        """Tell whether the person who held a job may still release it."""
        return bool(time.time() - (state.held_since or time.time()) < (self._settings.held_timeout or 0))

    def _handle_hold(self, info: SubmittedJobInfo, state: JobState) -> bool:
        """Do what a hold calls for; return whether the job goes on."""
        ad = self._held.get(info.external_jobid)
        if ad is None:  # nothing new; or released in the meantime, or removed: the event of its end follows
            return True
        hold = holds.judge(ad)
        name = f"Job {info.job.jobid} ({_title(info.job)}), HTCondor job {info.external_jobid}.0"
        if hold.action == "wait" and self._is_in_time(state):
            if info.external_jobid not in self._said_to_wait:
                self._said_to_wait.add(info.external_jobid)
                self._say_hold(info, ad, self.logger.warning, f"{name}: {hold.sentence}", "Snakemake waits for that")
            return True
        if hold.action == "retry":
            again = holds.same_again(hold.of) if hold.of and _stays(info.job, hold.of) else hold.again
            does = f"it is {again}" if self._is_retried(info.job) else "no retry is left"
            hold = holds.Hold("retry", f"{hold.sentence}; {does.removeprefix('it is ')}")
        elif hold.action == "wait":
            patience = self._settings.held_timeout or 0
            does = f"nobody released it within {patience} s (htcondor-steady-held-timeout), so it is removed"
            hold = holds.Hold("fail", f"{hold.sentence.partition(';')[0]}; {does}")
            info.job.attempt = info.job.restart_times + 1
        else:
            does = "it is not retried, as it would be held again"
            info.job.attempt = info.job.restart_times + 1
        self._remove_jobs(f"ClusterId == {info.external_jobid}")
        self._say_hold(info, ad, self.logger.error, f"{name}: {hold.sentence}", does)
        self.report_job_error(info, msg=f"{hold.sentence}. ")
        self._cleanup_job_tracking(info.external_jobid)
        return False

    def _say_hold(
        self, info: SubmittedJobInfo, ad: Mapping[str, Any], say: Callable[[str], None], sentence: str, does: str
    ) -> None:
        """Say why a job is held; a logger plugin that explains holds does so in our place."""
        explaining = [listener for listener in self._listeners if hasattr(listener, "hold")]
        for listener in explaining:
            listener.hold(info.external_jobid, ad, does)
        if not explaining:
            say(f"{sentence}.")

    # --- the end ---

    def shutdown(self) -> None:
        """Stop watching, as all is done; where the run was ended, remove what was being submitted at that moment."""
        if self._ended_by:
            self._remove_jobs()
        super().shutdown()
        # Each turn of Snakemake's scheduler leaves a timer of a second, for which Python would wait.
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Remove all jobs of this run, also one that is being checked or submitted at this moment."""
        self._not_yet.clear()
        self._cancelled = True
        self._leave_jobs(self._submissions > 0)  # until they are removed: a second Ctrl-C ends this method
        try:
            with _deaf_to_ctrl_c():  # people press it again
                # The thread that watches may be submitting what was kept back: that would come after the removal.
                if self._submitting.acquire(timeout=IN_THE_AIR_SECONDS):
                    self._submitting.release()
                self._queue.remove(self._constraint, patience=0)
                self._leave_jobs(False)
        except QueueError:
            self._remove_jobs()  # the schedd is away; now Ctrl-C ends the waiting

    def _leave_jobs(self, left: bool) -> None:
        """Tell the workflow whether jobs of this run may be in the queue when it ends, for its `onerror`."""
        self.workflow.htcondor_jobs_left = left

    def _remove_jobs(self, constraint: str | None = None) -> None:
        try:
            self._queue.remove(constraint or self._constraint)
            if not constraint:
                self._leave_jobs(False)
        except QueueError as error:
            self._leave_jobs(self._submissions > 0)
            self.logger.error(f"{error}. Remove them by: condor_rm -constraint '{constraint or self._constraint}'")


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C; only the main thread gets it, and may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stays(job: JobExecutorInterface, resource: str) -> bool:
    """Tell whether a job's next attempt asks for no more of a resource; False also where that can't be told."""
    if job.is_group():
        return False
    attempts = (job.attempt, job.attempt + 1)
    try:
        expand = job.rule.expand_resources
        now, then = (expand(job.wildcards_dict, job.input, attempt).get(resource) for attempt in attempts)
    except Exception:  # it may hang on anything
        return False
    return isinstance(now, int) and isinstance(then, int) and then <= now


def _own_resources(job: JobExecutorInterface) -> Mapping[str, Any]:
    """Return the resources of a job, and of a group those that are no amounts as its members have them."""
    resources: Mapping[str, Any] = job.resources
    if not job.is_group():
        return resources
    members = []
    for member in job:
        with contextlib.suppress(FileNotFoundError, WorkflowError):  # for want of an input that the group makes itself
            members.append(member.resources)
    return description.of_group(resources, members)


def _title(job: JobExecutorInterface) -> str:
    """Return a job's rule and wildcards, as condor_q shows it."""
    wildcards = {} if job.is_group() else dict(job.wildcards_dict)
    return ", ".join([str(job.name), *(f"{key}={value}" for key, value in wildcards.items())])


def _state(ad: Mapping[str, Any]) -> JobState:
    """Return the state that a job's ClassAd tells; status codes as in HTCondor's manual, "Job status codes"."""
    status = {1: "IDLE", 2: "RUNNING", 3: "REMOVED", 4: "COMPLETED", 5: "HELD", 6: "TRANSFERRING", 7: "SUSPENDED"}
    return JobState(
        status=JobStatus[status[int(ad["JobStatus"])]],
        exit_code=ad.get("ExitCode"),
        exit_by_signal=bool(ad.get("ExitBySignal", False)),
        exit_signal=ad.get("ExitSignal"),
        hold_reason=ad.get("HoldReason"),
        held_since=float(ad["EnteredCurrentStatus"]) if "EnteredCurrentStatus" in ad else time.time(),
    )


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def _new_event_log(folder: Path, run: str) -> Path:
    """Return where this run's event log goes, and remove the oldest of former ones; their names sort by time."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"))[: -(KEPT_EVENT_LOGS - 1)]:
        old.unlink(missing_ok=True)
        old.with_suffix(".jsonl").unlink(missing_ok=True)  # a logger plugin's records of that run
    return folder / f"{run}.log"


def _node_copy_words(folder: str) -> list[str]:
    """Return the command that starts Python from a node's own copy of this environment."""
    script = Path(__file__).with_name("node_copy.sh")
    return ["/bin/sh", str(script), str(Path(sys.prefix).resolve()), folder, _environment_name()]


def _environment_name() -> str:
    """Return a name that changes with the environment: by its lock's checksum where it has noted one."""
    noted = Path(sys.prefix) / "installed-lock"
    versions = sorted(f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions())
    text = noted.read_text() if noted.exists() else "\n".join(versions)
    return sha256(f"{sys.version}\n{text}".encode()).hexdigest()[:16]
