"""The workflow on a real pool: every rule a job, the same bytes as without a pool."""

import json
import stat

from tests.pool.conftest import SNAKEMAKE

JOBS = ("preprocess", "split", "train_lr", "train_dt", "evaluate", "compare", "select", "predict")


def history(pool):
    """Return what the schedd remembers of each job, newest first."""
    done = pool.execute("ap", "condor_history", "-json", user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    return json.loads(done.stdout)


def test_every_rule_ran_as_a_job_on_an_execute_node(pool, busy_run):
    assert busy_run.returncode == 0, busy_run.stdout[-3000:]
    jobs = history(pool)
    assert sorted({job["SnakemakeRule"] for job in jobs}) == sorted(JOBS)
    assert len(jobs) == 16
    for job in jobs:
        assert job["ExitCode"] == 0
        assert job["Owner"] == "submit"
        assert job["LastRemoteHost"].split("@")[1] in ("ep1", "ep2")
        assert job["RequestMemory"] >= 1000, "the rule's own definition reached HTCondor"


def test_both_models_trained_at_the_same_time_on_different_nodes(pool, busy_run):
    jobs = {job["SnakemakeRule"]: job for job in history(pool)}
    lr, dt = jobs["train_lr"], jobs["train_dt"]
    assert lr["LastRemoteHost"].split("@")[1] != dt["LastRemoteHost"].split("@")[1]
    assert lr["JobStartDate"] <= dt["CompletionDate"]
    assert dt["JobStartDate"] <= lr["CompletionDate"]


def test_prediction_files_spread_over_the_nodes(pool, busy_run):
    hosts = {job["LastRemoteHost"] for job in history(pool) if job["SnakemakeRule"] == "predict"}
    assert {host.split("@")[1] for host in hosts} == {"ep1", "ep2"}


def test_results_are_the_bytes_of_a_local_run(pool, busy_run):
    script = """
        set -e
        rm -rf /shared/local && mkdir /shared/local && cd /shared/local
        cp -r ../project/{applications,busy.yaml,data,profiles,scripts,workflow,environment.yml,requirements.lock} .
        /shared/environment/bin/snakemake --profile profiles/local --configfile busy.yaml >log.txt 2>&1
        cd /shared/project/results
        find data metrics predictions selection.json -type f | sort | xargs sha256sum >/shared/local/pool.sums
        cd /shared/local/results
        sha256sum -c --quiet /shared/local/pool.sums
        wc -l </shared/local/pool.sums
    """
    done = pool.execute("ap", "bash", "-c", script, user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout) >= 15


def test_a_rerun_in_the_same_folder_has_nothing_to_do(pool, busy_run):
    done = pool.execute("ap", "bash", "-c", SNAKEMAKE, user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Nothing to be done" in done.stdout


def test_a_stranger_on_the_network_gets_nothing(pool):
    """Another container on the pool's network, with no token: no slots, no queue, no submission, and it can't join."""
    network = f"{pool.name}_default"
    script = """
        echo 'use ROLE: Execute' >/etc/condor/config.d/05-role.conf
        timeout 20 condor_status -pool cm -af Machine && echo SEES THE SLOTS
        timeout 20 condor_q -pool cm -name ap -af Owner && echo SEES THE QUEUE
        printf 'executable = /bin/true\nqueue\n' >/tmp/job
        timeout 20 condor_submit -pool cm -remote ap /tmp/job && echo SEES THE SCHEDD
        timeout 15 condor_master -f
        true
    """
    image = pool.environment["POOL_IMAGE"]
    command = [
        "run",
        "--rm",
        "--network",
        network,
        "--hostname",
        "stranger",
        "--entrypoint",
        "bash",
        image,
        "-c",
        script,
    ]
    done = pool.engine.run(*command)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "SEES" not in done.stdout
    slots = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
    assert set(slots.stdout.split()) == {"ep1", "ep2"}


def test_the_secrets_are_for_their_owner_only(pool):
    assert stat.S_IMODE(pool.key.stat().st_mode) == 0o600
    for host, path in [
        ("ap", "/home/submit/.condor/tokens.d/pool"),
        ("ap", "/etc/condor/tokens.d/condor"),
        ("ep1", "/etc/condor/passwords.d/POOL"),
    ]:
        assert pool.execute(host, "stat", "-c", "%a", path).stdout.strip() == "600", path


def test_starting_it_again_only_looks(pool):
    before = pool.engine.run("ps", "-q", "--filter", f"name={pool.name}").stdout
    pool.up()
    assert pool.engine.run("ps", "-q", "--filter", f"name={pool.name}").stdout == before
