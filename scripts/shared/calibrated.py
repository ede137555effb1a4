"""A model whose scores are mapped to observed default rates.

The map stands inside the artefact, as the estimator of its Pipeline, so that whoever scores with the Pipeline gets
calibrated scores, and can't forget to. Fitting maps is the affair of `calibration`.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

Floats = npt.NDArray[np.float64]

EDGE = 1e-6  # scores are taken as no nearer to 0 and 1: a tree's pure leaf has no log-odds


def log_odds(scores: Floats) -> Floats:
    """Return ln(p / (1 - p)) of each score (shape (rows,)), of scores beyond `EDGE` that of `EDGE`."""
    return np.asarray(logit(np.clip(scores, EDGE, 1 - EDGE)), np.float64)


def apply_map(mapping: Mapping[str, Any], scores: Floats) -> Floats:
    """Return the calibrated scores (shape (rows,)), each from its own score alone.

    Parameters
    ----------
    mapping
        As `calibration.fit_map` makes it, and a card shows it. `method` is ``none``; ``sigmoid``, with `slope` and
        `intercept` on the log-odds (Platt 1999); or ``isotonic``, with the knots `scores` and `rates`, straight lines
        between them, and constant beyond.
    scores
        Shape (rows,), from 0 to 1.

    Raises
    ------
    ValueError
        Where the method is not known.
    """
    method = mapping["method"]
    if method == "none":
        return scores
    if method == "sigmoid":
        return np.asarray(expit(mapping["slope"] * log_odds(scores) + mapping["intercept"]), np.float64)
    if method == "isotonic":
        return np.asarray(np.interp(scores, mapping["scores"], mapping["rates"]), np.float64)
    raise ValueError(f"no calibration is called '{method}'")


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted estimator and the map of its scores, as one classifier of two classes.

    Parameters
    ----------
    estimator
        The fitted estimator; 1 is default.
    mapping
        What `apply_map` applies.
    """

    def __init__(self, estimator: Any, mapping: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self.mapping = mapping

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The estimator's classes."""
        return np.asarray(self.estimator.classes_)

    @property
    def n_features_in_(self) -> int:
        """The number of columns that the estimator takes."""
        return int(self.estimator.n_features_in_)

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: there is no other."""
        return True

    def fit(self, X: Any, y: Any) -> NoReturn:
        """Refuse: a map belongs to the scores that it was fitted on, and would be wrong for another fit."""
        raise TypeError("a calibrated model can't be fitted again; fit its estimator, and calibrate that anew")

    def predict_proba(self, X: Any) -> Floats:
        """Return the calibrated probability of each class, shape (rows, 2)."""
        positive = list(self.classes_).index(1)
        default = apply_map(self.mapping, np.asarray(self.estimator.predict_proba(X)[:, positive], np.float64))
        both = np.empty((len(default), 2))
        both[:, positive], both[:, 1 - positive] = default, 1 - default
        return both

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likelier class of each row."""
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])


def with_map(pipeline: Pipeline, mapping: Mapping[str, Any]) -> Pipeline:
    """Return a fitted Pipeline with calibrated scores; the same one where the map is ``none``."""
    if mapping["method"] == "none":
        return pipeline
    *before, (name, estimator) = pipeline.steps
    return Pipeline([*before, (name, Calibrated(estimator, mapping))])


def uncalibrated(pipeline: Pipeline) -> Pipeline:
    """Return the Pipeline as it was before its scores were calibrated; any other Pipeline as it is.

    For looking at coefficients or trees, not for scoring.
    """
    *before, (name, model) = pipeline.steps
    return Pipeline([*before, (name, model.estimator)]) if isinstance(model, Calibrated) else pipeline
