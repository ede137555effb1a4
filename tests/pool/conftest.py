"""One real HTCondor pool for all tests of this folder: a central manager, an access point, two execute nodes."""

import os
from pathlib import Path

import pytest

from pool.pool import Pool


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.pool)


@pytest.fixture(scope="session")
def pool():
    """A pool of its own name, so that it meets no other on this machine; taken down in the end, whatever happens."""
    pool = Pool(f"test-pool-{os.getpid()}")
    try:
        pool.up()
        yield pool
    finally:
        pool.down()


@pytest.fixture(scope="session")
def sample_run(pool):
    """The workflow on the sample, run on the pool by the very line that the README names."""
    pool.sync()
    line = "cd /shared/project && /shared/environment/bin/snakemake --profile htcondor"
    return pool.execute("ap", "bash", "-c", line, user="submit")
