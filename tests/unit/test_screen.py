"""The model without columns that the lender sets: what is left out, and that the difference is paired."""

import numpy as np
import pytest
from builders import config
from sklearn.metrics import roc_auc_score
from test_evaluate import evaluate_model
from test_train import LOGISTIC, TREE, lay_out, loans, rows_on, train_model

from scripts import screen
from scripts.shared.config import Model
from scripts.shared.files import read_json
from scripts.shared.fitting import fit
from scripts.shared.pipeline import build_pipeline

FEATURES = {"ratio": "x / (y + 1)", "renter": "CASE WHEN t = 'RENT' THEN 1 ELSE 0 END", "other": "y * 2"}


def variants(leave_out=(), **options):
    settings = config(features=FEATURES, screen=options)
    return screen.screened(settings, Model(**(TREE | {"leave_out": list(leave_out)})))


def test_what_is_derived_goes_with_its_column():
    assert variants(lender_set=["x"]) == {"variants": {"lender_set": ["ratio", "x"]}}
    assert variants(prohibited=["t"]) == {"variants": {"prohibited": ["renter", "t"]}}
    assert variants(lender_set=["x"], leave_out=["x"]) == {"variants": {"lender_set": ["ratio"]}}
    both = variants(lender_set=["x"], prohibited=["t"])["variants"]
    assert both == {"lender_set": ["ratio", "x"], "both": ["ratio", "renter", "t", "x"]}


def test_what_is_not_run_says_why():
    assert "name no columns" in variants()["not_run"]
    assert "uses none" in variants(lender_set=["x"], leave_out=["x", "ratio"])["not_run"]
    assert "nothing is left" in variants(lender_set=["x", "y", "t"])["not_run"]
    assert list(variants(lender_set=["x", "y"], prohibited=["t"])["variants"]) == ["lender_set"]


@pytest.mark.parametrize("name", ["line", "tree"])
def test_the_model_without_is_the_same_model_trained_without(tmp_path, name):
    models = {"line": LOGISTIC, "tree": TREE}
    rows = loans(2000)
    at = lay_out(
        tmp_path,
        rows[:700],
        rows[700:],
        features={"ratio": "x / (y + 1)"},
        models=models,
        screen={"lender_set": ["x"]},
        select={"champion": {"resamples": 200}},
    )
    files = train_model(at, name)
    metrics, out = tmp_path / "metrics.json", tmp_path / "screen.json"
    evaluate_model(at, files)
    screen.main(at.parts, at.membership, *files, metrics, [], out, at.config)
    found = read_json(out)
    train, test = rows_on(at, "train"), rows_on(at, "test")
    pipeline = build_pipeline(name, Model(**models[name]), ["y"], ["t"], 2026)
    fit(name, pipeline, train[["y", "t"]], train["z"].to_numpy())
    without = roc_auc_score(test["z"], pipeline.predict_proba(test[["y", "t"]])[:, 1])
    assert found["columns"] == ["ratio", "x"]
    assert found["rows"] == len(test)
    assert found["with"]["roc_auc"]["value"] == pytest.approx(read_json(metrics)["roc_auc"])
    assert found["without"]["roc_auc"]["value"] == pytest.approx(without)
    difference = found["difference"]["roc_auc"]
    assert difference["value"] == pytest.approx(without - found["with"]["roc_auc"]["value"])
    assert difference["low"] < difference["value"] < difference["high"] < 0  # x is half of what is known


def test_equal_scores_differ_by_nothing():
    random = np.random.default_rng(1)
    target = (random.uniform(size=300) < 0.3).astype(np.int8)
    scores = random.uniform(size=300)
    found = screen.compare(target, {"with": scores, "lender_set": scores.copy()}, 0.5, 100, 1)
    assert found["lender_set"]["difference"]["roc_auc"] == {"value": 0.0, "low": 0.0, "high": 0.0}
