"""The report's figures against their definitions on rows, written out plainly."""

import json
import math

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from scripts.shared import performance as ours
from scripts.shared.config import Cost
from scripts.shared.files import to_json
from scripts.shared.metrics import cheapest_threshold, ks_statistic
from scripts.shared.performance import MIN_ROWS, count, performance

COST = Cost(missed_default=5, refused_good=1)


def sample(rows=3000, digits=None, seed=2):
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2, 1.5, rows)
    target = (rng.random(rows) < 1 / (1 + np.exp(-(0.3 + 0.8 * logit)))).astype(np.int8)
    scores = 1 / (1 + np.exp(-logit))
    return target, scores if digits is None else np.clip(np.round(scores, digits), 0.001, 0.999)


@pytest.fixture(scope="module", params=[None, 2, 1], ids=["distinct", "some tied", "many tied"])
def case(request):
    target, scores = sample(digits=request.param)
    return target, scores, performance(target, scores, 0.5, COST)


def within(scores, low, high):
    """Return which rows lie in a group, by its limits as the page shows them."""
    return (scores >= low) & ((scores < high) | (high == 1))


def test_deciles_are_what_their_limits_say(case):
    target, scores, found = case
    captured = 0
    assert [row["decile"] for row in found["deciles"]] == list(range(1, len(found["deciles"]) + 1))
    for row in found["deciles"]:
        rows = within(scores, row["score_low"], row["score_high"])
        captured += target[rows].sum()
        assert (row["rows"], row["defaults"]) == (rows.sum(), target[rows].sum())
        assert row["default_rate"] == pytest.approx(target[rows].mean())
        assert row["expected"] == pytest.approx(scores[rows].mean())
        assert row["lift"] == pytest.approx(target[rows].mean() / target.mean())
        assert row["cumulative_capture"] == pytest.approx(captured / target.sum())
        assert row["interval"][0] < row["default_rate"] < row["interval"][1]
        assert row["lift_interval"][0] < row["lift"] < row["lift_interval"][1]
    assert row["cumulative_capture"] == 1
    assert sum(row["rows"] for row in found["deciles"]) == len(target)
    stored = found["deciles_of_score"]
    assert stored["rows"] == [row["rows"] for row in reversed(found["deciles"])]
    assert [stored["edges"][0], stored["edges"][-1]] == [0, 1]


def test_distinct_scores_fall_into_equal_tenths():
    found = performance(*sample(), 0.5, COST)
    assert [row["rows"] for row in found["deciles"]] == [300] * 10


def test_breaks_in_rank_order_are_told_from_noise():
    rates = {0.9: 0.5, 0.5: 0.9, 0.3: 0.2, 0.1: 0.21}
    scores = np.repeat(list(rates), 1000)
    target = np.concatenate([np.arange(1000) < 1000 * rate for rate in rates.values()]).astype(np.int8)
    found = performance(target, scores, 0.5, COST)
    assert found["rank_order_breaks"] == 2
    assert [(row["decile"], row["next"], row["beyond_noise"]) for row in found["rank_order"]] == [
        (1, 2, True),
        (3, 4, False),
    ]
    z = 0.01 / math.sqrt(0.205 * 0.795 * 2 / 1000)
    assert found["rank_order"][1]["p"] == pytest.approx(stats.norm.sf(z))


def test_a_break_must_be_beyond_the_noise_of_all_neighbours():
    """One in five breaks at p = 0.02 is no surprise among so many neighbours."""
    rates = (0.9, 0.8, 0.7, 0.2, 0.237, 0.1)
    scores = np.repeat(np.linspace(0.9, 0.1, 6), 1000)
    target = np.concatenate([np.arange(1000) < 1000 * rate for rate in rates]).astype(np.int8)
    (found,) = performance(target, scores, 0.5, COST)["rank_order"]
    assert 0.01 < found["p"] < 0.05
    assert not found["beyond_noise"]


def test_gains_lie_on_the_curve_of_the_sorted_rows(case):
    target, scores, found = case
    gains = found["gains"]
    assert len(gains["rows_share"]) <= 100
    values = np.unique(scores)
    ends = {round((scores >= v).mean(), 12): target[scores >= v].sum() / target.sum() for v in values} | {0.0: 0.0}
    for share, caught in zip(gains["rows_share"], gains["defaults_share"], strict=True):
        assert caught == pytest.approx(ends[round(share, 12)])
    assert (gains["rows_share"][-1], gains["defaults_share"][-1]) == (1, 1)


