"""The workflow on a shared folder that is NFS: attributes are cached, and root is nobody."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pool.nfs.nfs import GUESTS, MOUNT
from tests.pool.harness import LOCAL, SNAKEMAKE, Project, wait_until

SHALLOWER = "sed -i 's/max_depth: 10/max_depth: 4/' config/config.yaml"
TREE_AND_WHAT_FOLLOWS = ["compare", "evaluate", "predict", "predict", "select", "train_dt"]
# What is mounted, and what of it /proc/mounts shows. Attributes are cached for 3 to 60 s by default.
MOUNTS = {
    "default": (MOUNT, "local_lock=none"),
    "actimeo=60": (f"{MOUNT},actimeo=60", "acregmin=60,acdirmin=60"),
}


def rules(output):
    """Return the rules that a run has finished, sorted."""
    found = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output)
    return sorted(rule for rule in found if rule != "all")


def succeeded(done):
    """Check that a run ended well, with no job tried again and no file taken for missing."""
    assert done.returncode == 0, done.stdout[-3000:]
    for complaint in ("Missing files", "MissingOutputException", "Trying to restart", "Error in rule"):
        assert complaint not in done.stdout, done.stdout[-3000:]
    return done


@pytest.fixture(scope="session")
def expected(pool):
    """The checksums of the same two runs without a pool and without NFS: where the files lie, by the local profile."""
    project = Project(pool, "local")

    def run(line):
        done = pool.execute("server", "bash", "-c", f"cd {project.inside} && {line}", user="submit")
        assert done.returncode == 0, done.stdout[-3000:]
        return project.checksums()

    return run(LOCAL), run(f"{SHALLOWER} && {LOCAL}")


@pytest.fixture(scope="module", params=MOUNTS)
def mounted(pool, request):
    """The shared folder, mounted anew on the access point and both nodes."""
    pool.mount(MOUNTS[request.param][0])
    return request.param


@pytest.fixture(scope="module")
def project(pool, mounted):
    """A project for each kind of mount, in which one run follows another."""
    return Project(pool, "run-" + re.sub(r"\W+", "-", mounted))


def test_linux_itself_mounts_it_on_all_three_hosts(pool, mounted):
    for host in GUESTS:
        line = pool.execute(host, "grep", " /shared ", "/proc/mounts").stdout
        assert line.startswith("server:/shared /shared nfs4 "), line
        for option in ("vers=4.2", "hard", MOUNTS[mounted][1]):
            assert option in line, line


def test_root_is_nobody_and_the_user_keeps_the_uid(pool, project):
    refused = project.shell("touch as-root", user="root")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stdout
    project.shell("touch as-user")
    assert (project.path / "as-user").stat().st_uid == 5000


def test_a_new_file_is_missing_for_a_while_where_it_was_looked_for(pool, project):
    """Attributes are cached, then; without that, the other tests would show nothing. Listing the folder renews them.

    All three looks are of one login: a new one asks the server anew, and sees the file.
    """
    late, made = f"{project.inside}/elsewhere/late", f"/tmp/made-{project.path.name}"
    looked = made.replace("made", "looked")
    looks = f"""
        test -e {late}; echo $?
        touch {looked}; until test -e {made}; do sleep 0.2; done
        test -e {late}; echo $?
        ls {Path(late).parent} >/dev/null; test -e {late}; echo $?
    """
    assert pool.execute("ep1", "mkdir", str(Path(late).parent), user="submit").returncode == 0
    with ThreadPoolExecutor() as threads:
        answers = threads.submit(project.shell, looks)
        wait_until(lambda: pool.execute("ap", "test", "-e", looked).returncode == 0, 30, "looked for in vain")
        written = pool.execute("ep1", "touch", late, user="submit")
        pool.execute("ap", "touch", made)
    assert written.returncode == 0, written.stdout
    assert answers.result().stdout.split() == ["1", "1", "0"]


def test_what_another_host_has_written_is_read_at_once(pool, project):
    for turn in range(3):
        line = f"cd {project.inside} && echo {turn} >.note && mv .note note"
        assert pool.execute("ep1", "sh", "-c", line, user="submit").returncode == 0
        for host in ("ap", "ep2"):
            assert pool.execute(host, "cat", f"{project.inside}/note", user="submit").stdout == f"{turn}\n"


def test_the_whole_run_makes_the_bytes_of_a_local_run(project, expected):
    done = succeeded(project.shell(SNAKEMAKE))
    assert len(rules(done.stdout)) == 10
    assert project.checksums() == expected[0]
    hosts = {job["LastRemoteHost"].split("@")[1] for job in project.history()}
    assert hosts == {"ep1", "ep2"}


def test_a_rerun_has_nothing_to_do(project):
    assert "Nothing to be done" in succeeded(project.shell(SNAKEMAKE)).stdout


def test_a_models_parameter_runs_that_model_and_what_follows(project, expected):
    assert project.shell(SHALLOWER).returncode == 0
    done = succeeded(project.shell(SNAKEMAKE))
    assert rules(done.stdout) == TREE_AND_WHAT_FOLLOWS
    assert project.checksums() == expected[1]
    assert expected[1] != expected[0]
