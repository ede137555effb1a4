"""Scores of clean rows, fast: the fitted Pipeline is taken apart once, so that no row passes through it text by text.

What a Pipeline makes of a category depends on that category alone. So its encoder is asked once: for each category that
it knows, for a missing one and for an unknown one; rows then gather the answers. A logistic regression goes further:
what a number adds to its score depends on that number alone, and is a polynomial between the knots of a spline, a
constant within a bin, or a line. So a score is a sum over the columns.

A score depends on its row alone, to the last bit, however rows are cut into blocks; a matrix product by BLAS does not
promise that. What is not known here is scored by the Pipeline itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.interpolate import BSpline
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from scripts.shared.arrays import to_numbers
from scripts.shared.calibrated import Calibrated, apply_map, uncalibrated
from scripts.shared.membership import to_frame
from scripts.shared.models import predict_default

Floats = npt.NDArray[np.float64]

BLOCK_ROWS = 32_768  # what is computed on the way stays near the processor, and calls cost little a row


class Scorer(Protocol):
    """Scores clean rows."""

    def score(self, table: pa.Table) -> Floats:
        """Return the probability of default of each row (shape (rows,))."""


def fast_scorer(pipeline: Pipeline, numeric: Sequence[str], categorical: Sequence[str]) -> Scorer:
    """Return the fastest scorer of a fitted Pipeline that is known here.

    Parameters
    ----------
    pipeline
        As `build_pipeline` makes it, fitted to a frame of `to_frame`; another one is scored by itself.
    numeric, categorical
        Its feature columns, in the order of fitting.

    Returns
    -------
    Scorer
        For trees and other estimators, scores equal those of `pipeline.predict_proba`. For a logistic regression they
        differ in the last digits (1e-12 of the value), since the same terms are summed in another order.
    """
    model = pipeline.steps[-1][1] if getattr(pipeline, "steps", None) else None
    if isinstance(model, Calibrated):
        return _Mapped(fast_scorer(uncalibrated(pipeline), numeric, categorical), model.mapping)
    parts = _take_apart(pipeline, categorical)
    if parts is None:
        return _Whole(pipeline, numeric, categorical)
    transformers, categories, model = parts
    if type(model) is LogisticRegression and model.coef_.shape[0] == 1:
        additive = _additive(transformers, categories, model, numeric)
        if additive is not None:
            return _Additive(pipeline, numeric, categorical, additive)
    return _Matrix(pipeline, numeric, categorical, transformers, categories)


def terms_of(scorer: Scorer) -> tuple[float, Callable[[pa.Table], Iterator[tuple[str, Floats]]]] | None:
    """Return a logistic regression's constant and what each column adds to the log-odds, None of another scorer."""
    return (scorer.terms.constant, scorer.terms.each) if isinstance(scorer, _Additive) else None


def matrix_of(scorer: Scorer) -> Callable[[pa.Table], npt.NDArray[Any]] | None:
    """Return what makes the estimator's matrix (rows, columns) of clean rows, None where the scorer makes none."""
    return scorer.matrix if isinstance(scorer, _Matrix) else None


def _take_apart(
    pipeline: Pipeline, categorical: Sequence[str]
) -> tuple[dict[str, Any], "dict[str, _Categories]", Any] | None:
    """Return the fitted transformers in the order of their columns, the categories, and the estimator, if known."""
    steps: dict[str, Any] = dict(getattr(pipeline, "steps", []))
    if list(steps) != ["columns", "model"]:
        return None
    columns = steps["columns"]
    if type(columns) is not ColumnTransformer or columns.transformer_weights:
        return None
    fitted = {name: transformer for name, transformer, _ in columns.transformers_ if transformer != "drop"}
    if not set(fitted) <= {"numeric", "categorical"}:
        return None
    encoder = fitted.get("categorical")
    last = encoder[-1] if isinstance(encoder, Pipeline) else encoder
    if not isinstance(last, OneHotEncoder | OrdinalEncoder | None):
        return None
    categories = {}
    for place, name in enumerate(categorical):
        categories[name] = _Categories.ask(encoder, last, place, categorical)
    return fitted, categories, steps["model"]


