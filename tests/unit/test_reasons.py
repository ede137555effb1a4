"""Reasons: for every kind of model, what the features add is the Shapley value and sums to the score."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from test_scoring import BAYES, BOOSTED, CATEGORICAL, LIGHT, LINE, TREE, fitted, nasty, table_of, training

from scripts.shared import reasons, shapley
from scripts.shared.config import PREDICTION_COLUMNS, Model
from scripts.shared.errors import UserError
from scripts.shared.fitting import fit
from scripts.shared.forests import forest_of
from scripts.shared.membership import to_frame
from scripts.shared.pipeline import build_pipeline
from scripts.shared.reasons import ABSENT, HIGHER, LOWER, PRESENT, UNSEEN, Reasons, explainer, stability
from scripts.shared.statistics import wilson_interval

FOREST = ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 5, "min_samples_leaf": 3})
EXTRA = ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimators": 5, "min_samples_leaf": 3})
# Enough trees for every feature to be asked, gaps and categories included.
HIST = (BOOSTED[0], BOOSTED[1] | {"max_iter": 12, "min_samples_leaf": 3})
LGBM = (LIGHT[0], LIGHT[1] | {"n_estimators": 12, "min_child_samples": 3, "min_data_per_group": 3, "cat_smooth": 1})
CAT = ("scripts.shared.catboosting.CatBoost", {"iterations": 20, "depth": 4, "seeds": 2, "numbers_twice": True})
NAMES = (["x", "few", "top", "whole"], CATEGORICAL)  # seven features: 128 coalitions
REFERENCE = {"x": 48.0, "few": 2.0, "top": 9.0, "same": 7.0, "whole": 22_026.0, "none": None}
REFERENCE |= {"t": "b", "u": "p", "v": None}
KINDS = {
    "line": (LINE, {}, {}),
    "line scale": (LINE, {"transform": "scale"}, {"min_frequency": 1}),
    "line spline": (LINE, {"transform": "spline", "knots": 4}, {}),
    "line bin": (LINE, {"transform": "bin", "knots": 4}, {}),
    "line twice": (LINE, {"transform": "spline", "also_as_category": True}, {}),
    "tree": (TREE, {}, {}),
    "tree gaps": (TREE, {"impute": False}, {"min_frequency": 1}),
    "tree spline": (TREE, {"transform": "spline"}, {}),
    "tree bin": (TREE, {"transform": "bin"}, {}),
    "tree twice": (TREE, {"also_as_category": True}, {}),
    "forest": (FOREST, {"impute": False}, {"min_frequency": 1}),
    "extra": (EXTRA, {"impute": False}, {"min_frequency": 1}),
    "hist": (HIST, {}, {"min_frequency": 1}),
    "hist gaps": (HIST, {"impute": False}, {"min_frequency": 1}),
    "hist native": (HIST, {"impute": False}, {"encoding": "native"}),
    "hist native twice": (HIST, {"impute": False, "also_as_category": True}, {"encoding": "native"}),
    "lightgbm": (LGBM, {}, {"min_frequency": 1}),
    "lightgbm gaps": (LGBM, {"impute": False}, {"min_frequency": 1}),
    "lightgbm native": (LGBM, {"impute": False}, {"encoding": "native"}),
    "lightgbm zero": ((LGBM[0], LGBM[1] | {"zero_as_missing": True}), {"impute": False}, {"encoding": "native"}),
    "lightgbm forest": (
        (LGBM[0], LGBM[1] | {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}),
        {"impute": False},
        {"encoding": "native"},
    ),
    "lightgbm sigmoid": ((LGBM[0], LGBM[1] | {"sigmoid": 2.0}), {"impute": False}, {"encoding": "native"}),
    "catboost": (CAT, {"impute": False}, {"encoding": "native"}),
    "catboost alone": ((CAT[0], CAT[1] | {"seeds": 1}), {"impute": False}, {"encoding": "native"}),
    "bayes": (BAYES, {"transform": "scale"}, {}),
}
EXACT = [kind for kind in KINDS if not kind.startswith(("catboost", "bayes", "lightgbm sigmoid"))]
BY_PROBABILITY = ("tree", "forest", "extra", "bayes", "lightgbm sigmoid")


def card(numeric=NAMES[0], categorical=NAMES[1], **changes):
    values = {name: REFERENCE[name] for name in (*numeric, *categorical)} | changes
    known = {"t": ["a", "b", "c"], "u": ["p", "r", "s", "t"], "v": ["(missing)", "0_a", "Ü"]}
    features = {"numeric": list(numeric), "categorical": list(categorical)}
    features["categories"] = {name: known[name] for name in categorical}
    return {"name": "m", "features": features, "seed": 1, "reference_group": {"values": values}}


@pytest.fixture(scope="module")
def rows():
    """Return 40 rows, with what training never saw."""
    return nasty(training()[0], 40)


@pytest.fixture(scope="module")
def models():
    """Return what fits each kind of model, once."""
    made = {}

    def model(kind):
        if kind not in made:
            estimator, numeric, categorical = KINDS[kind]
            made[kind] = fitted(estimator, numeric, NAMES, **categorical)
        return made[kind]

    return model


def by_scikit_learn(pipeline, frame, scale):
    """Return the score on the scale, from `predict_proba` alone."""
    p = pipeline.predict_proba(frame)
    return np.log(p[:, 1]) - np.log(p[:, 0]) if scale == "log-odds" else p[:, 1]


def shapley_values(pipeline, table, reference, names, scale):
    """Return the definition: a feature's gain, averaged over all coalitions of the others."""
    features = [*names[0], *names[1]]
    frame, base = to_frame(table, *names), to_frame(reference, *names)
    coalitions = list(itertools.product([False, True], repeat=len(features)))
    mixtures = []
    for coalition in coalitions:
        mixed = frame.copy()
        for name, own in zip(features, coalition, strict=True):
            if not own:
                mixed[name] = np.repeat(base[name].to_numpy(), len(frame))
        mixtures.append(mixed)
    scores = by_scikit_learn(pipeline, pd.concat(mixtures, ignore_index=True), scale)
    worth = dict(zip(coalitions, scores.reshape(len(coalitions), -1), strict=True))
    found = np.zeros((len(frame), len(features)))
    for coalition, before in worth.items():
        for at, own in enumerate(coalition):
            if not own:
                after = worth[(*coalition[:at], True, *coalition[at + 1 :])]
                found[:, at] += (after - before) / (len(features) * math.comb(len(features) - 1, sum(coalition)))
    return found


