"""A scorecard: points for each range of an attribute, whose sum is the model (Siddiqi 2006, Credit Risk Scorecards).

Numbers are cut into bins of rising or falling default rate, categories are bins as they are, missing is a bin of its
own. Each bin is known by its weight of evidence, ln(share of the goods / share of the bads), a logistic regression
weighs the attributes, and weights times evidence are points. Points are rounded to whole numbers, and scores come from
the rounded ones: what is printed is the model, not its picture.
"""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

UNKNOWN = -1  # the code of a category that training never saw
SMOOTHING = 0.5  # added to a bin's goods and bads, so that a bin without one of them has a weight of evidence
MISSING, OTHER = "(missing)", "(other)"


@dataclass(frozen=True)
class Attribute:
    """The bins of one column.

    The last bin is that of missing values, the last but one of a categorical column that of rare and unseen categories.

    Attributes
    ----------
    edges
        Shape (numeric bins - 1,): where a new bin begins; of a categorical column the known codes, rising.
    places
        Shape (codes,): the bin of each code; None for numbers.
    goods, bads
        Shape (bins,): rows of either outcome.
    woe
        Shape (bins,): weight of evidence, positive where the bin's default rate is below the average.
    iv
        Information value: the sum over bins of (share of the goods - share of the bads) × weight of evidence.
    """

    edges: Floats
    places: Integers | None
    goods: Floats
    bads: Floats
    woe: Floats
    iv: float

    def bins(self, values: Floats) -> Integers:
        """Return the bin of each value (shape (rows,))."""
        missing = len(self.woe) - 1
        if self.places is None:
            found = np.searchsorted(self.edges, values, side="right")
        elif len(self.edges):
            at = np.minimum(np.searchsorted(self.edges, values), len(self.edges) - 1)
            found = np.where(self.edges[at] == values, self.places[at], missing - 1)
        else:
            found = np.full(len(values), missing - 1)
        return np.asarray(np.where(np.isnan(values), missing, found), np.int64)


