"""Both notebooks on the access point of a real pool, with the kernel of the environment that the jobs run in."""

import re

import pytest

from tests.notebooks import Executed, execution
from tests.pool.harness import LOCAL, Project


@pytest.fixture
def sample(pool, request):
    """A project with the shipped config, and with the notebooks."""
    project = Project(pool, f"notebook-{request.node.name.split('_')[1]}")
    yield project
    project.pool.execute("ap", "condor_rm", "-constraint", 'JobBatchName == "tour"', user="submit")
    project.end()


def executed(project, name):
    """Run a notebook from top to bottom; return what it said."""
    notebook = f"notebooks/{name}.ipynb"
    done = project.shell("timeout -s INT 600 " + " ".join(execution("/shared/environment/bin", notebook, 400)))
    assert done.returncode == 0, done.stdout[-5000:]
    found = Executed(project.path / notebook)
    assert found.counts == list(range(1, len(found.cells) + 1))
    assert found.complaints == ""
    return found


def test_tour_of_the_bindings(sample):
    found = executed(sample, "htcondor_tour")
    slots = found.said("slots = collector.query")
    assert {"ep1", "ep2"} <= set(slots.split())
    assert re.search(r"^ap \$CondorVersion: ", found.said("schedds = collector.query"))
    assert re.search(r"^0 +\d+ +submit +tour +(idle|running)", found.said('summary = submit("summary"'), re.MULTILINE)

    watched = found.said('end = watch("summary"')
    assert re.search(r"SUBMIT.*EXECUTE slot1_\d@ep\d.*JOB_TERMINATED.*exit code 0", watched, re.DOTALL)
    written = found.said('pd.read_csv(FOLDER / "by_grade.csv")')
    assert re.search(r"3 grades, on ep\d", written)
    assert [line.split()[1:] for line in written.splitlines() if re.match(r"\d +[A-C] ", line)] == [
        ["A", "2", "4000", "0.000000"],
        ["B", "3", "12000", "0.333333"],
        ["C", "1", "5000", "1.000000"],
    ]
    past = found.said("past(summary")
    assert "'ExitCode': 0" in past
    assert "'RequestMemory': 200" in past

    assert re.search(r"^7 2 .*missing/held\.out.*No such file or directory", found.said('held = submit("held"'), re.M)
    assert "42" in found.said("JobAction.Release").splitlines()
    assert "held by the tour (by user submit)" in found.said("JobAction.Hold,")
    assert "'RemoveReason': 'removed by the tour (by user submit)'" in found.said('watch("sleeper", "JOB_ABORTED")')

    assert "All 3 jobs of this tour have left the queue." in found.said("LOGS.clear()")
    assert sample.pool.execute("ap", "condor_q", "-af", "ClusterId", user="submit").stdout.strip() == ""
    assert not (sample.path / "explore" / "tour").exists()


def test_explore_submits_a_run_and_follows_it(sample):
    done = sample.run(command=LOCAL)
    assert done.returncode == 0, done.stdout[-3000:]
    before = sample.checksums()
    found = executed(sample, "explore")
    assert sample.checksums() == before
    assert found.pictures == 1

    assert "A schedd answers" in found.said("why_not = None")
    followed = found.said('print("Nothing is submitted')
    for job in ("train_boosting", "evaluate boosting", "compare", "select", "predict february"):
        changes = re.findall(rf"^\S+ job \d+ {job} (\w+)", followed, re.MULTILINE)
        assert changes == ["submitted", "running", "done"], f"{job}: {followed}"
    assert len(set(re.findall(r" job (\d+) ", followed))) == 6, "what the changed parameter concerns, and nothing else"
    assert "The run ended with exit code 0" in followed

    trial = (sample.path / "explore/trial/results/metrics/comparison.csv").read_text()
    assert [line.split(",")[0] for line in trial.splitlines()] == ["model", "boosting", "dt", "lr"]
    ran = found.said('record["change"] == "done"')
    assert re.search(r"^train_boosting +ep\d ", ran.strip(), re.MULTILINE)
