"""A calibrated model and a scorecard, by config alone, from the raw file to predictions."""

import csv
import json

import pytest

CARD = {
    "estimator": "scripts.shared.scorecard.Scorecard",
    "complexity": 1,
    "numeric": {"impute": False},
    "categorical": {"encoding": "native"},
}


def test_a_calibrated_model_and_a_scorecard_run_by_config(fresh):
    fresh.config(models__dt=CARD, models__lr__calibration="sigmoid", threshold__method="cost")
    run = fresh.snakemake()
    assert run.code == 0, run.output
    assert run.finished.count("cross_validate") == 2
    receipt = json.loads(fresh.read("results/selection.json"))

    found = json.loads(fresh.read("results/models/lr/cross_validation.json"))
    about = json.loads(fresh.read("results/models/lr/model.json"))["calibration"]
    assert about == found["calibration"]
    assert about["map"] == {"method": "sigmoid", "slope": about["map"]["slope"], "intercept": about["map"]["intercept"]}
    metrics = json.loads(fresh.read("results/metrics/lr.json"))
    assert metrics["threshold"] == found["cheapest_threshold"] != 0.5
    threshold = json.loads(fresh.read(f"results/metrics/{receipt['winner']}.json"))["threshold"]
    (first, *_) = sorted(fresh.path("results/predictions").glob("*.summary.json"))
    rows = list(csv.DictReader(fresh.read(str(first).replace(".summary.json", ".csv")).splitlines()))
    for row in rows:
        refused = float(row["probability_of_default"]) >= threshold
        assert row["decision"] == ("refuse" if refused else "approve")

    card = json.loads(fresh.read("results/models/dt/model.json"))
    assert {"attribute", "bin", "rows", "defaults", "default_rate", "woe", "points", "iv"} == set(card["scorecard"][0])
    assert json.loads(fresh.read("results/metrics/dt.json"))["roc_auc"] == pytest.approx(0.87, abs=0.04)

    # Another kind of map trains this model anew, and no other.
    fresh.config(models__lr__calibration="isotonic")
    planned = fresh.snakemake("-n").planned
    assert planned["cross_validate"] == planned["train_lr"] == 1
    assert "train_dt" not in planned
