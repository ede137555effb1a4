"""One real HTCondor pool for all tests of this folder: a central manager, an access point, two execute nodes."""

import fcntl
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from pool.pool import Pool
from tests.pool.harness import LOCAL, Project, running, slow_models, slow_tree, wait_until, wait_until_no_slot_is_kept


def pytest_addoption(parser):
    parser.addoption("--pool", help="name of a pool that is up already, to be used and left up")


# Whole files are given to the processes that test side by side (--dist loadfile), in this order with
# --no-loadscope-reorder: those that take longest come first, so that none is left to go on alone in the end.
LONGEST = ("storage", "hosts", "driver", "diagnosis", "doctor", "submit", "divided", "schedd", "pool_run", "notebooks")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.pool)
    items.sort(key=lambda item: _place(item.path))


def _place(file):
    """Where a file stands: those of other folders first, as they were, then the longest of this one."""
    if Path(__file__).parent != file.parent:
        return -1
    name = file.stem.removeprefix("test_").removeprefix("faults_")
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def pool(request):
    """A pool of its own name, so that it meets no other on this machine; taken down in the end, whatever happens."""
    if name := request.config.getoption("--pool"):
        pool = Pool(name)
        pool.up()
        pool.sync()  # the image's profile link leads there
        yield pool
        return
    with running(Pool(f"test-pool-{os.getpid()}"), "pool") as pool:
        yield pool


@pytest.fixture(scope="module")
def settled(pool):
    """A collector that has been up for longer than this pool's CLASSAD_LIFETIME of 30 s: before, nothing is NEVER."""

    def begun():
        ask = ["condor_status", "-collector", "-af", "StatsLifetime"]
        told = pool.execute("ap", *ask, user="submit")
        return any(int(line) > 40 for line in told.stdout.split() if line.isdigit())

    wait_until(begun, 90, "the collector has had the time to hear of each node")


@pytest.fixture
def project(pool, request):
    """A project of the test's own, with two models that train for a few seconds each; no job of it is left behind."""
    # A number, since a pool that is used again remembers the jobs of an earlier session.
    name = re.sub(r"\W+", "-", request.node.name).strip("-") + f"-{time.time_ns() // 10**9}"
    project = Project(pool, name, models=slow_models())
    yield project
    project.end()


@pytest.fixture(scope="session")
def expected(pool, tmp_path_factory, worker_id):
    """The checksums of the same work without a pool, by the local profile on the access point.

    Where several processes test side by side, one of them makes it for all.
    """
    own = tmp_path_factory.getbasetemp()
    file = (own if worker_id == "master" else own.parent) / "expected.json"
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            project = Project(pool, "expected", models=slow_models())
            project.train_for(0)
            done = project.run(command=LOCAL)
            assert done.returncode == 0, done.stdout[-3000:]
            file.write_text(json.dumps(project.checksums()))
    return json.loads(file.read_text())


SNAKEMAKE = "cd /shared/project && /shared/environment/bin/snakemake --profile htcondor --configfile busy.yaml"


@pytest.fixture(scope="session")
def busy_run(pool):
    """A run on the pool, by the very line that the README names, with work enough for both nodes.

    Training takes longer than a negotiation cycle, and there are more application files than slots.
    """
    project = pool.shared / "project"
    shutil.copy2(Path(__file__).with_name("slow_estimator.py"), project)
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    config["models"] = {"lr": slow_tree(seconds=6, max_depth=5), "dt": slow_tree(seconds=6, max_depth=6)}
    config["resources"] = config.get("resources", {}) | {"threads": 2}  # all of a node: each gets one of its own
    config["data"]["applications"] = "applications/*.csv"
    (project / "busy.yaml").write_text(yaml.safe_dump(config))
    (project / "applications").mkdir()
    for number in range(8):
        shutil.copy(project / "data/sample/applications/february.csv", project / f"applications/file{number}.csv")
    wait_until_no_slot_is_kept(pool)  # of an earlier test, perhaps both on one node
    return pool.execute("ap", "bash", "-c", SNAKEMAKE, user="submit")
