"""Hosts fail under a run: a node is killed, the network is cut, the central manager is away."""

import time

import pytest

from tests.pool.harness import Hosts, node_of, wait_until

# A shorter lease than the pool's 60 s: a node without power needs no time to stop its jobs.
SHORT_LEASE = "--set-resources " + " ".join(
    f"{rule}:htcondor_submit_job_lease_duration=10" for rule in ("train_lr", "train_dt")
)


@pytest.fixture
def hosts(pool):
    hosts = Hosts(pool)
    yield hosts
    hosts.heal()


def assert_same_as_local(project, expected):
    """Compare what `--until evaluate` makes with the local run's."""
    found = project.checksums()
    assert {"metrics/lr.json", "metrics/dt.json"} <= set(found)
    assert found.items() <= expected.items()


def test_a_node_is_killed_and_its_job_runs_again_elsewhere(project, expected, hosts):
    project.train_for(600)
    run = project.start(f"--until evaluate {SHORT_LEASE}")
    job = project.training()
    hosts.kill(node_of(job))
    project.train_for(0)
    assert run.wait(110) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)
    (again,) = project.history('SnakemakeRule == "train_lr"')
    assert again["ClusterId"] == job["ClusterId"], "HTCondor itself starts it again"
    assert again["NumJobStarts"] == 2
    assert node_of({"RemoteHost": again["LastRemoteHost"]}) != node_of(job)


def test_the_central_manager_is_away_for_a_while(project, expected, hosts):
    """Its daemons are killed, and so is what they knew; its address stays, as that of a real host does."""
    project.train_for(600)
    run = project.start()
    project.both_train()
    hosts.link("cm", "down")
    for daemon in ("condor_collecto", "condor_negotiat"):  # 15 letters, as the kernel keeps names
        assert project.pool.execute("cm", "pkill", "-KILL", "-x", daemon).returncode == 0
    time.sleep(10)
    project.train_for(0)  # in the midst of it, so that the next jobs are submitted meanwhile
    time.sleep(10)
    hosts.link("cm", "up")
    assert run.wait(110) == 0, run.output[-3000:]
    assert project.checksums() == expected


def test_a_network_that_comes_back_in_time_costs_no_work(project, expected, hosts):
    project.train_for(600)
    run = project.start("--until evaluate")
    job = project.training()
    hosts.link(node_of(job), "down")
    time.sleep(20)
    hosts.link(node_of(job), "up")
    project.train_for(0)
    assert run.wait(110) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)
    (same,) = project.history('SnakemakeRule == "train_lr"')
    assert (same["ClusterId"], same["NumJobStarts"]) == (job["ClusterId"], 1)


def test_a_node_that_is_cut_off_for_longer_than_the_lease_does_no_harm(project, expected, hosts):
    """It still reaches the shared folder, and may go on for some seconds after the job has begun elsewhere."""
    project.train_for(600)
    run = project.start(f"--until evaluate {SHORT_LEASE}")
    job = project.training()
    time.sleep(4)  # the first update has come; the access point counts from the last one
    hosts.link(node_of(job), "down")

    def elsewhere():
        return any(one.model == "lr" and one.host != node_of(job) for one in project.trainings())

    wait_until(elsewhere, 110, "lr is trained elsewhere")
    project.train_for(0)
    assert run.wait(60) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)
    (again,) = project.history('SnakemakeRule == "train_lr"')
    assert (again["ClusterId"], again["NumJobStarts"]) == (job["ClusterId"], 2)
    hosts.heal()
    assert "train_lr" not in project.pool.execute(node_of(job), "ps", "-ef").stdout, "it has given the job up"
    assert_same_as_local(project, expected)