@dataclass(frozen=True)
class _Categories:
    """What the fitted encoder makes of a column.

    Attributes
    ----------
    known
        Shape (k,): the texts that it knows.
    rows
        Shape (k + 2, width): the encoded columns of each of them, of an unknown text, and of a missing one.
    """

    known: pa.Array
    rows: Floats

    @classmethod
    def ask(cls, encoder: Any, last: Any, place: int, names: Sequence[str]) -> "_Categories":
        """Ask the fitted encoder, whose last step is `last`, for the column at `place` among `names`."""
        known = [text for text in last.categories_[place] if isinstance(text, str)]
        unknown = "?" * (1 + max(map(len, known), default=0))
        column = np.array([*known, unknown, np.nan], dtype=object)
        others = np.full(len(column), np.nan, dtype=object)
        encoded = encoder.transform(pd.DataFrame({name: others for name in names} | {names[place]: column}))
        if isinstance(last, OneHotEncoder):  # its names are 0_RENT, 0_OWN, …, 1_MEDICAL
            outputs = last.get_feature_names_out([str(n) for n in range(len(names))])
            width = [sum(o.startswith(f"{n}_") for o in outputs) for n in range(len(names))]
        else:
            width = [1] * len(names)
        start = sum(width[:place])
        return cls(pa.array(known, pa.string()), np.asarray(encoded[:, start : start + width[place]], np.float64))

    def places(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Return the place in `rows` of each value (shape (rows,))."""
        array = column.combine_chunks()
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        unknown, missing = len(self.known), len(self.known) + 1
        found = pc.index_in(encoded.dictionary, value_set=self.known).fill_null(unknown).to_numpy()
        found = np.append(found.astype(np.int64), missing)
        return np.asarray(found[encoded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)])


class _Whole:
    """The Pipeline itself."""

    def __init__(self, pipeline: Pipeline, numeric: Sequence[str], categorical: Sequence[str]) -> None:
        self.pipeline = pipeline
        self.numeric = numeric
        self.categorical = categorical

    def score(self, table: pa.Table) -> Floats:
        """Return the probability of default of each row (shape (rows,))."""
        return predict_default(self.pipeline, to_frame(table, self.numeric, self.categorical))


class _Mapped:
    """A scorer, and the map that calibrates its scores."""

    def __init__(self, scorer: Scorer, mapping: Mapping[str, Any]) -> None:
        self.scorer = scorer
        self.mapping = mapping

    def score(self, table: pa.Table) -> Floats:
        """Return the probability of default of each row (shape (rows,))."""
        return apply_map(self.mapping, self.scorer.score(table))


class _InBlocks(_Whole):
    """Scores a block of rows after the other."""

    def score(self, table: pa.Table) -> Floats:
        """Return the probability of default of each row (shape (rows,))."""
        scores = np.empty(table.num_rows)
        for start in range(0, table.num_rows, BLOCK_ROWS):
            block = table.slice(start, BLOCK_ROWS)
            scores[start : start + BLOCK_ROWS] = self._block(block)
        return scores

    def _block(self, table: pa.Table) -> Floats:
        raise NotImplementedError


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Return a float64 column as NumPy's (shape (rows,)), NaN where missing."""
    return np.asarray(to_numbers(column), np.float64)


# --- any estimator: the matrix that the Pipeline would give it ----------------------------------------------------


class _Matrix(_InBlocks):
    """The estimator, given the same matrix as the Pipeline gives it."""

    def __init__(
        self,
        pipeline: Pipeline,
        numeric: Sequence[str],
        categorical: Sequence[str],
        transformers: dict[str, Any],
        categories: dict[str, _Categories],
    ) -> None:
        super().__init__(pipeline, numeric, categorical)
        self.model = pipeline.steps[-1][1]
        self.transformers = transformers
        self.positive = list(self.model.classes_).index(1)
        # A tree compares numbers of single precision; given them at once, it need not convert a matrix.
        self.dtype = np.float32 if type(self.model) is DecisionTreeClassifier else np.float64
        self.categories = {name: (c, c.rows.astype(self.dtype)) for name, c in categories.items()}
        step = _only_step(transformers.get("numeric"))
        imputer = step if _is_imputer(step) else None
        passed_on = type(step) is FunctionTransformer and step.func is None  # what "passthrough" becomes
        self.plain = passed_on or imputer is not None
        self.medians = {} if imputer is None else dict(zip(numeric, imputer.statistics_, strict=True))
        self.indicated = [] if imputer is None else [numeric[n] for n in _indicated(imputer)]

    def _block(self, table: pa.Table) -> Floats:
        return np.asarray(self.model.predict_proba(self.matrix(table))[:, self.positive], np.float64)

    def matrix(self, table: pa.Table) -> npt.NDArray[Any]:
        """Return what the Pipeline would give the estimator (shape (rows, columns))."""
        blocks = []
        for kind in self.transformers:
            blocks += self._numeric(table) if kind == "numeric" else self._categorical(table)
        # Filled column by column; a tree takes it as it lies, others get rows as the Pipeline gives them.
        order: Literal["F", "C"] = "F" if self.dtype is np.float32 else "C"
        matrix = np.empty((table.num_rows, sum(block.shape[1] for block in blocks)), self.dtype, order)
        at = 0
        with np.errstate(over="ignore"):  # a number beyond single precision becomes infinite: the tree refuses it
            for block in blocks:
                matrix[:, at : at + block.shape[1]] = block
                at += block.shape[1]
        return matrix

    def _numeric(self, table: pa.Table) -> list[npt.NDArray[Any]]:
        columns = {name: _numbers(table.column(name)) for name in self.numeric}
        if not self.plain:
            return [np.asarray(self.transformers["numeric"].transform(pd.DataFrame(columns)))]
        missing = [np.isnan(columns[name])[:, None] for name in self.indicated]
        if self.medians:
            columns = {name: np.where(np.isnan(x), self.medians[name], x) for name, x in columns.items()}
        return [x[:, None] for x in columns.values()] + missing

    def _categorical(self, table: pa.Table) -> list[npt.NDArray[Any]]:
        places = [(c.places(table.column(name)), rows) for name, (c, rows) in self.categories.items()]
        if self.dtype is np.float32:
            return [column.take(of_rows)[:, None] for of_rows, rows in places for column in rows.T.copy()]
        return [rows[of_rows] for of_rows, rows in places]


def _only_step(transformer: Any) -> Any:
    """Return the transformer, or its step where it has only one."""
    return transformer[0] if type(transformer) is Pipeline and len(transformer) == 1 else transformer


def _is_imputer(step: Any) -> bool:
    """Return whether a step fills gaps, each column's with a number of its own, and keeps every column."""
    return type(step) is SimpleImputer and pd.isna(step.missing_values) and step.keep_empty_features


def _indicated(imputer: SimpleImputer) -> list[int]:
    """Return the columns for which the imputer adds an indicator of missing values."""
    return [] if imputer.indicator_ is None else imputer.indicator_.features_.tolist()


# --- logistic regression: a sum over the columns ------------------------------------------------------------------


@dataclass(frozen=True)
class _Pieces:
    """A piecewise polynomial of one number.

    Attributes
    ----------
    knots
        Shape (k,), rising; piece n holds the numbers from knot n - 1 (included) to knot n.
    origins, coefficients
        Shapes (k + 1,) and (4, k + 1): the value at x is c₀ + c₁ d + c₂ d² + c₃ d³ with d = x - origin.
    """

    knots: Floats
    origins: Floats
    coefficients: Floats

    def at(self, x: Floats) -> Floats:
        """Return the values at x (shape (rows,)); where x is NaN, they mean nothing."""
        if not len(self.knots):
            line: Floats = x - self.origins[0]
            line *= self.coefficients[1, 0]
            line += self.coefficients[0, 0]
            return line
        count = np.zeros(len(x), np.uint8)
        for knot in self.knots:  # for some dozen knots faster than a binary search
            count += x >= knot
        piece = count.astype(np.intp)
        c0, c1, c2, c3 = self.coefficients
        if not c1.any():
            return np.asarray(c0.take(piece))
        d = x - self.origins.take(piece)
        value: Floats = c3.take(piece)
        for c in (c2, c1, c0):
            value *= d
            value += c.take(piece)
        return value


@dataclass(frozen=True)
class _Sum:
    """A logistic regression's score before the logistic function, as a sum over the columns."""

    constant: float
    numbers: dict[str, tuple[_Pieces, float]]  # what a number adds, and what a missing one adds
    categories: dict[str, tuple[_Categories, Floats]]  # what each of their rows adds

    def of(self, table: pa.Table) -> Floats:
        """Return the sum of each row (shape (rows,))."""
        total = np.full(table.num_rows, self.constant)
        for _, value in self.each(table):
            total += value
        return total

    def each(self, table: pa.Table) -> Iterator[tuple[str, Floats]]:
        """Yield each column's name and what it adds to the sum of each row (shape (rows,))."""
        for name, (pieces, missing) in self.numbers.items():
            x = _numbers(table.column(name))
            value = pieces.at(x)
            if (absent := np.isnan(x)).any():
                np.copyto(value, missing, where=absent)
            yield name, value
        for name, (categories, values) in self.categories.items():
            yield name, values.take(categories.places(table.column(name)))


class _Additive(_InBlocks):
    """A logistic regression as a sum over the columns."""

    def __init__(self, pipeline: Pipeline, numeric: Sequence[str], categorical: Sequence[str], terms: _Sum) -> None:
        super().__init__(pipeline, numeric, categorical)
        self.terms = terms

    def _block(self, table: pa.Table) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            total = self.terms.of(table)
        if not np.isfinite(total).all():  # numbers beyond all reason: the Pipeline says what it thinks of them
            return _Whole.score(self, table)
        return np.asarray(expit(total))


def _additive(
    transformers: dict[str, Any], categories: dict[str, _Categories], model: LogisticRegression, numeric: Sequence[str]
) -> _Sum | None:
    """Return the sum that a fitted logistic regression is, None where its numeric columns aren't known here."""
    weights: Floats = model.coef_[0]
    constant = float(model.intercept_[0])
    numbers: dict[str, tuple[_Pieces, float]] = {}
    texts: dict[str, tuple[_Categories, Floats]] = {}
    at = 0
    for kind, transformer in transformers.items():
        if kind == "numeric":
            steps = list(transformer) if type(transformer) is Pipeline else []
            if not steps or not _is_imputer(steps[0]):
                return None  # it would have to refuse missing values
            width = len(weights) - sum(c.rows.shape[1] for c in categories.values())
            pieces = _pieces_of(steps[1:], weights[at : at + width])
            if pieces is None:
                return None
            at += width
            indicated = dict(zip(_indicated(steps[0]), pieces[len(numeric) :], strict=True))
            for place, name in enumerate(numeric):
                missing = float(pieces[place].at(steps[0].statistics_[place : place + 1].astype(np.float64))[0])
                if place in indicated:
                    absent, present = indicated[place].at(np.array([1.0, 0.0])).tolist()
                    constant += present
                    missing += absent - present
                numbers[name] = pieces[place], missing
        else:
            for name, known in categories.items():
                width = known.rows.shape[1]
                texts[name] = known, (known.rows * weights[at : at + width]).sum(axis=1)
                at += width
    return _Sum(constant, numbers, texts)


def _pieces_of(steps: list[Any], weights: Floats) -> list[_Pieces] | None:
    """Return what each imputed column (numbers, then indicators) adds, None where the steps aren't known.

    A scaler's (x - mean) / scale goes into weights and constants.
    """
    scaler = steps[-1] if steps and type(steps[-1]) is StandardScaler else None
    before = steps[:-1] if scaler is not None else steps
    scaled = weights / scaler.scale_ if scaler is not None else weights
    means = scaler.mean_ if scaler is not None else np.zeros(len(weights))
    if not before:
        return [_line(origin, slope) for origin, slope in zip(means, scaled, strict=True)]
    if len(before) > 1:
        return None
    (step,) = before
    if type(step) is KBinsDiscretizer and scaler is None:
        ends = np.cumsum(step.n_bins_)
        columns = np.split(weights, ends[:-1])
        return [_steps(edges[1:-1], values) for edges, values in zip(step.bin_edges_, columns, strict=True)]
    if type(step) is SplineTransformer and step.extrapolation == "linear" and step.degree == 3 and step.include_bias:
        splines = len(step.bsplines_)
        columns, shifts = np.split(scaled, splines), np.split(scaled * means, splines)
        triples = zip(step.bsplines_, columns, shifts, strict=True)
        return [_spline(spline, w, float(shift.sum())) for spline, w, shift in triples]
    return None


def _line(origin: float, slope: float) -> _Pieces:
    return _Pieces(np.empty(0), np.array([origin]), np.array([[0.0], [slope], [0.0], [0.0]]))


def _steps(knots: Floats, values: Floats) -> _Pieces:
    zeros = np.zeros(len(values))
    return _Pieces(knots, zeros, np.array([values, zeros, zeros, zeros]))


def _spline(basis: BSpline, weights: Floats, shift: float) -> _Pieces:
    """Return the weighted sum of a basis of cubic splines, less `shift`, as scikit-learn evaluates it.

    Between knots: the Taylor polynomial at the left one, which for a cubic is the cubic itself. Below the first and
    above the last: lines through the first and last three splines. At the last knot itself: the value there, which
    differs from the line's where knots coincide, as quantiles of few distinct values do.
    """
    degree = basis.k
    first, last = basis.t[degree], basis.t[-degree - 1]

    def taylor(x: float, kept: slice, order: int) -> list[float]:
        weighted = np.zeros(len(weights))
        weighted[kept] = weights[kept]
        factorials = (1, 1, 2, 6)
        values = [float(np.sum(basis(x, nu=n) * weighted)) / factorials[n] if n <= order else 0.0 for n in range(4)]
        return [values[0] - shift, *values[1:]]

    knots = np.unique(basis.t[degree : len(basis.t) - degree])
    inner = [(knot, taylor(knot, slice(None), degree)) for knot in knots[:-1]]
    below, above = taylor(first, slice(degree), 1), taylor(last, slice(-degree, None), 1)
    pieces = [(first, below), *inner, (last, taylor(last, slice(None), 0)), (last, above)]
    origins, coefficients = zip(*pieces, strict=True)
    return _Pieces(np.append(knots, np.nextafter(last, np.inf)), np.array(origins), np.array(coefficients).T)
