"""What the executor makes of a damaged log, a full queue, a job that leaves, and its own end; the schedd is a fake."""

import asyncio
import contextlib
import doctest
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import event_log
import pytest
import snakemake_executor_plugin_htcondor_steady as plugin
from classad2 import ClassAd
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake_executor_plugin_htcondor import JobState, JobStatus
from snakemake_executor_plugin_htcondor_steady import alive, queue
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


class Schedd:
    """A schedd that answers as it is told: ads in its queue and history, and refusals of the next submissions."""

    def __init__(self):
        self.queue, self.past, self.refusals, self.removed, self.asked = [], [], [], [], []

    def submit(self, description):
        if self.refusals:
            raise RuntimeError(self.refusals.pop(0))
        return SimpleNamespace(cluster=lambda: 7)

    def query(self, constraint, projection):
        return [] if "Submission" in constraint else self.queue

    def history(self, **asked):
        self.asked.append(asked)
        return self.past

    def act(self, action, constraint, reason):
        self.removed.append(constraint)


@pytest.fixture
def schedd(monkeypatch):
    made = Schedd()
    monkeypatch.setattr(queue.htcondor, "Schedd", lambda: made)
    monkeypatch.setattr(queue, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None))
    return made


@pytest.fixture
def executor(schedd, tmp_path):
    """An executor that watches one job, number 7, by a real event log; nothing else of Snakemake is there."""
    made = object.__new__(plugin.Executor)
    made.said, made.ends = [], []
    say = made.said.append
    made.logger = SimpleNamespace(warning=say, error=say, info=lambda *_, **__: None, debug=lambda text: None)
    made._settings, made._listeners = plugin.ExecutorSettings(), []
    made._not_yet, made._submitting, made.lock, made.active_jobs = deque(), threading.Lock(), threading.Lock(), []
    made._settled, made._said_to_wait, made._held, made._missing = set(), set(), {}, {}
    made._event_logs, made._job_current_states, made._log_missing_counts = {}, {}, {}
    made._unified_log_file, made._unified_event_log_reader = str(tmp_path / "a.log"), None
    made._log_failures, made._compared, made._began, made._constraint = 0, 0.0, 1000000, "true"
    made._queue = queue.Queue(say, 0.2)
    made.workflow = SimpleNamespace(scheduler=None)
    made._cancelled = False
    made._run, made._ended_by, made._submissions, made._last_submission, made._node_copy = "a", None, 0, 0.0, []
    made.report_job_error = lambda info, msg="", **_: made.ends.append("error")
    made.report_job_success = lambda info, **_: made.ends.append("success")
    made.report_job_submission = made.active_jobs.append
    made._files = lambda job: (Path("out"), Path("err"))
    made._read_job_events = plugin.HTCondorExecutor._read_job_events.__get__(made)
    return made


def info():
    job = SimpleNamespace(jobid=3, name="split", wildcards_dict={}, restart_times=2, attempt=1)
    job.is_group = lambda: False
    return SubmittedJobInfo(job=job, external_jobid=7, aux={"error": "none"})


def look(executor, watched):
    executor._read_events()
    executor._compare_with_schedd([watched])
    for cluster in list(executor._event_logs):
        executor._read_job_events(cluster)
    return executor._job_current_states.get(7)


def check(executor, watched):
    """Check the jobs once; return those that go on."""

    async def goes_on():
        return [info async for info in executor.check_active_jobs(watched)]

    return asyncio.run(goes_on())


def test_a_job_ends_by_the_history_where_its_log_has_half_an_event(executor, schedd, tmp_path):
    half = event_log.text(6)[:60]
    events = [event_log.text(0), event_log.execute("ep1"), half + "\n", event_log.text(5, cluster=8)]
    (tmp_path / "a.log").write_text("".join(events))
    schedd.past = [ClassAd({"ClusterId": 7, "JobStatus": 4, "ExitCode": 0})]
    watched = info()
    states = [look(executor, watched) for _ in range(4)]
    assert executor._log_failures > 1, "the log is damaged for good"
    assert states[-1].status == JobStatus.COMPLETED
    assert len([text for text in executor.said if "can't be read" in text]) == 1


