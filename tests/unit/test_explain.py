"""What drives a model and how steady it is, against scikit-learn, pandas and plain NumPy."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import roc_auc_score
from test_evaluate import evaluate_model
from test_train import LOGISTIC, TREE, lay_out, loans, rows_on, train_model

from scripts import explain
from scripts.analysis import features, intervals, linear, trees
from scripts.analysis.columns import columns_of
from scripts.shared.config import Contract, Model, read_config
from scripts.shared.files import read_json
from scripts.shared.fitting import fit
from scripts.shared.membership import read_table
from scripts.shared.models import load_model
from scripts.shared.pipeline import build_pipeline
from scripts.shared.scoring import fast_scorer

SCALED = LOGISTIC | {"numeric": {"transform": "scale"}, "categorical": {"min_frequency": 5}}
FOREST = {
    "estimator": "sklearn.ensemble.RandomForestClassifier",
    "complexity": 3,
    "params": {"n_estimators": 5, "max_depth": 3},
}
MODELS = {"line": SCALED, "tree": TREE, "forest": FOREST}
GROUPS = {"age": {"column": "x", "edges": [40, 60]}, "sex": {"column": "s"}}
COLUMNS = {
    "id": "id",
    "target": {"column": "z", "positive": "1"},
    "numeric": ["x", "y"],
    "categorical": ["t"],
    "observed": ["s"],
}


def with_sex(rows):
    """Return rows with a column that no model may see: it tells the outcome, mostly."""
    random = np.random.default_rng(4)
    draws = random.uniform(size=len(rows))
    return [
        row | {"s": ("f " if (row["z"] == "1") ^ (u < 0.2) else "M") if u < 0.95 else ""}
        for row, u in zip(rows, draws, strict=True)
    ]


def explained(at, name):
    files = at.files[name]
    out = [at.folder / f"{name}.{kind}.json" for kind in ("drivers", "sensitivity", "fairness")]
    evaluate_model(at, files)
    explain.main(at.parts, at.membership, *files, at.folder / "metrics.json", [], [], *out, at.config)
    return [read_json(path) for path in out]


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    rows = with_sex(loans(3000))
    at = lay_out(
        tmp_path_factory.mktemp("explained"),
        rows[:1300],
        rows[1300:],
        columns=COLUMNS,
        features={"ratio": "x / (y + 1)"},
        models=MODELS,
        fairness={"groups": GROUPS},
        report={"sample_rows": 500},
    )
    at.files = {name: train_model(at, name) for name in MODELS}
    at.found = {name: explained(at, name) for name in MODELS}
    return at


def test_coefficients_have_the_standard_errors_of_the_hessian(at):
    found = at.found["line"][0]["linear"]
    pipeline, card = load_model(*at.files["line"])
    rows = rows_on(at, "train")
    matrix = pipeline["columns"].transform(rows[card["features"]["numeric"] + card["features"]["categorical"]])
    whole = np.column_stack([matrix, np.ones(len(rows))])
    p = pipeline.predict_proba(rows[card["features"]["numeric"] + card["features"]["categorical"]])[:, 1]
    hessian = (whole.T * (p * (1 - p))) @ whole + np.diag([1.0] * matrix.shape[1] + [0.0])
    covariance = np.linalg.inv(hessian)
    errors = np.sqrt(np.diag(covariance))
    assert [c["value"] for c in found["coefficients"]] == pytest.approx(pipeline["model"].coef_[0])
    assert [c["standard_error"] for c in found["coefficients"]] == pytest.approx(errors[:-1], rel=1e-6)
    assert found["intercept"]["standard_error"] == pytest.approx(errors[-1], rel=1e-6)
    assert found["rows"] == len(rows)
    names = [c["name"] for c in found["coefficients"]]
    assert names == [
        "x",
        "y",
        "ratio",
        "x is missing",
        "y is missing",
        "ratio is missing",
        *(f"t is {t}" for t in ("(missing)", "MORTGAGE", "OWN", "RENT")),
    ]
    x = found["coefficients"][0]
    assert x["per"] == f"one standard deviation, {rows['x'].fillna(rows['x'].median()).std(ddof=0):.6g}"
    assert x["odds_ratio"] == pytest.approx(np.exp(x["value"]))
    assert x["odds_high"] == pytest.approx(np.exp(x["value"] + 1.959964 * x["standard_error"]), rel=1e-5)
    common = names.index("t is " + rows["t"].value_counts().index[0]) if rows["t"].notna().mean() > 0.5 else None
    for n, c in enumerate(found["coefficients"]):
        if c["kind"] == "category" and n != common:
            contrast = np.zeros(len(errors))
            contrast[n], contrast[names.index(f"t is {c['against']}")] = 1, -1
            assert c["difference"]["standard_error"] == pytest.approx(
                np.sqrt(contrast @ covariance @ contrast), rel=1e-6
            )


def test_what_a_model_has_not_is_said_with_the_reason(at):
    assert "logistic regression" in at.found["forest"][0]["linear"]["not_run"]
    assert "decision tree" in at.found["forest"][0]["tree"]["not_run"]
    assert "lbfgs" in at.found["line"][1]["seed_change"]["not_run"]
    assert "cross-validation" in at.found["line"][1]["overfit"]["folds"]["not_run"]


def test_the_nodes_of_the_tree_are_the_train_rows_that_come_there(at):
    found = at.found["tree"][0]["tree"]
    nodes = {node["id"]: node for node in found["nodes"]}
    pipeline, card = load_model(*at.files["tree"])
    rows = rows_on(at, "train")
    matrix = pipeline["columns"].transform(rows[card["features"]["numeric"] + card["features"]["categorical"]])
    path = pipeline["model"].decision_path(matrix).toarray().astype(bool)
    assert max(node["depth"] for node in nodes.values()) == 3
    filled = {name: rows[name].fillna(rows[name].median()) for name in ("x", "y", "ratio")}
    for number, node in nodes.items():
        there = path[:, number]
        assert (node["rows"], node["defaults"]) == (there.sum(), rows["z"][there].sum())
        if "question" in node and node["kind"] == "number":
            yes = there & (filled[node["feature"]] <= node["threshold"])
            assert nodes[node["yes"]]["rows"] == yes.sum()
        elif "question" in node and node["kind"] == "category":
            assert node["question"] == f"t is {node['category']}"
            is_it = rows["t"].fillna("(missing)") == node["category"]
            assert nodes[node["yes"]]["rows"] == (there & is_it).sum()


def test_class_weights_do_not_change_the_default_rates_of_nodes():
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=500)})
    target = (random.uniform(size=500) < 0.2 + 0.2 * (frame["x"] > 0)).to_numpy().astype(np.int8)
    row = Model(**(TREE | {"params": {"max_depth": 2, "class_weight": "balanced"}}))
    pipeline = build_pipeline("tree", row, ["x"], [], 1)
    fit("tree", pipeline, frame, target)
    counts = (int((target == 0).sum()), int(target.sum()))
    found = trees.describe(pipeline["model"], columns_of(pipeline, ["x"], []), 1, counts)
    assert found["nodes"][0]["defaults"] == target.sum()
    left = frame["x"] <= found["nodes"][0]["threshold"]
    assert found["nodes"][1]["defaults"] == target[left].sum()


@pytest.mark.parametrize("name", MODELS)
def test_permutation_importance_agrees_with_scikit_learn(at, name):
    found = {one["feature"]: one for one in at.found[name][0]["importance"]}
    pipeline, card = load_model(*at.files[name])
    rows = rows_on(at, "test")
    columns = card["features"]["numeric"] + card["features"]["categorical"]
    assert at.found[name][0]["rows"] == min(500, len(rows))
    whole = permutation_importance(pipeline, rows[columns], rows["z"], scoring="roc_auc", n_repeats=30, random_state=1)
    assert sorted(found) == sorted(columns)
    for feature, mean, sd in zip(columns, whole.importances_mean, whole.importances_std, strict=True):
        half = (found[feature]["high"] - found[feature]["low"]) / 2 if found[feature]["high"] is not None else 0
        assert abs(found[feature]["value"] - mean) <= 2 * half + 3 * sd / 30**0.5 + 1e-12
    assert found["ratio"]["derived_from"] == ["x", "y"]
    assert found["x"]["value"] > 0.02


def test_an_interval_of_importance_covers_what_rows_and_shuffles_leave_open():
    """The true drop is known from very many rows; intervals of 60 small samples cover it nearly always."""

    class ByX:
        def score(self, table):
            return 1 / (1 + np.exp(-table.column("x").to_numpy()))

    def drop(rows, seed):
        random = np.random.default_rng(seed)
        x = random.normal(size=rows)
        target = (random.uniform(size=rows) < 1 / (1 + np.exp(-x))).astype(np.int8)
        return features.permutation_importance(ByX(), pa.table({"x": x}), target, ["x"], seed)[0]

    truth = drop(200_000, 0)["value"]
    covered = [one["low"] <= truth <= one["high"] for one in (drop(300, seed) for seed in range(1, 61))]
    assert sum(covered) >= 52


@pytest.mark.parametrize("name", MODELS)
def test_partial_dependence_agrees_with_scikit_learn(at, name):
    pipeline, card = load_model(*at.files[name])
    rows = rows_on(at, "test")
    columns = card["features"]["numeric"] + card["features"]["categorical"]
    of = explain.Explained(at.settings, at.parts, at.membership, pipeline, card, [])
    frame = of.test.select(columns).to_pandas()
    frame["t"] = frame["t"].astype(object).where(frame["t"].notna(), np.nan)
    for one in at.found[name][0]["dependence"]:
        grid = [point["at"] for point in one["points"]]
        expected = []
        for value in grid:
            changed = frame.assign(**{one["feature"]: value})
            expected.append(pipeline.predict_proba(changed)[:, 1].mean())
        assert [point["mean"] for point in one["points"]] == pytest.approx(expected)
        assert sum(point["share"] for point in one["points"]) + (one["missing"] or {"share": 0})[
            "share"
        ] == pytest.approx(1)
    x = next(one for one in at.found[name][0]["dependence"] if one["feature"] == "x")
    assert x["direction"] == "rises" and x["spearman"] > 0.8
    own = partial_dependence(pipeline, frame, ["x"], custom_values={"x": np.array([30.0, 70.0])}, kind="average")
    assert np.diff(own["average"][0]) > 0
    assert len(rows) >= of.test.num_rows


def test_noise_missing_cells_and_train_rows(at):
    for name in MODELS:
        found = at.found[name][1]
        small, large = found["noise"]
        assert (small["noise"], large["noise"]) == (0.01, 0.05)
        assert 0 < small["mean_change"] < large["mean_change"] < 0.2
        assert found["missing"]["mean_change"] > 0
        gap = found["overfit"]
        assert gap["gap"]["value"] == pytest.approx(gap["train"]["value"] - gap["test"]["value"])
        assert gap["gap"]["low"] < gap["gap"]["value"] < gap["gap"]["high"]
        pipeline, card = load_model(*at.files[name])
        rows = rows_on(at, "train")
        scores = pipeline.predict_proba(rows[card["features"]["numeric"] + card["features"]["categorical"]])[:, 1]
        assert gap["train"]["value"] == pytest.approx(roc_auc_score(rows["z"], scores))
        assert gap["train"]["rows"] == len(rows)
    refits = at.found["forest"][1]["seed_change"]
    assert [one["seed"] for one in refits["refits"]] == [2027, 2028, 2029]
    assert refits["spread"] > 0 and refits["mean_change"] > 0


def test_the_same_bytes_in_any_partitioning(at, tmp_path):
    rows = with_sex(loans(3000))
    other = lay_out(
        tmp_path,
        rows,
        columns=COLUMNS,
        features={"ratio": "x / (y + 1)"},
        models=MODELS,
        fairness={"groups": GROUPS},
        report={"sample_rows": 500},
    )
    other.files = {"tree": train_model(other, "tree")}
    assert explained(other, "tree") == at.found["tree"]


def test_areas_and_their_intervals():
    random = np.random.default_rng(2)
    target = (random.uniform(size=400) < 0.3).astype(np.int8)
    scores = np.round(random.normal(size=400) + target, 1)  # with ties
    found = intervals.auc(target, scores)
    assert found["value"] == pytest.approx(roc_auc_score(target, scores))
    bootstrap = []
    for _ in range(2000):
        rows = random.integers(0, 400, 400)
        bootstrap.append(roc_auc_score(target[rows], scores[rows]))
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * np.std(bootstrap), rel=0.08)
    assert intervals.auc(np.array([0, 0], np.int8), np.array([0.1, 0.2]))["value"] is None


def test_splines_are_not_read_alone_and_an_unknown_penalty_is_refused():
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=300)})
    target = (random.uniform(size=300) < 1 / (1 + np.exp(-frame["x"]))).to_numpy().astype(np.int8)
    row = Model(**(LOGISTIC | {"numeric": {"transform": "spline", "knots": 4}}))
    pipeline = build_pipeline("line", row, ["x"], [], 1)
    fit("line", pipeline, frame, target)
    columns = columns_of(pipeline, ["x"], [])
    assert [c.label for c in columns] == [f"x, spline {n} of 6" for n in range(1, 7)]
    information = linear.Information(pipeline["model"], (200, 100))
    information.update(pipeline["columns"].transform(frame), target)
    found = linear.describe(information, columns)
    assert not any(c["read_alone"] or c["odds_ratio"] for c in found["coefficients"])
    pipeline["model"].set_params(l1_ratio=0.5)
    assert "l1_ratio" in linear.why_not(pipeline["model"])


def test_a_sample_of_one_outcome_has_no_importance(at):
    pipeline, card = load_model(*at.files["line"])
    scorer = fast_scorer(pipeline, card["features"]["numeric"], card["features"]["categorical"])
    table = read_table(at.parts, at.membership, "test", Contract.model_validate(card["contract"])).slice(0, 40)
    found = features.permutation_importance(scorer, table, np.zeros(40, np.int8), card["features"]["numeric"], 1)
    assert {one["value"] for one in found} == {None}


def test_rows_that_belong_together_are_sampled_whole(at, monkeypatch):
    pipeline, card = load_model(*at.files["line"])
    monkeypatch.setattr("scripts.streaming.sampling.mix", np.zeros_like)  # all share one key
    settings = read_config(at.config)
    of = explain.Explained(settings, at.parts, at.membership, pipeline, card, [])
    assert of.test.num_rows == len(rows_on(at, "test")) > settings.report.sample_rows


@pytest.mark.parametrize("name", ["line", "tree"])
def test_notices_are_of_applications_that_the_model_refuses(at, name):
    _, sensitivity, _ = explained(at, name)
    threshold = read_json(at.folder / "metrics.json")["threshold"]
    assert sensitivity["notices"]
    for notice in sensitivity["notices"]:
        assert notice["score"] >= threshold
        assert 1 <= len(notice["reasons"]) <= 4
        assert all(": " in reason for reason in notice["reasons"])
    assert sensitivity["reasons"]["rows"] > 0 and 0 <= sensitivity["reasons"]["first_same"] <= 1
