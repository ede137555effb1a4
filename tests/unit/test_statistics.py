"""Intervals and tests against SciPy and against their definitions."""

import math

import numpy as np
import pytest
from scipy import stats

from scripts.shared import resampling
from scripts.shared import statistics as ours


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (700, 11_838)])
def test_intervals_of_shares_agree_with_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert ours.wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    posterior = stats.beta(successes + 0.5, trials - successes + 0.5)
    low, high = posterior.ppf([0.025, 0.975])
    expected_jeffreys = (low if successes else 0, high if successes < trials else 1)
    assert ours.jeffreys_interval(successes, trials) == pytest.approx(expected_jeffreys, abs=1e-12)
    assert ours.jeffreys_test(successes, trials, 0.1) == pytest.approx(posterior.cdf(0.1), abs=1e-12)


def test_shares_of_nothing_have_no_interval():
    assert ours.wilson_interval(0, 0) is None
    assert ours.jeffreys_interval(0, 0) is None


def test_more_default_than_expected_gives_a_small_p_value():
    assert ours.jeffreys_test(30, 100, 0.2) < 0.02
    assert ours.jeffreys_test(10, 100, 0.2) > 0.98


def test_holm_stops_at_the_first_that_is_not_small_enough():
    assert ours.holm([0.04, 0.001, 0.02, 0.0124]) == [True] * 4
    assert ours.holm([0.04, 0.001, 0.03, 0.0124]) == [False, True, False, True]
    assert ours.holm([]) == []
    assert ours.holm([0.05], 0.05) == [True]


def test_hanley_and_mcneil_claim_no_certainty():
    assert ours.auc_interval(1.0, 5, 5) is None
    low, high = ours.auc_interval(0.893, 51, 58)
    assert (high - low) / 2 / ours.Z == pytest.approx(0.0324, abs=0.001)


def kernel(target, scores):
    """Return of each pair (default, other) whether it stands right; a half where tied."""
    bad, good = scores[target == 1][:, None], scores[target == 0][None, :]
    return (bad > good) + 0.5 * (bad == good)


def two_models(rows=300):
    rng = np.random.default_rng(8)
    target = (rng.random(rows) < 0.3).astype(np.int8)
    first = np.round(rng.normal(size=rows) + target, 1)
    return target, first, np.round(first + rng.normal(size=rows), 1)


def counts(target, scores):
    values, place = np.unique(scores, return_inverse=True)
    return (np.bincount(place[target == k], minlength=len(values)) for k in (1, 0))


def test_delong_is_the_variance_of_the_placements_of_all_pairs():
    target, first, second = two_models()
    area, variance = ours.delong(*counts(target, first))
    pairs = kernel(target, first)
    of_bad, of_good = pairs.mean(axis=1), pairs.mean(axis=0)
    assert area == pytest.approx(pairs.mean(), abs=1e-12)
    assert variance == pytest.approx(of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good), abs=1e-15)
    apart = kernel(target, first) - kernel(target, second)
    expected = apart.mean(axis=1).var(ddof=1) / len(of_bad) + apart.mean(axis=0).var(ddof=1) / len(of_good)
    assert ours.delong_difference(target, first, second) == pytest.approx((apart.mean(), expected), abs=1e-15)


def test_the_bootstrap_spreads_as_delong_says():
    target, first, second = two_models(1500)
    scores = {"first": first, "second": second}
    drawn = resampling.resample(target, scores, ["roc_auc"], 2000, 4, dict.fromkeys(scores, 0.5))
    assert drawn["first"]["roc_auc"].std() == pytest.approx(math.sqrt(ours.delong(*counts(target, first))[1]), rel=0.06)
    difference, variance = ours.delong_difference(target, first, second)
    apart = drawn["first"]["roc_auc"] - drawn["second"]["roc_auc"]
    assert apart.std() == pytest.approx(math.sqrt(variance), rel=0.06)
    assert apart.mean() == pytest.approx(difference, abs=0.1 * math.sqrt(variance))


def test_an_area_without_variance_has_no_interval():
    target = np.array([0, 0, 1, 1], np.int8)
    assert ours.delong_interval(*ours.delong(*counts(target, target * 1.0))) is None
    one_default = np.array([0, 0, 1], np.int8)
    assert ours.delong_interval(*ours.delong(*counts(one_default, np.array([0.1, 0.3, 0.2])))) is None
    assert ours.delong_interval(0.99, 0.01) == (pytest.approx(0.99 - 0.196, abs=1e-3), 1.0)


def test_auc_interval_of_the_paper():
    """Hanley and McNeil's 109 images: an area of 0.893 from 51 abnormal and 58 normal has a standard error of 0.0325.

    By hand: Q1 = 0.893 / 1.107 = 0.80668, Q2 = 2 · 0.797449 / 1.893 = 0.84253,
    (0.095551 + 50 · 0.009235 + 57 · 0.045077) / (51 · 58) = 0.0010570, its root 0.03251.
    """
    low, high = ours.auc_interval(0.893, 51, 58)
    assert (low, high) == pytest.approx((0.893 - 1.96 * 0.03251, 0.893 + 1.96 * 0.03251), abs=1e-4)


def test_auc_interval_covers_as_often_as_it_says():
    """The formula holds exactly for exponential scores, whose true area is rate / (1 + rate)."""
    random, hits, rounds, truth = np.random.default_rng(3), 0, 400, 0.8
    for _ in range(rounds):
        bad, good = random.exponential(4.0, 60), random.exponential(1.0, 90)
        low, high = ours.auc_interval(float((bad[:, None] > good).mean()), 60, 90)
        hits += low <= truth <= high
    assert 0.92 < hits / rounds < 0.975
