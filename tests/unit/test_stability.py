"""The population stability index, its limit, and intervals of shares: against hand, SciPy and simulation."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from scripts.shared.proportions import default_rate
from scripts.shared.stability import compare, drift_of, join_drift, mark, psi, psi_limit


def test_the_index_is_that_of_the_formula():
    # 10.5, 30.5 of 41 and 20.5, 20.5 of 41: half a row in each bin
    by_hand = (10.5 / 41 - 0.5) * math.log(10.5 / 41 / 0.5) + (30.5 / 41 - 0.5) * math.log(30.5 / 41 / 0.5)
    assert psi([10, 30], [20, 20]) == pytest.approx(by_hand)
    assert psi([20, 20], [10, 30]) == pytest.approx(by_hand)
    assert psi([10, 30, 0], [20, 20, 0]) == pytest.approx(by_hand), "a bin that is empty in both says nothing"


def test_equal_shares_have_no_index_and_an_empty_bin_a_finite_one():
    assert psi([10, 10], [1000, 1000]) == 0
    assert 1 < psi([100, 0], [0, 100]) < math.inf
    assert psi([5], [7]) == 0


@pytest.mark.parametrize(
    ("value", "word"), [(0.0999, "stable"), (0.1, "moderate"), (0.2499, "moderate"), (0.25, "large")]
)
def test_the_marks_are_those_of_custom(value, word):
    assert mark(value) == word


def test_the_limit_is_a_quantile_of_chi_square():
    assert psi_limit(5000, 400, 10) == pytest.approx((1 / 5000 + 1 / 400) * chi2.ppf(0.95, 9))
    assert psi_limit(5000, 400, 1) == 0


@pytest.mark.parametrize("shares", [np.full(10, 0.1), np.array([0.5, 0.3, 0.15, 0.05])], ids=["tenths", "categories"])
@pytest.mark.parametrize("rows", [100, 1000, 20_000])
def test_without_drift_about_one_in_twenty_is_beyond_the_limit(shares, rows):
    random = np.random.default_rng(5)
    train, new = (random.multinomial(n, shares, 2000).tolist() for n in (40_000, rows))
    beyond = [not compare(a, b)["noise"] for a, b in zip(train, new, strict=True)]
    assert 0.03 < np.mean(beyond) < 0.07


def test_few_rows_are_beyond_the_limit_even_less_often():
    random = np.random.default_rng(5)
    new = random.multinomial(20, np.full(10, 0.1), 2000).tolist()
    found = [compare([4000] * 10, counts) for counts in new]
    assert np.mean([not one["noise"] for one in found]) < 0.02
    assert np.mean([one["status"] == "large" for one in found]) > 0.5, "the marks call most of them large"


def test_a_real_shift_is_beyond_the_limit():
    random = np.random.default_rng(5)
    shares = np.array([0.05] * 5 + [0.15] * 5)
    found = compare([4000] * 10, random.multinomial(1000, shares).tolist())
    assert (found["status"], found["noise"]) == ("large", False)


@pytest.mark.parametrize(("before", "now"), [([0, 0], [1, 2]), ([1, 2], [0, 0])])
def test_without_rows_nothing_is_said(before, now):
    assert compare(before, now) == {"psi": None, "limit": None, "status": None, "noise": None}


def test_missing_values_are_a_bin_like_any_other():
    reference = {"counts": [50, 50], "missing": 0}
    found = drift_of([40, 40], 20, reference)
    assert found["psi"] == psi([50, 50, 0], [40, 40, 20])
    assert (found["rows"], found["missing"], found["counts"]) == (100, 20, [40, 40])
    assert found["reference"] == reference


def test_the_drift_of_a_file_is_that_of_its_shares_together():
    x, score = {"counts": [50, 50], "missing": 3}, {"counts": [9, 9]}

    def share(counts, missing, scores):
        return {"features": {"x": drift_of(counts, missing, x)}, "score": drift_of(scores, 0, score)}

    empty = {"not_run": "no rows were scored"}
    whole = share([11, 5], 1, [12, 5])
    assert join_drift([share([4, 5], 1, [5, 5]), empty, share([7, 0], 0, [7, 0])]) == whole
    assert join_drift([whole]) == whole
    assert join_drift([empty, empty]) == empty


def test_a_rate_of_no_rows_is_none():
    assert default_rate(0, 0) == {"rows": 0, "defaults": 0, "rate": None, "low": 0.0, "high": 1.0}
