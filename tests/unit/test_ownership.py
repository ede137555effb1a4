"""Who holds the working folder: a killed owner, a living one, or one that can't be seen from here."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from builders import write
from snakemake_executor_plugin_htcondor_steady import queue

from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.ownership import (
    LOCKS,
    OWNER,
    STARTING,
    Owner,
    _start_of,
    forget_owner,
    lock_state,
    record_owner,
    release_stale_lock,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lock():
    write(LOCKS / "0.input.lock", "")


def change_note(**fields):
    write_json(OWNER, read_json(OWNER) | fields)


@pytest.fixture
def child():
    """A process that lives until it is told to end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_the_note_names_this_process():
    record_owner()
    note = read_json(OWNER)
    assert note["host"] == socket.gethostname()
    assert note["pid"] == os.getpid()
    assert note["started"] == _start_of(os.getpid())
    assert str(Owner(**note)) == f"process {os.getpid()} of {note['user']} on {note['host']}"


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_without_a_lock_the_folder_is_free(noted, folder):
    if noted:
        record_owner()
    if folder:
        LOCKS.mkdir(parents=True)
    assert lock_state() == ("free", None)


def test_a_living_owner_holds_it():
    record_owner()
    lock()
    assert lock_state() == ("held", Owner(**read_json(OWNER)))


def test_a_process_that_is_gone_leaves_it_stale(child):
    record_owner()
    lock()
    change_note(pid=child.pid, started=_start_of(child.pid))
    assert lock_state()[0] == "held"
    child.kill()
    child.wait()
    state, owner = lock_state()
    assert (state, owner.pid) == ("stale", child.pid)


def test_a_zombie_is_dead(child):
    record_owner()
    lock()
    change_note(pid=child.pid, started=_start_of(child.pid))
    child.kill()
    end = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert lock_state()[0] == "stale"


def test_a_process_id_that_was_used_again_is_another_process(child):
    record_owner()
    lock()
    change_note(started=_start_of(child.pid))
    assert lock_state()[0] == "stale"


def test_a_clock_that_is_set_changes_no_start(monkeypatch):
    """psutil makes a start of the time of day of the boot, which moves with the clock."""
    record_owner()
    lock()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: 1.0)
    assert lock_state()[0] == "held"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the other way to tell a start is psutil's")
def test_a_start_is_known_whatever_the_program_is_called(tmp_path):
    program = tmp_path / "a) b (c"
    shutil.copy(shutil.which("sleep"), program)
    with subprocess.Popen([program, "60"]) as process:
        ticks = float(_start_of(process.pid).split()[0]) / os.sysconf("SC_CLK_TCK")
        process.kill()
    assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - ticks) < 60


def test_an_owner_on_another_host_cannot_be_judged():
    record_owner()
    lock()
    change_note(host="elsewhere", user="anna", pid=1)
    state, owner = lock_state()
    assert (state, str(owner)) == ("unknown", "process 1 of anna on elsewhere")


def test_a_lock_without_a_note_cannot_be_judged():
    lock()
    assert lock_state() == ("unknown", None)


def test_a_damaged_note_is_said():
    lock()
    write(OWNER, "{")
    with pytest.raises(UserError, match=r"owner\.json is not valid JSON"):
        lock_state()


# --- a stale lock is removed, and no other ---


def make_stale(child):
    record_owner()
    lock()
    change_note(pid=child.pid, started=_start_of(child.pid))
    child.kill()
    child.wait()


def test_the_lock_of_a_killed_run_is_removed_with_its_note(child):
    make_stale(child)
    assert release_stale_lock().pid == child.pid
    assert lock_state() == ("free", None)
    assert [note["pid"] for note in read_json(STARTING)] == [os.getpid()]
    assert not OWNER.exists()


def test_whoever_comes_second_leaves_the_new_lock_of_the_first_alone(child):
    make_stale(child)
    release_stale_lock()
    lock()  # the first one goes on, and is not its owner by a note yet
    assert release_stale_lock() is None
    assert lock_state()[0] == "held"


KILLED = """
import os, signal, sys
from pathlib import Path
from scripts.shared import ownership
real, seen = Path.unlink, []
def unlink(path, **options):
    seen.append(path)
    if len(seen) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, **options)
Path.unlink = unlink
ownership.release_stale_lock()
ownership.LOCKS.mkdir(exist_ok=True)
(ownership.LOCKS / "1.input.lock").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("instant", [0, 1, 2, 3])
@pytest.mark.parametrize("before", ["nothing", "a killed run", "a run that ended"])
def test_killed_at_any_instant_before_it_is_the_owner_the_next_run_resumes(child, before, instant):
    """At the removal of the old lock's files, of the old note, or when it has the lock."""
    if before != "nothing":
        make_stale(child)
    if before == "a run that ended":
        (LOCKS / "0.input.lock").unlink()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(instant)], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert lock_state()[0] in ("stale", "free")
    release_stale_lock()
    assert lock_state() == ("free", None)


def test_a_run_between_its_lock_and_its_note_is_not_taken_for_the_one_that_ended_before(child):
    make_stale(child)
    (LOCKS / "0.input.lock").unlink()
    release_stale_lock()
    lock()
    assert lock_state()[0] == "held"


def test_of_many_that_start_at_once_one_removes_the_stale_lock(child):
    make_stale(child)
    code = "from scripts.shared.ownership import release_stale_lock as r; print(bool(r()), flush=True); input()"
    command = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    first = [process.stdout.readline().strip() for process in started]
    for process in started:
        process.communicate("\n")
    assert sorted(first) == ["False"] * 3 + ["True"]


