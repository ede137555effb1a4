"""Drift is counted while a file is scored, in the bins of the version that scores it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from builders import write, write_plan
from test_evaluate import evaluate_model
from test_train import csv_text, lay_out, loans, train_model

from scripts import predict
from scripts.shared.binning import OTHER
from scripts.shared.drift import NO_ROWS, Drift, read_reference
from scripts.shared.files import read_json
from scripts.shared.registry import prepare, publish
from scripts.shared.stability import psi

REFERENCE = {
    "features": {
        "x": {"kind": "numeric", "edges": [1.0, 2.0], "counts": [40, 30, 30], "missing": 5},
        "t": {"kind": "categorical", "values": ["a", "b", OTHER], "counts": [50, 54, 1], "missing": 0},
    },
    "score": {"edges": [0.5], "counts": [20, 20]},
}


def block(x, t):
    return pa.table({"x": pa.array(x, pa.float64()), "t": pa.array(t).dictionary_encode(), "unused": x})


def test_rows_are_counted_block_by_block():
    drift = Drift(REFERENCE)
    drift.see(block([1.0, 1.5, None], ["a", None, "new"]), np.array([0.1, 0.5, 0.6]))
    drift.see(block([9.0], ["b"]), np.array([0.7]))
    found = drift.result()
    x, t = found["features"]["x"], found["features"]["t"]
    assert (x["counts"], x["missing"], x["rows"]) == ([1, 1, 1], 1, 4)
    assert (t["counts"], t["missing"], t["rows"]) == ([1, 1, 1], 1, 4)
    assert x["psi"] == psi([40, 30, 30, 5], [1, 1, 1, 1])
    assert t["psi"] == psi([50, 54, 1, 0], [1, 1, 1, 1])
    assert (found["score"]["counts"], found["score"]["missing"]) == ([2, 2], 0)
    assert found["score"]["noise"]


def test_a_file_without_rows_has_no_drift():
    drift = Drift(REFERENCE)
    drift.see(block([], pa.array([], pa.string())), np.empty(0))
    assert drift.result() == {"not_run": NO_ROWS}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A tree, evaluated and published with its reference."""
    at = lay_out(tmp_path_factory.mktemp("drift"), loans(600))
    model, card = train_model(at)
    evaluate_model(at, (model, card))
    files = {"model.joblib": model, "model.json": card, "metrics.json": at.folder / "metrics.json"}
    files["reference.json"] = at.folder / "reference.json"
    at.live = prepare(at.folder / "deployed")
    publish(at.folder / "deployed", "v", files, {})
    return at


def drift_of_file(at, folder, rows):
    path = write(folder / "new.csv", csv_text(rows, ("id", "x", "y", "t")))
    outputs = [folder / name for name in ("p.csv", "r.csv", "s.json")]
    predict.main(path, at.live, *outputs, at.config, write_plan(folder, path), [], [], 1)
    scores = [float(line.split(",")[1]) for line in outputs[0].read_text().splitlines()[1:]]
    return SimpleNamespace(drift=read_json(outputs[2])["drift"], scores=np.array(scores))


def test_a_scored_file_is_measured_against_its_versions_reference(deployed, tmp_path):
    reference = read_reference(deployed.folder / "deployed" / "versions" / "v")
    rows = loans(300, seed=8)
    found = drift_of_file(deployed, tmp_path, rows)
    x = np.array([float(row["x"]) for row in rows if row["x"]])
    bins = reference["features"]["x"]
    own = np.bincount(np.searchsorted(bins["edges"], x), minlength=len(bins["counts"]))
    assert found.drift["features"]["x"]["counts"] == own.tolist()
    assert found.drift["features"]["x"]["missing"] == len(rows) - len(x)
    assert found.drift["features"]["x"]["reference"] == {key: bins[key] for key in ("counts", "missing")}
    edges = reference["score"]["edges"]
    own = np.bincount(np.searchsorted(edges, found.scores), minlength=len(edges) + 1)
    assert found.drift["score"]["counts"] == own.tolist()
    assert list(found.drift["features"]) == ["x", "y", "t"]
    moved = drift_of_file(deployed, tmp_path, [row | {"x": "95"} for row in rows]).drift
    assert (moved["features"]["x"]["status"], moved["features"]["x"]["noise"]) == ("large", False)
    assert moved["features"]["y"] == found.drift["features"]["y"]


def test_rejected_rows_are_not_counted(deployed, tmp_path):
    rows = loans(50, seed=8)
    rows[3]["x"] = "oops"
    assert drift_of_file(deployed, tmp_path, rows).drift["features"]["y"]["rows"] == 49
