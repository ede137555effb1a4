"""The coefficients of a logistic regression, with intervals; and a decision tree as it is drawn."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from scripts.shared.statistics import Z, wilson_interval

Floats = npt.NDArray[np.float64]

NOTE = (
    "In the model’s own columns: numbers are scaled to a standard deviation of 1 where the model scales them, so an "
    "odds ratio is that of one standard deviation. The penalty draws coefficients to 0, and intervals with them."
)


def coefficients(pipeline: Pipeline, blocks: Iterable[pd.DataFrame], of_rows: int) -> dict[str, Any]:
    """Return the coefficients of a logistic regression with 95 % intervals and odds ratios.

    Covariance: the inverse of the observed information of the penalised likelihood, X'WX + I/C, W = p(1 - p), the
    intercept without penalty; it is that of the posterior mode with a normal prior.

    Parameters
    ----------
    pipeline
        As `build_pipeline` makes it, fitted.
    blocks
        Train rows, or a sample of them, in frames.
    of_rows
        How many train rows there are; a sample's information is scaled up to theirs.

    Returns
    -------
    dict
        rows, note, terms: term, value, low, high, odds_ratio, odds_low, odds_high; or not_run, the reason.
    """
    model = pipeline.steps[-1][1]
    if not isinstance(model, LogisticRegression):
        return {"not_run": f"{type(model).__name__} has no coefficients"}
    if getattr(model, "l1_ratio", None) or model.penalty == "l1":
        return {"not_run": "an L1 penalty gives no information matrix to take intervals from"}
    names = [name.split("__", 1)[1] for name in pipeline["columns"].get_feature_names_out()]
    weights = np.append(model.coef_[0], model.intercept_[0])
    information, rows = np.zeros((len(weights), len(weights))), 0
    for frame in blocks:
        design = np.column_stack([pipeline["columns"].transform(frame), np.ones(len(frame))])
        p = expit(design @ weights)
        information += (design * (p * (1 - p))[:, None]).T @ design
        rows += len(frame)
    information *= of_rows / max(rows, 1)
    penalty = np.full(len(weights), 1 / model.C if np.isfinite(model.C) and model.penalty is not None else 0.0)
    penalty[-1] = 0.0
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(information + np.diag(penalty), hermitian=True)), 0.0))
    return {
        "rows": of_rows,
        "note": NOTE,
        "terms": [
            _term(name, float(value), float(error))
            for name, value, error in zip([*names, "intercept"], weights, errors, strict=True)
        ],
    }


def _term(name: str, value: float, error: float) -> dict[str, Any]:
    low, high = value - Z * error, value + Z * error
    odds, odds_low, odds_high = (float(np.exp(np.clip(each, -700, 700))) for each in (value, low, high))
    return {
        "term": name,
        "value": value,
        "low": low,
        "high": high,
        "odds_ratio": odds,
        "odds_low": odds_low,
        "odds_high": odds_high,
    }


def drawn_tree(pipeline: Pipeline, depth: int, categorical: list[str]) -> dict[str, Any]:
    """Return a decision tree's first levels in words.

    Parameters
    ----------
    pipeline
        As `build_pipeline` makes it, fitted.
    depth
        Levels below the root.
    categorical
        Features whose columns are 0 or 1 for each value.

    Returns
    -------
    dict
        A node: test (what leads to it), rows, default_rate and interval of the train rows, children; or not_run.
    """
    model = pipeline.steps[-1][1]
    if not isinstance(model, DecisionTreeClassifier):
        return {"not_run": f"{type(model).__name__} is not one tree"}
    names = [name.split("__", 1)[1] for name in pipeline["columns"].get_feature_names_out()]
    positive = list(model.classes_).index(1)
    tree = model.tree_

    def node(at: int, test: str, level: int) -> dict[str, Any]:
        rows = int(tree.n_node_samples[at])
        shares = tree.value[at, 0]
        rate = float(shares[positive] / shares.sum())
        children = []
        if level < depth and tree.children_left[at] >= 0:
            left, right = _tests(names[tree.feature[at]], float(tree.threshold[at]), categorical)
            children = [
                node(int(tree.children_left[at]), left, level + 1),
                node(int(tree.children_right[at]), right, level + 1),
            ]
        interval = wilson_interval(round(rate * rows), rows)
        return {"test": test, "rows": rows, "default_rate": rate, "interval": interval, "children": children}

    return node(0, "all train rows", 0)


def _tests(name: str, threshold: float, categorical: list[str]) -> tuple[str, str]:
    """Return in words what leads to the left and to the right."""
    for feature in categorical:
        if name.startswith(f"{feature}_"):
            value = name.removeprefix(f"{feature}_").replace("infrequent_sklearn", "rare")
            return f"{feature} is not {value}", f"{feature} is {value}"
    if name.startswith("missingindicator_"):
        feature = name.removeprefix("missingindicator_")
        return f"{feature} is there", f"{feature} is missing"
    return f"{name} ≤ {threshold:.6g}", f"{name} > {threshold:.6g}"
