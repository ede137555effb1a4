"""A job needs more memory than it asked for: held by the access point, by the node, by its cgroup, or killed."""

import re

import pytest

from tests.pool.harness import node_of, wait_until, wait_until_no_slot_is_kept

# More than the first attempt asks for, with the 100 MB of the Snakemake around it, and less than the second.
HOG = """
rule hog:
    output: "hog.txt"
    resources: requirements='REQUIREMENTS', mem_mb=lambda wildcards, attempt: 250 * attempt
    params: seconds=lambda wildcards, resources: 60 if resources.mem_mb == 250 else 0
    shell: "python3 -c 'import time; hoard = bytearray(250 << 20); time.sleep({params.seconds})' && touch {output}"
"""

HELD = (
    r"htcondor: hog \(job \d+\.0\) is held(?: on \w+)?\. Out of memory: it used [\d,]+ MB of the 250 MB it asked for\. "
    r".* It is retried with more\."
)


def hog(project, requirements="True"):
    """Run a rule that meets its limit at the first attempt; return what was printed and its jobs."""
    (project.path / "hog.smk").write_text(HOG.replace("REQUIREMENTS", requirements))
    project.own()
    done = project.run("--snakefile hog.smk")
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(HELD, done.stdout), done.stdout[-3000:]
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
    wait_until_no_slot_is_kept(pool)
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


# Cgroups of its own for an execute node, where HTCondor looks for them. Version 2: the node's daemons leave the top,
# since a group with processes can't limit those below. Version 1: HTCondor wants one mount for what some kernels mount
# apart.
CGROUPS = """
cd /sys/fs/cgroup
if [ -f cgroup.controllers ]; then
    mkdir daemons && echo $$ >daemons/cgroup.procs
elif [ ! -e cpu,cpuacct ]; then
    ln -s cpuacct cpu,cpuacct
fi
exec /usr/bin/tini -- /usr/local/sbin/start-host
"""


@pytest.fixture
def node_with_cgroups(pool):
    """A third execute node, on which the kernel limits the memory of each job, as on most pools in the field."""
    name, container = "limits", f"{pool.name}-limits"
    options = ["--name", container, "--hostname", name, "--network", f"{pool.project}_default", "--privileged"]
    options += ["-v", f"{pool.key}:/run/pool/signing-key:ro", "-v", f"{pool.shared}:/shared", "-e", "ROLE=Execute"]
    command = ["run", "-d", *options, "--entrypoint", "sh", pool.image, "-c", CGROUPS]

    def is_in_pool():
        machines = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
        assert machines.returncode == 0, machines.stdout
        return name in machines.stdout.split()

    try:
        started = pool.engine.run(*command)
        assert started.returncode == 0, started.stdout
        wait_until(is_in_pool, 60, "the node is in the pool")
        yield name
    finally:
        # Fast, as HTCondor calls it: its daemons take their leave at once; else the pool remembers it for long.
        pool.engine.run("kill", "--signal", "QUIT", container)
        try:
            wait_until(lambda: not is_in_pool(), 60, "the node has left the pool")
        finally:
            pool.engine.run("rm", "-f", container)


def test_a_job_that_the_kernel_stops_at_its_cgroups_limit_is_retried_with_more(project, node_with_cgroups):
    printed, jobs = hog(project, f'Machine == "{node_with_cgroups}"')
    assert "out of memory, the request was 250 MB" in printed
    assert "cgroup memory limit" in printed
    assert "retried with more" in printed
    assert [job["RequestMemory"] for job in jobs] == [250, 500]
    assert jobs[0]["LastHoldReasonCode"] == 34


STEP = "^python -m scripts.step train .*--name lr"
SNAKEMAKE = " -m snakemake .*--allowed-rules train_dt"


def test_jobs_killed_as_by_the_system_are_said_and_retried_with_twice_the_memory(project, expected):
    """Its out-of-memory killer takes the largest process, most often the step; else Snakemake around it."""
    project.train_for(600)
    run = project.start()
    project.both_train()
    for rule, victim in (("train_lr", STEP), ("train_dt", SNAKEMAKE)):
        (job,) = project.running(rule)
        killed = project.pool.execute(node_of(job), "pkill", "-KILL", "-f", victim)
        assert killed.returncode == 0, killed.stdout
    project.train_for(0)
    assert run.wait(110) == 0, run.output[-3000:]
    assert "SIGKILL" in run.output
    assert "signal 9" in run.output
    assert re.search(r"htcondor: train_lr \(job \d+\.0\) failed with exit code 1 on ep[12] after ", run.output)
    assert re.search(r"htcondor: train_dt \(job \d+\.0\) failed by signal 9 on ep[12] after ", run.output)
    assert project.checksums() == expected
    for rule in ("train_lr", "train_dt"):
        first, second = project.history(f'SnakemakeRule == "{rule}"')
        assert first.get("ExitCode") != 0
        assert second["RequestMemory"] == 2 * first["RequestMemory"]
