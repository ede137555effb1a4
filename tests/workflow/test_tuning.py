"""A search as jobs of the workflow: what it leaves, and what runs again when it is interrupted or made larger."""

import csv
import json
import shutil

import pytest

from tests.workflow.conftest import copy_checkout

DT = {
    "n": 4,
    "folds": 3,
    "per_job": 1,
    "space": {"max_depth": [3, 5, 8, 12], "min_samples_leaf": {"low": 5, "high": 200, "log": True, "integer": True}},
}
LR = {
    "search": "halving",
    "n": 4,
    "eta": 2,
    "folds": 3,
    "per_job": 2,
    "space": {"C": {"low": 0.01, "high": 10, "log": True}, "numeric.knots": [3, 5]},
}
TABLES = [f"results/models/{model}/trials.csv" for model in ("dt", "lr")]


def tuned(project):
    project.config(models__dt__tune=DT, models__lr__tune=LR)
    return project


def of(run, model):
    """Return the jobs of a run that tuned a model."""
    return [rule for rule in run.finished if rule.startswith(f"tune_{model}_")]


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory):
    project = tuned(copy_checkout(tmp_path_factory.mktemp("tuned") / "project"))
    return project, project.snakemake("--cores", "2")


@pytest.fixture
def searched(searched_once, tmp_path):
    """A checkout in which two models have been tuned."""
    project, run = searched_once
    assert run.code == 0, run.output
    shutil.copytree(project.folder, tmp_path / "project", symlinks=True)
    return type(project)(tmp_path / "project")


def test_a_tuned_run_trains_the_best_candidate(searched_once):
    project, run = searched_once
    assert run.code == 0, run.output
    assert len(of(run, "dt")) == 5
    assert sorted(of(run, "lr")) == ["tune_lr_1_1", "tune_lr_1_2", "tune_lr_1_3", "tune_lr_2_1", "tune_lr_2_2"]
    assert run.finished.count("gather") == 2
    for model, candidates in (("dt", 5), ("lr", 5)):
        rows = list(csv.DictReader(project.read(f"results/models/{model}/trials.csv").splitlines()))
        found = json.loads(project.read(f"results/models/{model}/tuned.json"))
        card = json.loads(project.read(f"results/models/{model}/model.json"))
        assert len(rows) == candidates
        assert found["candidate"] == rows[0]["candidate"]
        assert found["mean"] >= found["untuned_mean"]
        assert card["tuned"] == found
    assert project.snakemake("-n").planned == {}


def test_one_core_gives_the_same_bytes_as_two(searched_once, fresh):
    run = tuned(fresh).snakemake("--cores", "1", *TABLES)
    assert run.code == 0, run.output
    for table in TABLES:
        assert fresh.read(table) == searched_once[0].read(table)
        found = table.replace("trials.csv", "tuned.json")
        assert fresh.read(found) == searched_once[0].read(found)


def test_an_interrupted_search_goes_on_where_it_was(searched):
    before = {table: searched.read(table) for table in TABLES}
    lost = sorted(searched.path("results/models/dt/trials/1").glob("*.json"))[1]
    lost.unlink()
    searched.path("results/models/dt/trials.csv").unlink()
    run = searched.snakemake(*TABLES)
    assert run.code == 0, run.output
    (job,) = of(run, "dt")
    assert run.finished == [job, "gather"]
    assert f"dt: candidate {lost.stem}, 1 of 1, done" in run.output
    assert {table: searched.read(table) for table in TABLES} == before


def test_a_search_that_was_interrupted_within_a_job_scores_only_the_rest(searched):
    searched.path("results/models/lr/trials/1/untuned.json").unlink()
    searched.path("results/models/lr/trials.csv").unlink()
    run = searched.snakemake("results/models/lr/trials.csv")
    assert run.code == 0, run.output
    # the other candidate of the job, and all of the second round, are known already
    assert run.output.count("lr: fold 1 of 3 done") == 1


def test_a_larger_search_runs_only_what_is_new(searched):
    searched.config(models__dt__tune=DT | {"n": 6})
    run = searched.snakemake()
    assert run.code == 0, run.output
    assert sorted(of(run, "dt")) == ["tune_dt_1_6", "tune_dt_1_7"]
    assert of(run, "lr") == []
    assert searched.read("results/models/dt/trials.csv").count("\n") == 8
    assert searched.snakemake("-n").planned == {}


def test_candidates_in_larger_jobs_are_the_same(searched):
    before = {table: searched.read(table) for table in TABLES}
    searched.config(models__dt__tune=DT | {"per_job": 3})
    assert searched.snakemake("-n").planned == {}
    searched.config(models__dt__tune=DT | {"n": 5, "per_job": 3})
    run = searched.snakemake("results/models/dt/trials.csv")
    assert run.code == 0, run.output
    assert run.output.count("dt: fold 1 of 3 done") == 1
    searched.config(models__dt__tune=DT)
    run = searched.snakemake(*TABLES)
    assert run.code == 0, run.output
    assert of(run, "dt") == []
    assert {table: searched.read(table) for table in TABLES} == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models__dt__tune__metric": "pr_auc"}, {"gather"}),
        ({"models__dt__tune__folds": 4}, {"tune", "gather"}),
        ({"models__dt__params__criterion": "gini"}, {"tune", "gather"}),
        ({"models__dt__complexity": 3}, {"tune", "gather"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_change_runs_what_it_concerns(searched, changes, expected):
    searched.config(**changes)
    planned = searched.snakemake("-n", *TABLES).planned
    assert {rule.split("_")[0] for rule in planned} == expected
    assert not any(rule.startswith("tune_lr") for rule in planned)


def test_a_model_of_which_the_search_is_taken_away_is_trained_as_its_row_says(searched):
    searched.config(models__dt__tune=None)
    run = searched.snakemake()
    assert run.code == 0, run.output
    assert "train_dt" in run.finished
    assert of(run, "dt") == []
    assert "tuned" not in json.loads(searched.read("results/models/dt/model.json"))


def test_a_search_that_can_not_be_is_told_before_anything_runs(fresh):
    fresh.config(models__dt__tune={"n": 9, "space": {"max_depth": {"low": 1.0, "high": 1.0001}}})
    run = fresh.driver()
    assert run.code == 1
    assert "models.dt.tune.n: the space gave " in run.output
    assert run.finished == []
