"""The schedd stops answering: in the middle of a run, and at the moment of a submission."""

import re
import time

from tests.pool.harness import node_of, wait_until

JOBS = [
    "compare",
    "evaluate",
    "evaluate",
    "predict",
    "predict",
    "preprocess",
    "select",
    "split",
    "train_dt",
    "train_lr",
]
TRAINING = ("train_lr", "train_dt")


def schedd(project, signal):
    done = project.pool.execute("ap", "pkill", f"-{signal}", "-x", "condor_schedd")
    assert done.returncode == 0, done.stdout


def assert_each_job_was_submitted_once(project):
    # A schedd that is killed while a job leaves the queue writes it into the history again: one job all the same.
    jobs = {job["ClusterId"]: job for job in project.history()}.values()
    assert sorted(job["SnakemakeRule"] for job in jobs) == JOBS
    assert {job["ExitCode"] for job in jobs} == {0}
    assert len({job["SnakemakeSubmission"] for job in jobs}) == len(JOBS)


def test_it_is_killed_with_its_shadows_while_jobs_run(project, expected):
    """The jobs go on, on their nodes: each is said to lose the connection and to regain it, and none begins again."""
    project.train_for(600)
    run = project.start()
    project.both_train()
    nodes = {rule: node_of(job) for rule in TRAINING for job in project.running(rule)}
    killed = project.pool.execute("ap", "pkill", "-KILL", "condor_schedd|condor_shadow")
    assert killed.returncode == 0, killed.stdout
    for rule, node in nodes.items():
        who = rf"htcondor: {rule} \(job \d+\.0\)"
        run.wait_for(rf"{who} lost the connection to {node} \(.*\); HTCondor tries to reconnect")
        run.wait_for(rf"{who} is connected to {node} again; it went on there")
    project.train_for(0)
    assert run.wait(100) == 0, run.output[-3000:]
    assert len(project.trainings()) == 2
    assert_each_job_was_submitted_once(project)
    assert project.checksums() == expected


# One submission begins, and another is answered, when the test says so by a file.
MEET = """
import time
from pathlib import Path
import htcondor2
submit, answered = htcondor2.Schedd.submit, []

def meet(moment):
    if not Path(moment).exists():
        Path(moment).touch()
        while not Path(f"{moment}, go").exists():
            time.sleep(0.1)

def met(self, description):
    if len(answered) == 2:
        meet("begins")
    answer = submit(self, description)
    answered.append(answer)
    if len(answered) == 5:
        meet("answered")
        raise htcondor2.HTCondorException("the answer is lost")
    return answer

htcondor2.Schedd.submit = met
"""


def test_it_is_killed_as_a_submission_begins_and_as_another_is_answered(project, expected):
    project.train_for(0)
    run = project.start(command=project.patched(MEET))
    for moment in ("begins", "answered"):
        wait_until((project.path / moment).exists, 60, lambda: f"at that moment:\n{run.output[-2000:]}")
        schedd(project, "KILL")
        (project.path / f"{moment}, go").touch()
    assert run.wait(110) == 0, run.output[-3000:]
    assert "trying again" in run.output
    assert_each_job_was_submitted_once(project)
    assert project.checksums() == expected


SUBMIT = """
from pathlib import Path
import htcondor2
from snakemake_executor_plugin_htcondor_steady.queue import Queue, SUBMISSION

{patch}
queue = Queue(print, patience=90)
job = {{"executable": "/bin/sleep", "arguments": "60", "log": "{folder}/events.log"}}
Path("{folder}/submits").touch()
cluster = queue.submit(job, "{folder}")
found = queue.look(SUBMISSION + ' == "{folder}"', ["ClusterId"])
print("submitted", cluster, "found", [ad["ClusterId"] for ad in found])
queue.remove(SUBMISSION + ' == "{folder}"', gone_within=30)
print("removed")
"""

LOST_ANSWER = """
submit = htcondor2.Schedd.submit
def lose(self, description):
    htcondor2.Schedd.submit = submit
    submit(self, description)
    raise htcondor2.HTCondorException("the answer is lost")
htcondor2.Schedd.submit = lose
"""


def start_submission(project, patch=""):
    (project.path / "submit.py").write_text(SUBMIT.format(folder=project.inside, patch=patch))
    return project.start("submit.py", command="/shared/environment/bin/python -u")


def test_it_dies_with_a_submission_in_its_hands(project):
    """Stopped, it takes the connection and never answers; then it is killed, and HTCondor's master starts it again."""
    schedd(project, "STOP")
    run = start_submission(project)
    wait_until((project.path / "submits").exists, 30, "the submission begins")
    time.sleep(2)
    schedd(project, "KILL")
    assert run.wait(100) == 0, run.output
    assert "trying again" in run.output
    (cluster,) = re.findall(r"submitted (\d+)", run.output)
    assert f"submitted {cluster} found [{cluster}]\nremoved" in run.output


def test_a_submission_whose_answer_is_lost_is_found_and_not_made_again(project):
    run = start_submission(project, LOST_ANSWER)
    assert run.wait(60) == 0, run.output
    (cluster,) = re.findall(r"submitted (\d+)", run.output)
    assert f"submitted {cluster} found [{cluster}]\nremoved" in run.output
