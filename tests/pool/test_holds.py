"""Held jobs: a person's hold is waited for, another fails soon with its reason; removed jobs are retried."""

import time

import pytest

from tests.pool.harness import wait_until


def test_a_persons_hold_is_waited_for_and_said_once(project, expected):
    run = project.start()
    job = project.training()["ClusterId"]
    assert project.shell(f"condor_hold {job}").returncode == 0
    run.wait_for("Somebody put the job on hold with condor_hold", 30)
    wait_until(lambda: project.queue(f"ClusterId == {job} && JobStatus == 5"), 20, "held")
    time.sleep(3)
    assert project.shell(f"condor_release {job}").returncode == 0
    assert run.wait(100) == 0, run.output[-3000:]
    assert run.output.count("Somebody put the job on hold") == 1
    assert project.checksums() == expected


@pytest.fixture
def only_here(project):
    """A program that the access point has, and no execute node."""
    path = "/usr/local/bin/only-on-the-access-point"
    project.shell(f"cp /bin/true {path}", user="root")
    yield path
    project.shell(f"rm {path}", user="root")


def test_another_hold_fails_at_once_with_its_reason_and_is_not_retried(project, only_here):
    (project.path / "nowhere.smk").write_text(
        f'rule nowhere:\n    output: "nowhere.txt"\n    retries: 2\n    resources: job_wrapper="{only_here}"\n'
        '    shell: "touch {output}"\n'
    )
    project.own()
    started = time.monotonic()
    done = project.run("--snakefile nowhere.smk")
    assert done.returncode != 0
    assert time.monotonic() - started < 60
    assert "held: " in done.stdout
    assert only_here in done.stdout
    assert "(hold code 6, subcode 2)" in done.stdout
    assert not project.queue("JobStatus == 5"), "no held job is left behind"
    assert len(project.history() + project.queue()) == 1, "another attempt would have been held, too"


def test_a_job_that_a_person_removes_is_said_and_retried(project, expected):
    run = project.start()
    assert project.shell(f"condor_rm {project.training()['ClusterId']}").returncode == 0
    assert run.wait(110) == 0, run.output[-3000:]
    assert "was removed/aborted" in run.output
    assert project.checksums() == expected
    attempts = [job["RequestMemory"] for job in project.history('SnakemakeRule == "train_lr"')]
    assert attempts == [1000, 2000], "each attempt asks for twice as much"
