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
from scripts.analysis.intervals import Floats, Z
from scripts.streaming.logistic import class_weights, refused

LARGEST_LOG = 700.0  # exp of more is no number
RANK = 1e-10  # share of the largest curvature below which a direction counts as unknown

NOTE = (
    "Standard errors come from the observed information of the penalised likelihood on the train rows. The penalty "
    "draws coefficients towards 0, so that the intervals are of the shrunken values."
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

    def standard_errors(self) -> Floats:
        """Return the standard errors of slopes and intercept (shape (columns + 1,)), NaN where nothing is known."""
        whole = self.hessian.copy()
        penalty = 0.0 if self.model.penalty is None else 1.0 / self.model.C
        slopes = np.arange(len(self.slopes))
        whole[slopes, slopes] += penalty
        values, vectors = scipy.linalg.eigh(whole)
        known = values > RANK * max(values[-1], np.finfo(float).tiny)
        variance = (vectors[:, known] ** 2 / values[known]).sum(axis=1)
        unknown = (vectors[:, ~known] ** 2).sum(axis=1) > RANK
        return np.where(unknown, np.nan, np.sqrt(variance))


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

    `per` says what one unit is: a standard deviation of a scaled number, being in a category. A spline's columns are
    marked as not read alone, and have no odds ratio: partial dependence shows what the feature does.
    """
    model, errors = information.model, information.standard_errors()
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
    about |= _with_interval(value, error)
    ratios = {"odds_ratio": "value", "odds_low": "low", "odds_high": "high"}
    about |= {name: _exp(about[key]) if alone else None for name, key in ratios.items()}
    return about | {"column_sd": sd}


def _with_interval(value: float, error: float) -> dict[str, float | None]:
    if not math.isfinite(error):
        return {"value": value, "standard_error": None, "low": None, "high": None}
    return {"value": value, "standard_error": error, "low": value - Z * error, "high": value + Z * error}


def _exp(value: Any) -> float | None:
    return None if value is None or abs(value) > LARGEST_LOG else math.exp(value)
