"""A pool whose access point and execute nodes mount the shared folder by NFS, each with a Linux kernel of its own."""

import os
from pathlib import Path

import pytest

from pool.nfs.nfs import NfsPool
from tests.pool.harness import running


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.nfs)


@pytest.fixture(scope="session")
def pool():
    """A pool of its own name, taken down in the end, whatever happens."""
    with running(NfsPool(f"test-nfs-{os.getpid()}"), "NFS") as pool:
        yield pool
