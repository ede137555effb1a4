"""What is learnt from blocks is what scikit-learn learns from all rows at once."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from scripts.shared.config import Model
from scripts.shared.membership import KEY
from scripts.shared.pipeline import build_pipeline
from scripts.streaming import cache as cache_module
from scripts.streaming.cache import cached
from scripts.streaming.transformers import Design, fit_columns, summarise

NUMERIC, CATEGORICAL = ["x", "y", "w"], ["t", "u"]


def data(rows=501, missing=True, seed=0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": random.lognormal(3, 1, rows),
            "y": random.integers(0, 9, rows).astype(float),
            "w": random.normal(size=rows),
            "t": random.choice(np.array([*"aaaaaaaabbbbbbbccccd", "rare"], dtype=object), rows),
            "u": random.choice(np.array(list("pq"), dtype=object), rows),
        }
    )
    if missing:
        for name in ("x", "y", "t"):
            frame.loc[random.uniform(size=rows) < 0.1, name] = np.nan
    target = (random.uniform(size=rows) < 0.3).astype(np.int8)
    return frame, target, random.integers(0, 2**63, rows).astype(np.uint64)


def blocks_of(frame, target, keys, rows=97):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.append_column("z", pa.array(target)).append_column(KEY, pa.array(keys))
    for start in range(0, len(target), rows):
        yield table.slice(start, rows)


def both(model, rows, numeric=NUMERIC, categorical=CATEGORICAL, keep=None):
    """Return the Design fitted by blocks, the step fitted in memory, and the rows."""
    frame, _, keys = rows
    names = [*numeric, *categorical]
    chosen = frame[names] if keep is None else frame[names][keep(keys)]
    steps = [build_pipeline("m", model, numeric, categorical, 1)["columns"] for _ in range(2)]
    with warnings.catch_warnings(), cached(blocks_of(*rows), numeric, categorical, "z") as cache:
        warnings.simplefilter("ignore")
        steps[0].fit(chosen)
        fit_columns(steps[1], cache, summarise(cache, keep), keep)
        design = Design(steps[1], cache, keep)
        seen = np.vstack([features for features, _ in design.blocks()])
    return steps[0], steps[1], seen, chosen


def row(encoding="onehot", min_frequency=20, **numeric):
    estimator = "sklearn.linear_model.LogisticRegression"
    if encoding == "native":
        estimator = "sklearn.ensemble.HistGradientBoostingClassifier"
    return Model(
        estimator=estimator,
        complexity=1,
        numeric=numeric,
        categorical={"encoding": encoding, "min_frequency": min_frequency},
    )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(cache_module, "BLOCK_ROWS", 200)


@pytest.mark.parametrize("encoding", ["onehot", "native"])
@pytest.mark.parametrize(
    "numeric",
    [
        {"transform": "none"},
        {"transform": "none", "impute": False},
        {"transform": "scale"},
        {"transform": "scale", "impute": False},
        {"transform": "spline", "knots": 3},
        {"transform": "spline", "knots": 10},
        {"transform": "bin", "knots": 3},
        {"transform": "bin", "knots": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("rows", [500, 501])
def test_blocks_teach_what_all_rows_teach(encoding, numeric, missing, rows):
    in_memory, streamed, seen, frame = both(row(encoding, **numeric), data(rows, missing))
    expected = in_memory.transform(frame)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(streamed.transform(frame), expected, rtol=1e-9, atol=1e-9)
    assert streamed.get_feature_names_out().tolist() == in_memory.get_feature_names_out().tolist()
    assert streamed.output_indices_ == in_memory.output_indices_
    assert streamed.feature_names_in_.tolist() == in_memory.feature_names_in_.tolist()


def attributes(fitted):
    """Return the numbers that a fitted step holds, by step and attribute."""
    for _, transformer, _ in fitted.transformers_:
        for step in [step for _, step in transformer.steps] if hasattr(transformer, "steps") else [transformer]:
            for name, value in sorted(vars(step).items()):
                if name.endswith("_") and not name.startswith("_"):
                    yield f"{type(step).__name__}.{name}", value


@pytest.mark.parametrize("transform", ["none", "scale", "spline", "bin"])
def test_fitted_attributes_are_those_of_a_fit_in_memory(transform):
    in_memory, streamed, _, _ = both(row(transform=transform), data())
    one, other = dict(attributes(in_memory)), dict(attributes(streamed))
    assert one.keys() == other.keys()
    assert any(name == "SimpleImputer.statistics_" for name in one)
    for name, value in one.items():
        if name == "SplineTransformer.bsplines_":
            for mine, theirs in zip(other[name], value, strict=True):
                np.testing.assert_array_equal(mine.t, theirs.t)
        elif name.endswith(("categories_", "bin_edges_")):
            for mine, theirs in zip(other[name], value, strict=True):
                if name.endswith("bin_edges_"):
                    np.testing.assert_allclose(mine, theirs, rtol=1e-12)
                else:
                    assert list(map(str, mine)) == list(map(str, theirs))
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(other[name], value, rtol=1e-9)
        elif isinstance(value, np.ndarray | int | np.integer):
            np.testing.assert_array_equal(other[name], value)


@pytest.mark.parametrize("min_frequency", [1, 5, 100, 1000])
def test_rare_categories_are_taken_together_as_in_memory(min_frequency):
    in_memory, _, seen, frame = both(row(min_frequency=min_frequency), data())
    np.testing.assert_allclose(seen, in_memory.transform(frame))


def test_more_categories_than_native_takes_are_taken_together_as_in_memory():
    frame, target, keys = data(2000)
    frame["t"] = np.array([f"c{n % 300}" if n % 7 else np.nan for n in range(2000)], dtype=object)
    in_memory, _, seen, frame = both(row("native"), (frame, target, keys))
    np.testing.assert_array_equal(seen, in_memory.transform(frame))


@pytest.mark.parametrize(("numeric", "categorical"), [(NUMERIC, []), ([], CATEGORICAL)])
@pytest.mark.parametrize("encoding", ["onehot", "native"])
def test_one_kind_of_column_is_enough(numeric, categorical, encoding):
    in_memory, _, seen, frame = both(row(encoding, transform="spline"), data(), numeric, categorical)
    np.testing.assert_allclose(seen, in_memory.transform(frame), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("transform", ["none", "scale", "spline", "bin"])
def test_columns_without_values_and_constant_columns_are_as_in_memory(transform):
    frame, target, keys = data()
    frame["y"], frame["w"] = np.nan, 7.0
    frame["u"] = np.full(len(frame), np.nan, dtype=object)
    in_memory, _, seen, frame = both(row(transform=transform), (frame, target, keys))
    np.testing.assert_allclose(seen, in_memory.transform(frame), rtol=1e-9, atol=1e-9)


def test_only_the_rows_that_are_kept_count():
    def keep(keys):
        return keys % np.uint64(3) != 0

    frame, target, keys = data()
    frame.loc[keys % np.uint64(3) == 0, "x"] = 1e9
    frame.loc[keys % np.uint64(3) == 0, "t"] = "new"
    in_memory, streamed, seen, frame = both(row(transform="spline"), (frame, target, keys), keep=keep)
    np.testing.assert_allclose(seen, in_memory.transform(frame), rtol=1e-9, atol=1e-9)
    assert "new" not in streamed.named_transformers_["categorical"][-1].categories_[0]


@pytest.mark.parametrize("transform", ["spline", "bin"])
def test_missing_values_that_nothing_imputes_are_refused_as_in_memory(transform):
    model = row(transform=transform, impute=False)
    step = build_pipeline("m", model, NUMERIC, CATEGORICAL, 1)["columns"]
    with cached(blocks_of(*data()), NUMERIC, CATEGORICAL, "z") as cache, pytest.raises(ValueError, match="NaN"):
        fit_columns(step, cache, summarise(cache))