# --- sums, and the definition -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_sum_to_the_score(models, rows, kind):
    pipeline = models(kind)
    model = explainer(pipeline, card())
    assert model.scale == ("probability" if kind.startswith(BY_PROBABILITY) else "log-odds")
    assert model.features == [*NAMES[0], *NAMES[1]]
    found = model.contributions(rows)
    expected = by_scikit_learn(pipeline, to_frame(rows, *NAMES), model.scale)
    np.testing.assert_allclose(model.base + found.sum(axis=1), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.scores(rows), expected, rtol=1e-9, atol=1e-9)
    assert (np.abs(found) > 1e-3).any(axis=0).sum() >= 4, "the model asks for too few features to test anything"


@pytest.mark.parametrize("kind", EXACT)
def test_contributions_are_shapley_values_by_all_coalitions(models, rows, kind):
    pipeline, about = models(kind), card()
    model = explainer(pipeline, about)
    expected = shapley_values(pipeline, rows, reasons.reference_table(about), NAMES, model.scale)
    np.testing.assert_allclose(model.contributions(rows), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["catboost", "bayes", "lightgbm sigmoid"])
def test_few_changed_features_are_explained_exactly_by_scores(models, rows, kind):
    pipeline, about = models(kind), card()
    model = explainer(pipeline, about)
    reference = reasons.reference_table(about)
    columns = {name: rows.column(name) if name != "whole" else None for name in rows.column_names}
    columns["whole"] = pa.array([reference.column("whole")[0].as_py()] * len(rows), pa.float64())
    some = pa.table(columns)  # six features are left
    expected = shapley_values(pipeline, some, reference, NAMES, model.scale)
    np.testing.assert_allclose(model.contributions(some), expected, rtol=1e-8, atol=1e-9)


