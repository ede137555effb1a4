"""Evaluation on the test rows and nothing but the test rows; the comparison of all models."""

import csv
import json

import numpy as np
import pytest
from builders import config, config_dict
from test_metrics import auc_by_ranks, average_precision_by_hand, ks_by_distributions
from test_train import LOGISTIC, TREE, lay_out, loans, rows_by_id, rows_on, train_model

from scripts import compare, evaluate
from scripts.shared.config import Cost
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, to_json, write_json
from scripts.shared.metrics import curves
from scripts.shared.models import load_model
from scripts.shared.parts import read_part, write_part
from scripts.shared.performance import performance

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
OUTPUTS = ("metrics.json", "curves.json", "scores.parquet", "performance.json")


def evaluate_model(at, files, cv=()):
    """Return the metrics and the curves."""
    outputs = [at.folder / name for name in OUTPUTS]
    evaluate.main(at.parts, at.membership, [], *files, *outputs, list(cv), at.config)
    return [read_json(path) for path in outputs[:2]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    at = lay_out(tmp_path_factory.mktemp("evaluated"), loans()[:230], loans()[230:])
    at.files = train_model(at, "line")
    return at


def test_metrics_are_those_of_the_test_rows(trained):
    metrics, drawn = evaluate_model(trained, trained.files)
    rows = rows_on(trained, "test")
    scores = load_model(*trained.files)[0].predict_proba(rows[["x", "y", "t"]])[:, 1]
    target = rows["z"].to_numpy()
    refused = scores >= 0.5
    expected = {
        "model": "line",
        "threshold_method": "fixed",
        "threshold": 0.5,
        "rows": len(rows),
        "defaults": int(target.sum()),
        "accuracy": pytest.approx((refused == target).mean()),
        "recall": pytest.approx(refused[target == 1].mean()),
        "precision": pytest.approx(target[refused].mean()),
        "roc_auc": pytest.approx(auc_by_ranks(target, scores)),
        "pr_auc": pytest.approx(average_precision_by_hand(target, scores)),
        "ks": pytest.approx(ks_by_distributions(target, scores)),
        "brier": pytest.approx(((scores - target) ** 2).mean()),
        "true_positives": int((refused & (target == 1)).sum()),
    }
    assert {key: metrics[key] for key in expected} == expected
    assert list(drawn) == ["model", *curves(target, scores)]
    for name, lines in curves(target, scores).items():  # the same but for the scores' last digits
        assert drawn[name] == {key: pytest.approx(values) for key, values in lines.items()}
    assert metrics["roc_auc"] > 0.7


def test_all_scores_are_kept_and_their_figures_written(trained):
    metrics, _ = evaluate_model(trained, trained.files)
    rows = rows_on(trained, "test")
    table = read_part(trained.folder / "scores.parquet")
    assert [(field.name, str(field.type)) for field in table.schema] == [("target", "int8"), ("score", "double")]
    assert table.column("target").to_pylist() == rows["z"].tolist()
    expected = load_model(*trained.files)[0].predict_proba(rows[["x", "y", "t"]])[:, 1]
    assert table.column("score").to_pylist() == pytest.approx(expected.tolist())
    target, scores = evaluate.read_scores([trained.folder / "scores.parquet"])
    figures = read_json(trained.folder / "performance.json")
    again = {"model": "line"} | performance(target, scores, 0.5, Cost())
    assert figures == json.loads(to_json(again))
    assert {name: figures["confusion"][name] for name in COUNTS} == {name: metrics[name] for name in COUNTS}
    assert figures["roc_auc"]["value"] == pytest.approx(metrics["roc_auc"], abs=1e-12)
    assert figures["brier"]["value"] == pytest.approx(metrics["brier"], abs=1e-12)


def test_scores_that_came_in_parts_give_the_same_bytes(trained, tmp_path):
    evaluate_model(trained, trained.files)
    table = read_part(trained.folder / "scores.parquet")
    parts = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    write_part(table.slice(0, 7), parts[0])
    write_part(table.slice(7), parts[1])
    outputs = [tmp_path / name for name in OUTPUTS]
    evaluate.main([], [], parts, *trained.files, *outputs, [], trained.config)
    assert [path.read_bytes() for path in outputs] == [(trained.folder / name).read_bytes() for name in OUTPUTS]


def test_train_rows_have_no_say(tmp_path):
    rows = loans(200)
    at = lay_out(tmp_path / "one", rows)
    files = train_model(at)
    kept = rows_by_id(at, "train")
    changed = [
        row | {"x": "-1e6", "t": "own", "z": str(1 - int(row["z"]))} if row["id"] in kept else row for row in rows
    ]
    other = lay_out(tmp_path / "other", changed)
    assert rows_by_id(other, "train") == kept
    assert evaluate_model(other, files) == evaluate_model(at, files)


def test_a_changed_test_row_shows(tmp_path):
    rows = loans(200)
    at = lay_out(tmp_path / "one", rows)
    files = train_model(at)
    held_out = rows_by_id(at, "test")
    other = lay_out(tmp_path / "two", [r | {"z": str(1 - int(r["z"]))} if r["id"] in held_out else r for r in rows])
    assert evaluate_model(other, files)[0]["roc_auc"] == pytest.approx(1 - evaluate_model(at, files)[0]["roc_auc"])


def test_the_threshold_may_come_from_cross_validation(trained, tmp_path):
    settings = config(**config_dict(models={"line": LOGISTIC, "tree": TREE}, threshold={"method": "cost"}))
    write_json(tmp_path / "config.json", settings.model_dump(mode="json"))
    write_json(tmp_path / "cv.json", {"cheapest_threshold": 0.123})
    outputs = [tmp_path / name for name in OUTPUTS]
    arguments = trained.parts, trained.membership, [], *trained.files, *outputs, [tmp_path / "cv.json"]
    evaluate.main(*arguments, tmp_path / "config.json")
    metrics = read_json(outputs[0])
    assert (metrics["threshold"], metrics["threshold_method"]) == (0.123, "cost")
    assert metrics["true_positives"] + metrics["false_negatives"] == metrics["defaults"]


def test_evaluation_again_gives_the_same_bytes(trained):
    evaluate_model(trained, trained.files)
    outputs = [trained.folder / name for name in OUTPUTS]
    first = [path.read_bytes() for path in outputs]
    evaluate_model(trained, trained.files)
    assert [path.read_bytes() for path in outputs] == first


def test_a_changed_model_is_not_evaluated(tmp_path):
    at = lay_out(tmp_path, loans(200))
    model, card = train_model(at)
    model.write_bytes(model.read_bytes() + b"!")
    with pytest.raises(UserError, match=r"tree\.joblib has the checksum"):
        evaluate_model(at, (model, card))
    assert not (tmp_path / "metrics.json").exists()


def test_what_is_logged_is_what_is_written(trained, caplog):
    caplog.set_level("INFO")
    metrics, _ = evaluate_model(trained, trained.files)
    assert f"line on {metrics['rows']} test rows: ROC AUC {metrics['roc_auc']:.4f}" in caplog.text


def test_the_comparison_has_a_row_a_model_by_name_and_numbers_that_read_back_equal(tmp_path):
    values = {"z": {"model": "z", "roc_auc": 0.1 + 0.2, "rows": 3}, "a": {"model": "a", "roc_auc": 1e-17, "rows": 3}}
    for name, value in values.items():
        write_json(tmp_path / f"{name}.json", value)
    compare.main([tmp_path / "z.json", tmp_path / "a.json"], tmp_path / "out" / "comparison.csv")
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["a", "z"]
    assert [float(row["roc_auc"]) for row in rows] == [1e-17, 0.1 + 0.2]
    assert np.unique([row["rows"] for row in rows]).tolist() == ["3"]