def test_ks_is_reached_at_its_score(case):
    target, scores, found = case
    reached = scores >= found["ks"]["at_score"]
    gap = reached[target == 1].mean() - reached[target == 0].mean()
    assert found["ks"]["value"] == pytest.approx(gap, abs=1e-12)
    assert found["ks"]["value"] == pytest.approx(ks_statistic(target, scores), abs=1e-12)
    assert found["ks"]["interval"][0] < gap < found["ks"]["interval"][1]


def test_area_is_scikit_learns_and_its_interval_holds_it(case):
    target, scores, found = case
    low, high = found["roc_auc"]["delong_interval"]
    assert found["roc_auc"]["value"] == pytest.approx(roc_auc_score(target, scores), abs=1e-12)
    assert low < found["roc_auc"]["value"] < high


def fit(design, offset, target):
    """Return coefficients and standard errors of a logistic regression by a general minimiser."""

    def loss(beta):
        z = design @ beta + offset
        return np.logaddexp(0, z).sum() - target @ z

    def slope(beta):
        return design.T @ (1 / (1 + np.exp(-(design @ beta + offset))) - target)

    beta = optimize.minimize(loss, np.zeros(design.shape[1]), jac=slope, method="BFGS", tol=1e-9).x
    p = 1 / (1 + np.exp(-(design @ beta + offset)))
    return beta, np.sqrt(np.diag(np.linalg.inv((design.T * (p * (1 - p))) @ design)))


def test_slope_and_intercept_are_those_of_a_logistic_regression(case):
    target, scores, found = case
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    ones = np.ones((len(logit), 1))
    calibration = found["calibration"]
    (joint, slope), errors = fit(np.column_stack([ones, logit]), 0.0, target)
    (large,), (error,) = fit(ones, logit, target)
    for name, value, of in (
        ("slope", slope, errors[1]),
        ("joint_intercept", joint, errors[0]),
        ("intercept", large, error),
    ):
        assert calibration[name] == pytest.approx(value, abs=1e-5)
        ends = value - 1.959964 * of, value + 1.959964 * of
        assert calibration[f"{name}_interval"] == pytest.approx(ends, abs=1e-4)
    assert calibration["clipped"] == (clipped != scores).sum()


def test_spiegelhalter_and_hosmer_lemeshow(case):
    target, scores, found = case
    top = ((target - scores) * (1 - 2 * scores)).sum()
    z = top / math.sqrt(((1 - 2 * scores) ** 2 * scores * (1 - scores)).sum())
    assert found["calibration"]["spiegelhalter"] == pytest.approx({"z": z, "p": 2 * stats.norm.sf(abs(z))}, abs=1e-12)
    chi2, ece = 0.0, 0.0
    for row in found["deciles"]:
        rows = within(scores, row["score_low"], row["score_high"])
        mean, n = scores[rows].mean(), rows.sum()
        chi2 += (target[rows].sum() - n * mean) ** 2 / (n * mean * (1 - mean))
        ece += n * abs(mean - target[rows].mean()) / len(target)
    groups = len(found["deciles"])
    expected = {"chi2": chi2, "groups": groups, "df": groups, "p": stats.chi2.sf(chi2, groups)}
    assert found["calibration"]["hosmer_lemeshow"] == pytest.approx(expected)
    assert found["calibration"]["ece"] == pytest.approx(ece)
    assert found["calibration"]["ece_bins"] == groups


def test_the_parts_of_the_brier_score_add_up(case):
    target, scores, found = case
    parts = found["brier"]
    assert parts["value"] == pytest.approx(brier_score_loss(target, scores), abs=1e-12)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bin"]
    assert total == pytest.approx(parts["value"], abs=1e-12)
    bins = found["calibration"]["bins"]
    reliability = sum(b["rows"] * (b["mean_score"] - b["default_rate"]) ** 2 for b in bins) / len(target)
    resolution = sum(b["rows"] * (b["default_rate"] - target.mean()) ** 2 for b in bins) / len(target)
    assert (parts["reliability"], parts["resolution"]) == pytest.approx((reliability, resolution))
    assert parts["bins"] == len(bins)


def test_bins_of_one_score_each_leave_nothing_within():
    scores = np.repeat([0.1, 0.4, 0.7], 100)
    target = (np.arange(300) % 3 == 0).astype(np.int8)
    parts = performance(target, scores, 0.5, COST)["brier"]
    assert parts["bins"] == 3
    assert parts["within_bin"] == pytest.approx(0, abs=1e-15)