def test_more_changed_features_are_explained_nearly_so(models, rows):
    pipeline, about = models("catboost"), card()
    model = explainer(pipeline, about)
    expected = shapley_values(pipeline, rows, reasons.reference_table(about), NAMES, model.scale)
    error = np.abs(model.contributions(rows) - expected)
    assert 1e-6 < error.max() < 0.15 * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["hist native", "lightgbm native", "lightgbm gaps", "tree gaps", "line spline"])
def test_the_reference_itself_may_have_gaps_and_odd_values(models, rows, kind):
    pipeline = models(kind)
    for changes in ({"x": None, "t": None, "few": 0.0}, {"u": "never", "v": "0_a", "top": -1e-36}):
        about = card(**changes)
        model = explainer(pipeline, about)
        reference = reasons.reference_table(about)
        expected = shapley_values(pipeline, rows[:12], reference, NAMES, model.scale)
        np.testing.assert_allclose(model.contributions(rows[:12]), expected, rtol=1e-9, atol=1e-9)
        assert np.abs(model.contributions(reference)).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_do_not_depend_on_how_rows_are_cut(models, rows, kind, monkeypatch):
    model = explainer(models(kind), card())
    whole = model.contributions(rows)
    for name, size in (("SMALL_ROWS", 13), ("LARGE_ROWS", 7), ("EVALUATIONS", 300)):
        monkeypatch.setattr(shapley, name, size)
    parts = [model.contributions(rows.slice(at, 9)) for at in range(0, len(rows), 9)]
    assert np.concatenate(parts).tobytes() == np.ascontiguousarray(whole).tobytes()
    assert model.contributions(rows[:0]).shape == (0, 7)


def test_the_short_way_for_small_trees_is_that_for_large_ones(models, rows, monkeypatch):
    found = explainer(models("lightgbm native"), card()).contributions(rows)
    monkeypatch.setattr(shapley, "PATTERN_NODES", 0)
    np.testing.assert_allclose(explainer(models("lightgbm native"), card()).contributions(rows), found, atol=1e-12)


def test_a_tree_may_ask_more_features_than_an_integer_has_bits():
    random = np.random.default_rng(3)
    matrix = random.normal(size=(600, 80))
    model = RandomForestClassifier(3, max_features=1, random_state=1).fit(matrix, random.integers(0, 2, 600))
    forest = forest_of(model)
    values = shapley.ForestShapley(forest, forest.prepared(matrix[:1])[0], np.arange(80), 80)
    assert max(len(tree.groups) for tree in values.trees) > 64
    found = values.values(forest.prepared(matrix[1:9]))
    expected = model.predict_proba(matrix[1:9])[:, 1]
    np.testing.assert_allclose(values.base + found.sum(axis=1), expected, atol=1e-12)
    # Columns of two features in turn: Shapley values of two, by all four coalitions.
    pairs = shapley.ForestShapley(forest, forest.prepared(matrix[:1])[0], np.arange(80) % 2, 2)
    one, other = (np.where(np.arange(80) % 2 == n, matrix[1:9], matrix[0]) for n in (0, 1))
    score = lambda rows: model.predict_proba(rows)[:, 1]  # noqa: E731
    first = (score(one) - pairs.base + expected - score(other)) / 2
    np.testing.assert_allclose(pairs.values(forest.prepared(matrix[1:9]))[:, 0], first, atol=1e-12)


def test_the_positive_class_is_1_wherever_it_stands(models, rows):
    for kind in ("tree", "hist native", "line twice"):
        pipeline = fitted(KINDS[kind][0], KINDS[kind][1], NAMES, **KINDS[kind][2])
        found = explainer(pipeline, card()).contributions(rows)
        pipeline["model"].classes_ = np.array([1, 0])
        np.testing.assert_allclose(explainer(pipeline, card()).contributions(rows), -found, atol=1e-12)


