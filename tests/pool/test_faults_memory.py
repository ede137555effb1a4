"""A job needs more memory than it asked for: held by the access point, held by the node, killed by the system."""

import pytest

from tests.pool.harness import wait_until

# More than the first attempt asks for, with the 100 MB of the Snakemake around it, and less than the second.
HOG = """
rule hog:
    output: "hog.txt"
    resources: mem_mb=lambda wildcards, attempt: 250 * attempt
    shell: "python3 -c 'import time; hoard = bytearray(250 << 20); time.sleep(12)' && touch {output}"
"""


def hog(project):
    """Run a rule that meets its limit at the first attempt; return what was printed and its jobs."""
    (project.path / "hog.smk").write_text(HOG)
    project.own()
    done = project.run("--snakefile hog.smk")
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout, project.history()


def test_a_hold_by_the_access_points_policy_is_retried_with_more(project):
    printed, jobs = hog(project)
    assert "out of memory, the request was 250 MB" in printed
    assert "retried with more" in printed
    assert [job["RequestMemory"] for job in jobs] == [250, 500]
    assert jobs[0]["LastHoldReasonCode"] == 26


@pytest.fixture
def only_the_nodes_hold(pool):
    """HTCondor's own policy on the nodes, in place of the access point's."""
    files = {
        "ep1": "use POLICY: HOLD_IF_MEMORY_EXCEEDED",
        "ep2": "use POLICY: HOLD_IF_MEMORY_EXCEEDED",
        "ap": "SYSTEM_PERIODIC_HOLD = False",
    }
    path = "/etc/condor/config.d/90-test.conf"
    for host, line in files.items():
        done = pool.execute(host, "sh", "-c", f"echo '{line}' >{path} && condor_reconfig")
        assert done.returncode == 0, done.stdout
    # The node counts what a slot has, and one that is kept for a next job may have more than that asks for.
    slots = ("condor_status", "-constraint", 'SlotType == "Dynamic"', "-af", "Name")
    wait_until(lambda: not pool.execute("ap", *slots, user="submit").stdout.strip(), 40, "no slot is kept")
    yield
    for host in files:
        pool.execute(host, "sh", "-c", f"rm -f {path} && condor_reconfig")


@pytest.mark.usefixtures("only_the_nodes_hold")
def test_a_hold_by_the_nodes_own_policy_is_retried_with_more(project):
    printed, jobs = hog(project)
    assert "out of memory, the request was 250 MB" in printed
    assert "retried with more" in printed
    assert [job["RequestMemory"] for job in jobs] == [250, 500]
    assert (jobs[0]["LastHoldReasonCode"], jobs[0]["LastHoldReasonSubCode"]) == (21, 102)


def test_a_step_killed_as_by_the_system_is_said_and_retried_with_twice_the_memory(project, expected):
    run = project.start()
    (job,) = wait_until(lambda: project.running("train_lr"), 60, "lr trains")
    node = job["RemoteHost"].partition("@")[2].split(".")[0]
    kill = ("pkill", "-KILL", "-f", "scripts.step train .*--name lr")
    wait_until(lambda: project.pool.execute(node, *kill).returncode == 0, 20, "the step is killed")
    assert run.wait(110) == 0, run.output[-3000:]
    assert "SIGKILL" in run.output
    assert project.checksums() == expected
    first, second = project.history('SnakemakeRule == "train_lr"')
    assert first["ExitCode"] != 0
    assert second["RequestMemory"] == 2 * first["RequestMemory"]
