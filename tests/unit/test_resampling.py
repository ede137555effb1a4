"""The bootstrap against scikit-learn on rows that are drawn one by one."""

import numpy as np
import pytest

from scripts.shared import resampling
from scripts.shared.config import METRICS
from scripts.shared.metrics import compute_metrics
from scripts.shared.resampling import interval, resample


def sample(rows=400, seed=3):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=rows)
    target = (rng.random(rows) < 1 / (1 + np.exp(1.5 - risk))).astype(np.int8)
    smooth = 1 / (1 + np.exp(1.5 - risk - 0.5 * rng.normal(size=rows)))
    tied = np.round(1 / (1 + np.exp(1.2 - risk)), 1)
    return target, {"smooth": smooth, "tied": tied, "constant": np.full(rows, 0.25), "certain": (tied > 0.4) * 1.0}


THRESHOLDS = {"smooth": 0.4, "tied": 0.4, "constant": 0.5, "certain": 1.0}


def by_hand(target, scores, metrics, resamples, seed, thresholds):
    """Draw rows explicitly, as the module says it does, and ask scikit-learn."""
    rng = np.random.Generator(np.random.PCG64(seed))
    found = {name: {metric: [] for metric in metrics} for name in scores}
    while len(found["smooth"][metrics[0]]) < resamples:
        rows = rng.integers(0, len(target), len(target))
        if 0 < target[rows].sum() < len(target):
            for name, values in scores.items():
                result = compute_metrics(target[rows], values[rows], thresholds[name])
                for metric in metrics:
                    found[name][metric].append(result[metric])
    return found


def test_each_resample_is_what_scikit_learn_says_of_its_rows():
    target, scores = sample()
    found = resample(target, scores, METRICS, 20, 11, THRESHOLDS)
    expected = by_hand(target, scores, METRICS, 20, 11, THRESHOLDS)
    for name in scores:
        for metric in METRICS:
            np.testing.assert_allclose(found[name][metric], expected[name][metric], rtol=0, atol=1e-12, err_msg=metric)


def test_resamples_without_a_default_are_drawn_anew():
    target, scores = np.array([1, 0, 0, 0], np.int8), {"smooth": np.array([0.6, 0.7, 0.1, 0.2])}
    found = resample(target, scores, ["roc_auc"], 50, 1, {"smooth": 0.5})
    expected = by_hand(target, scores, ["roc_auc"], 50, 1, {"smooth": 0.5})
    np.testing.assert_allclose(found["smooth"]["roc_auc"], expected["smooth"]["roc_auc"], atol=1e-12)


@pytest.mark.parametrize("limit", [10, 1000])
def test_models_are_paired_and_their_order_does_not_matter(limit, monkeypatch):
    monkeypatch.setattr(resampling, "EXACT_ROWS", limit)
    target, scores = sample()
    thresholds = THRESHOLDS | {"twin": 0.4}
    found = resample(target, scores | {"twin": scores["smooth"]}, METRICS, 30, 5, thresholds)
    turned = resample(target, dict(reversed(scores.items())), METRICS, 30, 5, thresholds)
    alone = resample(target, {"tied": scores["tied"]}, ["ks"], 30, 5, thresholds)
    for metric in METRICS:
        assert found["twin"][metric].tobytes() == found["smooth"][metric].tobytes()
        assert found["tied"][metric].tobytes() == turned["tied"][metric].tobytes()
    assert found["tied"]["ks"].tobytes() == alone["tied"]["ks"].tobytes()


def test_other_seeds_draw_other_rows():
    target, scores = sample()
    one, other = (resample(target, scores, ["brier"], 10, seed, THRESHOLDS)["tied"]["brier"] for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_many_rows_move_as_few_do(monkeypatch):
    target, scores = sample(8_000)
    del scores["constant"], scores["certain"]
    exact = resample(target, scores, METRICS, 512, 1, THRESHOLDS)
    monkeypatch.setattr(resampling, "EXACT_ROWS", 1000)
    binned = resample(target, scores, METRICS, 512, 2, THRESHOLDS)
    for metric in METRICS:
        pairs = [(exact[name][metric], binned[name][metric]) for name in scores]
        pairs.append(tuple(way["smooth"][metric] - way["tied"][metric] for way in (exact, binned)))
        for one, other in pairs:
            assert other.std() == pytest.approx(one.std(), rel=0.13), metric  # chance alone: 2.9 %
            assert abs(other.mean() - one.mean()) < 0.3 * one.std(), metric


def test_what_coarse_bins_change_is_taken_off(monkeypatch):
    target, scores = sample(4_000)
    monkeypatch.setattr(resampling, "EXACT_ROWS", 1000)
    monkeypatch.setattr(resampling, "BINS", 6)
    binned = resample(target, {"smooth": scores["smooth"]}, METRICS, 256, 2, THRESHOLDS)["smooth"]
    right = compute_metrics(target, scores["smooth"], THRESHOLDS["smooth"])
    for metric in set(METRICS) - {"ks"}:  # the bootstrap's own KS is biased upwards, being a maximum
        assert abs(binned[metric].mean() - right[metric]) < 0.35 * binned[metric].std(), metric


def test_poisson_frequencies_have_mean_and_variance_one():
    table = resampling._poisson_table().astype(float)
    assert table.mean() == pytest.approx(1, abs=2e-5)
    assert table.var() == pytest.approx(1, abs=5e-4)


def test_an_interval_holds_its_share_of_the_values():
    low, high = interval(np.arange(1001.0))
    assert (low, high) == pytest.approx((25.0, 975.0))
    assert interval(np.arange(1001.0), 0.5) == pytest.approx((250.0, 750.0))


@pytest.mark.parametrize(
    ("target", "scores", "metrics", "words"),
    [
        ([0, 1], [0.1, 0.2], ["auc"], "no such metric: auc"),
        ([0, 1], [0.1], ["ks"], "differ in length"),
        ([0, 0], [0.1, 0.2], ["ks"], "one outcome only"),
        ([1, 1], [0.1, 0.2], ["ks"], "one outcome only"),
    ],
)
def test_what_cannot_be_resampled_is_refused(target, scores, metrics, words):
    with pytest.raises(ValueError, match=words):
        resample(np.array(target, np.int8), {"m": np.array(scores)}, metrics, 5, 1, {"m": 0.5})
