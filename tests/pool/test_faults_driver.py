"""What happens to Snakemake itself, on the access point: Ctrl-C, SIGKILL, many reruns in one folder."""

import random
import time

import pytest

from tests.pool.harness import LOCAL, at_once, wait_until


def test_ctrl_c_pressed_again_and_again_removes_all_jobs_of_the_run(project, expected):
    project.train_for(600)
    run = project.start()
    project.both_train()
    pressed = "for _ in 1 2 3; do kill -INT $pid; sleep 0.3; done"
    project.shell(f"pid=$(cat /shared/{run.file.name}.pid); {pressed}")
    assert run.wait(60) != 0
    wait_until(lambda: not project.queue(), 20, "the queue is empty")
    done_before = {job["SnakemakeRule"] for job in project.history("ExitCode =?= 0")}
    assert done_before == {"preprocess", "split"}

    project.train_for(0)
    done = project.run()
    assert done.returncode == 0, done.stdout[-3000:]
    rules = [job["SnakemakeRule"] for job in project.history("ExitCode =?= 0")]
    assert rules.count("preprocess") == rules.count("split") == 1, "what was done is not done again"
    assert project.checksums() == expected


INTERRUPT = """
import os
import signal
import htcondor2
import snakemake_executor_plugin_htcondor_steady as plugin

interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
submit, read, counted = htcondor2.Schedd.submit, plugin.Executor._read_events, []
"""
MOMENTS = {
    "as a submission begins": """
def third(self, description):
    counted.append(1)
    if len(counted) == 3:
        interrupt()
    return submit(self, description)
htcondor2.Schedd.submit = third
""",
    "as a submission is answered": """
def third(self, description):
    answer = submit(self, description)
    counted.append(1)
    if len(counted) == 3:
        interrupt()
    return answer
htcondor2.Schedd.submit = third
""",
    "again as the jobs are being removed": """
remove = plugin.Queue.remove
def pressed_again(self, *arguments, **options):
    if counted:
        interrupt()
    return remove(self, *arguments, **options)
plugin.Queue.remove = pressed_again
def first(self, description):
    answer = submit(self, description)
    counted.append(1)
    interrupt()
    return answer
htcondor2.Schedd.submit = first
""",
    "in a status check": """
def check(self):
    if self.active_jobs and not counted:
        counted.append(1)
        interrupt()
    read(self)
plugin.Executor._read_events = check
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_a_bad_moment_leaves_no_job_either(project, moment):
    """The signal comes exactly then; the third submission is that of the first model."""
    run = project.start(command=project.patched(INTERRUPT + MOMENTS[moment]))
    assert run.wait(100) != 0
    assert "Terminating processes on user request" in run.output
    wait_until(lambda: not project.queue(), 20, "the queue is empty")
    removed = project.history("JobStatus == 3")
    assert bool(removed) == (moment != "as a submission begins")


def test_ctrl_c_at_any_instant_leaves_no_job_and_the_work_gets_done(project, expected):
    instants = random.Random(20)
    for _ in range(4):
        run = project.start(
            "--forcerun preprocess"
        )  # all again, so that each has work for longer than the longest wait
        wait_until(lambda run=run: run.output, 30, "Snakemake has begun")
        time.sleep(instants.uniform(0, 8))
        run.signal("INT")
        assert run.wait(60) != 0, "it was not done yet"
        wait_until(lambda: not project.queue(), 20, "the queue is empty")
    project.train_for(0)
    done = project.run()
    assert done.returncode == 0, done.stdout[-3000:]
    assert project.checksums() == expected


def test_after_sigkill_the_same_line_resumes_and_no_two_jobs_write_the_same(project, expected):
    project.train_for(600)
    run = project.start()
    project.both_train()
    orphans = {job["ClusterId"] for job in project.running()}
    run.signal("KILL")
    assert run.wait(20) != 0
    assert {job["ClusterId"] for job in project.running()} == orphans, "they go on without their driver"

    alone = project.run(command=LOCAL)
    assert alone.returncode == 1
    numbers = ", ".join(map(str, sorted(orphans)))
    assert f"its jobs are still in HTCondor's queue ({numbers}): they would write the same files" in alone.stdout
    assert {job["ClusterId"] for job in project.running()} == orphans

    again = project.start()
    # An orphan that nobody removes would still be at work.
    wait_until(lambda: len(project.trainings()) == 4, 90, lambda: f"both models train again:\n{again.output[-2000:]}")
    project.train_for(0)
    assert again.wait(110) == 0, again.output[-3000:]
    assert "its lock is removed and the run resumes" in alone.stdout
    assert "An earlier run of this folder left jobs in the queue" in again.output
    assert project.checksums() == expected
    jobs = project.history()
    assert [job["SnakemakeRule"] for job in jobs].count("preprocess") == 1, "what was done is not done again"
    for rule in ("train_lr", "train_dt"):
        first, _ = (job for job in jobs if job["SnakemakeRule"] == rule)
        assert first["ClusterId"] in orphans
    trainings = project.trainings()
    assert sorted(training.model for training in trainings) == ["dt", "dt", "lr", "lr"]
    assert at_once(trainings) == [], "the orphan's process was gone before the next began"
