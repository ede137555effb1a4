"""Held jobs: a person's hold is waited for, another fails soon with its reason; removed jobs are retried."""

import contextlib
import os
import re
import time

import pytest

from tests.pool.harness import wait_until


def test_a_persons_hold_is_waited_for_and_a_removed_job_is_retried(project, expected):
    project.train_for(600)
    run = project.start()
    project.both_train()
    (held,), (removed,) = ([job["ClusterId"] for job in project.running(f"train_{name}")] for name in ("lr", "dt"))
    assert project.shell(f"condor_hold {held} && condor_rm {removed}").returncode == 0
    run.wait_for("Somebody put the job on hold with condor_hold", 30)
    run.wait_for(rf"htcondor: train_dt \(job {removed}\.0\) was removed: via condor_rm \(by user submit\)", 30)
    wait_until(lambda: project.queue(f"ClusterId == {held} && JobStatus == 5"), 20, "held")
    project.train_for(0)
    time.sleep(3)
    assert project.shell(f"condor_release {held}").returncode == 0
    assert run.wait(100) == 0, run.output[-3000:]
    assert run.output.count("Somebody put the job on hold") == 1
    assert "was removed/aborted" in run.output
    assert project.checksums() == expected
    attempts = {
        rule: [job["RequestMemory"] for job in project.history(f'SnakemakeRule == "train_{rule}"')]
        for rule in ("lr", "dt")
    }
    assert attempts == {"lr": [1000], "dt": [1000, 2000]}, (
        "what is held goes on; another attempt asks for twice as much"
    )


CLOSED = """
rule all:
    input: "unwritable.txt", "unreachable.txt"
    localrule: True

rule unwritable:
    output: "unwritable.txt"
    resources: requirements='TARGET.Machine == "ep1"'
    shell: "touch {output}"

rule unreachable:
    output: "unreachable.txt"
    resources: requirements='TARGET.Machine == "ep2"'
    shell: "touch {output}"
"""
NOT_RETRIED = r"It is not retried, as it would be held again\."
NOT_WRITABLE = (
    r"htcondor: unwritable \(job \d+\.0\) is held(?: on ep1)?\. The job's account may not use the file for standard "
    r"output or error (\S+/results/logs/unwritable/unwritable\.htcondor-1\.out) on ep1\. See whose it is and who may "
    r"write there \(`ls -ld \1`\)\. .* " + NOT_RETRIED
)
NOT_THERE = r"htcondor: unreachable \(job \d+\.0\) is held(?: on ep2)?\. .* is not there on ep2\. .* " + NOT_RETRIED


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
    assert time.monotonic() - started < 200, "it is not waited for, as a person's hold is"
    assert "held: " in done.stdout
    assert only_here in done.stdout
    assert "(hold code 6, subcode 2)" in done.stdout
    said = re.escape(f"The program {only_here} is not there")
    assert re.search(
        rf"htcondor: nowhere \(job \d+\.0\) is held(?: on ep[12])?\. {said} on ep[12].* {NOT_RETRIED}", done.stdout
    ), done.stdout[-3000:]
    assert not project.queue("JobStatus == 5"), "no held job is left behind"
    assert len(project.history() + project.queue()) == 1, "another attempt would have been held, too"


@contextlib.contextmanager
def unmounted(pool, host):
    """A host without the shared folder."""

    def change(line):
        return pool.engine.run("exec", "--privileged", pool.container(host), "sh", "-c", line)

    try:
        done = change("mount -t tmpfs none /shared")
        assert done.returncode == 0, done.stdout
        yield
    finally:
        done = change("umount -l /shared")
        assert done.returncode == 0, done.stdout


def test_folders_that_a_job_cannot_use_hold_it_and_it_is_told_which(pool, project):
    """One rule's folder for logs is another user's; the other rule's node doesn't have the working folder."""
    (project.path / "closed.smk").write_text(CLOSED)
    logs = project.path / "results/logs/unwritable"
    logs.mkdir(parents=True)
    project.own()
    logs.chmod(0o555)
    os.chown(logs, 0, 0)
    with unmounted(pool, "ep2"):
        done = project.run("--snakefile closed.smk")
    assert done.returncode != 0
    assert re.search(NOT_WRITABLE, done.stdout), done.stdout[-4000:]
    assert re.search(NOT_THERE, done.stdout), done.stdout[-4000:]
    assert len(project.history() + project.queue()) == 2, "another attempt would have been held, too"
