"""A rerun never hangs, and never believes what an earlier run's events say."""

from tests.pool.harness import SNAKEMAKE, wait_until

SLOW_FOLDERS = """
import time
import snakemake_executor_plugin_htcondor as upstream
make = upstream.makedirs
upstream.makedirs = lambda *arguments, **options: (time.sleep(0.3), make(*arguments, **options))
"""

DYING_THREAD = """
import snakemake_executor_plugin_htcondor_steady as plugin
def die(self):
    if self.active_jobs:
        raise RuntimeError("injected by the test")
plugin.Executor._read_events = die
"""

SMALL = """
rule again:
    output: "again.txt"
    shell: "date >{output}"
"""
COMPARE = ("--forcerun compare --until compare", "results/metrics/comparison.csv")
AGAIN = ("--snakefile small.smk --forceall", "again.txt")


def written(file):
    """When a file was written; 0 where there is none."""
    return file.stat().st_mtime_ns if file.exists() else 0


def test_ten_reruns_in_one_folder_with_the_pool_rebuilt_among_them(project):
    """Each rerun has a job to run, whose HTCondor number comes round again on a rebuilt pool.

    Next to the rebuilding it is `compare`; else the one rule of a small workflow, as it takes half the time.
    """
    project.configure(models={"dt": {"estimator": "sklearn.tree.DecisionTreeClassifier", "complexity": 1}})
    slow = project.patched(SLOW_FOLDERS)
    first = project.run()
    assert first.returncode == 0, first.stdout[-3000:]
    before = project.checksums()
    (project.path / "small.smk").write_text(SMALL)
    project.own()
    numbers = []
    for turn in range(10):
        if turn == 5:
            project.pool.compose("down", "-v", "-t", "3")  # the queue, the history and the numbers are gone
            project.pool.up()
        arguments, file = COMPARE if turn in (4, 5) else AGAIN
        before_it = written(project.path / file)
        done = project.run(arguments, command=slow if turn % 2 else SNAKEMAKE)
        assert done.returncode == 0, f"turn {turn}: {done.stdout[-3000:]}"
        assert written(project.path / file) > before_it, "it really ran"
        wait_until(lambda: not project.queue(), 10, "the job, done by its event log, is in the history")
        numbers.append(project.history()[-1]["ClusterId"])
    assert numbers[5] < numbers[4], "the rebuilt pool counts from 1 again"
    assert project.checksums() == before
    logs = sorted((project.path / "results/logs/htcondor").glob("*.log"))
    assert len(logs) == 10, "one event log a run, the oldest are gone"


def test_a_status_thread_that_dies_ends_the_run_with_an_error(project):
    project.train_for(0)
    done = project.run(command=project.patched(DYING_THREAD))
    assert done.returncode == 1
    assert "The thread that watches the HTCondor jobs has died" in done.stdout
    assert "injected by the test" in done.stdout
    assert "run again to resume" in done.stdout
    assert not project.queue("JobStatus != 3"), "no job goes on without being watched"

    again = project.run()
    assert again.returncode == 0, again.stdout[-3000:]


def test_a_second_run_with_another_target_is_refused_and_the_first_one_keeps_its_jobs(project):
    """Snakemake's own lock lets it in, as it writes other files, and the executor removes what others have left."""
    done = project.run("--until split")
    assert done.returncode == 0, done.stdout[-3000:]
    project.train_for(600)
    run = project.start("results/models/lr/model.joblib")
    job = project.training()
    second = project.run("results/models/dt/model.joblib")
    assert second.returncode == 1, second.stdout[-3000:]
    assert "Another run of this folder goes on; its jobs are left alone." in second.stdout
    assert "is running the workflow in this folder; wait for it, or end it, then run again" in second.stdout
    assert [one["ClusterId"] for one in project.queue()] == [job["ClusterId"]]
    project.train_for(0)
    assert run.wait(100) == 0, run.output[-3000:]
    third = project.run("results/models/dt/model.joblib")
    assert third.returncode == 0, third.stdout[-3000:]