def test_a_classifier_of_another_form_is_explained_by_its_probabilities(rows):
    table, target = training()
    row = Model(estimator=LINE[0], complexity=1, params=LINE[1], numeric={}, categorical={})
    pipeline = build_pipeline("m", row, *NAMES, seed=1)
    pipeline.steps.insert(0, ("as it is", FunctionTransformer()))
    fit("m", pipeline, to_frame(table, *NAMES), target)
    model = explainer(pipeline, card())
    assert (type(model).__name__, model.scale) == ("_OfFrames", "probability")
    found = model.contributions(rows)
    expected = pipeline.predict_proba(to_frame(rows, *NAMES))[:, 1]
    np.testing.assert_allclose(model.base + found.sum(axis=1), expected, atol=1e-12)


def test_a_calibrated_model_is_explained_by_the_one_inside(models, rows):
    *before, (name, model) = models("tree").steps
    calibrated = SimpleNamespace(estimator=model, mapping={"method": "sigmoid", "slope": 2.0, "intercept": -1.0})
    found = explainer(SimpleNamespace(steps=[*before, (name, calibrated)]), card()).contributions(rows)
    assert found.tobytes() == explainer(models("tree"), card()).contributions(rows).tobytes()


def test_a_card_of_former_days_has_no_reference(models):
    about = card()
    del about["reference_group"]
    with pytest.raises(UserError, match=r"trained before models had a reference group.*train it again"):
        explainer(models("tree"), about)


# --- in words -----------------------------------------------------------------------------------------------------


class Told:
    """An explainer that says what it is told."""

    def __init__(self, found, features=("x", "few", "t")):
        self.found, self.features = np.array(found), list(features)

    def contributions(self, table):
        return self.found[: table.num_rows]


def told(found, count=4, **changes):
    """Return the reasons of a model that says what it is told."""
    made = Reasons.of(fitted(TREE, {}, (["x", "few"], ["t"])), card(["x", "few"], ["t"], **changes), count, {"x": "X,"})
    return Reasons(Told(found), count, made.phrases, made.numeric, made.categorical)


def columns_of(reasons_, numbers, texts):
    table = table_of(
        {"x": np.array(numbers["x"]), "few": np.array(numbers["few"])}, {"t": np.array(texts, dtype=object)}
    )
    return [list(row) for row in reasons_.columns(table, np.full(len(texts), True)).rows()]


def test_reasons_are_what_raises_the_score_most_first():
    nan = np.nan
    found = [[0.1, 0.3, 0.2], [1, -1, 1], [0, 1e-10, -5], [0.5, 0.5, 0.5], [1, 2, 3]]
    numbers = {"x": [50.0, 47.0, 99, nan, 0], "few": [1.0, 0, 3, 3, nan]}
    assert columns_of(told(found, 3), numbers, ["a", "new", "a", None, "c"]) == [
        [f"few: {LOWER}", "t: a", f"X,: {HIGHER}"],
        [f"X,: {LOWER}", f"t: {UNSEEN}", None],
        [None, None, None],
        [f"X,: {ABSENT}", f"few: {HIGHER}", f"t: {ABSENT}"],
        ["t: c", f"few: {ABSENT}", f"X,: {LOWER}"],
    ]


def test_there_may_be_fewer_features_than_reasons_and_a_reference_without_a_number():
    rows = columns_of(told([[3, 1, 2]], 5, x=None), {"x": [5.0], "few": [5.0]}, ["a"])
    assert rows == [[f"X,: {PRESENT}", "t: a", f"few: {HIGHER}", None, None]]


def test_only_chosen_rows_have_reasons_and_quotes_are_those_of_csv():
    table = table_of({"x": np.array([50.0, 50.0]), "few": np.array([1.0, 1.0])}, {"t": np.array(["a", "a"])})
    made = told([[1, 0, 0]], 2)
    assert made.columns(table, np.array([False, True])).rows() == [(None, None), (f"X,: {HIGHER}", None)]
    quoted = made.columns(table, np.array([False, True]), quoted=True).rows()
    assert quoted == [("", ""), (f'"X,: {HIGHER}"', "")]
    assert made.columns(table, np.array([False, False])).rows() == [(None, None)] * 2


