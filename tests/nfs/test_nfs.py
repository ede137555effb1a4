"""The workflow on a shared folder that is NFS: attributes are cached, and root is nobody."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pool.nfs.nfs import GUESTS, MOUNT
from tests.pool.harness import Project, wait_until
from tests.pool.shared_storage import (
    check_partial_rerun,
    check_reads,
    check_replaced_input,
    check_rerun,
    check_whole_run,
    checksums_without_pool,
)

# What is mounted, and what of it /proc/mounts shows. Attributes are cached for 3 to 60 s by default.
MOUNTS = {
    "default": (MOUNT, "local_lock=none"),
    "actimeo=60": (f"{MOUNT},actimeo=60", "acregmin=60,acdirmin=60"),
}


@pytest.fixture(scope="session")
def expected(pool):
    """The checksums of the same runs without a pool and without NFS."""
    return checksums_without_pool(pool)


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


def test_what_another_host_has_written_is_read_at_once(project):
    check_reads(project)


def test_the_whole_run_makes_the_bytes_of_a_local_run(project, expected):
    check_whole_run(project, expected)


def test_a_rerun_has_nothing_to_do(project):
    check_rerun(project)


def test_a_models_parameter_runs_that_model_and_what_follows(project, expected):
    check_partial_rerun(project, expected)


def test_a_raw_file_replaced_on_another_host_is_noticed_at_once(project):
    check_replaced_input(project)