def test_a_job_that_is_being_removed_has_not_ended(executor, schedd):
    executor._job_current_states[7] = JobState(status=JobStatus.RUNNING)
    schedd.queue = [ClassAd({"ClusterId": 7, "JobStatus": 3})]
    for _ in range(3):
        assert look(executor, info()).status == JobStatus.RUNNING
    schedd.queue, schedd.past = [], [ClassAd({"ClusterId": 7, "JobStatus": 3})]
    assert [look(executor, info()).status for _ in range(2)] == [JobStatus.RUNNING, JobStatus.REMOVED]


def test_a_held_job_that_has_just_left_the_queue_goes_on_until_its_end_is_told(executor):
    watched = info()
    executor._compared = time.monotonic()
    executor._job_current_states[7] = JobState(status=JobStatus.HELD, held_since=time.time())
    assert check(executor, [watched]) == [watched]
    assert (watched.job.attempt, executor.said, executor.ends) == (1, [], [])


# --- the end of a run ---


def test_once_the_run_has_ended_nothing_is_submitted_and_what_was_is_removed(executor, schedd, monkeypatch):
    told = []
    executor.workflow = SimpleNamespace(scheduler=SimpleNamespace(executor_error_callback=told.append))
    executor._constraint = "this run"
    error = WorkflowError("The thread has died.")
    executor._end_run(error)
    assert told == [error]
    with pytest.raises(WorkflowError, match="has died"):
        executor.run_job(info().job)
    schedd.queue = [ClassAd({"ClusterId": 7, "JobStatus": 1})]  # its submission was under way
    monkeypatch.setattr(plugin.HTCondorExecutor, "shutdown", lambda self: None)
    monkeypatch.setattr(threading, "enumerate", list)
    executor.shutdown()
    assert schedd.removed == ["this run"]


def test_a_submission_that_waits_for_the_schedd_ends_with_the_run(executor, schedd, monkeypatch):
    error = WorkflowError("The thread has died.")
    schedd.refusals, schedd.query = ["Failed to connect"] * 9, None

    def sleep(seconds):
        executor._ended_by = error

    monkeypatch.setattr(queue.time, "sleep", sleep)
    executor._describe = lambda job: {"executable": "/bin/true"}
    with pytest.raises(WorkflowError, match="has died"):
        executor.run_job(info().job)


@pytest.mark.parametrize("ended", [{"_ended_by": WorkflowError("The thread has died.")}, {"_cancelled": True}])
def test_a_job_that_finds_no_room_is_not_kept_once_the_run_has_ended(executor, schedd, monkeypatch, ended):
    """The end comes from the other thread, while the schedd is asked."""
    schedd.refusals = ["Failed to create new cluster."]
    monkeypatch.setattr(schedd, "query", lambda **_: vars(executor).update(ended) or [])
    executor._describe = lambda job: {"executable": "/bin/true"}
    executor._not_yet.append(info().job)
    executor._submit_some()
    assert not executor._not_yet


@contextlib.contextmanager
def heard_by(scheduler):
    """Let Snakemake's handler hear SIGTERM."""
    before = signal.signal(signal.SIGTERM, scheduler.exit_gracefully)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Lock:
    """Snakemake's lock, which doesn't wait for ever."""

    def __init__(self):
        self.lock = threading.Lock()

    def __enter__(self):
        assert self.lock.acquire(timeout=0.3), "the thread that has it waits for itself"

    def __exit__(self, *_):
        self.lock.release()


def test_sigterm_ends_the_run_also_while_snakemake_holds_its_lock(executor):
    """As it was: one that came while a finished job's output was waited for hung Snakemake for ever."""
    scheduler = object.__new__(JobScheduler)
    scheduler._lock, scheduler._open_jobs = Lock(), threading.Semaphore(0)
    scheduler._user_kill, scheduler._errors, scheduler.keepgoing = None, False, True
    executor.workflow.scheduler, executor._submit = scheduler, lambda job: None
    with heard_by(scheduler):
        for number in range(2):
            executor.run_job(number)
        with scheduler._lock:
            os.kill(os.getpid(), signal.SIGTERM)
            assert scheduler._user_kill is None, "the lock is respected"
        assert scheduler._open_jobs.acquire(timeout=5), "the scheduler looks again"
    assert scheduler._user_kill == "graceful"


