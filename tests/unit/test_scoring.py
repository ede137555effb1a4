"""The fast scorer gives what the fitted Pipeline gives, on every row, and the same bytes however rows are cut."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from scripts.shared import scoring
from scripts.shared.config import Model
from scripts.shared.fitting import fit
from scripts.shared.membership import to_frame
from scripts.shared.pipeline import build_pipeline
from scripts.shared.scoring import fast_scorer

LINE = ("sklearn.linear_model.LogisticRegression", {"max_iter": 30})
TREE = ("sklearn.tree.DecisionTreeClassifier", {"max_depth": 8})
BOOSTED = (
    "sklearn.ensemble.HistGradientBoostingClassifier",
    {"max_iter": 4, "max_leaf_nodes": 8, "early_stopping": False},
)
LIGHT = ("lightgbm.LGBMClassifier", {"n_estimators": 4, "verbose": -1, "n_jobs": 1})
BAYES = ("sklearn.naive_bayes.GaussianNB", {})
NUMERIC = ["x", "few", "top", "same", "whole", "none"]
CATEGORICAL = ["t", "u", "v"]
TRANSFORMS = ["none", "scale", "spline", "bin"]


def training(rows=400):
    """Return a table and its target: ties, gaps, a constant, a column without values, rare categories."""
    random = np.random.default_rng(5)
    numbers = {
        "x": random.normal(50, 20, rows),
        "few": random.integers(0, 4, rows) * 1.0,
        "top": np.minimum(random.integers(0, 30, rows), 9) * 1.0,  # most at its maximum: knots coincide there
        "same": np.full(rows, 7.0),
        "whole": random.lognormal(10, 1, rows).round(),  # never missing in training
        "none": np.full(rows, np.nan),
    }
    for name in ("x", "few", "top"):
        numbers[name][random.uniform(size=rows) < 0.1] = np.nan
    texts = {
        "t": random.choice(["a", "b", "c", None], rows),
        "u": np.where(random.uniform(size=rows) < 0.04, random.choice(list("rst"), rows), "p"),  # r, s, t are rare
        "v": random.choice(["(missing)", "0_a", "Ü"], rows),
    }
    risk = (numbers["x"] > 55) * 1.5 + (texts["t"] == "a") * 1.5 + numbers["top"] / 9 - 2
    target = random.uniform(size=rows) < 1 / (1 + np.exp(-np.nan_to_num(risk)))
    return table_of(numbers, texts), target.astype(np.int8)


def table_of(numbers, texts):
    columns = {name: pa.array(values, pa.float64(), mask=np.isnan(values)) for name, values in numbers.items()}
    columns |= {name: pa.array(list(values), pa.string()).dictionary_encode() for name, values in texts.items()}
    return pa.table(columns)


def nasty(table, rows=1400):
    """Return rows that training saw nothing like: extremes, neighbours of its values, gaps and texts everywhere."""
    random = np.random.default_rng(6)
    numbers = {}
    for name in NUMERIC:
        seen = table.column(name).drop_null().to_numpy()
        seen = seen if len(seen) else np.array([1.0])
        edges = np.concatenate([np.percentile(seen, np.linspace(0, 100, k)) for k in (4, 6, 10)])
        values = [seen, edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), edges.round()]
        values += [[0.0, -0.0, 1e-300, -3.0, 0.1 + 0.2, 2.0**31, -40.0, 400.0, 1e6], np.full(30, np.nan)]
        numbers[name] = random.choice(np.concatenate(values), rows)
    texts = {
        "t": random.choice(np.array(["a", "b", "c", None, "new", "A", "?" * 30], dtype=object), rows),
        "u": random.choice(np.array(["p", "r", "s", "t", None, "new", ""], dtype=object), rows),
        "v": random.choice(np.array(["(missing)", "0_a", "Ü", None, "v", "1_"], dtype=object), rows),
    }
    return table_of(numbers, texts)


def fitted(estimator, numeric=None, names=(NUMERIC, CATEGORICAL), **categorical):
    table, target = training()
    path, params = estimator
    row = Model(estimator=path, complexity=1, params=params, numeric=numeric or {}, categorical=categorical)
    pipeline = build_pipeline("m", row, *names, seed=1)
    fit("m", pipeline, to_frame(table, *names), target)
    return pickle.loads(pickle.dumps(pipeline))  # noqa: S301 - as predict gets it


def by_the_pipeline(pipeline, table, names=(NUMERIC, CATEGORICAL)):
    return pipeline.predict_proba(to_frame(table, *names))[:, 1]


@pytest.fixture(scope="module")
def rows():
    return nasty(training()[0])


def assert_fast(scorer, kind):
    assert type(scorer).__name__ == kind, "the Pipeline would be right as well, and slow"


# --- the same scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("min_frequency", [1, 20])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("knots", [3, 10])
def test_a_logistic_regression_differs_in_the_last_digits_at_most(rows, transform, knots, min_frequency):
    pipeline = fitted(LINE, {"transform": transform, "knots": knots}, min_frequency=min_frequency)
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    assert_fast(scorer, "_Additive")
    expected = by_the_pipeline(pipeline, rows)
    np.testing.assert_allclose(scorer.score(rows), expected, rtol=1e-12, atol=1e-300)
    assert len(np.unique(expected.round(3))) > 30


@pytest.mark.parametrize("estimator", [TREE, BOOSTED, LIGHT, BAYES], ids=lambda e: e[0])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_other_estimators_give_exactly_the_same(rows, estimator, transform):
    pipeline = fitted(estimator, {"transform": transform})
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    assert_fast(scorer, "_Matrix")
    np.testing.assert_array_equal(scorer.score(rows), by_the_pipeline(pipeline, rows))


@pytest.mark.parametrize("estimator", [TREE, BOOSTED, LIGHT], ids=lambda e: e[0])
@pytest.mark.parametrize("transform", ["none", "scale"])
def test_gaps_may_go_to_the_estimator(rows, estimator, transform):
    names = (NUMERIC[:-1], CATEGORICAL)  # HistGradientBoosting can't bin a column without values
    pipeline = fitted(estimator, {"transform": transform, "impute": False}, names, min_frequency=1)
    scorer = fast_scorer(pipeline, *names)
    assert_fast(scorer, "_Matrix")
    np.testing.assert_array_equal(scorer.score(rows), by_the_pipeline(pipeline, rows, names))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_native_categories_give_exactly_the_same(rows, transform):
    pipeline = fitted(BOOSTED, {"transform": transform}, encoding="native")
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    assert_fast(scorer, "_Matrix")
    np.testing.assert_array_equal(scorer.score(rows), by_the_pipeline(pipeline, rows))


@pytest.mark.parametrize("names", [(NUMERIC, []), ([], CATEGORICAL)], ids=["numbers", "texts"])
@pytest.mark.parametrize("estimator", [LINE, TREE], ids=lambda e: e[0])
def test_either_kind_of_columns_may_be_absent(rows, estimator, names):
    pipeline = fitted(estimator, {"transform": "spline"}, names)
    scorer = fast_scorer(pipeline, *names)
    assert_fast(scorer, "_Additive" if estimator is LINE else "_Matrix")
    np.testing.assert_allclose(scorer.score(rows), by_the_pipeline(pipeline, rows, names), rtol=1e-12)


def test_texts_need_not_be_encoded_and_columns_may_stand_in_any_order(rows):
    pipeline = fitted(TREE)
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    plain = pa.table({name: rows.column(name).cast(rows.column(name).type) for name in rows.column_names[::-1]})
    for name in CATEGORICAL:
        at = plain.column_names.index(name)
        plain = plain.set_column(at, name, plain.column(name).cast(pa.string()))
    assert scorer.score(plain).tobytes() == scorer.score(rows).tobytes()


def test_no_rows_have_no_scores(rows):
    for estimator in (LINE, TREE):
        assert fast_scorer(fitted(estimator), NUMERIC, CATEGORICAL).score(rows[:0]).shape == (0,)


# --- the same bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [LINE, TREE, BOOSTED, LIGHT], ids=lambda e: e[0])
@pytest.mark.parametrize("transform", ["none", "spline"])
def test_scores_do_not_depend_on_how_rows_are_cut(rows, monkeypatch, estimator, transform):
    scorer = fast_scorer(fitted(estimator, {"transform": transform}), NUMERIC, CATEGORICAL)
    some = rows if estimator in (LINE, TREE) else rows[:140]
    whole = scorer.score(some).tobytes()
    for size in (7, len(some) * 5 // 7):
        parts = [scorer.score(some.slice(at, size)) for at in range(0, len(some), size)]
        assert np.concatenate(parts).tobytes() == whole
        monkeypatch.setattr(scoring, "BLOCK_ROWS", size)
        assert scorer.score(some).tobytes() == whole
    assert scorer.score(pa.concat_tables([some[:13], some[13:99], some[99:]])).tobytes() == whole


# --- what is not known, or beyond reason --------------------------------------------------------------------------


def test_an_unknown_pipeline_is_scored_by_itself(rows):
    steps = [FunctionTransformer(lambda frame: frame[["whole"]]), FunctionTransformer(np.log1p), LogisticRegression()]
    table, target = training()
    pipeline = make_pipeline(*steps).fit(to_frame(table, NUMERIC, CATEGORICAL), target)
    positive = rows.filter(pa.array(rows.column("whole").fill_null(-1).to_numpy() > 0))
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    assert_fast(scorer, "_Whole")
    np.testing.assert_array_equal(scorer.score(positive), by_the_pipeline(pipeline, positive))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["columns"].set_params(transformer_weights={"numeric": 2.0}),
        lambda p: p["columns"].named_transformers_["numeric"][1].set_params(extrapolation="constant"),
        lambda p: p["columns"].named_transformers_["numeric"][0].set_params(missing_values=-1.0),
    ],
    ids=["weights", "extrapolation", "missing"],
)
def test_what_is_set_otherwise_is_not_taken_for_known(rows, change):
    pipeline = fitted(LINE, {"transform": "spline"})
    change(pipeline)
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    assert type(scorer).__name__ != "_Additive"


@pytest.mark.parametrize("numeric", [{"transform": "scale"}, {"transform": "spline"}])
def test_a_number_beyond_reason_is_left_to_the_pipeline(numeric, rows):
    pipeline = fitted(LINE, numeric)
    scorer = fast_scorer(pipeline, NUMERIC, CATEGORICAL)
    columns = rows[:3].to_pydict() | {"x": [1e308, -1e308, 2.0], "whole": [1e308, 1.0, 2.0]}
    extreme = pa.table(columns, schema=rows.schema)
    try:
        expected = by_the_pipeline(pipeline, extreme)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)[:20]):
            scorer.score(extreme)
    else:
        np.testing.assert_allclose(scorer.score(extreme), expected, rtol=1e-12)


def test_missing_values_without_imputation_are_refused_as_ever(rows):
    names = (["whole"], ["t"])
    pipeline = fitted(LINE, {"impute": False}, names)
    scorer = fast_scorer(pipeline, *names)
    present = rows.filter(rows.column("whole").is_valid())
    np.testing.assert_allclose(scorer.score(present), by_the_pipeline(pipeline, present, names), rtol=1e-12)
    with pytest.raises(ValueError, match="NaN"):
        scorer.score(rows)


def test_the_positive_class_is_1_wherever_it_stands(rows):
    pipeline = fitted(TREE)
    scores = fast_scorer(pipeline, NUMERIC, CATEGORICAL).score(rows)
    pipeline["model"].classes_ = np.array([1, 0])
    np.testing.assert_allclose(fast_scorer(pipeline, NUMERIC, CATEGORICAL).score(rows), 1 - scores, atol=1e-15)


def test_frames_and_tables_hold_the_same(rows):
    frame = to_frame(rows, NUMERIC, CATEGORICAL)
    assert isinstance(frame, pd.DataFrame)
    assert frame["x"].isna().sum() == rows.column("x").null_count > 0
