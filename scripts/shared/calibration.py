"""Maps from a model's scores to observed default rates: fitted on scores of rows that the model did not see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from scripts.shared.calibrated import apply_map, log_odds
from scripts.shared.errors import UserError

Floats = npt.NDArray[np.float64]
Target = npt.NDArray[np.int8]
Map = dict[str, Any]

NONE: Map = {"method": "none"}
DIGITS = 9  # of slope and intercept: the last ones would depend on the number of threads
MOST_POINTS = 500_000  # of more different scores, neighbours are taken together: the map is a curve of few degrees
ECE_BINS = 10
CHOSEN_BY = "log loss of held-out train rows, each mapped by a map that was fitted on the other folds"


@dataclass(frozen=True)
class Calibration:
    """What calibrating a model gave.

    Attributes
    ----------
    mapping
        Fitted on all held-out scores; what `apply_map` applies.
    nested
        Shape (rows,): the held-out scores, each mapped by a map of the same method that was fitted on the other folds.
    about
        For the card: `method`, `asked`, `chosen_by`, `rows`, `log_loss` by method (null where it can't be fitted),
        `brier` and `ece` before and after, and the `map`.
    """

    mapping: Map
    nested: Floats
    about: dict[str, Any]


def calibrate(name: str, asked: str, target: Target, held_out: Floats, fold: npt.NDArray[np.int64]) -> Calibration:
    """Fit the map that the config asks for, or the best.

    Parameters
    ----------
    name
        The model's name in the config, for messages.
    asked
        ``none``, ``sigmoid``, ``isotonic``, or ``auto``: of these three the one whose log loss is lowest. Each fold is
        mapped by a map that was fitted on the scores of the others, so that no map is judged on rows that shaped it;
        of equal losses, the simpler map wins.
    target
        Shape (rows,), 1 for default.
    held_out
        Shape (rows,): the score of each row by a model that was fitted on the other folds.
    fold
        Shape (rows,), from 0; any two folds have both outcomes.

    Raises
    ------
    UserError
        Where a sigmoid is asked for and would turn the ranking around.
    """
    nested = {method: _nested(fit, target, held_out, fold) for method, fit in FITS.items()}
    losses = {
        method: None if scores is None else float(log_loss(target, scores, labels=[0, 1]))
        for method, scores in nested.items()
    }
    possible = {method: loss for method, loss in losses.items() if loss is not None}
    method = min(possible, key=possible.__getitem__) if asked == "auto" else asked
    mapping, mapped = FITS[method](target, held_out), nested[method]
    if mapping is None or mapped is None:
        raise UserError(
            f"models.{name}.calibration: held-out rows of higher scores default no more often than others, so a "
            "sigmoid would turn the ranking around; set calibration: none, and look at what the model learns from"
        )
    return Calibration(
        mapping,
        mapped,
        {
            "method": method,
            "asked": asked,
            "chosen_by": CHOSEN_BY if asked == "auto" else "the config",
            "rows": len(target),
            "log_loss": losses,
            "brier": _before_and_after(brier_score_loss, target, held_out, mapped),
            "ece": _before_and_after(expected_calibration_error, target, held_out, mapped),
            "map": mapping,
        },
    )


def _before_and_after(measure: Callable[..., float], target: Target, before: Floats, after: Floats) -> dict[str, float]:
    return {"before": float(measure(target, before)), "after": float(measure(target, after))}


def _nested(
    fit: "Callable[[Target, Floats], Map | None]", target: Target, held_out: Floats, fold: npt.NDArray[np.int64]
) -> Floats | None:
    mapped = np.empty(len(target))
    for k in np.unique(fold):
        inside = fold == k
        mapping = fit(target[~inside], held_out[~inside])
        if mapping is None:
            return None
        mapped[inside] = apply_map(mapping, held_out[inside])
    return mapped


def fit_sigmoid(target: Target, scores: Floats) -> Map | None:
    """Return the unpenalised logistic regression of the outcome on the scores' log-odds; None where it falls.

    Platt 1999, Probabilistic outputs for support vector machines. Without his correction of the targets, which is for
    scores of rows that shaped the model.
    """
    if scores.min() == scores.max():
        return None
    values, rates, weights = _points(target, scores)
    odds = log_odds(values)
    features, outcomes = np.concatenate([odds, odds])[:, None], np.repeat([1, 0], len(odds))
    counts = np.concatenate([weights * rates, weights * (1 - rates)])
    used = counts > 0
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
    model.fit(features[used], outcomes[used], sample_weight=counts[used])
    slope, intercept = (float(f"{number:.{DIGITS}g}") for number in (model.coef_[0, 0], model.intercept_[0]))
    return {"method": "sigmoid", "slope": slope, "intercept": intercept} if slope > 0 else None


def fit_isotonic(target: Target, scores: Floats) -> Map:
    """Return the rising curve that fits the outcomes best (Zadrozny and Elkan 2002, doi:10.1145/775047.775151).

    No rate is nearer to 0 or 1 than 1 / (rows + 2), Laplace's rate of an outcome that was never seen in so many rows:
    no number of rows proves that something never happens, and a rate of 0 would cost an endless log loss where it does.
    """
    values, rates, weights = _points(target, scores)
    least = 1 / (len(target) + 2)
    curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    curve.fit(values, rates, sample_weight=weights)
    return {"method": "isotonic", "scores": curve.X_thresholds_.tolist(), "rates": curve.y_thresholds_.tolist()}


FITS: Mapping[str, Callable[[Target, Floats], Map | None]] = {  # the simplest first
    "none": lambda target, scores: NONE,
    "sigmoid": fit_sigmoid,
    "isotonic": fit_isotonic,
}


def _points(target: Target, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the different scores in rising order, and the default rate and the number of rows of each.

    So the order of rows has no say in what is fitted, to the last digit.
    """
    values, inverse = np.unique(scores, return_inverse=True)
    rows = np.bincount(inverse, minlength=len(values)).astype(np.float64)
    defaults = np.bincount(inverse, weights=target, minlength=len(values))
    if len(values) > MOST_POINTS:
        starts = np.linspace(0, len(values), MOST_POINTS, endpoint=False).astype(np.int64)
        sums = np.add.reduceat(values * rows, starts)
        rows, defaults = np.add.reduceat(rows, starts), np.add.reduceat(defaults, starts)
        values = sums / rows
    return values, defaults / rows, rows


def expected_calibration_error(target: Target, scores: Floats, bins: int = ECE_BINS) -> float:
    """Return the mean distance of score and default rate over groups of equal size, weighted by their rows.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602, with quantiles in place of equal widths, since most scores are low.
    Rows of one score stay in one group.
    """
    values, rates, rows = _points(target, scores)
    group = np.minimum(((np.cumsum(rows) - rows / 2) / rows.sum() * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(group, weights=(values - rates) * rows, minlength=bins)
    return float(np.abs(gaps).sum() / rows.sum())
