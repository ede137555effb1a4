"""The whole workflow on the shipped sample, as a user runs it."""

import csv
import json

from tests.workflow.conftest import EVERYTHING


def test_a_run_from_nothing_makes_everything_and_ends_with_the_table(finished_run):
    _, run = finished_run
    assert run.code == 0, run.output
    once = ["preprocess", "split", "train_lr", "train_dt", "compare", "select"]
    assert sorted(run.finished) == sorted([*once, "evaluate", "evaluate", "predict", "predict"])
    table = run.output.split("steps (100%) done")[-1]
    for piece in ("model", "roc_auc", "lr", "dt", "wins:", "rejected", "trained", "tested", "predicted", "live model"):
        assert piece in table


def test_a_local_run_prints_no_warning(finished_run):
    _, run = finished_run
    warnings = [line for line in run.output.splitlines() if "warning" in line.lower()]
    # The sample holds one category on purpose that training never saw.
    assert [w for w in warnings if "that training never saw" not in w] == []


def test_the_rows_add_up_from_the_raw_file_to_the_predictions(finished_run):
    project, _ = finished_run
    summary = json.loads(project.read("results/data/summary.json"))
    assert summary["rows_in"] == 4000
    assert summary["rows_in"] == summary["rows_rejected"] + summary["rows_usable"]
    assert summary["rows_usable"] == summary["split"]["train"]["rows"] + summary["split"]["test"]["rows"]
    rejects = list(csv.DictReader(project.read("results/data/rejects.csv").splitlines()))
    assert len(rejects) == summary["rows_rejected"] == 6
    assert [int(r["line"]) for r in rejects] == [902, 1202, 1702, 2102, 2602, 3102]
    assert all(r["value"] == "" for r in rejects), "values can hold personal data and are off by default"


def test_predictions_keep_the_order_of_the_file_and_the_bad_rows_are_beside_them(finished_run):
    project, _ = finished_run
    rows = list(csv.DictReader(project.read("results/predictions/february.csv").splitlines()))
    rejects = list(csv.DictReader(project.read("results/predictions/february.rejects.csv").splitlines()))
    summary = json.loads(project.read("results/predictions/february.summary.json"))
    assert [int(r["id"]) for r in rows] == [200_000 + n for n in range(300) if n not in (40, 80, 120, 240)]
    assert [int(r["line"]) for r in rejects] == [42, 82, 122, 242]
    assert summary["rows_in"] == summary["rows_predicted"] + summary["rows_rejected"] == 300
    assert summary["unseen_categories"] == {"loan_intent": 1}
    threshold = json.loads(project.read("deployed/current/metrics.json"))["threshold"]
    for row in rows:
        assert row["decision"] == ("refuse" if float(row["probability_of_default"]) >= threshold else "approve")


def test_the_card_and_the_registry_agree_with_the_receipt(finished_run):
    project, _ = finished_run
    receipt = json.loads(project.read("results/selection.json"))
    assert json.loads(project.read("deployed/live.json"))["version"] == receipt["version"]
    assert project.path("deployed/current").resolve().name == receipt["version"]
    assert sorted(p.name for p in project.path("deployed/current").resolve().iterdir()) == [
        "card.md",
        "environment.json",
        "golden.json",
        "metrics.json",
        "model.joblib",
        "model.json",
        "reference.json",
        "requirements.lock",
    ]
    card = json.loads(project.read("deployed/current/model.json"))
    assert card["name"] == receipt["winner"]
    assert "id" not in card["features"]["numeric"] + card["features"]["categorical"]


def test_the_second_run_says_that_there_is_nothing_to_do(finished):
    run = finished.driver()
    assert run.code == 0, run.output
    assert "Nothing to be done" in run.output
    assert "wins:" in run.output


def test_the_report_and_the_pictures(finished):
    run = finished.driver("--target", "report")
    assert run.code == 0, run.output
    analysis = ["draw_rules", "explain", "explain", "screen", "screen"]
    assert sorted(run.finished[:-1]) == analysis and run.finished[-1] == "report"
    assert finished.read("results/report.html").count("<h2") > 10
    assert finished.command("scripts.tools.draw_dag").code == 0
    for name in ("dag", "rulegraph"):
        assert "train_lr" in finished.read(f"results/{name}.svg")
        assert "flowchart" in finished.read(f"results/{name}.mmd")


def test_the_htcondor_profile_is_read_by_a_dry_run(fresh):
    run = fresh.command("snakemake", "--profile", "profiles/htcondor", "-n")
    assert run.code == 0, run.output
    assert run.planned == EVERYTHING
    assert not fresh.path(".snakemake/htcondor").exists(), "a dry run leaves no job directory"


def test_results_are_the_same_bytes_whatever_the_cores_and_hash_seeds(finished_run, fresh):
    reference, _ = finished_run  # all cores, and where nobody set one, a hash seed by chance
    run = fresh.snakemake("--cores", "1", PYTHONHASHSEED="4711")
    assert run.code == 0, run.output
    compared = 0
    for folder in ("results/data", "results/metrics", "results/predictions"):
        for path in sorted(reference.path(folder).rglob("*.*")):
            name = path.relative_to(reference.folder)
            assert (fresh.folder / name).read_bytes() == path.read_bytes(), f"{name} differs"
            compared += 1
    assert compared >= 15
    assert fresh.read("results/selection.json") == reference.read("results/selection.json")
