"""A pool whose access point and execute nodes mount the shared folder by NFS, each with a Linux kernel of its own."""

import contextlib
import os
from pathlib import Path

import pytest

from pool.nfs.nfs import NfsPool
from scripts.shared.errors import UserError


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.nfs)


@pytest.fixture(scope="session")
def pool():
    """A pool of its own name, taken down in the end, whatever happens."""
    pool = NfsPool(f"test-nfs-{os.getpid()}")
    try:
        try:
            pool.up()
            pool.sync()  # the profile's link on the access point leads there
        except UserError as error:
            pytest.exit(f"the NFS tests can't run: {error}", returncode=1)
        yield pool
    finally:
        with contextlib.suppress(UserError):  # no engine: then there is nothing to take down, and the reason is told
            pool.down()
