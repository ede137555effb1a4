"""The shared folder is a network file system that caches attributes: sshfs, on a pool of its own.

`make test-nfs` does the same on NFS, for which it takes a kernel for each host.
"""

import json
import os
import re
from pathlib import Path

import pytest

from pool.pool import Pool
from tests.pool.harness import SNAKEMAKE, Project, running, wait_until
from tests.pool.shared_storage import (
    check_partial_rerun,
    check_reads,
    check_rerun,
    check_whole_run,
    checksums_without_pool,
    succeeded,
)

FOLDER = Path(__file__).parent / "sshfs"
CACHED = 10  # seconds: several times what a stage takes
# For how long a host believes what it knows: which names there are and which not, their attributes, lists of folders.
# What is in a file is asked for anew whenever it is read; NFS does so whenever it is opened.
OPTIONS = ",".join(
    [
        *(f"{what}_timeout={CACHED}" for what in ("entry", "negative", "attr", "dcache", "dcache_stat", "dcache_dir")),
        "direct_io",
        "no_contain_symlinks",  # an environment's Python is a link to the host's own
    ]
)


class SshfsPool(Pool):
    """A pool whose access point and execute nodes mount the shared folder from the central manager."""

    files_host = "cm"

    def __init__(self, name):
        super().__init__(name)
        self.override = FOLDER / "compose.yaml"

    @property
    def environment(self):
        """What compose takes from its environment."""
        own = {"POOL_SSHFS_IMAGE": self.name_on_top("sshfs", FOLDER), "POOL_SSHFS_OPTIONS": OPTIONS}
        return super().environment | own

    def prepare(self):
        """Make the image with sshfs, too."""
        super().prepare()
        self.build_on_top(self.name_on_top("sshfs", FOLDER), FOLDER, "the hosts with sshfs")


@pytest.fixture(scope="module")
def cached_pool():
    assert Path("/dev/fuse").exists(), "/dev/fuse is not there, and sshfs needs it; as root: modprobe fuse"
    with running(SshfsPool(f"test-sshfs-{os.getpid()}"), "pool") as pool:
        yield pool


@pytest.fixture(scope="module")
def expected_sample(cached_pool):
    """The checksums of the same runs without a pool and without sshfs."""
    return checksums_without_pool(cached_pool)


@pytest.fixture(scope="module")
def on_cache(cached_pool):
    """One project, in which one run follows another."""
    return Project(cached_pool, "run")


def test_a_new_file_is_missing_for_a_while_where_it_was_looked_for(cached_pool, on_cache):
    """Attributes are cached, then; without that, the other tests would show nothing."""

    def is_missed(late):
        assert cached_pool.execute("ap", "test", "-e", late, user="submit").returncode == 1
        assert cached_pool.execute("ep1", "touch", late, user="submit").returncode == 0
        return cached_pool.execute("ap", "test", "-e", late, user="submit").returncode == 1

    # A busy machine may need more than the seconds of the cache between two looks.
    late = next((name for turn in range(3) if is_missed(name := f"{on_cache.inside}/late{turn}")), None)
    assert late
    wait_until(lambda: cached_pool.execute("ap", "test", "-e", late).returncode == 0, CACHED + 10, "there at last")


def test_what_another_host_has_written_is_read_at_once(on_cache):
    check_reads(on_cache)


def test_the_whole_run_makes_the_bytes_of_a_local_run(on_cache, expected_sample):
    check_whole_run(on_cache, expected_sample)


def test_a_rerun_has_nothing_to_do(on_cache):
    check_rerun(on_cache)


def test_a_models_parameter_runs_that_model_and_what_follows(on_cache, expected_sample):
    check_partial_rerun(on_cache, expected_sample)


def test_a_raw_file_that_another_host_has_just_replaced_is_never_taken_for_what_it_was(on_cache):
    """While the access point sees the old one, a run finds nothing to do, or its job refuses; then it is taken."""
    until_split = f"{SNAKEMAKE} --until split"
    succeeded(on_cache.shell(until_split))  # which looks at the file
    before = rows_in(on_cache)
    loans = f"{on_cache.inside}/data/sample/loans.csv"
    line = f"head -n -1 {loans} >{loans}.new && mv {loans}.new {loans}"
    assert on_cache.pool.execute("ep1", "sh", "-c", line, user="submit").returncode == 0
    at_once = on_cache.shell(until_split).stdout
    found = r"Nothing to be done|has changed since the run began|2 of \d+ steps"
    assert re.search(found, at_once, re.MULTILINE), at_once[-3000:]
    wait_until_seen_everywhere(on_cache, loans)
    succeeded(on_cache.shell(until_split))
    assert rows_in(on_cache) == before - 1


def wait_until_seen_everywhere(project, file):
    """Wait until all hosts tell of a file what is true.

    That may take twice as long as anything is cached: the kernel keeps for so long what it was told, and sshfs, which
    tells it, has kept that for as long.
    """
    size = (project.path / "data/sample/loans.csv").stat().st_size

    def seen():
        ask = ("stat", "-c", "%s", file)
        told = {project.pool.execute(host, *ask, user="submit").stdout for host in ("ap", "ep1", "ep2")}
        return told == {f"{size}\n"}

    wait_until(seen, 2 * CACHED + 10, f"{file} is seen as it is on all hosts")


def rows_in(project):
    """How many rows the results say were read."""
    return json.loads((project.path / "results/data/summary.json").read_text())["rows_in"]
