"""Logistic regression by Newton's method over blocks: scikit-learn's objective, minimised to its optimum.

C * sum_i s_i * log(1 + exp(-y_i (x_i w + b))) + w.w / 2, where s_i is the class's weight; the intercept b is not
penalised (scikit-learn's user guide, 1.1.11). Each pass adds up the objective, its gradient and its Hessian; a step
that does not lower the objective is halved. Sums run over the blocks in order, so that the result depends on the order
of the rows alone.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]
Pairs = Iterable[tuple[npt.NDArray[np.floating], npt.NDArray[np.int8]]]
Blocks = Callable[[], Iterator[tuple[npt.NDArray[np.floating], npt.NDArray[np.int8]]]]

# Newton's method squares a small error in each step: after a step of this size, relative to the largest weight, what is
# left is some 1e-5 of it, less than the lbfgs solver leaves.
LAST_STEP = 3e-3
HALVINGS = 30
WARM_ROWS = 500_000  # from here on, a start from some of the rows saves passes over all of them
WARM_BLOCKS, WARM_PASSES = 8, 20
RANK = 1e-12  # directions with less curvature than this share of the largest are left as they are

# What can't be had by Newton's method, and the values that ask for none of it.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "penalty": ("deprecated", "l2", None),
    "l1_ratio": (0, 0.0, None),
    "dual": (False,),
    "warm_start": (False,),
}
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")  # all minimise this objective


def refused(model: LogisticRegression) -> list[str]:
    """Return the parameters which no fit from blocks has, with their values."""
    found = [f"{key}: {getattr(model, key)}" for key, good in NEUTRAL.items() if getattr(model, key) not in good]
    return found if model.solver in SOLVERS else [*found, f"solver: {model.solver}"]


def fit_logistic(model: LogisticRegression, blocks: Blocks, class_counts: tuple[int, int]) -> None:
    """Fit in place; the attributes are those of scikit-learn's own fit.

    Parameters
    ----------
    model
        With parameters of which `refused` names none.
    blocks
        Gives features (rows, width) and target (rows,), 0 or 1, anew at each call.
    class_counts
        Rows with target 0 and 1.
    """
    problem = _Problem.of(model, class_counts)
    start = _start(problem, blocks, sum(class_counts))
    weights, passes, converged = _newton(problem, blocks, start, int(model.max_iter))
    if not converged:
        warnings.warn(f"no convergence in {passes} passes", ConvergenceWarning, stacklevel=2)
    logging.info("logistic regression: %d passes over all rows", passes)
    width = len(weights) - problem.intercept
    model.classes_ = np.array([0, 1], dtype=np.int8)
    model.n_features_in_ = width
    model.coef_ = weights[:width][None, :].copy()
    model.intercept_ = weights[width:].copy() if problem.intercept else np.zeros(1)
    model.n_iter_ = np.array([passes], dtype=np.int32)


def _start(problem: "_Problem", blocks: Blocks, rows: int) -> Floats:
    """Return where to start: the optimum of some blocks spread over all rows, or zero where there are few rows.

    Their penalty is their share of it, so that the optimum of all rows is near. Without any, some rows may be told
    apart without error, where no optimum exists; then the start is zero, too.
    """
    some: list[tuple[npt.NDArray[np.floating], npt.NDArray[np.int8]]] = []
    seen = kept = 0
    for features, target in blocks():
        zero = np.zeros(features.shape[1] + problem.intercept)
        if rows < WARM_ROWS or not problem.penalty:
            return zero
        if seen * WARM_BLOCKS >= rows * len(some):
            some.append((features, target))
            kept += len(target)
        seen += len(target)
    part = replace(problem, penalty=problem.penalty * kept / rows)
    weights, passes, _ = _newton(part, lambda: iter(some), zero, WARM_PASSES)
    logging.info("logistic regression: %d passes over %s rows to start from", passes, f"{kept:,}")
    return weights


@dataclass(frozen=True)
class _Problem:
    intercept: bool
    penalty: float  # of the sum of losses, that is 1 / C
    class_weights: Floats

    @classmethod
    def of(cls, model: LogisticRegression, counts: tuple[int, int]) -> "_Problem":
        """Return what scikit-learn's parameters ask for."""
        penalty = 0.0 if model.penalty is None else 1.0 / model.C
        return cls(bool(model.fit_intercept), penalty, class_weights(model.class_weight, counts))


def class_weights(option: Any, counts: tuple[int, int]) -> Floats:
    """Return the weights of classes 0 and 1, as scikit-learn computes them."""
    if option is None:
        return np.ones(2)
    if option == "balanced":
        return sum(counts) / (2 * np.array(counts, dtype=np.float64))
    return np.array([option.get(0, 1.0), option.get(1, 1.0)], dtype=np.float64)


@dataclass
class _Sums:
    """Objective, gradient and Hessian of the losses' sum at one point, the penalty included."""

    value: float
    gradient: Floats
    hessian: Floats


def _sums(problem: _Problem, blocks: Pairs, weights: Floats) -> _Sums:
    size = len(weights)
    width = size - problem.intercept
    slopes, intercept = weights[:width], weights[width:].sum()
    value, gradient, hessian = 0.0, np.zeros(size), np.zeros((size, size))
    scaled = np.empty((0, width))
    for features, target in blocks:
        scores = features @ slopes + intercept
        share = problem.class_weights[target]
        value += float((share * (np.logaddexp(0, scores) - target * scores)).sum())
        probability = expit(scores)
        residual = share * (probability - target)
        curvature = share * probability * (1 - probability)
        gradient[:width] += residual @ features
        if len(scaled) < len(features):
            scaled = np.empty(features.shape)
        root = np.multiply(features, np.sqrt(curvature)[:, None], out=scaled[: len(features)])
        hessian[:width, :width] += root.T @ root
        if problem.intercept:
            gradient[width] += residual.sum()
            hessian[width, width] += curvature.sum()
            hessian[:width, width] += curvature @ features
    hessian[width:, :width] = hessian[:width, width:].T
    penalised = np.arange(width)
    value += problem.penalty / 2 * float(slopes @ slopes)
    gradient[:width] += problem.penalty * slopes
    hessian[penalised, penalised] += problem.penalty
    return _Sums(value, gradient, hessian)


def _newton(problem: _Problem, blocks: Blocks, weights: Floats, most: int) -> tuple[Floats, int, bool]:
    """Return the optimum, the number of passes, and whether it was reached within `most` passes."""
    at = _sums(problem, blocks(), weights)
    for passes in range(1, most + 1):
        step = _solve(at.hessian, at.gradient)
        if np.abs(step).max() <= LAST_STEP * (1 + np.abs(weights).max()):
            return weights - step, passes, True
        if passes == most:
            break
        for _ in range(HALVINGS):
            there = _sums(problem, blocks(), weights - step)
            if there.value <= at.value:
                break
            step = step / 2
        else:
            return weights, passes, True  # no lower point: rounding is all that is left
        weights, at = weights - step, there
    return weights, most, False


def _solve(hessian: Floats, gradient: Floats) -> Floats:
    """Return the step; where the Hessian is singular, the shortest one."""
    try:
        return np.asarray(scipy.linalg.solve(hessian, gradient, assume_a="pos"))
    except (scipy.linalg.LinAlgError, scipy.linalg.LinAlgWarning):
        values, vectors = scipy.linalg.eigh(hessian)
        inverse = np.where(values > RANK * values[-1], 1 / np.maximum(values, 1e-300), 0)
        return np.asarray(vectors @ (inverse * (vectors.T @ gradient)))