def test_a_handler_of_sigterm_that_is_not_snakemakes_stays(executor):
    executor.workflow.scheduler = SimpleNamespace(exit_gracefully=print, _user_kill=None, _errors=False)
    executor._submit = lambda job: None
    own = SimpleNamespace(exit_gracefully=lambda *_: None)
    with heard_by(own):
        executor.run_job(1)
        assert signal.getsignal(signal.SIGTERM) is own.exit_gracefully


# --- submissions that are refused ---


@pytest.mark.parametrize(
    "words",
    ["Failed to create new cluster.", "Number of submitted jobs would exceed MAX_JOBS_SUBMITTED"],
)
def test_a_full_queue_is_waited_for_and_that_is_said_once(executor, schedd, words):
    schedd.refusals, schedd.queue = [words] * 30, [ClassAd({"ClusterId": 1})]
    executor._queue, executor._settings.submit_rate = queue.Queue(executor.said.append, 0), 1000
    executor._describe = lambda job: {"executable": "/bin/true"}
    first, second = info().job, info().job
    for job in (first, second):
        executor.run_job(job)
    for left in range(29, -1, -1):
        assert list(executor._not_yet) == [first, second], "in their order"
        assert len(schedd.refusals) == left
        executor._submit_some()  # it is not asked again at once
        assert len(schedd.refusals) == left
        executor._queue._next_try = 0  # FULL_SECONDS later
        executor._submit_some()
    assert [watched.external_jobid for watched in executor.active_jobs] == [7, 7]
    (sentence,) = executor.said
    assert "takes no more jobs" in sentence
    assert "MAX_JOBS_PER_OWNER" in sentence


def test_a_queue_that_others_keep_full_is_waited_for_as_long_as_the_patience(schedd):
    now = [1000.0]
    schedd.refusals, queue.time.monotonic = ["Failed to create new cluster."] * 1000000, lambda: now[0]
    waits = queue.Queue(lambda text: None, 60)
    for _ in range(13):
        with pytest.raises(queue.FullError):
            waits.submit({"executable": "/bin/true"}, "a/1")
        assert not waits.has_room()
        now[0] += queue.FULL_SECONDS
        assert waits.has_room()
    with pytest.raises(queue.RefusedError, match="has had no room for 65 s"):
        waits.submit({"executable": "/bin/true"}, "a/1")
    with pytest.raises(queue.FullError):  # the next job has the patience anew
        waits.submit({"executable": "/bin/true"}, "a/2")


def test_events_are_read_while_the_queue_has_no_room_for_what_was_kept_back(executor, schedd, tmp_path):
    """As it was: the thread that reads them waited for room, which their reading might have made."""
    schedd.refusals, schedd.queue = (
        ["Failed to create new cluster."] * 1000,
        [ClassAd({"ClusterId": 7, "JobStatus": 5})],
    )
    executor._describe = lambda job: {"executable": "/bin/true"}
    executor._compared, executor.wait = time.monotonic(), True
    executor.active_jobs.append(info())
    kept_back = info().job
    executor._not_yet.append(kept_back)
    (tmp_path / "a.log").write_text(event_log.text(0) + event_log.execute("ep1"))

    async def until_it_ends():
        executor.wait = not executor.ends
        with (tmp_path / "a.log").open("a") as log:
            log.write(event_log.text(5))

    executor.sleep = until_it_ends
    asyncio.run(executor._wait_for_jobs())
    assert executor.ends == ["success"]
    assert list(executor._not_yet) == [kept_back]
    assert len(schedd.refusals) == 999


# --- many held jobs ---