def test_grades_double_and_are_tested(case):
    target, scores, found = case
    p_values = []
    for row in found["grades"]:
        rows = within(scores, row["low"], row["high"])
        n, bad = rows.sum(), target[rows].sum()
        assert (row["rows"], row["defaults"]) == (n, bad)
        assert row["expected"] == pytest.approx(scores[rows].mean())
        assert row["jeffreys_p"] == pytest.approx(stats.beta(bad + 0.5, n - bad + 0.5).cdf(row["expected"]))
        assert row["interval"][0] <= row["default_rate"] <= row["interval"][1]
        p_values.append(row["jeffreys_p"])
    assert sum(row["rows"] for row in found["grades"]) == len(target)
    smallest = min(found["grades"], key=lambda row: row["jeffreys_p"])
    assert smallest["significant_after_holm"] == (min(p_values) <= 0.05 / len(p_values))


def test_the_histogram_is_numpys(case):
    target, scores, found = case
    edges = np.linspace(0, 1, 51)
    assert found["scores"]["edges"] == edges.tolist()
    assert found["scores"]["defaults"] == np.histogram(scores[target == 1], edges)[0].tolist()
    assert found["scores"]["others"] == np.histogram(scores[target == 0], edges)[0].tolist()


def per_row_costs(target, scores, at):
    return np.where(scores >= at, 1.0 * (target == 0), 5.0 * (target == 1))


def test_cutoffs_are_what_the_decisions_at_their_thresholds_are(case):
    target, scores, found = case
    assert [row["threshold"] for row in found["cutoffs"] if row["chosen"]] == [0.5]
    assert any(row["cheapest"] for row in found["cutoffs"])
    assert [row["threshold"] for row in found["cutoffs"]] == sorted({row["threshold"] for row in found["cutoffs"]})
    for row in found["cutoffs"]:
        refused = scores >= row["threshold"]
        lost = per_row_costs(target, scores, row["threshold"])
        half = 1.959964 * lost.std() / math.sqrt(len(lost))
        assert (row["refused"], row["approved"]) == (refused.sum(), (~refused).sum())
        assert row["approval_rate"] == pytest.approx((~refused).mean())
        assert row["bad_rate"] == (pytest.approx(target[~refused].mean()) if row["approved"] else None)
        assert row["recall"] == pytest.approx(refused[target == 1].mean())
        assert row["precision"] == (pytest.approx(target[refused].mean()) if row["refused"] else None)
        assert row["cost_per_row"] == pytest.approx(lost.mean())
        assert row["cost_interval"] == pytest.approx((max(0, lost.mean() - half), lost.mean() + half), abs=1e-6)


def test_the_cost_curve_and_its_lowest_point(case):
    target, scores, found = case
    curve = found["cost_curve"]
    assert len(curve["threshold"]) == 99
    for at, cost in zip(curve["threshold"], curve["cost"], strict=True):
        assert cost == pytest.approx(per_row_costs(target, scores, at).mean())
    assert all(
        low <= cost <= high for low, cost, high in zip(*(curve[k] for k in ("low", "cost", "high")), strict=True)
    )
    cheapest = found["cheapest"]
    assert cheapest["cost_per_row"] == pytest.approx(cheapest_threshold(target, scores, 5, 1)[1])
    assert per_row_costs(target, scores, cheapest["threshold"]).mean() == pytest.approx(cheapest["cost_per_row"])
    assert cheapest["cost_per_row"] <= min(curve["cost"])


def test_the_confusion_counts_with_intervals(case):
    target, scores, found = case
    refused = scores >= 0.5
    confusion = found["confusion"]
    counts = [confusion[k] for k in ("true_positives", "false_positives", "true_negatives", "false_negatives")]
    assert counts == [
        (refused & (target == 1)).sum(),
        (refused & (target == 0)).sum(),
        (~refused & (target == 0)).sum(),
        (~refused & (target == 1)).sum(),
    ]
    assert confusion["recall"]["value"] == pytest.approx(refused[target == 1].mean())
    assert confusion["specificity"]["value"] == pytest.approx(1 - refused[target == 0].mean())
    assert confusion["precision"]["value"] == pytest.approx(target[refused].mean())
    for name in ("recall", "specificity", "precision"):
        low, high = confusion[name]["interval"]
        assert low < confusion[name]["value"] < high


