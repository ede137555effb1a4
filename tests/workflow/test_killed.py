"""A run that is killed, and a folder that somebody else is running in."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

SLOW = {  # some ten seconds of work
    "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
    "complexity": 3,
    "params": {"max_iter": 3000, "early_stopping": False},
    "numeric": {"impute": False},
    "categorical": {"encoding": "native"},
}


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def running(finished):
    """A run that is training a slow model: the driver, Snakemake, and the job."""
    finished.config(models__slow=SLOW)
    driver = subprocess.Popen(
        # Whoever runs the tests in the background may have them ignore Ctrl-C, and so would all they start.
        ["env", "--default-signal=INT", sys.executable, "-m", "scripts.tools.run"],
        cwd=finished.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def job():
        below = psutil.Process(driver.pid).children(recursive=True)
        return next((p for p in below if "scripts.step" in p.cmdline() and "slow" in p.cmdline()), None)

    try:
        training = wait_for(job)
        wait_for(lambda: finished.path("results/logs/train_slow/train_slow.log").exists())
        yield finished, driver, psutil.Process(driver.pid).children()[0], training
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def test_a_second_run_is_refused_and_the_owner_is_named(running):
    project, _, snakemake, _ = running
    run = project.driver()
    assert run.code == 1
    assert f"error: process {snakemake.pid} of" in run.output
    assert "is running the workflow in this folder" in run.output
    assert alive(snakemake), "the owner goes on"


def test_after_sigkill_its_jobs_end_and_the_next_run_resumes(running):
    project, driver, snakemake, training = running
    os.kill(snakemake.pid, signal.SIGKILL)
    driver.wait(timeout=30)
    wait_for(lambda: not alive(training), seconds=10)
    assert not project.path("results/models/slow/model.joblib").exists()

    # Something half-written under the final name, as a program without our care would leave it.
    project.path("results/models/slow").mkdir(parents=True, exist_ok=True)
    project.path("results/models/slow/model.joblib").write_bytes(b"half")

    project.config(models__slow__params__max_iter=5)  # the same model, less slow
    run = project.driver()
    assert run.code == 0, run.output
    assert "was ended before it was done; its lock is removed and the run resumes" in run.output
    assert "preprocess" not in run.finished
    assert "train_slow" in run.finished
    card = json.loads(project.read("results/models/slow/model.json"))
    assert project.path("results/models/slow/model.joblib").stat().st_size > 1000
    assert card["model"]["params"]["max_iter"] == 5


def test_ctrl_c_ends_the_job_and_the_next_run_resumes(running):
    project, driver, _, training = running
    os.killpg(driver.pid, signal.SIGINT)  # what a terminal sends to all of them
    assert driver.wait(timeout=60) != 0
    wait_for(lambda: not alive(training), seconds=10)
    project.config(models__slow__params__max_iter=5)
    run = project.driver()
    assert run.code == 0, run.output
    assert "train_slow" in run.finished


def test_a_half_written_file_beside_a_result_is_never_taken_for_it(finished):
    left = finished.path("results/predictions/.january.csv.host.1.part")
    left.write_text("id,probability_of_default\n")
    finished.path("results/predictions/january.csv").unlink()
    run = finished.driver()
    assert run.code == 0, run.output
    assert finished.read("results/predictions/january.csv").count("\n") == 301
