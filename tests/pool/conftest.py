"""One real HTCondor pool for all tests of this folder: a central manager, an access point, two execute nodes."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

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


SNAKEMAKE = "cd /shared/project && /shared/environment/bin/snakemake --profile htcondor --configfile busy.yaml"


@pytest.fixture(scope="session")
def busy_run(pool):
    """A run on the pool, by the very line that the README names, with work enough for both nodes.

    Training takes longer than a negotiation cycle, and there are more application files than slots.
    """
    pool.sync()
    project = pool.shared / "project"
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    boosting = {
        "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
        "params": {"max_iter": 1500, "early_stopping": False},
    }
    config["models"] = {"lr": {**boosting, "complexity": 1}, "dt": {**boosting, "complexity": 2}}
    config["models"]["dt"]["params"] = {"max_iter": 1400, "early_stopping": False}
    config["data"]["applications"] = "applications/*.csv"
    (project / "busy.yaml").write_text(yaml.safe_dump(config))
    (project / "applications").mkdir()
    for number in range(8):
        shutil.copy(project / "data/sample/applications/february.csv", project / f"applications/file{number}.csv")
    return pool.execute("ap", "bash", "-c", SNAKEMAKE, user="submit")
