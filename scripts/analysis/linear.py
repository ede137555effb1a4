"""A logistic regression's coefficients with standard errors, from one pass over the rows that it was trained on."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from scripts.analysis.columns import Column, standard_deviation
from scripts.analysis.intervals import Floats
from scripts.shared.statistics import Z
from scripts.streaming.logistic import class_weights, refused

LARGEST_LOG = 700.0  # exp of more is no number
RANK = 1e-10  # share of the largest curvature below which a direction counts as unknown

NOTE = (
    "Standard errors come from the observed information of the penalised likelihood on the train rows. The penalty "
    "draws coefficients towards 0, so that the intervals are of the shrunken values. Each category has a coefficient "
    "beside the intercept, so that one alone is hardly known: read its difference from the most common category."
)


class Information:
    """The observed information of a fitted logistic regression, summed block by block.

    With s the classes' weights, p the fitted probability and X the columns with a 1 for the intercept, it is the
    Hessian of the objective (scikit-learn's user guide, 1.1.11): the sum of s p (1 - p) x xᵀ, plus 1 / C a slope.

    Parameters
    ----------
    model
        The fitted estimator.
    counts
        Its train rows with target 0 and 1.
    """

    def __init__(self, model: LogisticRegression, counts: tuple[int, int]) -> None:
        self.model = model
        self.slopes: Floats = model.coef_[0]
        self.weights = class_weights(model.class_weight, counts)
        size = len(self.slopes) + bool(model.fit_intercept)
        self.hessian = np.zeros((size, size))
        self.sums, self.squares = np.zeros(len(self.slopes)), np.zeros(len(self.slopes))
        self.rows = 0

    def update(self, matrix: npt.NDArray[np.floating], target: npt.NDArray[np.int8]) -> None:
        """See the next rows: what the estimator gets, shape (rows, columns), and the outcomes, shape (rows,)."""
        probability = expit(matrix @ self.slopes + self.model.intercept_[0])
        root = np.sqrt(self.weights[target] * probability * (1 - probability))
        whole = matrix if not self.model.fit_intercept else np.column_stack([matrix, np.ones(len(matrix))])
        scaled = whole * root[:, None]
        self.hessian += scaled.T @ scaled
        self.sums += matrix.sum(axis=0)
        self.squares += (matrix * matrix).sum(axis=0)
        self.rows += len(target)

    def covariance(self) -> Floats:
        """Return the covariance of slopes and intercept (shape (size, size)), NaN where nothing is known."""
        whole = self.hessian.copy()
        penalty = 0.0 if self.model.penalty is None else 1.0 / self.model.C
        slopes = np.arange(len(self.slopes))
        whole[slopes, slopes] += penalty
        values, vectors = scipy.linalg.eigh(whole)
        known = values > RANK * max(values[-1], np.finfo(float).tiny)
        covariance: Floats = (vectors[:, known] / values[known]) @ vectors[:, known].T
        unknown = (vectors[:, ~known] ** 2).sum(axis=1) > RANK
        covariance[unknown, :] = covariance[:, unknown] = np.nan
        return covariance


def why_not(model: Any) -> str | None:
    """Return why an estimator has no such coefficients, None where it has."""
    if type(model) is not LogisticRegression:
        return f"coefficients are those of a logistic regression, and this is {type(model).__name__}"
    if model.coef_.shape[0] != 1:
        return "the outcome has more than two values"
    if odd := refused(model):
        return f"standard errors are known for the usual penalty and solvers, and this has {', '.join(odd)}"
    return None


def describe(information: Information, columns: Iterable[Column]) -> dict[str, Any]:
    """Return the coefficients, each with standard error, 95 % interval and odds ratio (for one unit of the column).

    `per` says what one unit is: a standard deviation of a scaled number, being in a category. `difference` is that from
    the category `against`, the feature's most common one. A spline's columns are
    marked as not read alone, and have no odds ratio: partial dependence shows what the feature does.
    """
    model, covariance = information.model, information.covariance()
    errors = np.sqrt(covariance.diagonal())
    names = list(columns)
    rows = max(information.rows, 1)
    found = [
        _coefficient(column, float(value), float(error), sd)
        for column, value, error, sd in zip(
            names,
            information.slopes,
            errors,
            map(standard_deviation, information.squares / rows, information.sums / rows),
            strict=False,
        )
    ]
    for n, reference in _references(names, information.sums).items():
        variance = covariance[n, n] + covariance[reference, reference] - 2 * covariance[n, reference]
        difference = float(information.slopes[n] - information.slopes[reference])
        error = math.sqrt(max(0.0, variance)) if math.isfinite(variance) else math.nan
        found[n]["against"] = names[reference].of
        found[n]["difference"] = _with_ratio(_with_interval(difference, error))
    intercept = _with_interval(float(model.intercept_[0]), float(errors[-1])) if model.fit_intercept else None
    return {
        "coefficients": found,
        "intercept": intercept,
        "penalty": {"C": None if model.penalty is None else float(model.C)},
        "class_weight": model.class_weight if isinstance(model.class_weight, str) else model.class_weight and "given",
        "rows": information.rows,
        "note": NOTE,
    }


def _coefficient(column: Column, value: float, error: float, sd: float) -> dict[str, Any]:
    alone = column.kind != "spline"
    scaled = column.scale != 1.0 or column.mean != 0.0
    per = {
        "category": "being so",
        "bin": "being so",
        "missing": "one standard deviation of being so" if scaled else "being so",
        "number": f"one standard deviation, {column.scale:.6g}" if scaled else "one unit",
        "encoded": "one unit of the rate",
        "spline": "not read alone: see the partial dependence",
    }[column.kind]
    about = {"name": column.label, "feature": column.feature, "kind": column.kind, "read_alone": alone, "per": per}
    about |= _with_ratio(_with_interval(value, error), alone)
    return about | {"column_sd": sd}


def _references(columns: list[Column], counts: Floats) -> dict[int, int]:
    """Return for each category's column that of its feature's most common category, but for that one itself."""
    of_feature: dict[str, list[int]] = {}
    for n, column in enumerate(columns):
        if column.kind == "category":
            of_feature.setdefault(column.feature, []).append(n)
    most = {name: max(places, key=lambda n: counts[n]) for name, places in of_feature.items()}
    return {n: most[name] for name, places in of_feature.items() for n in places if n != most[name]}


def _with_ratio(about: dict[str, float | None], alone: bool = True) -> dict[str, float | None]:
    ratios = {"odds_ratio": "value", "odds_low": "low", "odds_high": "high"}
    return about | {name: _exp(about[key]) if alone else None for name, key in ratios.items()}


def _with_interval(value: float, error: float) -> dict[str, float | None]:
    if not math.isfinite(error):
        return {"value": value, "standard_error": None, "low": None, "high": None}
    return {"value": value, "standard_error": error, "low": value - Z * error, "high": value + Z * error}


def _exp(value: Any) -> float | None:
    return None if value is None or abs(value) > LARGEST_LOG else math.exp(value)
