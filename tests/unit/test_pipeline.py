"""From a model's row to one Pipeline: every transform, what is missing or new at prediction time, every refusal."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from scripts.shared.config import Model
from scripts.shared.errors import UserError
from scripts.shared.fitting import fit
from scripts.shared.models import predict_default
from scripts.shared.pipeline import build_pipeline

LOGISTIC = "sklearn.linear_model.LogisticRegression"
TREE = "sklearn.tree.DecisionTreeClassifier"
BOOSTED = "sklearn.ensemble.HistGradientBoostingClassifier"
FOREST = "sklearn.ensemble.RandomForestClassifier"
NUMERIC, CATEGORICAL = ["x", "y"], ["t", "u"]


def row(estimator=LOGISTIC, params=None, numeric=None, **categorical):
    return Model(estimator=estimator, complexity=1, params=params or {}, numeric=numeric or {}, categorical=categorical)


def build(model, numeric=NUMERIC, categorical=CATEGORICAL, seed=1):
    return build_pipeline("m", model, numeric, categorical, seed)


def data(rows=240, missing=True, seed=0):
    """Return a frame as `to_frame` gives it, and its target."""
    random = np.random.default_rng(seed)
    texts = {name: np.array(values, dtype=object) for name, values in {"t": list("abc"), "u": list("pq")}.items()}
    frame = pd.DataFrame(
        {
            "x": random.normal(50, 20, rows),
            "y": random.integers(0, 9, rows).astype(float),
            "t": random.choice(texts["t"], rows),
            "u": random.choice(texts["u"], rows),
        }
    )
    risk = (frame["x"] > 50) * 1.5 + (frame["t"] == "a") * 1.5 - 1.5
    target = (random.uniform(size=rows) < 1 / (1 + np.exp(-risk))).astype(np.int8)
    if missing:
        for name in frame:
            frame.loc[random.uniform(size=rows) < 0.1, name] = np.nan
    return frame, target.to_numpy()


def fitted(model, frame, target, **options):
    pipeline = build(model, **options)
    fit("m", pipeline, frame, target)
    return pipeline


# --- transforms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [LOGISTIC, TREE, BOOSTED])
@pytest.mark.parametrize("transform", ["none", "scale", "spline", "bin"])
def test_every_transform_feeds_every_estimator(estimator, transform):
    frame, target = data()
    params = {LOGISTIC: {"max_iter": 5000}, TREE: {"max_depth": 3}, BOOSTED: {"max_iter": 10}}[estimator]
    pipeline = fitted(row(estimator, params, {"transform": transform}), frame, target)
    scores = predict_default(pipeline, frame)
    assert scores.shape == (len(frame),)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[target == 1].mean() > scores[target == 0].mean() + 0.05


def test_missing_numbers_become_the_median_and_an_indicator():
    frame = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan]})
    pipeline = fitted(row(), frame, np.array([0, 1, 0, 1]), numeric=["x"], categorical=[])
    assert pipeline["columns"].transform(frame).tolist() == [[1, 0], [2, 0], [9, 0], [2, 1]]


def test_scaling_gives_mean_zero_and_deviation_one():
    frame, target = data(missing=False)
    columns = fitted(row(numeric={"transform": "scale"}), frame, target, categorical=[])["columns"]
    expected = (frame[NUMERIC] - frame[NUMERIC].mean()) / frame[NUMERIC].std(ddof=0)
    np.testing.assert_allclose(columns.transform(frame), expected, atol=1e-12)


@pytest.mark.parametrize(("knots", "width"), [(3, 5), (10, 12)])
def test_a_spline_has_two_more_columns_than_knots(knots, width):
    frame, target = data(missing=False)
    options = {"transform": "spline", "knots": knots}
    columns = fitted(row(numeric=options), frame, target, numeric=["x"], categorical=[])["columns"]
    assert columns.transform(frame).shape[1] == width


def test_a_spline_goes_on_as_a_line_beyond_what_training_saw():
    frame, target = data(missing=False)
    columns = fitted(row(numeric={"transform": "spline"}), frame, target, numeric=["x"], categorical=[])["columns"]
    beyond = columns.transform(pd.DataFrame({"x": [1000.0, 1100.0, 1200.0]}))
    np.testing.assert_allclose(beyond[1] - beyond[0], beyond[2] - beyond[1], rtol=1e-6, atol=1e-9)


def test_bins_hold_about_as_many_rows_each():
    frame, target = data(missing=False)
    options = {"transform": "bin", "knots": 4}
    columns = fitted(row(numeric=options), frame, target, numeric=["x"], categorical=[])["columns"]
    assert columns.transform(frame).sum(axis=0).tolist() == [60, 60, 60, 60]


def test_bins_are_dense_so_that_every_estimator_takes_them():
    frame, target = data(missing=False)
    options = {"transform": "bin", "knots": 20}
    pipeline = fitted(row(BOOSTED, {"max_iter": 3}, options), frame[["x"]], target, numeric=["x"], categorical=[])
    assert predict_default(pipeline, frame).shape == (len(frame),)


def test_a_constant_column_is_no_obstacle():
    frame, target = data(missing=False)
    for transform in ("none", "scale", "spline", "bin"):
        pipeline = fitted(row(params={"max_iter": 5000}, numeric={"transform": transform}), frame.assign(y=7.0), target)
        assert np.isfinite(predict_default(pipeline, frame)).all()


def test_without_imputation_the_estimator_gets_the_gaps():
    frame, target = data()
    columns = fitted(row(BOOSTED, numeric={"impute": False}), frame, target, categorical=[])["columns"]
    np.testing.assert_array_equal(columns.transform(frame), frame[NUMERIC])


def test_rare_categories_are_taken_together():
    frame = pd.DataFrame({"t": np.array(["a"] * 30 + ["b"] * 30 + ["c", "d"], dtype=object)})
    target = np.arange(62) % 2
    columns = fitted(row(min_frequency=20), frame, target, numeric=[], categorical=["t"])["columns"]
    encoded = columns.transform(pd.DataFrame({"t": np.array(["a", "b", "c", "d", "new"], dtype=object)}))
    assert encoded.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_missing_is_a_category_of_its_own():
    frame = pd.DataFrame({"t": np.array(["a", "b", np.nan] * 10, dtype=object)})
    columns = fitted(row(min_frequency=1), frame, np.arange(30) % 2, numeric=[], categorical=["t"])["columns"]
    encoded = columns.transform(frame[:3])
    assert encoded.sum(axis=1).tolist() == [1, 1, 1]
    assert len({tuple(line) for line in encoded}) == 3


# --- one kind of column -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        row(params={"max_iter": 2000}),
        row(BOOSTED, {"max_iter": 5}, encoding="native"),
        row(BOOSTED, {"max_iter": 5}, min_frequency=1),
    ],
)
@pytest.mark.parametrize(("numeric", "categorical"), [(NUMERIC, []), ([], CATEGORICAL), (["y"], ["t"])])
def test_only_numbers_or_only_categories_will_do(model, numeric, categorical):
    frame, target = data()
    pipeline = fitted(model, frame[[*numeric, *categorical]], target, numeric=numeric, categorical=categorical)
    assert np.isfinite(predict_default(pipeline, frame[[*numeric, *categorical]])).all()


# --- what is new or missing at prediction time --------------------------------------------------------------------

MODELS = {
    "logistic": row(params={"max_iter": 5000}, numeric={"transform": "spline"}, min_frequency=1),
    "rare together": row(params={"max_iter": 5000}, min_frequency=40),
    "bins": row(numeric={"transform": "bin"}),
    "tree": row(TREE, {"max_depth": 4}),
    "native": row(BOOSTED, {"max_iter": 5}, {"impute": False}, encoding="native"),
    "native with imputation": row(BOOSTED, {"max_iter": 5}, encoding="native"),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("missing_in_training", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        {"t": "new"},
        {"t": np.nan},
        {"t": "new", "u": "new"},
        {"x": np.nan},
        {"x": np.nan, "y": np.nan, "t": np.nan, "u": np.nan},
        {"x": 1e12, "y": -1e12},
    ],
    ids=str,
)
def test_new_and_missing_values_are_scored(model, missing_in_training, change):
    frame, target = data(missing=missing_in_training)
    pipeline = fitted(model, frame, target)
    some = frame[:10].copy()
    for name, value in change.items():
        some[name] = np.full(10, value, dtype=object if isinstance(value, str) or name in CATEGORICAL else float)
    scores = predict_default(pipeline, some)
    assert scores.shape == (10,)
    assert ((scores >= 0) & (scores <= 1)).all()
    one_by_one = np.concatenate([predict_default(pipeline, some[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(one_by_one, scores, rtol=1e-12)


def test_a_column_without_any_value_in_training_is_no_obstacle():
    frame, target = data()
    frame["y"] = np.nan
    frame["u"] = np.full(len(frame), np.nan, dtype=object)
    for model in (MODELS["tree"], MODELS["native with imputation"], MODELS["rare together"]):
        pipeline = fitted(model, frame, target)
        later = data(missing=False)[0]
        assert np.isfinite(predict_default(pipeline, later)).all()


def test_no_rows_give_no_scores():
    frame, target = data()
    assert predict_default(fitted(row(TREE), frame, target), frame[:0]).shape == (0,)


# --- native categories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impute", [True, False])
@pytest.mark.parametrize("transform", ["none", "scale", "spline", "bin"])
def test_native_categories_are_the_categorical_columns_whatever_becomes_of_the_numbers(impute, transform):
    frame, target = data()
    options = {"transform": transform if impute else "none", "impute": impute}
    pipeline = fitted(row(BOOSTED, {"max_iter": 3}, options, encoding="native"), frame, target)
    native = pipeline["model"].is_categorical_
    names = pipeline["columns"].get_feature_names_out()
    assert [name for name, is_native in zip(names, native, strict=True) if is_native] == [
        "categorical__t",
        "categorical__u",
    ]


def test_more_categories_than_the_estimator_has_bins_are_taken_together():
    values = np.array([f"c{n % 400}" for n in range(2000)], dtype=object)
    frame = pd.DataFrame({"t": values})
    model = row(BOOSTED, {"max_iter": 3}, encoding="native")
    pipeline = fitted(model, frame, np.arange(2000) % 2, numeric=[], categorical=["t"])
    assert pipeline["columns"].transform(frame).max() <= 253
    assert np.isfinite(predict_default(pipeline, frame)).all()


# --- no leak, no chance -------------------------------------------------------------------------------------------


def test_what_is_learnt_comes_from_the_rows_of_training_alone():
    frame, target = data()
    train, test = frame[:120], frame[120:].assign(x=1e6)
    pipeline = fitted(row(), train, target[:120])
    before = pipeline["columns"].named_transformers_["numeric"][0].statistics_.copy()
    predict_default(pipeline, test)
    imputer = pipeline["columns"].named_transformers_["numeric"][0]
    np.testing.assert_array_equal(imputer.statistics_, before)
    assert imputer.statistics_.tolist() == [np.nanmedian(train["x"]), np.nanmedian(train["y"])]


@pytest.mark.parametrize("estimator", [FOREST, BOOSTED, TREE, LOGISTIC])
def test_the_same_seed_gives_the_same_predictions(estimator):
    frame, target = data()
    params = {FOREST: {"n_estimators": 5}, LOGISTIC: {"solver": "saga", "max_iter": 3}, BOOSTED: {"max_iter": 5}}.get(
        estimator, {}
    )
    scores = [predict_default(fitted(row(estimator, params), frame, target, seed=7), frame) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_another_seed_draws_another_forest_unless_the_model_names_its_own():
    frame, target = data()

    def forest(seed, **params):
        return predict_default(fitted(row(FOREST, {"n_estimators": 5} | params), frame, target, seed=seed), frame)

    assert not np.array_equal(forest(1), forest(2))
    np.testing.assert_array_equal(forest(1, random_state=9), forest(2, random_state=9))


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            row("no_such.Thing"),
            r"models\.m\.estimator: can't import 'no_such' \(No module named 'no_such'\); is its pack",
        ),
        (row("sklearn.no_such.Thing"), r"models\.m\.estimator: can't import 'sklearn\.no_such' "),
        (
            row("sklearn.linear_model.LogisticRegresion"),
            r"m\.estimator: 'sklearn\.linear_model' has no 'LogisticRegresion' \(did you mean 'LogisticRegression'",
        ),
        (row("sklearn.linear_model.Zzz"), r"models\.m\.estimator: 'sklearn\.linear_model' has no 'Zzz'$"),
        (
            row(params={"max_itr": 5}),
            r"models\.m\.params: LogisticRegression has no parameter 'max_itr' \(did you mean 'max_iter'\?\); it has ",
        ),
        (row(params={"zzzz": 5}), r"LogisticRegression has no parameter 'zzzz'; it has .*\bC\b"),
        (row("sklearn.linear_model.LinearRegression"), r"LinearRegression is no classifier with predict_proba"),
        (
            row("sklearn.svm.LinearSVC"),
            r"models\.m\.estimator: sklearn\.svm\.LinearSVC is no classifier with predict_p",
        ),
        (row("scripts.shared.scorecard.Scorecard"), r"models\.m: Scorecard bins the columns itself; set models"),
        (row("sklearn.preprocessing.StandardScaler"), r"StandardScaler is no classifier with predict_proba"),
        (
            row(encoding="native"),
            r"models\.m\.categorical\.encoding: LogisticRegression has no native categories; use o",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(model, message):
    with pytest.raises(UserError, match=message):
        build(model)


@pytest.mark.parametrize(
    "path", ["builtins.len", "scripts.shared.models.versions", "scripts.shared.models.MISSING_NAME"]
)
def test_what_is_no_class_is_refused_too(path):
    with pytest.raises(UserError, match=r"models\.m\.estimator: "):
        build(row(path))


# --- fitting ------------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_converge_is_said_in_one_line(caplog):
    frame, target = data()
    fitted(row(params={"max_iter": 1}), frame, target)
    assert caplog.messages == ["warning: m did not converge; raise models.m.params.max_iter"]


def test_other_warnings_of_fitting_are_logged_with_the_name(caplog):
    class Warns:
        def fit(self, frame, target):
            warnings.warn("look here", UserWarning, stacklevel=1)

    fit("m", Warns(), None, None)
    assert caplog.messages == ["warning: m: look here"]
    assert issubclass(ConvergenceWarning, UserWarning)  # told apart by the narrower class first


# --- numbers as categories, and LightGBM --------------------------------------------------------------------------


LIGHTGBM = "lightgbm.LGBMClassifier"


def test_each_value_of_a_number_is_known_by_its_rate_and_rare_ones_less_so():
    x = np.repeat([1.0, 2.0, 3.0, np.nan, 9.0], [200, 200, 200, 50, 1])
    target = np.concatenate([np.arange(200) < 20, np.arange(200) < 180, np.arange(200) < 100, np.ones(50), [1]])
    pipeline = fitted(
        row(numeric={"also_as_category": True, "impute": False, "transform": "none"}, estimator=TREE),
        pd.DataFrame({"x": x}),
        target.astype(np.int8),
        numeric=["x"],
        categorical=[],
    )
    new = pd.DataFrame({"x": [1.0, 2.0, 3.0, np.nan, 9.0, 7.0]})
    number, rate = pipeline["columns"].transform(new).T
    np.testing.assert_array_equal(number, new["x"])
    assert rate[:3] == pytest.approx([0.1, 0.9, 0.5], abs=0.02)
    assert rate[3] == pytest.approx(1, abs=0.02)  # missing is a value, too
    assert rate[5] == pytest.approx(target.mean())  # never seen


def test_a_rows_own_outcome_has_no_part_in_its_encoding():
    """With values that occur once, an encoding that leaks would tell the outcome; this one says nothing."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=400)})
    target = (random.uniform(size=400) < 0.3).astype(np.int8)
    pipeline = build(row(TREE, numeric={"also_as_category": True}), numeric=["x"], categorical=[])
    encoded = pipeline["columns"].fit_transform(frame, target)[:, 1]
    assert encoded.std() < 0.02


