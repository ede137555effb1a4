"""Every metric against its definition in plain NumPy; thresholds against brute force; curves without rows."""

import json
import math

import numpy as np
import pytest

from scripts.shared.metrics import (
    CALIBRATION_BINS,
    CURVE_POINTS,
    HISTOGRAM_BINS,
    cheapest_threshold,
    compute_metrics,
    curves,
    ks_statistic,
)


def draw(seed, rows=300, digits=None):
    """Return targets and scores that know something of them; few digits make many ties."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, rows).astype(np.int8)
    target[:2] = 0, 1
    scores = np.clip(0.3 * target + random.uniform(0.01, 0.69, rows), 0, 1)
    return target, scores if digits is None else scores.round(digits)


CASES = {
    "distinct scores": draw(1),
    "ties": draw(2, digits=1),
    "many ties": draw(3, digits=0),
    "all scores equal": (np.array([0, 1, 1, 0, 1], np.int8), np.full(5, 0.4)),
    "perfect": (np.array([0, 0, 1, 1], np.int8), np.array([0.1, 0.2, 0.8, 0.9])),
    "perfectly wrong": (np.array([1, 1, 0, 0], np.int8), np.array([0.1, 0.2, 0.8, 0.9])),
    "zero and one": (np.array([0, 1, 0, 1], np.int8), np.array([0.0, 1.0, 1.0, 0.5])),
    "one default": (np.array([0, 0, 0, 1], np.int8), np.array([0.1, 0.3, 0.2, 0.25])),
}
cases = pytest.mark.parametrize(("target", "scores"), CASES.values(), ids=CASES)


def auc_by_ranks(target, scores):
    """The chance that a default scores above another row; a tie is a half (Mann and Whitney)."""
    bad, good = scores[target == 1], scores[target == 0]
    return np.mean([(b > good).mean() + (b == good).mean() / 2 for b in bad])


def ks_by_distributions(target, scores):
    """The largest distance by which the others' distribution function runs above that of defaults."""
    bad, good = np.sort(scores[target == 1]), np.sort(scores[target == 0])
    at = np.unique(scores)
    distance = np.searchsorted(good, at, "right") / len(good) - np.searchsorted(bad, at, "right") / len(bad)
    return max(0.0, distance.max())


def average_precision_by_hand(target, scores):
    """Precision at each distinct score, weighted by the recall that it adds."""
    total, seen = 0.0, 0.0
    for at in np.unique(scores)[::-1]:
        flagged = scores >= at
        recall = target[flagged].sum() / target.sum()
        total += (recall - seen) * target[flagged].mean()
        seen = recall
    return total


@cases
def test_metrics_of_scores_follow_their_definitions(target, scores):
    found = compute_metrics(target, scores, 0.5)
    auc = auc_by_ranks(target, scores)
    clipped = np.clip(scores, np.finfo(float).eps, 1 - np.finfo(float).eps)
    expected = {
        "roc_auc": auc,
        "gini": 2 * auc - 1,
        "ks": ks_by_distributions(target, scores),
        "pr_auc": average_precision_by_hand(target, scores),
        "brier": np.mean((scores - target) ** 2),
        "log_loss": -np.mean(np.where(target == 1, np.log(clipped), np.log(1 - clipped))),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-12)
    assert ks_statistic(target, scores) == found["ks"]