def test_predictions_keep_the_names_of_reasons():
    assert set(reasons.reason_columns(20)) < set(PREDICTION_COLUMNS)


# --- how steady they are ------------------------------------------------------------------------------------------


def steady_card():
    about = card(["x", "few"], ["t"])
    columns = {"numeric": ["x", "few"], "categorical": ["t"]}
    return about | {"contract": {"columns": columns, "features": {"ratio": "x / (few + 1)"}}}


class Ratio:
    """Gives the feature `ratio` its value, and `x` a fixed one."""

    features = ("x", "few", "ratio", "t")

    def contributions(self, table):
        found = np.zeros((table.num_rows, 4))
        found[:, 0] = 10.0
        found[:, 2] = table.column("ratio").to_numpy()
        return found


def test_reasons_that_hang_on_a_thread_are_told_from_steady_ones():
    x = np.array([10.0, 10.0, 90.0, 1.0, np.nan])
    ratio = x.copy()
    table = table_of({"x": x, "few": np.zeros(5), "ratio": ratio}, {"t": np.array(["a"] * 5)})
    steady = stability(Ratio(), table[2:4], steady_card(), 2, seed=1)
    assert (steady["first_same"], steady["set_same"], steady["set_overlap"]) == (1, 1, 1)
    assert steady["first_same_interval"] == wilson_interval(2, 2)
    many = pa.concat_tables([table[:2]] * 400)
    shaky = stability(Ratio(), many, steady_card(), 1, seed=1)
    assert (shaky["rows"], shaky["rows_with_reasons"], shaky["noise"]) == (800, 800, 0.01)
    assert 0.4 < shaky["first_same"] < 0.6
    assert shaky["set_overlap"] == pytest.approx(shaky["first_same"])
    assert shaky == stability(Ratio(), many, steady_card(), 1, seed=1)
    assert shaky != stability(Ratio(), many, steady_card(), 1, seed=2)
    still = stability(Ratio(), many, steady_card(), 1, seed=1, noise=0.0)
    assert (still["first_same"], still["set_same"]) == (1, 1)


def test_without_reasons_there_is_nothing_to_be_steady():
    table = table_of({"x": np.ones(3), "few": np.zeros(3), "ratio": np.ones(3)}, {"t": np.array(["a"] * 3)})
    found = stability(Told(-np.ones((3, 4)), ("x", "few", "ratio", "t")), table, steady_card(), 4, seed=1)
    assert (found["rows"], found["rows_with_reasons"], found["first_same"], found["set_overlap"]) == (3, 0, None, None)


class Points:
    """A scorecard of a matrix's columns: a point for each unit, twenty for doubled odds."""

    classes_ = np.array([0, 1])

    def points(self, matrix):
        return np.nan_to_num(np.asarray(matrix, np.float64))

    def contributions(self, matrix, reference):
        return (reference - self.points(matrix)) / 20, -float(reference.sum()) / 20


def test_a_scorecard_says_itself_what_its_columns_add(models, rows):
    *before, (name, _) = models("hist native").steps
    pipeline = Pipeline([*before, (name, Points())])
    model = explainer(pipeline, card())
    found = model.contributions(rows)
    assert (model.scale, found.shape) == ("log-odds", (40, 7))
    x = np.nan_to_num(to_frame(rows, *NAMES)["x"])
    np.testing.assert_allclose(found[:, 0], (REFERENCE["x"] - x) / 20)
    expected = -Points().points(pipeline["columns"].transform(to_frame(rows, *NAMES))).sum(axis=1) / 20
    np.testing.assert_allclose(model.base + found.sum(axis=1), expected, rtol=1e-9)
    np.testing.assert_allclose(model.scores(rows), expected, rtol=1e-9)