def test_the_schedd_is_asked_once_a_check_for_all_held_jobs_and_no_more_once_they_are_waited_for(executor, schedd):
    """As it was: for each of them, at each check, for hours."""
    since, looks, times = time.time(), [], []
    person = {"JobStatus": 5, "HoldReasonCode": 1, "HoldReason": "via condor_hold"}
    schedd.queue = [ClassAd(person | {"ClusterId": number}) for number in range(200)]
    schedd.query = lambda constraint, projection: looks.append(constraint) or schedd.queue
    watched = [SubmittedJobInfo(job=info().job, external_jobid=number, aux={}) for number in range(200)]
    for number in range(200):
        executor._job_current_states[number] = JobState(status=JobStatus.HELD, held_since=since)
    executor._compared = time.monotonic()

    def looks_of_a_check():
        looks.clear()
        assert check(executor, watched) == watched
        times.append(len(looks))

    for _ in range(3):
        looks_of_a_check()
    assert times == [1, 0, 0]
    assert len(executor.said) == 200
    executor._compared = 0.0
    looks_of_a_check()
    assert times[3:] == [2], "the states and the holds, as what was never written is looked for"
    for number in range(200):
        executor._job_current_states[number].held_since = since - executor._settings.held_timeout
    looks.clear()
    assert check(executor, watched) == []
    assert len([constraint for constraint in looks if "JobStatus == 5" in constraint]) == 1
    assert executor.ends == ["error"] * 200