@pytest.mark.parametrize("encoding", ["onehot", "native"])
@pytest.mark.parametrize("twice", [True, False])
def test_lightgbm_takes_missing_values_and_native_categories(encoding, twice):
    frame, target = data()
    numeric = {"impute": False, "also_as_category": twice}
    params = {"n_estimators": 5, "min_child_samples": 5, "min_data_per_group": 5, "cat_smooth": 1}
    pipeline = fitted(row(LIGHTGBM, params, numeric, encoding=encoding), frame, target)
    scores = predict_default(pipeline, frame)
    assert scores[target == 1].mean() > scores[target == 0].mean() + 0.05
    trees = pipeline["model"].booster_.trees_to_dataframe()
    categories = set(trees.loc[trees["decision_type"] == "==", "split_feature"])
    assert categories <= {"Column_0", "Column_1"}
    assert bool(categories) == (encoding == "native")
    assert pipeline["model"].booster_.num_feature() == {"onehot": 9, "native": 4}[encoding] + 2 * twice


def test_lightgbm_uses_the_threads_of_the_job():
    estimator = build(row(LIGHTGBM))["model"]
    assert estimator.get_params()["n_jobs"] == 0  # OMP_NUM_THREADS
    assert build(row(LIGHTGBM, {"n_jobs": 3}))["model"].get_params()["n_jobs"] == 3
