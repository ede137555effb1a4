"""On the real data, every figure equals one from scikit-learn and plain NumPy, from the models' scores alone."""

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from scripts.shared.config import METRICS, Cost
from scripts.shared.performance import performance
from scripts.shared.resampling import interval, resample
from scripts.shared.statistics import delong_difference

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not os.environ.get("LOAN_DATA_DIR"), reason="LOAN_DATA_DIR is not set: name the folder that holds loan_data.csv"
    ),
]
THRESHOLD = 0.37


@pytest.fixture(scope="module")
def tested():
    """Target and scores of a fifth of the rows, by models of scikit-learn alone."""
    data = pd.read_csv(Path(os.environ["LOAN_DATA_DIR"]) / "loan_data.csv")
    target = data.pop("loan_status").to_numpy().astype(np.int8)
    features = data.drop(columns="id")
    texts = features.select_dtypes(exclude="number").columns
    numbers = features.columns.difference(texts, sort=False)
    x_train, x_test, y_train, y_test = train_test_split(features, target, test_size=0.2, random_state=7)
    scores = {}
    for name, model in (
        ("lr", LogisticRegression(max_iter=2000)),
        ("dt", DecisionTreeClassifier(max_depth=10, min_samples_leaf=50, random_state=0)),
    ):
        columns = make_column_transformer(
            (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts), sparse_threshold=0
        )
        scores[name] = make_pipeline(columns, model).fit(x_train, y_train).predict_proba(x_test)[:, 1]
    return y_test, scores


@pytest.fixture(scope="module", params=["lr", "dt"])
def case(request, tested):
    target, scores = tested[0], tested[1][request.param]
    return target, scores, performance(target, scores, THRESHOLD, Cost(missed_default=7, refused_good=1.5))


def bins_of(scores, pieces):
    """Return each row's place: rows fall behind a quantile of the scores; equal scores stay together."""
    edges = np.quantile(scores, np.arange(1, pieces) / pieces, method="inverted_cdf")
    return np.digitize(scores, np.unique(edges), right=True)


def test_area_gap_and_counts(case):
    target, scores, found = case
    fpr, tpr, _ = roc_curve(target, scores)
    assert found["roc_auc"]["value"] == pytest.approx(roc_auc_score(target, scores), abs=1e-12)
    assert found["ks"]["value"] == pytest.approx((tpr - fpr).max(), abs=1e-12)
    two_sample = stats.ks_2samp(scores[target == 1], scores[target == 0])
    assert found["ks"]["value"] == pytest.approx(two_sample.statistic, abs=1e-12)
    tn, fp, fn, tp = confusion_matrix(target, scores >= THRESHOLD).ravel()
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert tuple(found["confusion"][name] for name in names) == (tn, fp, fn, tp)
    assert found["confusion"]["recall"]["value"] == pytest.approx(recall_score(target, scores >= THRESHOLD))
    assert found["confusion"]["precision"]["value"] == pytest.approx(precision_score(target, scores >= THRESHOLD))
    for name, right, of in (("recall", tp, tp + fn), ("specificity", tn, tn + fp), ("precision", tp, tp + fp)):
        ends = stats.binomtest(int(right), int(of)).proportion_ci(method="wilson")
        assert found["confusion"][name]["interval"] == pytest.approx((ends.low, ends.high), abs=1e-12)


def test_delong_by_placements_of_ranks(case):
    target, scores, found = case
    bad, good = scores[target == 1], scores[target == 0]
    both = stats.rankdata(np.concatenate([bad, good]))
    of_bad = (both[: len(bad)] - stats.rankdata(bad)) / len(good)
    of_good = 1 - (both[len(bad) :] - stats.rankdata(good)) / len(bad)
    half = 1.959964 * math.sqrt(of_bad.var(ddof=1) / len(bad) + of_good.var(ddof=1) / len(good))
    area = of_bad.mean()
    assert found["roc_auc"]["delong_interval"] == pytest.approx((area - half, area + half), abs=1e-8)


def test_deciles_and_their_chi_squared(case):
    target, scores, found = case
    place = bins_of(scores, 10)
    frame = pd.DataFrame({"place": place, "bad": target, "score": scores})
    groups = frame.groupby("place").agg(rows=("bad", "size"), bad=("bad", "sum"), mean=("score", "mean"))
    groups = groups.sort_index(ascending=False)
    assert [row["rows"] for row in found["deciles"]] == groups["rows"].tolist()
    assert [row["defaults"] for row in found["deciles"]] == groups["bad"].tolist()
    assert [row["expected"] for row in found["deciles"]] == pytest.approx(groups["mean"].tolist(), abs=1e-12)
    rates = groups["bad"] / groups["rows"]
    assert [row["lift"] for row in found["deciles"]] == pytest.approx((rates / target.mean()).tolist(), abs=1e-12)
    captured = (groups["bad"].cumsum() / target.sum()).tolist()
    assert [row["cumulative_capture"] for row in found["deciles"]] == pytest.approx(captured, abs=1e-12)
    assert found["rank_order_breaks"] == (np.diff(rates) > 0).sum()
    expected = groups["rows"] * groups["mean"]
    chi2 = ((groups["bad"] - expected) ** 2 / (expected * (1 - groups["mean"]))).sum()
    assert found["calibration"]["hosmer_lemeshow"]["chi2"] == pytest.approx(chi2)
    assert found["calibration"]["hosmer_lemeshow"]["p"] == pytest.approx(stats.chi2.sf(chi2, len(groups)), abs=1e-12)
    ece = (groups["rows"] * (rates - groups["mean"]).abs()).sum() / len(target)
    assert found["calibration"]["ece"] == pytest.approx(ece, abs=1e-12)


