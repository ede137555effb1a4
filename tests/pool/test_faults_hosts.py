"""Hosts fail under a run: a node is killed, the network is cut, the central manager is away."""

import time

import pytest

from tests.pool.harness import wait_until

# How long a job outlives a lost connection; with the pool's own 60 s the tests only take longer.
LEASE = 30


def lease(seconds):
    """Return the arguments that give the training jobs a lease of so many seconds."""
    rules = ("train_lr", "train_dt")
    return "--set-resources " + " ".join(f"{rule}:htcondor_submit_job_lease_duration={seconds}" for rule in rules)


# Pulls the host's network cable, or puts it back: the address stays. IFF_UP is bit 0 of the flags, netdevice(7).
LINK = """
import fcntl, socket, struct, sys
probe, name = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), b"eth0"
flags = struct.unpack("16sh", fcntl.ioctl(probe, 0x8913, struct.pack("16sh", name, 0)))[1]
flags = flags | 1 if sys.argv[1] == "up" else flags & ~1
fcntl.ioctl(probe, 0x8914, struct.pack("16sh", name, flags))
"""


class Hosts:
    """The pool's hosts, to be harmed."""

    def __init__(self, pool):
        self.pool = pool

    def kill(self, host):
        done = self.pool.engine.run("kill", self.pool.container(host))
        assert done.returncode == 0, done.stdout

    def start(self, host):
        done = self.pool.engine.run("start", self.pool.container(host))
        assert done.returncode == 0, done.stdout

    def link(self, host, state):
        container = self.pool.container(host)
        done = self.pool.engine.run("exec", "--privileged", container, "python3", "-c", LINK, state)
        assert done.returncode == 0, done.stdout

    def steps(self, pattern):
        """Return the process numbers of steps that really run, each with its node, whatever HTCondor believes."""
        found = []
        for node in ("ep1", "ep2"):
            done = self.pool.execute(node, "pgrep", "-f", pattern)
            found += [(node, int(word)) for word in done.stdout.split() if done.returncode == 0]
        return found

    def heal(self):
        """Make all hosts whole again, and wait until both nodes have told the pool so."""
        for host in self.pool.hosts:
            running = self.pool.engine.run("inspect", "-f", "{{.State.Running}}", self.pool.container(host))
            if running.stdout.strip() == "true":
                self.link(host, "up")
            else:
                self.start(host)
        healed = time.time()

        def fresh():
            told = self.pool.execute("ap", "condor_status", "-af", "Machine", "LastHeardFrom", user="submit")
            if told.returncode:
                return False
            lines = [line.split() for line in told.stdout.splitlines()]
            return {words[0] for words in lines if len(words) == 2 and int(words[1]) > healed} >= {"ep1", "ep2"}

        wait_until(fresh, 90, "both nodes are in the pool again")


@pytest.fixture
def hosts(pool):
    hosts = Hosts(pool)
    yield hosts
    hosts.heal()


def node_of(job):
    return job["RemoteHost"].partition("@")[2].split(".")[0]


def training(project):
    """Return the job that trains lr, as both models train, one on each node."""
    jobs = wait_until(lambda: len(found := project.running()) == 2 and found, 60, "both models train")
    (job,) = (job for job in jobs if job["SnakemakeRule"] == "train_lr")
    return job


def assert_same_as_local(project, expected):
    """Compare what `--until evaluate` makes with the local run's."""
    found = project.checksums()
    assert {"metrics/lr.json", "metrics/dt.json"} <= set(found)
    assert found.items() <= expected.items()


def test_a_node_is_killed_and_its_job_runs_again_elsewhere(project, expected, hosts):
    run = project.start(f"--until evaluate {lease(10)}")  # a node without power needs no time to stop its jobs
    job = training(project)
    hosts.kill(node_of(job))
    assert run.wait(110) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)
    (again,) = project.history('SnakemakeRule == "train_lr"')
    assert again["ClusterId"] == job["ClusterId"], "HTCondor itself starts it again"
    assert again["NumJobStarts"] == 2
    assert node_of({"RemoteHost": again["LastRemoteHost"]}) != node_of(job)


def test_the_central_manager_is_away_for_a_while(project, expected, hosts):
    """Its daemons are killed, and so is what they knew; its address stays, as that of a real host does."""
    run = project.start()
    training(project)
    hosts.link("cm", "down")
    for daemon in ("condor_collecto", "condor_negotiat"):  # 15 letters, as the kernel keeps names
        assert project.pool.execute("cm", "pkill", "-KILL", "-x", daemon).returncode == 0
    time.sleep(20)
    hosts.link("cm", "up")
    assert run.wait(110) == 0, run.output[-3000:]
    assert project.checksums() == expected


def test_a_network_that_comes_back_in_time_costs_no_work(project, expected, hosts):
    run = project.start("--until evaluate")
    job = training(project)
    hosts.link(node_of(job), "down")
    time.sleep(20)
    hosts.link(node_of(job), "up")
    assert run.wait(110) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)
    (same,) = project.history('SnakemakeRule == "train_lr"')
    assert (same["ClusterId"], same["NumJobStarts"]) == (job["ClusterId"], 1)


def test_a_network_lost_for_longer_than_the_lease(project, expected, hosts):
    """The folder stays reachable, so the node that was cut off can still write: the worst case."""
    run = project.start(f"--until evaluate {lease(LEASE)}")
    job = training(project)
    hosts.link(node_of(job), "down")
    wait_until(lambda: project.queue('SnakemakeRule == "train_lr" && NumJobStarts == 2'), 150, "it runs elsewhere")
    hosts.link(node_of(job), "up")
    assert run.wait(90) == 0, run.output[-3000:]
    assert_same_as_local(project, expected)


# Notes once a second from where it runs.
LONG = """
rule train_lr:
    output: "long.txt"
    shell: "for second in $(seq 150); do echo $(date +%s.%N) $HOSTNAME $$ >>trace.txt; sleep 1; done; touch {output}"
"""


def test_a_job_that_was_cut_off_has_ended_before_it_begins_elsewhere(project, hosts):
    """By what the job itself notes, whatever HTCondor believes."""
    (project.path / "long.smk").write_text(LONG)
    project.own()
    trace = project.path / "trace.txt"
    run = project.start(f"--snakefile long.smk {lease(LEASE)}")
    wait_until(trace.exists, 40, "the job runs")
    (job,) = project.running()
    hosts.link(node_of(job), "down")

    def notes():
        lines = [line.split() for line in trace.read_text().splitlines()]
        return {node: [float(t) for t, where, _ in lines if where == node] for node in ("ep1", "ep2")}

    first, second = node_of(job), {"ep1": "ep2", "ep2": "ep1"}[node_of(job)]
    wait_until(lambda: len(notes()[second]) > 5, 160, "it runs elsewhere")
    hosts.link(first, "up")
    time.sleep(5)
    run.signal("INT")
    run.wait(30)
    found = notes()
    print(f"cut after {len(found[first])} s; began elsewhere {found[second][0] - found[first][-1]:.1f} s after its end")
    assert found[first][-1] < found[second][0]
