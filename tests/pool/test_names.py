"""Names as people give them reach the jobs as they are, and jobs can be told apart in the queue."""

import shutil

from tests.pool.harness import SNAKEMAKE, Project


def test_spaces_quotes_and_variables_in_names_and_what_condor_q_shows(pool):
    project = Project(
        pool, "a folder of Zoë's", models={"dt": {"estimator": "sklearn.tree.DecisionTreeClassifier", "complexity": 1}}
    )
    data = {"raw": ["$LOANS/loans.csv"], "applications": ["applications/*.csv"]}
    project.configure(data=project.config()["data"] | data)
    (project.path / "applications").mkdir()
    for name in ("it's $5 é", "plain"):
        shutil.copy(project.path / "data/sample/applications/january.csv", project.path / f"applications/{name}.csv")
    project.own()
    done = project.run("--htcondor-steady-accounting-group group_credit", command=f"env LOANS=data/sample {SNAKEMAKE}")
    assert done.returncode == 0, done.stdout[-3000:]

    predictions = project.path / "results" / "predictions"
    assert (predictions / "it's $5 é.csv").read_bytes() == (predictions / "plain.csv").read_bytes()
    jobs = [job for job in project.history() if job["SnakemakeRule"] == "predict"]
    assert {job["JobBatchName"] for job in jobs} == {"loan-default/predict"}
    assert {job["JobDescription"] for job in jobs} == {"predict, application=it's $5 é", "predict, application=plain"}
    assert {job["AcctGroup"] for job in jobs} == {"group_credit"}
    for ending in ("log", "htcondor-1.out", "htcondor-1.err"):
        assert (project.path / "results" / "logs" / "predict" / f"it's $5 é.{ending}").exists()
