"""CatBoost in the Pipeline: categories as they are, numbers twice, equal models for equal seeds."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from scripts.shared.catboosting import CatBoost


@pytest.fixture(scope="module")
def rows():
    """Outcomes that follow from single values of a number, which no few thresholds tell."""
    random = np.random.default_rng(1)
    codes, number = random.integers(0, 5, 1500).astype(float), random.integers(0, 40, 1500).astype(float)
    codes[::50], number[::70] = np.nan, np.nan
    odd = random.permutation(41)[np.nan_to_num(number, nan=40).astype(int)] % 2
    y = ((odd + (codes == 2) + random.normal(0, 0.3, 1500)) > 0.6).astype(np.int8)
    return np.column_stack([codes, number]), y


def auc(model, rows):
    X, y = rows
    return roc_auc_score(y[1000:], model.fit(X[:1000], y[:1000]).predict_proba(X[1000:])[:, 1])


def test_numbers_taken_twice_tell_single_values_apart(rows):
    model = CatBoost(categorical_features=[0], iterations=40, depth=3, random_state=3)
    once = auc(model, rows)
    assert auc(clone(model).set_params(numbers_twice=True), rows) > once + 0.03


def test_equal_seeds_give_equal_scores_and_classes_follow_from_them(rows):
    X, y = rows
    first, second = (CatBoost([0], True, iterations=20, random_state=7).fit(X, y) for _ in range(2))
    scores = first.predict_proba(X)
    assert scores.tobytes() == second.predict_proba(X).tobytes()
    assert first.classes_.tolist() == [0, 1]
    assert (first.predict(X) == (scores[:, 1] > 0.5)).all()
    pieces = [first.predict_proba(X[start : start + 7]) for start in range(0, 70, 7)]
    assert np.concatenate(pieces).tobytes() == scores[:70].tobytes()


def test_several_seeds_are_averaged(rows):
    X, y = rows
    one, another = (CatBoost([0], True, iterations=20, random_state=seed).fit(X, y).predict_proba(X) for seed in (7, 8))
    both = CatBoost([0], True, seeds=2, iterations=20, random_state=7).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(both, (one + another) / 2, rtol=1e-12)
    assert not np.allclose(one, another)
