"""A rerun never hangs, and never believes what an earlier run's events say."""

from tests.pool.harness import SNAKEMAKE

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
