"""The shared folder is full: a clear error, nothing half-written is taken for a result, and the run can be resumed."""

import os

import pytest

from tests.pool.harness import Project, SmallDisk, slow_models, wait_until


@pytest.fixture
def small(pool, tmp_path):
    """A folder on a file system of 40 MB of its own, the same on every host of the pool."""
    disk = SmallDisk(pool, f"small-{os.getpid()}", tmp_path / "disk.ext4", 40)
    yield disk
    disk.close()


def test_it_fills_up_while_models_train(pool, small, expected):
    project = Project(pool, f"{small.name}/work", models=slow_models())
    run = project.start()
    try:
        wait_until(lambda: len(project.running()) == 2, 60, "both models train")
        small.fill()
        assert run.wait(110) != 0, run.output[-3000:]
        assert "No space left on device" in run.output
        assert "Free some space. The run ends; run again to resume" in run.output
        written = project.checksums()
        assert written.items() <= expected.items(), "what there is, is whole"

        small.free()
        done = project.run()
        assert done.returncode == 0, done.stdout[-3000:]
        assert project.checksums() == expected
    finally:
        project.end()
