"""Names of files and folders that a shell or HTCondor reads otherwise."""

import os
import shutil
import time

import pytest

from tests.pool.harness import SNAKEMAKE, Project

FOLDER = 'it\'s $HOME & a "b" (ünï) $(X)'
FILES = ('it\'s $HOME "ünï" $(X).csv', "back\\slash; & 日本 [a] *.csv", f"{'long name ' * 18}.csv")
TREE = {"dt": {"estimator": "sklearn.tree.DecisionTreeClassifier", "complexity": 1}}


@pytest.fixture
def odd(pool):
    """A project with odd names, in a folder of an odd name."""
    project = Project(pool, f"{FOLDER} {time.time_ns() // 10**9}", models=TREE)
    (project.path / "data/sample/applications/january.csv").unlink()
    project.configure(data=project.config()["data"] | {"raw": ["$LOANS/loans.csv"]})
    for file in FILES:
        add(project, file)
    yield project
    project.end()


def add(project, file):
    sample = project.path / "data/sample/applications"
    shutil.copy(sample / "february.csv", sample / file)
    project.own()


def test_files_and_folders_may_have_any_name_and_the_config_may_be_read_only(odd):
    for path in [*(odd.path / "config").rglob("*"), odd.path / "config"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        os.chown(path, 0, 0)  # not the user's own, who could write to it otherwise
    done = odd.run(command=f"env LOANS=data/sample {SNAKEMAKE}")
    assert done.returncode == 0, done.stdout[-3000:]
    found = odd.checksums()
    for file in FILES:
        assert found[f"predictions/{file}"] == found["predictions/february.csv"]
        assert (odd.path / "results/logs/predict" / file).with_suffix(".htcondor-1.err").exists()

    # One that Snakemake can't hand over to a job: told in words, and it alone fails.
    add(odd, "a, b.csv")
    add(odd, "and another.csv")
    done = odd.run(command=f"env LOANS=data/sample {SNAKEMAKE}")
    assert done.returncode == 1
    assert "can't run on the pool: Snakemake can't hand over the comma in application 'a, b'; rename the file." in (
        done.stdout
    )
    assert "predictions/and another.csv" in odd.checksums()