class Scorecard(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scorecard of points, for the Pipeline's matrix of raw numbers and codes of categories.

    Parameters
    ----------
    categorical_features
        Columns of the matrix that hold codes of categories; the Pipeline sets it.
    max_bins
        Bins of an attribute at most, beside missing and other.
    prebins
        Quantiles that numbers are cut at first; bins are these, taken together.
    min_share
        Share of all rows that a bin has at least.
    min_events
        Defaults, and also others, that a bin has at least. A bin of missing, rare or unseen values may have fewer; with
        less than ten times as many rows it says nothing: its weight of evidence is 0.
    min_iv
        Information value that an attribute has at least, else it is left out (0.02: Siddiqi's mark of the
        unpredictive).
    pdo, base_points, base_odds
        So many points more double the odds of repayment; so many points are odds of `base_odds` to 1.
    round_points
        Whole points; a score is the sum of the rounded ones.
    """

    NEEDS_RAW_COLUMNS = True  # it bins them itself
    UNKNOWN_CATEGORY = UNKNOWN

    def __init__(
        self,
        categorical_features: list[int] | None = None,
        max_bins: int = 8,
        prebins: int = 20,
        min_share: float = 0.05,
        min_events: int = 5,
        min_iv: float = 0.02,
        pdo: float = 20.0,
        base_points: float = 600.0,
        base_odds: float = 50.0,
        round_points: bool = True,
    ) -> None:
        self.categorical_features = categorical_features
        self.max_bins = max_bins
        self.prebins = prebins
        self.min_share = min_share
        self.min_events = min_events
        self.min_iv = min_iv
        self.pdo = pdo
        self.base_points = base_points
        self.base_odds = base_odds
        self.round_points = round_points

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: missing values are taken, two classes only."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on a matrix (rows, columns) and outcomes (rows,), of which the greater class is default.

        Attributes that would take points for less risk, against their own bins, are left out one after the other: their
        weight has the wrong sign beside the others', and nobody could explain it to an applicant.

        Raises
        ------
        ValueError
            Where the outcomes aren't of two classes, or a parameter is impossible.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=2)
        check_classification_targets(y)
        self._check()
        self.classes_, outcome = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is of {len(self.classes_)} classes."
            )
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        coded = set(self.categorical_features or ())
        limits = _Limits(self.max_bins, self.prebins, self.min_share * len(y), self.min_events)
        make = {True: _categories, False: _numbers}
        self.attributes_ = [make[at in coded](X[:, at], outcome, limits) for at in range(X.shape[1])]
        self.left_out_ = {}
        for at, attribute in enumerate(self.attributes_):
            if attribute.iv < self.min_iv:
                self.left_out_[at] = f"information value below {self.min_iv:g}"
            elif np.ptp(attribute.woe[attribute.goods + attribute.bads > 0]) == 0:
                self.left_out_[at] = "one bin alone"
        self.coef_, self.intercept_ = self._weigh(X, outcome)
        self._set_points()
        return self

    def _check(self) -> None:
        for name, least in (("max_bins", 2), ("prebins", 2), ("min_events", 1), ("min_iv", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)!r}")
        for name in ("pdo", "base_odds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if not 0 <= self.min_share < 0.5:
            raise ValueError(f"min_share must be from 0 to below 0.5, not {self.min_share!r}")

    def _weigh(self, X: Floats, outcome: Integers) -> tuple[Floats, float]:
        """Return the weight of each column (0 where left out) and the constant, of the log-odds of repayment."""
        weights = np.zeros(X.shape[1])
        kept = [at for at in range(X.shape[1]) if at not in self.left_out_]
        evidence = np.column_stack([np.empty((len(X), 0)), *(self._evidence(X, at) for at in kept)])
        good = 1 - outcome
        while kept:
            model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200)
            model.fit(evidence, good)
            worst = int(np.argmin(model.coef_[0]))
            if model.coef_[0, worst] > 0:
                weights[kept] = model.coef_[0]
                return weights, float(model.intercept_[0])
            self.left_out_[kept.pop(worst)] = "the wrong sign beside the other attributes"
            evidence = np.delete(evidence, worst, axis=1)
        warnings.warn("no attribute tells defaults from others: all rows get one score", stacklevel=3)
        return weights, float(np.log(good.sum() / outcome.sum()))

    def _evidence(self, X: Floats, at: int) -> Floats:
        attribute = self.attributes_[at]
        return attribute.woe[attribute.bins(X[:, at])]

    def _set_points(self) -> None:
        """Spread constant and base evenly over the attributes, as printed scorecards do."""
        self.factor_ = float(self.pdo / np.log(2))
        self.offset_ = float(self.base_points - self.factor_ * np.log(self.base_odds))
        count = sum(weight != 0 for weight in self.coef_)
        base = self.offset_ + self.factor_ * self.intercept_
        self.points_ = []
        for weight, attribute in zip(self.coef_, self.attributes_, strict=True):
            points = np.zeros(len(attribute.woe))
            if weight:
                points = self.factor_ * weight * attribute.woe + base / count
            self.points_.append(np.round(points) if self.round_points else points)
        self.constant_ = 0.0 if count else float(np.round(base) if self.round_points else base)
        # The mean points of the train rows, by column: against these, contributions are told.
        self.mean_points_ = np.array(
            [
                float((points * (a.goods + a.bads)).sum() / (a.goods + a.bads).sum())
                for points, a in zip(self.points_, self.attributes_, strict=True)
            ]
        )

    def points(self, X: Any) -> Floats:
        """Return the points of each row and column (shape (rows, columns)); 0 for a column that is left out."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite=False)
        points = np.zeros(X.shape)
        for at, (weight, attribute) in enumerate(zip(self.coef_, self.attributes_, strict=True)):
            if weight:
                points[:, at] = self.points_[at][attribute.bins(X[:, at])]
        return points

    def score_points(self, X: Any) -> Floats:
        """Return the points of each row (shape (rows,)): the more, the better."""
        points = self.points(X)
        total = np.full(len(points), self.constant_)
        for column in points.T:  # in a fixed order, so that a row's sum doesn't depend on the rows beside it
            total += column
        return total

    def contributions(self, X: Any, reference: Floats | None = None) -> tuple[Floats, float]:
        """Return what each column adds to the log-odds of default, and the base to which it is added.

        Parameters
        ----------
        X
            Matrix (rows, columns).
        reference
            Shape (columns,): the points of what rows are compared with; the mean of the train rows, if not given.

        Returns
        -------
        contributions
            Shape (rows, columns); positive where the row has fewer points than the reference. With the base, they sum
            to the log-odds of `predict_proba`.
        base
            Log-odds of the reference.
        """
        points = self.points(X)
        of = self.mean_points_ if reference is None else np.asarray(reference, np.float64)
        base = (self.offset_ - self.constant_ - float(of.sum())) / self.factor_
        return np.asarray((of - points) / self.factor_), base

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, shape (rows, 2), from the points."""
        check_is_fitted(self)
        default = expit((self.offset_ - self.score_points(X)) / self.factor_)
        return np.column_stack([1 - default, default])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likelier class of each row."""
        risky = self.predict_proba(X)[:, 1] > 0.5
        return np.asarray(self.classes_[risky.astype(int)])

    def points_table(
        self, names: Sequence[str] | None = None, categories: dict[int, list[str]] | None = None
    ) -> list[dict[str, Any]]:
        """Return the printed form: a row a bin, attributes of the highest information value first.

        Parameters
        ----------
        names
            Of the columns.
        categories
            By categorical column: what its codes 0, 1, … mean.

        Returns
        -------
        list of dict
            attribute, bin, rows, defaults, default_rate, woe, points, iv (of the attribute). Defaults and rate are
            null where a bin's rows are too few to tell, and to print (see `min_events`).
        """
        check_is_fitted(self)
        limits = _Limits(self.max_bins, self.prebins, 0.0, self.min_events)
        called = list(names) if names is not None else [f"x{at}" for at in range(len(self.attributes_))]
        kept = [at for at, weight in enumerate(self.coef_) if weight]
        rows = []
        for at in sorted(kept, key=lambda at: (-self.attributes_[at].iv, called[at])):
            attribute, texts = self.attributes_[at], (categories or {}).get(at)
            told = limits.telling(attribute.goods, attribute.bads)
            for place, label in enumerate(_labels(attribute, texts)):
                good, bad, points = attribute.goods[place], attribute.bads[place], self.points_[at][place]
                rows.append(
                    {
                        "attribute": called[at],
                        "bin": label,
                        "rows": int(good + bad),
                        "defaults": int(bad) if told[place] else None,
                        "default_rate": float(bad / (good + bad)) if told[place] else None,
                        "woe": float(attribute.woe[place]),
                        "points": int(points) if self.round_points else float(points),
                        "iv": attribute.iv,
                    }
                )
        return rows

    def card(self, columns: ColumnTransformer) -> dict[str, Any]:
        """Return what a model's card says of a scorecard: its table, its scale, and what it leaves out.

        Parameters
        ----------
        columns
            The fitted transformer that stands before it in the Pipeline.
        """
        names = [name.partition("__")[2] for name in columns.get_feature_names_out()]
        categories = {}
        if self.categorical_features:
            encoder = columns.named_transformers_["categorical"]
            categories = {at: _texts(encoder, at) for at in self.categorical_features}
        return {
            "scorecard": self.points_table(names, categories),
            "scorecard_scale": {
                "pdo": self.pdo,
                "base_points": self.base_points,
                "base_odds": self.base_odds,
                "factor": self.factor_,
                "offset": self.offset_,
                "constant": self.constant_,
                "left_out": {
                    names[at]: {"iv": self.attributes_[at].iv, "why": why} for at, why in sorted(self.left_out_.items())
                },
            },
        }


# --- bins -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Limits:
    """What a bin must have: `rows` in all, `events` of either outcome; and how many there may be."""

    most: int
    prebins: int
    rows: float
    events: int

    def met(self, goods: Floats, bads: Floats) -> npt.NDArray[np.bool_]:
        """Return which bins meet the limits (shape (bins,))."""
        return np.asarray((goods + bads >= self.rows) & (np.minimum(goods, bads) >= self.events))

    def telling(self, goods: Floats, bads: Floats) -> npt.NDArray[np.bool_]:
        """Return which bins have enough rows to say something, and to be printed."""
        return np.asarray((np.minimum(goods, bads) >= self.events) | (goods + bads >= 10 * self.events))


def _numbers(values: Floats, outcome: Integers, limits: _Limits) -> Attribute:
    missing = np.isnan(values)
    there, bad = values[~missing], outcome[~missing]
    edges = _quantiles(there, limits.prebins)
    at = np.searchsorted(edges, there, side="right")
    goods, bads = _counts(at, bad, len(edges) + 1)
    starts = _taken_together(goods, bads, _monotone(goods, bads), limits)
    goods, bads = np.add.reduceat(goods, starts), np.add.reduceat(bads, starts)
    return _attribute(edges[starts[1:] - 1], None, goods, bads, outcome[missing], outcome, limits)


def _categories(values: Floats, outcome: Integers, limits: _Limits) -> Attribute:
    missing = np.isnan(values)
    codes, at = np.unique(values[~missing], return_inverse=True)
    goods, bads = _counts(at, outcome[~missing], len(codes))
    own = np.flatnonzero(limits.met(goods, bads) & (codes != UNKNOWN))
    rates = bads[own] / (goods[own] + bads[own])
    own = own[np.argsort(rates, kind="stable")]
    starts = np.arange(len(own))
    if len(own):
        starts = _taken_together(goods[own], bads[own], starts, limits)
    other = len(starts)
    places = np.full(len(codes), other)
    places[own] = np.searchsorted(starts, np.arange(len(own)), side="right") - 1
    goods = np.bincount(places, weights=goods, minlength=other + 1).astype(np.float64)
    bads = np.bincount(places, weights=bads, minlength=other + 1).astype(np.float64)
    return _attribute(codes, places, goods, bads, outcome[missing], outcome, limits)


def _attribute(
    edges: Floats,
    places: Integers | None,
    goods: Floats,
    bads: Floats,
    missing: Integers,
    outcome: Integers,
    limits: _Limits,
) -> Attribute:
    """Return an attribute, given its bins but that of the missing, and the outcomes of these and of all rows."""
    goods = np.append(goods, float(len(missing) - missing.sum()))
    bads = np.append(bads, float(missing.sum()))
    all_bads = outcome.sum()
    all_goods = len(outcome) - all_bads
    woe = np.log(((goods + SMOOTHING) / all_goods) / ((bads + SMOOTHING) / all_bads))
    woe[~limits.telling(goods, bads)] = 0.0
    return Attribute(edges, places, goods, bads, woe, float(((goods / all_goods - bads / all_bads) * woe).sum()))


def _quantiles(values: Floats, count: int) -> Floats:
    """Return where pre-bins begin: quantiles, rounded to a thousandth of the column's usual range, each once.

    Rounded edges are what people can read, and no applicant's own number.
    """
    if not len(values):
        return np.empty(0)
    edges = np.quantile(values, np.arange(1, count) / count, method="inverted_cdf")
    edges = edges[np.isfinite(edges)]
    usual = edges[-1] - edges[0] if len(edges) else 0.0
    if usual > 0:
        edges = np.array([round(edge, 3 - int(np.floor(np.log10(usual)))) for edge in edges.tolist()])
    edges = np.unique(edges)
    return np.asarray(edges[(edges > values.min()) & (edges <= values.max())])


def _counts(at: Integers, bad: Integers, bins: int) -> tuple[Floats, Floats]:
    rows = np.bincount(at, minlength=bins).astype(np.float64)
    bads = np.bincount(at, weights=bad, minlength=bins).astype(np.float64)
    return rows - bads, bads


def _monotone(goods: Floats, bads: Floats) -> Integers:
    """Return where bins of rising, or of falling, default rate begin: whichever fits better, rising if equally well.

    Pool adjacent violators gives the best such bins at once (Barlow et al. 1972), by isotonic regression.
    """
    rows = goods + bads
    there = np.flatnonzero(rows)
    if not len(there):
        return np.zeros(1, np.int64)
    rates, weights = bads[there] / rows[there], rows[there]
    fits = []
    for rising in (True, False):
        fitted = IsotonicRegression(increasing=rising).fit_transform(there, rates, sample_weight=weights)
        fits.append((float((weights * (rates - fitted) ** 2).sum()), fitted))
    fitted = min(fits, key=lambda fit: fit[0])[1]
    first = np.append(True, np.diff(fitted) != 0)
    starts = there[first]
    starts[0] = 0  # an empty bin joins the one before it
    return np.asarray(starts, np.int64)


def _taken_together(goods: Floats, bads: Floats, starts: Integers, limits: _Limits) -> Integers:
    """Return where bins begin once each meets the limits: the poorest joins the neighbour of the nearer default rate.

    Then, while there are too many, the two neighbours whose union loses least likelihood.
    """
    goods, bads, starts = np.add.reduceat(goods, starts), np.add.reduceat(bads, starts), starts.copy()
    while len(starts) > 1:
        met = limits.met(goods, bads)
        if not met.all():
            poor = np.flatnonzero(~met)
            at = int(poor[np.argmin((goods + bads)[poor])])
            left = _nearer(bads / (goods + bads), at)
        elif len(starts) > limits.most:
            left = int(np.argmin(_losses(goods, bads)))
        else:
            break
        goods[left] += goods[left + 1]
        bads[left] += bads[left + 1]
        goods, bads, starts = np.delete(goods, left + 1), np.delete(bads, left + 1), np.delete(starts, left + 1)
    return starts


def _nearer(rates: Floats, at: int) -> int:
    """Return the left one of the two bins to join: `at` and its neighbour of the nearer rate, the left if equal."""
    if at == 0 or at == len(rates) - 1:
        return max(at - 1, 0)
    return at - 1 if abs(rates[at] - rates[at - 1]) <= abs(rates[at] - rates[at + 1]) else at


def _losses(goods: Floats, bads: Floats) -> Floats:
    """Return the log-likelihood that each pair of neighbours loses by being one bin (shape (bins - 1,))."""

    def likelihood(good: Floats, bad: Floats) -> Floats:
        return np.asarray(good * np.log(good / (good + bad)) + bad * np.log(bad / (good + bad)))

    apart, joined = likelihood(goods, bads), likelihood(goods[:-1] + goods[1:], bads[:-1] + bads[1:])
    return np.asarray(apart[:-1] + apart[1:] - joined)


# --- the printed form -------------------------------------------------------------------------------------------------


def _labels(attribute: Attribute, texts: list[str] | None) -> list[str]:
    if attribute.places is None:
        ends = [f"{edge:.12g}" for edge in attribute.edges]
        if not ends:
            return ["(any)", MISSING]
        between = [f"{low} to below {high}" for low, high in itertools.pairwise(ends)]
        return [f"below {ends[0]}", *between, f"from {ends[-1]}", MISSING]
    named = [texts[int(code)] if texts else f"{code:g}" for code in attribute.edges]
    others = len(attribute.woe) - 2
    own = [
        ", ".join(sorted(name for name, place in zip(named, attribute.places, strict=True) if place == bin_))
        for bin_ in range(others)
    ]
    return [*own, OTHER, MISSING]


def _texts(encoder: Any, at: int) -> list[str]:
    """Return what the codes of a fitted OrdinalEncoder's column mean; the rarest may share the last one."""
    known = [str(text) for text in encoder.categories_[at] if isinstance(text, str)]
    rare = getattr(encoder, "infrequent_categories_", None)
    if rare is None or rare[at] is None:
        return known
    few = {str(text) for text in rare[at] if isinstance(text, str)}
    return [*(text for text in known if text not in few), OTHER]
