"""Partitions, searches and batches of files as jobs: what dies runs again, alone, and the bytes are a local run's."""

import shutil
import time

import pytest

from tests.pool.harness import LOCAL, Project, wait_until

TREE = {
    "estimator": "sklearn.tree.DecisionTreeClassifier",
    "complexity": 1,
    "params": {"min_samples_leaf": 20},
    "tune": {"n": 4, "per_job": 2, "folds": 3, "space": {"max_depth": [3, 5, 8, 12]}},
}
SEARCHED = ("trials.csv", "tuned.json")
PARTITIONS, FILES, FILES_A_BATCH = 4, 150, 60

# The step of the second partition kills itself once, as the system's out-of-memory killer would.
DIES = """
    import os
    if clean.name.startswith("loans.0002") and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), 9)
"""
# A job's second candidate waits, and each is noted once it has been scored for good.
WAITS = """
                while number > 1 and not Path("go").exists():
                    __import__("time").sleep(0.2)
"""
NOTED = """
            if known.get(key) is None:
                with Path("scored").open("a") as file:
                    file.write(f"{path.stem}\\n")
"""


def divided(pool, name):
    """A project of a few partitions, a searched model, and more application files than a batch takes."""
    project = Project(pool, name, models={"dt": TREE})
    loans = project.path / "data/sample/loans.csv"
    sizes = {"mb": loans.stat().st_size / (PARTITIONS - 0.5) / 1e6, "files": FILES_A_BATCH}
    project.configure(partitions=sizes, data=project.config()["data"] | {"applications": "applications/*.csv"})
    header, *rows = (project.path / "data/sample/applications/january.csv").read_text().splitlines(keepends=True)
    (project.path / "applications").mkdir()
    for number in range(FILES):
        (project.path / f"applications/file{number:03}.csv").write_text(header + rows[number % len(rows)])
    project.own()
    return project


def results(project):
    """Return the checksums of data, metrics, models and predictions, and what the search has found."""
    found = {name: (project.path / "results/models/dt" / name).read_bytes() for name in SEARCHED}
    return project.checksums() | found


@pytest.fixture(scope="module")
def on_pool(pool):
    """A run of which one partition's job has died once."""
    project = divided(pool, f"divided-{time.time_ns() // 10**9}")
    insert(project, "preprocess", "    options, file = read_config(config), planned_file(plan, raw)\n", DIES)
    run = project.run()
    yield project, run
    project.end()


def insert(project, step, before, code):
    """Put code before a line of a step."""
    file = project.path / "scripts" / f"{step}.py"
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, code.strip("\n") + "\n" + before))
    project.own()


def jobs(project, rule):
    """Return the jobs of a rule that have ended, oldest first."""
    return project.history(f'SnakemakeRule == "{rule}"')


def test_a_partition_whose_job_dies_runs_again_alone(on_pool):
    project, run = on_pool
    assert run.returncode == 0, run.stdout[-3000:]
    assert (project.path / "died").exists()
    assert "SIGKILL" in run.stdout
    assert len(jobs(project, "preprocess")) == PARTITIONS + 1
    assert len(jobs(project, "split")) == PARTITIONS


def test_files_are_scored_in_batches_and_candidates_in_groups(on_pool):
    project, _ = on_pool
    batches = project.history('regexp("^predict_batch", SnakemakeRule)')
    assert len(batches) == -(-FILES // FILES_A_BATCH)
    assert len(project.history('regexp("^tune_dt", SnakemakeRule)')) == 3, "four candidates and the model as it was"
    assert len(list((project.path / "results/predictions").glob("*.csv"))) == 2 * FILES


def test_the_bytes_are_those_of_a_local_run(pool, on_pool):
    local = divided(pool, f"undivided-{time.time_ns() // 10**9}")
    done = local.run("--cores 2", command=LOCAL)
    assert done.returncode == 0, done.stdout[-3000:]
    project, _ = on_pool
    here, there = results(project), results(local)
    assert {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)} == set()


def test_a_corrupt_partition_is_named_and_made_again(on_pool):
    project, _ = on_pool
    before = results(project)
    part = project.path / "results/data/clean/loans.0003-of-0004.parquet"
    bytes_ = bytearray(part.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0xFF
    part.write_bytes(bytes_)
    shutil.rmtree(project.path / "results/models")  # what was made from it is there otherwise, and stays valid
    # Jobs that come after it was moved aside wait for it, as they would for a file that NFS doesn't show yet.
    failed = project.run("--latency-wait 5")
    assert failed.returncode == 1
    assert f"{part.name} is damaged" in failed.stdout
    assert "unexpected error" not in failed.stdout
    assert not part.exists()
    made = len(jobs(project, "preprocess"))
    repaired = project.run()
    assert repaired.returncode == 0, repaired.stdout[-3000:]
    assert len(jobs(project, "preprocess")) == made + 1
    part.with_name(f"{part.name}.damaged").unlink()
    assert results(project) == before


def test_a_search_that_is_thrown_off_its_node_goes_on(on_pool):
    """The candidate that was scored is not scored again, and the table comes out the same."""
    project, _ = on_pool
    before = (project.path / "results/models/dt/trials.csv").read_bytes()
    project.configure(models={"dt": TREE | {"tune": TREE["tune"] | {"per_job": 4}}})
    line = "                pipeline = candidate_pipeline(name, row, candidate, contract, settings.seed)\n"
    insert(project, "tune", line, WAITS)
    insert(project, "tune", '            logging.info("%s: candidate %s, %d of %d, done"', NOTED)
    run = project.start()
    log = project.path / "results/logs/tune/dt/1_1.log"
    wait_until(lambda: log.exists() and "1 of 4" in log.read_text(), 90, "one candidate is scored")
    (job,) = project.running("tune_dt_1_1")
    thrown = project.pool.execute("ap", "condor_vacate_job", "-fast", f"{job['ClusterId']}.0", user="submit")
    assert thrown.returncode == 0, thrown.stdout
    wait_until(lambda: not project.running("tune_dt_1_1"), 20, "it is off its node")
    (project.path / "go").touch()
    assert run.wait(200) == 0, run.output[-3000:]
    assert (project.path / "results/models/dt/trials.csv").read_bytes() == before
    scored = (project.path / "scored").read_text().split()
    assert len(scored) == len(set(scored)) == 5
    assert project.history('SnakemakeRule == "tune_dt_1_1"')[-1]["NumJobStarts"] == 2
