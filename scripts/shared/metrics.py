"""What a scored set of rows says about a model. All of it is computed by scikit-learn where scikit-learn has it."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
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

Target = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]

CURVE_POINTS = 200
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 50


def compute_metrics(target: Target, scores: Scores, threshold: float) -> dict[str, float | int]:
    """Return the metrics of a model on some rows.

    Parameters
    ----------
    target
        Shape (rows,), 1 for default.
    scores
        Shape (rows,), probability of default.
    threshold
        An application is refused from this probability on.

    Returns
    -------
    dict
        accuracy, precision, recall, f1 (of default, at the threshold), roc_auc, pr_auc (average precision), brier,
        log_loss, gini (2 AUC - 1), ks (largest distance of the score's distributions: max of TPR - FPR), threshold, the
        confusion counts and the row counts.
    """
    decided = scores >= threshold
    tn, fp, fn, tp = (int(n) for n in confusion_matrix(target, decided, labels=[0, 1]).ravel())
    auc = float(roc_auc_score(target, scores))
    return {
        "accuracy": float(accuracy_score(target, decided)),
        "precision": float(precision_score(target, decided, zero_division=0)),
        "recall": float(recall_score(target, decided, zero_division=0)),
        "f1": float(f1_score(target, decided, zero_division=0)),
        "roc_auc": auc,
        "pr_auc": float(average_precision_score(target, scores)),
        "brier": float(brier_score_loss(target, scores)),
        "log_loss": float(log_loss(target, scores, labels=[0, 1])),
        "gini": 2 * auc - 1,
        "ks": ks_statistic(target, scores),
        "threshold": threshold,
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "rows": len(target),
        "defaults": int(target.sum()),
    }


def ks_statistic(target: Target, scores: Scores) -> float:
    """Return the Kolmogorov-Smirnov distance between the scores of defaults and of the rest."""
    false_positive_rate, true_positive_rate, _ = roc_curve(target, scores)
    return float(np.max(true_positive_rate - false_positive_rate))


def cheapest_threshold(
    target: Target, scores: Scores, missed_default: float, refused_good: float
) -> tuple[float, float]:
    """Return the threshold of the lowest cost, and that cost per row.

    Cost of a threshold t: missed_default × (defaults scored below t) + refused_good × (others scored at least t).
    Candidates are the midpoints between neighbouring scores; of equal costs, the lowest threshold wins.
    """
    values, inverse = np.unique(scores, return_inverse=True)
    bad = np.bincount(inverse, weights=target, minlength=len(values))
    good = np.bincount(inverse, weights=1 - target, minlength=len(values))
    missed = np.concatenate([[0.0], np.cumsum(bad)])
    refused = good.sum() - np.concatenate([[0.0], np.cumsum(good)])
    cost = missed_default * missed + refused_good * refused
    above = np.append((values[:-1] + values[1:]) / 2, (values[-1] + 1) / 2)
    # Between neighbouring numbers, or above a score of 1, there is no midpoint: the next number does it.
    edges = np.append(values[0] / 2, np.maximum(above, np.nextafter(values, np.inf)))
    best = int(np.argmin(cost))
    return float(edges[best]), float(cost[best] / len(target))


def curves(target: Target, scores: Scores) -> dict[str, Any]:
    """Return what the report draws: aggregates only, no applicant's row.

    roc: false and true positive rates; precision_recall: recall and precision; calibration: per tenth of the scores,
    mean score, default rate and rows; histogram: rows by score for both outcomes.
    """
    fpr, tpr, _ = roc_curve(target, scores, drop_intermediate=False)
    flagged = fpr * (len(target) - target.sum()) + tpr * target.sum()
    precision = np.divide(tpr * target.sum(), flagged, out=np.ones_like(tpr), where=flagged > 0)
    keep = _spread(len(fpr))
    bins = _tenths(scores)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    return {
        "roc": {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()},
        "precision_recall": {"recall": tpr[keep].tolist(), "precision": precision[keep].tolist()},
        "calibration": {
            "mean_score": [float(scores[b].mean()) for b in bins],
            "default_rate": [float(target[b].mean()) for b in bins],
            "rows": [len(b) for b in bins],
        },
        "histogram": {
            "edges": edges.tolist(),
            "defaults": np.histogram(scores[target == 1], edges)[0].tolist(),
            "others": np.histogram(scores[target == 0], edges)[0].tolist(),
        },
    }


def _tenths(scores: Scores) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each tenth of the scores; equal scores stay together, so their order doesn't matter."""
    edges = np.quantile(scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], method="inverted_cdf")
    place = np.searchsorted(edges, scores, side="left")
    return [rows for tenth in range(CALIBRATION_BINS) if len(rows := np.flatnonzero(place == tenth))]


def _spread(length: int) -> npt.NDArray[np.int64]:
    """Return at most CURVE_POINTS indices, first and last included."""
    return np.unique(np.linspace(0, length - 1, min(length, CURVE_POINTS)).round().astype(np.int64))