def test_a_hold_that_follows_another_is_looked_at(executor, schedd, tmp_path):
    """Released by the person, and held for memory before the next check."""
    schedd.queue = [ClassAd({"ClusterId": 7, "JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "over limit"})]
    executor._job_current_states[7] = JobState(status=JobStatus.HELD, held_since=time.time())
    executor._said_to_wait.add(7)
    executor._compared = time.monotonic()
    watched = info()
    assert check(executor, [watched]) == [watched]
    (tmp_path / "a.log").write_text("".join(event_log.text(number) for number in (13, 12)))
    assert check(executor, [watched]) == []
    assert executor.ends == ["error"]


def test_a_job_that_the_schedd_refuses_fails_alone(executor, schedd):
    executor._describe = lambda job: {"executable": "/bin/true"}
    schedd.refusals = ["Failed to parse requirements"] * 3
    job = info().job
    executor.run_job(job)
    assert executor.ends == ["error"]
    assert job.attempt == 3, "of three: another would be refused, too"
    (sentence,) = executor.said
    assert sentence == ("Job 3 (split) can't run on the pool: HTCondor refuses the job: Failed to parse requirements.")


# --- the history ---


def test_no_more_than_so_many_are_idle_and_the_next_are_submitted_as_those_start(executor, monkeypatch):
    executor._settings.max_idle = 2
    submitted = []

    def submit(job):
        submitted.append(job)
        executor.active_jobs.append(SubmittedJobInfo(job=job, external_jobid=job))

    executor._submit = submit
    for number in range(5):
        executor.run_job(number)
    assert submitted == [0, 1]
    executor._job_current_states[0] = JobState(status=JobStatus.RUNNING)
    executor._submit_some()
    assert submitted == [0, 1, 2]
    for number in (1, 2):
        executor._job_current_states[number] = JobState(status=JobStatus.HELD)
    executor._submit_some()
    assert submitted == [0, 1, 2, 3, 4]


def test_the_thread_that_watches_submits_what_was_kept_back(executor):
    executor._settings.max_idle, executor.wait = 1, True
    executor._not_yet.append("kept back")

    def submit(job):
        executor.ends.append(job)
        executor.wait = False

    async def no_jobs(active):
        for info in active:
            yield info

    async def at_once():
        pass

    executor._submit, executor.check_active_jobs, executor.sleep = submit, no_jobs, at_once
    asyncio.run(executor._wait_for_jobs())
    assert executor.ends == ["kept back"]


def test_what_was_kept_back_is_not_submitted_any_more_once_the_run_is_cancelled(executor, schedd):
    executor._settings.max_idle = 1
    executor._not_yet.append("kept back")
    executor.cancel_jobs([])
    assert not executor._not_yet


@pytest.mark.parametrize(("submitted", "away", "left"), [(3, True, True), (3, False, False), (0, True, False)])
def test_jobs_that_could_not_be_removed_are_told_to_the_workflow(executor, monkeypatch, submitted, away, left):
    """Its `onerror` would forget that they are there, and a local run go on beside them."""
    told = []

    def remove(*_, **__):
        told.append(executor.workflow.htcondor_jobs_left)
        if away:
            raise KeyboardInterrupt if len(told) > 1 else queue.QueueError("the schedd is away")

    monkeypatch.setattr(executor._queue, "remove", remove)
    executor._submissions = submitted
    with contextlib.suppress(KeyboardInterrupt):
        executor.cancel_jobs([])
    assert executor.workflow.htcondor_jobs_left is left


def test_what_the_other_thread_took_away_meanwhile_is_not_submitted(executor):
    """Ctrl-C, or the end of the run, comes between the look whether there is something and its submission."""
    executor._not_yet.append("kept back")
    executor._count_idle = lambda: executor._not_yet.clear() or 0
    executor._submit = executor.ends.append
    executor._submit_some()
    assert executor.ends == []


def test_a_submission_that_ctrl_c_broke_off_is_no_error_of_the_thread_that_watches(executor):
    executor._cancelled = True
    executor._end_run(WorkflowError("The run is cancelled."))
    assert (executor.said, executor._ended_by) == ([], None)


@pytest.mark.parametrize(
    ("killed", "errors", "keepgoing", "left"),
    [
        ("graceful", False, True, True),
        (None, True, False, True),
        (None, True, True, False),
        (None, False, False, False),
    ],
)
def test_what_was_kept_back_is_left_to_the_next_run_once_this_one_is_ending(executor, killed, errors, keepgoing, left):
    """Snakemake counts it among the jobs that run, and waits for those."""
    back = []
    executor.workflow.scheduler = SimpleNamespace(
        _user_kill=killed,
        _errors=errors,
        keepgoing=keepgoing,
        _lock=threading.Lock(),
        _open_jobs=threading.Semaphore(0),
        _handle_error=lambda job, postprocess_job: back.append((job, postprocess_job)),
    )
    job = info().job
    executor._not_yet.append(job)
    executor._submit = executor.ends.append
    executor._submit_some()
    # Without its postprocessing, which removes the files that an earlier run has made.
    assert (back, executor.ends) == (([(job, False)], []) if left else ([], [job]))
    assert executor.workflow.scheduler._open_jobs.acquire(blocking=False) is left, "the scheduler looks again"
    assert (job.attempt == job.restart_times + 1) is left, "else Snakemake would try it again"


def test_a_submission_by_the_thread_that_watches_comes_before_the_removal(executor, monkeypatch):
    """It would be left in the queue otherwise."""
    done, begun = [], threading.Event()
    executor._not_yet.append("kept back")
    monkeypatch.setattr(executor._queue, "remove", lambda *_, **__: done.append("removed"))

    def submit(job):
        begun.set()
        time.sleep(0.3)
        done.append("submitted")

    def watch():
        with executor._submitting:
            executor._submit_some()

    executor._submit = submit
    thread = threading.Thread(target=watch)
    thread.start()
    begun.wait(5)
    executor.cancel_jobs([])
    thread.join(5)
    assert done == ["submitted", "removed"]
    assert executor._gives_up()


def test_the_history_is_read_no_further_than_to_the_start_of_the_run(executor, schedd):
    executor._last_state(7)
    (asked,) = schedd.asked
    assert asked["since"] == queue.left_before(executor._began)
    assert asked["match"] == 1


@pytest.mark.parametrize(
    ("ad", "stops"),
    [
        ({"JobStatus": 4, "CompletionDate": 1000}, True),
        ({"JobStatus": 4, "CompletionDate": 1000, "LeaveJobInQueue": False}, True),
        ({"JobStatus": 4, "CompletionDate": 9000}, False),
        ({"JobStatus": 4, "CompletionDate": 6500}, False),
        ({"JobStatus": 4, "CompletionDate": 1000, "LeaveJobInQueue": True}, False),
        ({"JobStatus": 4, "CompletionDate": 1000, "StageInStart": 900}, False),
        ({"JobStatus": 3, "CompletionDate": 0}, False),
        ({"JobStatus": 3}, False),
    ],
)
def test_it_ends_at_a_job_that_left_before_the_run(ad, stops):
    made = ClassAd(ad)
    made["Stops"] = queue.classad.ExprTree(queue.left_before(10000))
    assert (made.eval("Stops") is True) is stops


def test_examples_in_docstrings():
    failed, tried = doctest.testmod(queue)
    assert failed == 0
    assert tried >= 3


# --- other runs in the folder ---

RUNS = """
import sys
from snakemake_executor_plugin_htcondor_steady import alive
descriptor = alive.stay_alive("b")
print("alive", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process whose run, called b, is alive in this folder."""
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "alive\n"
        yield process
        process.kill()


def orphans(executor, schedd, monkeypatch):
    """What is removed where the queue has jobs of the runs b and c, and what is said."""
    removed = []
    schedd.queue = [ClassAd({"ClusterId": number, queue.RUN: run}) for number, run in [(1, "b"), (2, "c")]]
    monkeypatch.setattr(executor._queue, "remove", lambda constraint, **_: removed.append(constraint))
    executor._folder = "/f"
    executor._remove_orphans()
    return removed, executor.said


def test_jobs_of_a_run_that_goes_on_in_this_folder_are_left_alone(executor, schedd, other, monkeypatch):
    """As it was: Snakemake lets a second run with other targets in, and that removed the jobs of the first."""
    (constraint,), said = orphans(executor, schedd, monkeypatch)
    ours = f'{queue.FOLDER} == "/f" && {queue.RUN} != "a"'
    assert constraint == f'{ours} && {queue.RUN} != "b"'
    assert said == [
        "Another run of this folder goes on; its jobs are left alone.",
        "An earlier run of this folder left jobs in the queue; removing them: 2",
    ]


def test_jobs_of_a_run_that_was_killed_are_removed(executor, schedd, other, monkeypatch):
    other.kill()
    other.wait()
    (constraint,), said = orphans(executor, schedd, monkeypatch)
    assert constraint == f'{queue.FOLDER} == "/f" && {queue.RUN} != "a"'
    assert said == ["An earlier run of this folder left jobs in the queue; removing them: 1, 2"]


def test_jobs_of_another_user_are_not_waited_for(executor, schedd, monkeypatch):
    """As it was: five minutes, and then "these jobs are still being removed"."""
    schedd.queue = [ClassAd({"ClusterId": 2, "JobStatus": 1, "Owner": "ann", queue.RUN: "c"})]
    schedd.act = lambda *_, **__: ClassAd({"TotalSuccess": 0, "TotalPermissionDenied": 1})
    executor._folder = "/f"
    with pytest.raises(WorkflowError, match=r"only their owner or an administrator remove jobs: 2 of ann$"):
        executor._remove_orphans()


@pytest.mark.parametrize(("mode", "alive_"), [(0o444, False), (0o000, True)])
def test_a_run_of_another_user_is_seen_by_a_file_that_can_be_read_alone(monkeypatch, tmp_path, mode, alive_):
    """Where not even that may be, it is left alone."""
    monkeypatch.chdir(tmp_path)
    alive.FOLDER.mkdir(parents=True)
    (alive.FOLDER / "x").touch(mode)
    opened = os.open

    def as_another(path, flags, *mode_of_new):
        if flags & (os.O_RDWR | os.O_WRONLY) or not Path(path).stat().st_mode & 0o444:
            raise PermissionError
        return opened(path, flags, *mode_of_new)

    monkeypatch.setattr(alive.os, "open", as_another)
    assert alive.lives("x") is alive_


def test_a_run_that_starts_removes_the_marks_of_the_dead_and_no_other(other):
    mark = alive.stay_alive("d")
    os.close(mark)
    new = alive.stay_alive("e")
    assert sorted(file.name for file in alive.FOLDER.iterdir()) == ["b", "e"]
    assert [alive.lives(run) for run in "bde"] == [True, False, True]
    os.close(new)