def test_the_order_of_rows_changes_no_byte(case):
    target, scores, found = case
    mixed = np.random.default_rng(1).permutation(len(target))
    assert to_json(performance(target[mixed], scores[mixed], 0.5, COST)) == to_json(found)


def numbers_in(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("rows", [30, 300, 3000])
def test_no_score_of_one_row_can_be_read_off(rows):
    target, scores = sample(rows)
    found = json.loads(to_json(performance(target, scores, 0.5, COST)))
    assert not {round(score, 14) for score in scores} & {round(number, 14) for number in numbers_in(found)}
    for group in (*found["deciles"], *found["calibration"]["bins"], *found["grades"]):
        assert group["rows"] >= MIN_ROWS


EDGES = {
    "constant": ([0, 1, 0, 1, 0], [0.3] * 5),
    "certain and right": ([0, 1, 0, 1, 0], [0, 1, 0, 1, 0]),
    "certain and wrong": ([0, 1, 0, 1, 0], [1, 0, 1, 0, 1]),
    "one row each": ([0, 1], [0.2, 0.8]),
    "the wrong way round": ([1, 0], [0.2, 0.8]),
    "smallest and largest numbers": ([0, 1, 1, 0], [5e-324, np.nextafter(1, 0), 5e-324, 1]),
    "a half": ([0, 1, 1], [0.5, 0.5, 0.5]),
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("times", [1, 40])
def test_odd_scores_give_figures_or_none(name, times):
    target, scores = (np.repeat(values, times) for values in EDGES[name])
    found = json.loads(to_json(performance(target.astype(np.int8), scores.astype(float), 0.5, COST)))
    assert found["rows"] == len(target)
    assert sum(row["rows"] for row in found["deciles"]) == len(target)
    assert sum(row["rows"] for row in found["grades"]) == len(target)
    parts = found["brier"]
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bin"]
    assert total == pytest.approx(parts["value"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("constant", "all scores are equal"),
        ("certain and right", "no score of a default is among those of the others"),
        ("the wrong way round", "no score of a default is among those of the others"),
        ("smallest and largest numbers", None),
    ],
)
def test_where_there_is_no_slope_it_says_why(name, why):
    target, scores = (np.array(values, float) for values in EDGES[name])
    calibration = performance(target.astype(np.int8), scores, 0.5, COST)["calibration"]
    assert (calibration["slope"] is None, calibration["why_no_slope"]) == (why is not None, why)
    assert calibration["intercept_interval"][0] < calibration["intercept"] < calibration["intercept_interval"][1]


def test_certain_scores_leave_no_variance():
    target, scores = np.array([0, 1, 0, 1, 0] * 20, np.int8), np.array([1, 0, 1, 0, 1] * 20, float)
    wrong = performance(target, scores, 0.5, COST)["calibration"]
    assert wrong["spiegelhalter"] is None
    assert wrong["hosmer_lemeshow"]["chi2"] is None
    right = performance(target, 1 - scores, 0.5, COST)["calibration"]
    assert (right["hosmer_lemeshow"]["chi2"], right["hosmer_lemeshow"]["p"]) == (0, 1)
    assert (wrong["clipped"], wrong["logit_clip"]) == (100, 1e-6)


@pytest.mark.parametrize(
    ("target", "scores", "words"),
    [
        ([0, 1], [0.1, np.nan], "probabilities"),
        ([0, 1], [-0.1, 0.5], "probabilities"),
        ([0, 1], [0.1, 1.5], "probabilities"),
        ([], [], "probabilities"),
        ([0, 0], [0.1, 0.5], "one outcome"),
        ([1, 1], [0.1, 0.5], "one outcome"),
    ],
)
def test_what_is_no_evaluation_is_refused(target, scores, words):
    with pytest.raises(ValueError, match=words):
        count(np.array(target, np.int8), np.array(scores, float))


@pytest.mark.parametrize(
    ("below", "high", "expected"),
    [(0.123456, 0.123999, 0.1237), (0.1, 0.9, 0.5), (0.0, 5e-324, 5e-324), (0.19, 0.21, 0.2)],
)
def test_limits_are_short_decimals_between_scores(below, high, expected):
    counted = ours.Counted(np.array([below, high]), np.array([1, 1]), np.array([1, 1]))
    assert ours.separator(counted, 1) == expected
    assert ours.separator(counted, 0) == 0