@pytest.mark.parametrize("changes", [{}, {"host": "elsewhere"}])
def test_a_lock_whose_owner_lives_or_is_elsewhere_stays(changes):
    record_owner()
    lock()
    change_note(**changes)
    before = lock_state()
    assert before[0] in ("held", "unknown")
    assert release_stale_lock() is None
    assert list(LOCKS.iterdir())
    write_json(STARTING, [])  # as if this process, which is noted now, were not here
    assert lock_state() == before


def test_where_there_is_nothing_only_the_start_is_noted():
    assert release_stale_lock() is None
    assert lock_state() == ("free", None)
    assert not OWNER.exists()


def test_once_a_run_has_the_lock_the_dead_and_those_elsewhere_are_forgotten():
    release_stale_lock()
    (mine,) = read_json(STARTING)
    write_json(STARTING, [mine | {"host": "elsewhere"}, mine | {"started": 1.0}, mine])
    record_owner()
    assert read_json(STARTING) == [mine]


# --- one run at a time ---


def note_of(process, executor=""):
    record_owner(executor)
    change_note(pid=process.pid, started=_start_of(process.pid))


def test_a_second_run_with_other_targets_is_refused(child):
    """Snakemake's own lock lets it in: its files are others, but the plan is the same."""
    note_of(child)
    with pytest.raises(UserError, match=rf"process {child.pid} of .* is running the workflow in this folder"):
        record_owner()
    assert read_json(OWNER)["pid"] == child.pid


def test_a_driver_and_the_snakemake_that_it_starts_are_one_run():
    record_owner()
    done = subprocess.run([sys.executable, "-c", SECOND], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    assert read_json(OWNER)["pid"] != os.getpid()


LIVES = "from scripts.shared.ownership import record_owner; record_owner('local'); print(flush=True); input()"


@pytest.fixture
def owner_elsewhere():
    """A process that owns the folder and lives on another host, as its note says."""
    line = [sys.executable, "-c", LIVES]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        process.stdout.readline()
        change_note(host="ap2")
        yield process
        process.kill()


@pytest.mark.parametrize("executor", ["local", "htcondor-steady"])
def test_a_second_run_is_refused_while_one_lives_on_another_host(owner_elsewhere, executor):
    """Its process can't be seen, but the lock that it holds can."""
    with pytest.raises(UserError, match=rf"process {owner_elsewhere.pid} of .* on ap2 is running the workflow"):
        record_owner(executor)
    owner_elsewhere.kill()
    owner_elsewhere.wait()
    record_owner(executor)
    assert read_json(OWNER)["pid"] == os.getpid()


def test_without_locks_on_files_a_run_of_another_host_counts_as_dead(owner_elsewhere, monkeypatch):
    def no_locks(file, operation):
        if "alive" in str(getattr(file, "name", file)) or isinstance(file, int):
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("scripts.shared.ownership.fcntl.flock", no_locks)
    record_owner("local")
    assert read_json(OWNER)["pid"] == os.getpid()


SECOND = "from scripts.shared.ownership import record_owner; record_owner('local')"


@pytest.fixture
def queued(monkeypatch):
    """What the queue has; the schedd's part is a fake here, and real in the pool tests."""
    jobs = []

    def look(self, constraint, attributes):
        if not jobs:
            raise queue.QueueError("no schedd")
        return [job for job in jobs if job]

    monkeypatch.setattr(queue.Queue, "look", look)
    return jobs


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        (
            [{"ClusterId": 7}, {"ClusterId": 8}],
            r"still in HTCondor's queue \(7, 8\).*snakemake --profile htcondor removes them",
        ),
        ([], r"can't be told \(no schedd\).*delete \.snakemake/owner\.json"),
    ],
)
def test_a_local_run_beside_jobs_of_a_killed_one_is_refused(child, queued, jobs, words):
    queued += jobs
    note_of(child, "htcondor-steady")
    child.kill()
    child.wait()
    release_stale_lock()  # as each run does when it starts: the note has to outlive it
    with pytest.raises(UserError, match=words):
        record_owner("local")
    record_owner("htcondor-steady")  # which removes them
    assert read_json(OWNER)["pid"] == os.getpid()


def test_a_driver_that_ends_early_does_not_hide_what_a_killed_run_left(child, queued):
    """As it was: its Snakemake failed before it had noted itself, and then a local run went on beside the orphans."""
    queued.append({"ClusterId": 7})
    note_of(child, "htcondor-steady")
    child.kill()
    child.wait()
    record_owner()  # the driver
    change_note(pid=child.pid)  # dead now, too
    with pytest.raises(UserError, match=r"still in HTCondor's queue \(7\)"):
        record_owner("local")


def test_a_local_run_goes_on_where_no_job_of_the_killed_one_is_left(child, queued):
    queued.append(None)
    note_of(child, "htcondor-steady")
    child.kill()
    child.wait()
    record_owner("local")
    assert read_json(OWNER)["executor"] == "local"


def test_a_run_that_ends_by_itself_leaves_no_note_and_no_other_s(child, queued):
    """Else each later run without a pool would ask for HTCondor's queue, and be refused where there is none."""
    record_owner("htcondor-steady")
    forget_owner()
    record_owner("local")
    note_of(child)
    forget_owner()
    assert read_json(OWNER)["pid"] == child.pid