@cases
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.5, 1.0, 1.1])
def test_metrics_of_decisions_follow_their_definitions(target, scores, threshold):
    found = compute_metrics(target, scores, threshold)
    refused = scores >= threshold
    tp, fp = int((refused & (target == 1)).sum()), int((refused & (target == 0)).sum())
    fn, tn = int(target.sum()) - tp, int((target == 0).sum()) - fp
    expected = {
        "accuracy": (tp + tn) / len(target),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "threshold": threshold,
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "rows": len(target),
        "defaults": int(target.sum()),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_metrics_are_plain_numbers_that_json_takes():
    found = compute_metrics(*CASES["ties"], 0.5)
    assert {type(value) for value in found.values()} <= {int, float}
    assert json.loads(json.dumps(found)) == found


def test_without_knowledge_scores_are_worth_a_coin():
    found = compute_metrics(*CASES["all scores equal"], 0.5)
    assert (found["roc_auc"], found["gini"], found["ks"], found["pr_auc"]) == (0.5, 0.0, 0.0, pytest.approx(0.6))


# --- thresholds ---------------------------------------------------------------------------------------------------


def cost_at(threshold, target, scores, missed_default, refused_good):
    refused = scores >= threshold
    return missed_default * (target[~refused] == 1).sum() + refused_good * (target[refused] == 0).sum()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("digits", [1, 2, 6])
@pytest.mark.parametrize(("missed", "refused"), [(5, 1), (1, 1), (1, 20), (0.5, 0.25)])
def test_the_cheapest_threshold_is_that_of_brute_force(seed, digits, missed, refused):
    target, scores = draw(seed, 60, digits)
    best, per_row = cheapest_threshold(target, scores, missed, refused)
    cuts = [*np.unique(scores), math.nextafter(scores.max(), 2)]  # refuse from here on; the last refuses none
    costs = [cost_at(cut, target, scores, missed, refused) for cut in cuts]
    assert cost_at(best, target, scores, missed, refused) == min(costs)
    assert per_row == pytest.approx(min(costs) / len(target))
    lowest = cuts[costs.index(min(costs))]
    assert ((scores >= best) == (scores >= lowest)).all()  # of equal costs, the one that refuses most


def test_of_equal_costs_the_lowest_threshold_wins():
    target, scores = np.array([0, 1, 0, 1], np.int8), np.array([0.2, 0.4, 0.6, 0.8])
    assert cheapest_threshold(target, scores, 1, 1) == (pytest.approx(0.3), 0.25)  # 0.7 costs as much


@pytest.mark.parametrize(
    ("scores", "costs", "refused"),
    [
        ([0.0, 0.0], (9, 1), 2),
        ([0.0, 0.0], (1, 9), 0),
        ([1.0, 1.0], (9, 1), 2),
        ([1.0, 1.0], (1, 9), 0),
        ([0.5, 0.5], (9, 1), 2),
        ([0.5, 0.5], (1, 9), 0),
    ],
)
def test_all_or_none_can_be_refused_at_any_score(scores, costs, refused):
    target, scores = np.array([0, 1], np.int8), np.array(scores)
    best, per_row = cheapest_threshold(target, scores, *costs)
    assert (scores >= best).sum() == refused
    assert per_row == 0.5


@pytest.mark.parametrize("low", [0.3, math.nextafter(0.3, 1), math.nextafter(1, 0)])
def test_a_threshold_stands_also_between_neighbouring_numbers(low):
    target, scores = np.array([0, 1], np.int8), np.array([low, math.nextafter(low, 2)])
    best, per_row = cheapest_threshold(target, scores, 1, 1)
    assert ((scores >= best).tolist(), per_row) == ([False, True], 0.0)


def test_the_cost_is_that_of_the_metrics_at_the_threshold():
    target, scores = draw(8, digits=2)
    best, per_row = cheapest_threshold(target, scores, 5, 1)
    found = compute_metrics(target, scores, best)
    assert 5 * found["false_negatives"] + found["false_positives"] == pytest.approx(per_row * len(target))


# --- curves -------------------------------------------------------------------------------------------------------


@cases
def test_curves_do_not_depend_on_the_order_of_rows(target, scores):
    whole = curves(target, scores)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(target))
        again = curves(target[order], scores[order])
        assert again["calibration"].pop("mean_score") == pytest.approx(whole["calibration"]["mean_score"], abs=1e-12)
        assert again == whole | {
            "calibration": {k: v for k, v in whole["calibration"].items() if k != "mean_score"},
        }


@pytest.mark.parametrize("rows", [4, 199, 201, 5000])
def test_curves_are_bounded_and_keep_their_ends(rows):
    target, scores = draw(4, rows)
    found = curves(target, scores)
    for curve in (found["roc"], found["precision_recall"]):
        assert all(2 <= len(values) <= CURVE_POINTS for values in curve.values())
    assert [(found["roc"][rate][0], found["roc"][rate][-1]) for rate in ("fpr", "tpr")] == [(0, 1), (0, 1)]
    assert found["precision_recall"]["precision"][-1] == pytest.approx(target.mean())
    assert len(found["calibration"]["rows"]) <= CALIBRATION_BINS
    assert len(found["histogram"]["defaults"]) == len(found["histogram"]["edges"]) - 1 == HISTOGRAM_BINS
    assert len(json.dumps(found)) < 40_000


@cases
def test_curves_are_what_the_rows_say(target, scores):
    found = curves(target, scores)
    points = {(round(f, 9), round(t, 9)) for f, t in zip(found["roc"]["fpr"], found["roc"]["tpr"], strict=True)}
    cuts = np.unique(scores)
    expected = {(0.0, 0.0)} | {
        (round((scores[target == 0] >= c).mean(), 9), round((scores[target == 1] >= c).mean(), 9)) for c in cuts
    }
    assert points <= expected
    assert points == expected or len(cuts) >= CURVE_POINTS
    curve = zip(found["precision_recall"]["recall"], found["precision_recall"]["precision"], strict=True)
    precision = {round((scores[target == 1] >= c).mean(), 9): set() for c in cuts} | {0.0: {1.0}}
    for c in cuts:
        precision.setdefault(round((scores[target == 1] >= c).mean(), 9), set()).add(
            round(target[scores >= c].mean(), 9)
        )
    assert all(round(p, 9) in precision[round(r, 9)] for r, p in curve)


@cases
def test_calibration_and_histogram_count_each_row_once(target, scores):
    found = curves(target, scores)
    calibration, histogram = found["calibration"], found["histogram"]
    assert sum(calibration["rows"]) == len(target)
    assert sum(histogram["defaults"]) == target.sum()
    assert sum(histogram["defaults"]) + sum(histogram["others"]) == len(target)
    assert np.dot(calibration["default_rate"], calibration["rows"]) == pytest.approx(target.sum())
    assert np.dot(calibration["mean_score"], calibration["rows"]) == pytest.approx(scores.sum())
    assert calibration["mean_score"] == sorted(calibration["mean_score"])


def test_equal_scores_share_a_tenth():
    target, scores = draw(5, 400, digits=1)
    found = curves(target, scores)["calibration"]
    assert set(np.round(found["mean_score"], 9)) <= set(np.round(scores, 9)) or len(found["rows"]) < len(set(scores))
    single = curves(*CASES["all scores equal"])["calibration"]
    assert single == {"mean_score": [pytest.approx(0.4)], "default_rate": [0.6], "rows": [5]}