def test_calibration_by_scikit_learn(case):
    target, scores, found = case
    calibration = found["calibration"]
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(logit[:, None], target)
    assert calibration["slope"] == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
    assert calibration["joint_intercept"] == pytest.approx(fitted.intercept_[0], abs=1e-5)
    shifted = 1 / (1 + np.exp(-logit - calibration["intercept"]))
    assert shifted.sum() == pytest.approx(target.sum(), abs=1e-6)  # what the intercept alone is fitted to
    bins = calibration["bins"]
    if len(np.unique(scores)) > 1000:  # with ties, scikit-learn's quantile bins divide otherwise
        rates, means = calibration_curve(target, scores, n_bins=len(bins), strategy="quantile")
        assert [b["default_rate"] for b in bins] == pytest.approx(rates.tolist(), abs=0.003)
        assert [b["mean_score"] for b in bins] == pytest.approx(means.tolist(), abs=0.001)
    top = ((target - scores) * (1 - 2 * scores)).sum()
    z = top / math.sqrt(((1 - 2 * scores) ** 2 * scores * (1 - scores)).sum())
    assert calibration["spiegelhalter"]["z"] == pytest.approx(z, abs=1e-9)
    assert calibration["spiegelhalter"]["p"] == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)


def test_brier_and_its_parts(case):
    target, scores, found = case
    parts, place = found["brier"], bins_of(scores, 20)
    assert parts["value"] == pytest.approx(brier_score_loss(target, scores), abs=1e-12)
    n = np.bincount(place)
    rate, mean = np.bincount(place, target) / n, np.bincount(place, scores) / n
    assert parts["reliability"] == pytest.approx((n * (mean - rate) ** 2).sum() / n.sum(), abs=1e-12)
    assert parts["resolution"] == pytest.approx((n * (rate - target.mean()) ** 2).sum() / n.sum(), abs=1e-12)
    assert parts["uncertainty"] == pytest.approx(target.var(), abs=1e-12)
    rest = parts["value"] - parts["reliability"] + parts["resolution"] - parts["uncertainty"]
    assert parts["within_bin"] == pytest.approx(rest, abs=1e-12)


def test_grades_against_the_beta_distribution(case):
    target, scores, found = case
    for row in found["grades"]:
        rows = (scores >= row["low"]) & ((scores < row["high"]) | (row["high"] == 1))
        bad, n = target[rows].sum(), rows.sum()
        assert (row["rows"], row["defaults"]) == (n, bad)
        p = stats.beta.cdf(scores[rows].mean(), bad + 0.5, n - bad + 0.5)
        assert row["jeffreys_p"] == pytest.approx(p, abs=1e-12)


def test_costs_at_all_thresholds(case):
    target, scores, found = case

    def lost(at):
        return np.where(scores >= at, 1.5 * (target == 0), 7.0 * (target == 1))

    curve = found["cost_curve"]
    assert curve["cost"] == pytest.approx([lost(at).mean() for at in curve["threshold"]], abs=1e-12)
    half = [stats.sem(lost(at), ddof=0) * 1.959964 for at in curve["threshold"]]
    assert curve["high"] == pytest.approx((np.array(curve["cost"]) + half).tolist(), abs=1e-7)
    every = np.append(np.unique(scores), 1.1)
    cheapest = min(lost(at).mean() for at in every)
    assert found["cheapest"]["cost_per_row"] == pytest.approx(cheapest, abs=1e-12)
    assert lost(found["cheapest"]["threshold"]).mean() == pytest.approx(cheapest, abs=1e-12)
    for row in found["cutoffs"]:
        approved = scores < row["threshold"]
        assert (row["approved"], row["refused"]) == (approved.sum(), (~approved).sum())
        assert row["bad_rate"] == pytest.approx(target[approved].mean(), abs=1e-12)
        assert row["recall"] == pytest.approx(recall_score(target, ~approved), abs=1e-12)
        assert row["cost_per_row"] == pytest.approx(lost(row["threshold"]).mean(), abs=1e-12)


def test_resamples_are_what_scikit_learn_says_of_the_drawn_rows(tested):
    target, scores = tested
    thresholds = dict.fromkeys(scores, THRESHOLD)
    found = resample(target, scores, METRICS, 5, 99, thresholds)
    random = np.random.Generator(np.random.PCG64(99))
    for i in range(5):
        rows = random.integers(0, len(target), len(target))
        drawn = target[rows]
        for name, of_model in scores.items():
            p = of_model[rows]
            refused = p >= THRESHOLD
            fpr, tpr, _ = roc_curve(drawn, p)
            expected = {
                "accuracy": (refused == drawn).mean(),
                "precision": precision_score(drawn, refused),
                "recall": recall_score(drawn, refused),
                "f1": f1_score(drawn, refused),
                "roc_auc": roc_auc_score(drawn, p),
                "pr_auc": average_precision_score(drawn, p),
                "brier": brier_score_loss(drawn, p),
                "log_loss": log_loss(drawn, p),
                "gini": 2 * roc_auc_score(drawn, p) - 1,
                "ks": (tpr - fpr).max(),
            }
            assert {metric: found[name][metric][i] for metric in METRICS} == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_a_difference_is_near_delongs(tested):
    target, scores = tested
    drawn = resample(target, scores, ["roc_auc"], 1000, 3, dict.fromkeys(scores, 0.5))
    difference, variance = delong_difference(target, scores["dt"], scores["lr"])
    low, high = interval(drawn["dt"]["roc_auc"] - drawn["lr"]["roc_auc"])
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.1)
    assert (low + high) / 2 == pytest.approx(difference, abs=0.15 * math.sqrt(variance))
