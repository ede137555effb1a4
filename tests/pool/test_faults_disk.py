"""The shared folder is full: a clear error, nothing half-written is taken for a result, and the run can be resumed."""

import os
import re
import shutil
import time

import pytest

from tests.pool.harness import Project, SmallDisk, slow_models

# A full disk takes no event: that a job has ended is then learnt from the schedd, which is asked each 20 s.
ASK_SOON = """
import snakemake_executor_plugin_htcondor_steady as plugin
plugin.COMPARE_SECONDS = 3
"""


@pytest.fixture
def small(pool, tmp_path):
    """A folder on a file system of 40 MB of its own, the same on every host of the pool."""
    disk = SmallDisk(pool, f"small-{time.time_ns() // 10**9}-{os.getpid()}", tmp_path / "disk.ext4", 40)
    yield disk
    disk.close()


@pytest.fixture
def on_small(pool, small):
    project = Project(pool, f"{small.name}/work", models=slow_models())
    yield project
    small.free()
    project.end()


def assert_it_says_so_and_what_there_is_is_whole(run, expected):
    assert run.wait(110) != 0, run.output[-3000:]
    assert "No space left on device" in run.output
    assert run.project.checksums().items() <= expected.items(), "what there is, is whole"


def test_it_fills_up_while_data_are_written(on_small, small, expected):
    """There is some room, for a part of what the job is about to write; who meets the end of it first, says so."""
    run = on_small.start()
    run.wait_for(r"Job \d+ \(preprocess, .*\) is HTCondor job")
    small.fill(64 << 10)
    assert_it_says_so_and_what_there_is_is_whole(run, expected)


def test_it_fills_up_while_models_train_and_while_predictions_are_written(on_small, small, expected):
    run = on_small.start(command=on_small.patched(ASK_SOON))
    on_small.both_train()
    small.fill()
    assert_it_says_so_and_what_there_is_is_whole(run, expected)
    # The one or the other, by who is the first to write: the executor, or Snakemake.
    assert re.search("Free some space. The run ends; run again to resume|Error recording metadata", run.output)

    small.free()
    on_small.train_for(0)
    done = on_small.run()
    assert done.returncode == 0, done.stdout[-3000:]
    assert on_small.checksums() == expected

    shutil.rmtree(on_small.path / "results/predictions")
    run = on_small.start(command=on_small.patched(ASK_SOON))
    run.wait_for(r"Job \d+ \(predict, .*\) is HTCondor job")
    small.fill(12 << 10)
    assert_it_says_so_and_what_there_is_is_whole(run, expected)
