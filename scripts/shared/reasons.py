"""Why a model scored an application as it did: what each feature adds to the score against a reference group.

The reference is one row of the model's card, typical of the train rows that were repaid (`streaming.reference`). What
the features add sums to the row's score less the reference's, on the model's own scale: log-odds of a logistic
regression and of boosting, probability of a tree or forest, which have no log-odds, and of an estimator not known here.

| model | method |
| --- | --- |
| logistic regression, scorecard | its terms, or points, less the reference's: exact |
| tree, forest, HistGradientBoosting, LightGBM | baseline Shapley values from the trees: exact |
| CatBoost, others | baseline Shapley values from scores of mixtures: exact for few changed features, else by orders |

All columns that the Pipeline makes of a feature (categories, splines, indicators, a target encoding) are that feature.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
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
    TargetEncoder,
)

from scripts.shared.arrays import numbers
from scripts.shared.errors import UserError
from scripts.shared.expressions import checked
from scripts.shared.forests import LOG_ODDS, PROBABILITY, Bools, Floats, Forest, Integers, Scale, forest_of, seen_by
from scripts.shared.membership import codes_of, numbers_of, to_frame
from scripts.shared.models import predict_default
from scripts.shared.scoring import fast_scorer, matrix_of, terms_of
from scripts.shared.shapley import ForestShapley, by_scores
from scripts.shared.statistics import wilson_interval

Codes = npt.NDArray[np.int32]

EXACT_TERMS = "the logistic regression's own terms, less the reference's (exact, on the log-odds)"
EXACT_POINTS = "the scorecard's own points, less the reference's (exact, on the log-odds)"
FROM_TREES = "baseline Shapley values from the trees (exact)"
FROM_SCORES = "baseline Shapley values from scores of mixtures of application and reference"

LEAST = 1e-9  # of the scale; what raises a score by less raises it by rounding alone
NOISE = 0.01


class Explainer(Protocol):
    """Tells what each feature adds to a score.

    Attributes
    ----------
    features
        The features, numeric first, as in the card.
    base
        The reference's score, on the scale.
    scale
        `LOG_ODDS` or `PROBABILITY`.
    method
        How it is done, in words.
    """

    features: list[str]
    base: float
    scale: Scale
    method: str

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features)), for clean rows.

        Base and contributions sum to the row's score on the scale, to 1e-9 of it.
        """

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""


def explainer(pipeline: Pipeline, card: dict[str, Any]) -> Explainer:
    """Return what explains a fitted Pipeline's scores.

    Parameters
    ----------
    pipeline
        As `build_pipeline` makes it, fitted, or another classifier of frames. Of a calibrated one, the model inside is
        explained: a calibration is monotone, so that what raises the one score raises the other.
    card
        Its card: `features`, `seed` and `reference_group`.

    Raises
    ------
    UserError
        Where the card has no reference group.
    """
    if "reference_group" not in card:
        raise UserError(
            f"the model {card.get('name', '')} was trained before models had a reference group, so that nothing can be "
            "compared with it; train it again"
        )
    numeric, categorical = card["features"]["numeric"], card["features"]["categorical"]
    reference = reference_table(card)
    inner = uncalibrated(pipeline)
    scorer = fast_scorer(inner, numeric, categorical)
    features = [*numeric, *categorical]
    if (terms := terms_of(scorer)) is not None:
        return _Terms(features, *terms, reference)
    encode = matrix_of(scorer) or _encoder(inner, numeric, categorical)
    seed = int(card["seed"])
    if encode is not None:
        model = inner.steps[-1][1]
        width = encode(reference).shape[1]
        owners = _owners(inner["columns"], features)
        if owners is not None and len(owners) == width:
            found = _of_matrix(features, encode, owners, model, reference, seed)
            if found is not None:
                return found
    return _OfFrames(features, inner, numeric, categorical, reference, seed)


def uncalibrated(pipeline: Any) -> Any:
    """Return the Pipeline as it was before a map of its scores became its estimator; any other as it is.

    Such a map has the attributes `estimator` (the fitted one) and `mapping`.
    """
    steps = getattr(pipeline, "steps", None)
    if not steps or not hasattr(steps[-1][1], "mapping") or not hasattr(steps[-1][1], "estimator"):
        return pipeline
    *before, (name, model) = steps
    return Pipeline([*before, (name, model.estimator)])


def reference_table(card: dict[str, Any]) -> pa.Table:
    """Return the reference group as one clean row."""
    values = card["reference_group"]["values"]
    columns = {name: pa.array([values[name]], pa.float64()) for name in card["features"]["numeric"]}
    texts = card["features"]["categorical"]
    return pa.table(columns | {n: pa.array([values[n]], pa.string()).dictionary_encode() for n in texts})


# --- the kinds of explainers --------------------------------------------------------------------------------------


class _Terms:
    """A sum over the columns: each column's term, less the reference's."""

    scale = LOG_ODDS
    method = EXACT_TERMS

    def __init__(
        self,
        features: list[str],
        constant: float,
        each: Callable[[pa.Table], Iterator[tuple[str, Floats]]],
        reference: pa.Table,
    ) -> None:
        self.features, self.constant, self.each = features, constant, each
        self.of_reference = {name: float(value[0]) for name, value in each(reference)}
        self.base = constant + sum(self.of_reference.values())

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features))."""
        found = np.zeros((table.num_rows, len(self.features)), order="F")
        with np.errstate(over="ignore", invalid="ignore"):
            for name, value in self.each(table):
                found[:, self.features.index(name)] = value - self.of_reference[name]
        return found

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(sum((value for _, value in self.each(table)), np.full(table.num_rows, self.constant)))


class _Linear:
    """A logistic regression on a matrix: each column's part, summed by feature. No BLAS: a row decides alone."""

    scale = LOG_ODDS
    method = EXACT_TERMS

    def __init__(
        self, features: list[str], encode: "Encode", owners: Integers, model: LogisticRegression, reference: pa.Table
    ) -> None:
        self.features, self.encode, self.owners = features, encode, owners
        sign = 1.0 if model.classes_[1] == 1 else -1.0
        self.weights: Floats = model.coef_[0] * sign
        self.constant = float(model.intercept_[0]) * sign
        self.reference = np.asarray(encode(reference), np.float64)
        self.base = float(self._sum(self.reference)[0])

    def _sum(self, matrix: Floats) -> Floats:
        total = np.full(len(matrix), self.constant)
        for column, weight in zip(matrix.T, self.weights, strict=True):
            total += column * weight
        return total

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features))."""
        if not table.num_rows:
            return np.zeros((0, len(self.features)))
        matrix = np.asarray(self.encode(table), np.float64)
        found = np.zeros((len(matrix), len(self.features)))
        for place, owner in enumerate(self.owners):
            found[:, owner] += (matrix[:, place] - self.reference[0, place]) * self.weights[place]
        return found

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        return self._sum(np.asarray(self.encode(table), np.float64)) if table.num_rows else np.empty(0)


class _OfPoints:
    """A scorecard, which says itself what each column of its matrix adds to the log-odds against other points."""

    scale = LOG_ODDS
    method = EXACT_POINTS

    def __init__(
        self, features: list[str], encode: "Encode", owners: Integers, model: Any, reference: pa.Table
    ) -> None:
        self.features, self.encode, self.owners, self.model = features, encode, owners, model
        self.points: Floats = model.points(encode(reference))[0]
        self.base = float(model.contributions(encode(reference), self.points)[1])

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features))."""
        found = np.zeros((table.num_rows, len(self.features)))
        if table.num_rows:
            by_column, _ = self.model.contributions(self.encode(table), self.points)
            for place, owner in enumerate(self.owners):
                found[:, owner] += by_column[:, place]
        return found

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        return np.asarray(self.base + self.contributions(table).sum(axis=1))


class _OfForest:
    """Trees."""

    method = FROM_TREES

    def __init__(
        self,
        features: list[str],
        encode: "Encode",
        owners: Integers,
        forest: Forest,
        seen: tuple[Callable[[npt.NDArray[Any]], npt.NDArray[Any]], Integers],
        reference: pa.Table,
    ) -> None:
        self.features, self.encode, self.forest = features, encode, forest
        self.scale = forest.scale
        self.seen, order = seen
        self.shapley = ForestShapley(forest, self._matrix(reference)[0], owners[order], len(features))
        self.base = self.shapley.base

    def _matrix(self, table: pa.Table) -> Floats:
        return self.forest.prepared(self.seen(self.encode(table)))

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features))."""
        if not table.num_rows:
            return np.zeros((0, len(self.features)))
        return self.shapley.values(self._matrix(table))

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        return self.forest.scores(self._matrix(table)) if table.num_rows else np.empty(0)


class _ByScores:
    """Any model, by scores of mixtures of a row and the reference."""

    method = FROM_SCORES

    features: list[str]
    base: float
    scale: Scale
    seed: int

    def contributions(self, table: pa.Table) -> Floats:
        """Return what each feature adds to the base (shape (rows, features))."""
        if not table.num_rows:
            return np.zeros((0, len(self.features)))
        differs, score, mixed = self._ready(table)
        return by_scores(mixed, differs, self.base, score, self.seed)

    def _ready(self, table: pa.Table) -> tuple[Bools, Floats, Callable[[Integers, Bools], Floats]]:
        """Return where rows differ from the reference, their scores, and what scores mixtures."""
        raise NotImplementedError


class _OfMatrix(_ByScores):
    """An estimator, mixed in the matrix that it sees."""

    def __init__(
        self,
        features: list[str],
        encode: "Encode",
        owners: Integers,
        value: tuple[Callable[[Any], Floats], Scale],
        reference: pa.Table,
        seed: int,
    ) -> None:
        self.features, self.encode, self.owners, self.seed = features, encode, owners, seed
        self.value, self.scale = value
        self.reference = np.asarray(encode(reference), np.float64)
        self.base = float(self.value(self.reference)[0])

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        return self.value(np.asarray(self.encode(table), np.float64)) if table.num_rows else np.empty(0)

    def _ready(self, table: pa.Table) -> tuple[Bools, Floats, Callable[[Integers, Bools], Floats]]:
        matrix = np.asarray(self.encode(table), np.float64)
        other = (matrix != self.reference) & ~(np.isnan(matrix) & np.isnan(self.reference))
        differs = np.zeros((len(matrix), len(self.features)), np.bool_)
        for place, owner in enumerate(self.owners):
            differs[:, owner] |= other[:, place]

        def mixed(rows: Integers, own: Bools) -> Floats:
            return self.value(np.where(own[:, self.owners], matrix[rows], self.reference))

        return differs, self.value(matrix), mixed


class _OfFrames(_ByScores):
    """Any classifier of frames, on the scale of probability."""

    scale = PROBABILITY

    def __init__(
        self,
        features: list[str],
        pipeline: Any,
        numeric: Sequence[str],
        categorical: Sequence[str],
        reference: pa.Table,
        seed: int,
    ) -> None:
        self.features, self.pipeline, self.seed = features, pipeline, seed
        self.numeric, self.categorical = numeric, categorical
        self.reference = to_frame(reference, numeric, categorical)
        self.base = float(predict_default(pipeline, self.reference)[0])

    def scores(self, table: pa.Table) -> Floats:
        """Return the score of each row on the scale (shape (rows,))."""
        return predict_default(self.pipeline, to_frame(table, self.numeric, self.categorical))

    def _ready(self, table: pa.Table) -> tuple[Bools, Floats, Callable[[Integers, Bools], Floats]]:
        frame = to_frame(table, self.numeric, self.categorical)
        columns = {name: (frame[name].to_numpy(), self.reference[name].to_numpy()[0]) for name in self.features}
        same = [(own == one) | (pd.isna(own) & pd.isna(one)) for own, one in columns.values()]

        def mixed(rows: Integers, own: Bools) -> Floats:
            data = {n: np.where(own[:, at], x[rows], one) for at, (n, (x, one)) in enumerate(columns.items())}
            return predict_default(self.pipeline, pd.DataFrame(data))

        return ~np.stack(same, axis=1).astype(np.bool_), predict_default(self.pipeline, frame), mixed


Encode = Callable[[pa.Table], npt.NDArray[Any]]


def _of_matrix(
    features: list[str], encode: Encode, owners: Integers, model: Any, reference: pa.Table, seed: int
) -> Explainer | None:
    """Return the explainer of an estimator that gets a matrix of which each column belongs to a feature."""
    if type(model) is LogisticRegression and model.coef_.shape[0] == 1:
        return _Linear(features, encode, owners, model, reference)
    forest = forest_of(model)
    if forest is not None:
        return _OfForest(features, encode, owners, forest, seen_by(model, len(owners)), reference)
    if hasattr(model, "contributions") and hasattr(model, "points"):  # a scorecard
        return _OfPoints(features, encode, owners, model, reference)
    if hasattr(model, "log_odds"):  # scripts.shared.catboosting
        return _OfMatrix(features, encode, owners, (model.log_odds, LOG_ODDS), reference, seed)
    positive = list(model.classes_).index(1)

    def probability(matrix: Any) -> Floats:
        return np.asarray(model.predict_proba(matrix)[:, positive], np.float64)

    return _OfMatrix(features, encode, owners, (probability, PROBABILITY), reference, seed)


# --- which feature a column of the matrix belongs to --------------------------------------------------------------


def _encoder(pipeline: Any, numeric: Sequence[str], categorical: Sequence[str]) -> Encode | None:
    """Return the Pipeline's own way from clean rows to the matrix, None where it has another form."""
    steps = dict(getattr(pipeline, "steps", []))
    if list(steps) != ["columns", "model"] or type(steps["columns"]) is not ColumnTransformer:
        return None
    return lambda table: np.asarray(steps["columns"].transform(to_frame(table, numeric, categorical)))


def _owners(columns: ColumnTransformer, features: list[str]) -> Integers | None:
    """Return the feature that each column of the matrix is made of (shape (columns,)), None where that isn't known."""
    owners = []
    for _, transformer, names in columns.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        sources = _sources(transformer, len(names))
        if sources is None:
            return None
        owners.append(np.array([features.index(name) for name in names], np.int64)[sources])
    return np.concatenate(owners)


def _sources(transformer: Any, width: int) -> Integers | None:
    """Return the input of each output of a fitted transformer, None where that isn't known."""
    if not isinstance(transformer, Pipeline):
        return _sources_of_step(transformer, np.arange(width))
    inputs = np.arange(width)
    for _, step in transformer.steps:
        further = _sources_of_step(step, np.arange(len(inputs)))
        if further is None:
            return None
        inputs = inputs[further]
    return inputs


def _sources_of_step(step: Any, inputs: Integers) -> Integers | None:
    kind = type(step)
    found: Integers | None = None
    same = kind is FunctionTransformer and step.func is None  # what "passthrough" becomes
    if same or kind in (StandardScaler, OrdinalEncoder, TargetEncoder):
        found = inputs
    elif kind is SimpleImputer and step.keep_empty_features:
        found = inputs if step.indicator_ is None else np.concatenate([inputs, step.indicator_.features_])
    elif kind is SplineTransformer:
        found = np.repeat(inputs, step.n_features_out_ // len(inputs))
    elif kind is KBinsDiscretizer:
        found = inputs if step.encode == "ordinal" else np.repeat(inputs, step.n_bins_.astype(np.int64))
    elif kind is OneHotEncoder and not hasattr(step, "feature_names_in_"):  # behind an imputer, columns have no names
        outputs = step.get_feature_names_out([str(n) for n in inputs])  # 0_RENT, 0_OWN, …, 1_MEDICAL
        found = np.array([int(name.partition("_")[0]) for name in outputs], np.int64)
    return found


# --- in words -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reasons:
    """The reasons of a model, in words.

    What a reason says follows from a feature and how its value stands to the reference: so there are few texts, which
    are made once. Values of an applicant that training never saw are in none of them.

    Attributes
    ----------
    model
        What explains its scores.
    count
        How many reasons an application gets at most.
    phrases
        All texts.
    """

    model: Explainer
    count: int
    phrases: list[str]
    numeric: dict[str, tuple[int, float | None]]  # the place of its first phrase, and the reference's value
    categorical: dict[str, tuple[int, dict[str, int]]]  # the place of its first phrase, and its categories' numbers

    @classmethod
    def of(cls, pipeline: Pipeline, card: dict[str, Any], count: int, labels: dict[str, str]) -> "Reasons":
        """Return the reasons of a fitted Pipeline; `labels` are features in words, else their names serve.

        Raises
        ------
        UserError
            Where the card has no reference group.
        """
        model = explainer(pipeline, card)
        values, phrases = card["reference_group"]["values"], list[str]()
        numeric, categorical = {}, {}
        for name in card["features"]["numeric"]:
            numeric[name] = len(phrases), values[name]
            phrases += [f"{labels.get(name, name)}: {words}" for words in (HIGHER, LOWER, ABSENT, PRESENT)]
        for name in card["features"]["categorical"]:
            known = card["features"]["categories"][name]
            categorical[name] = len(phrases), {text: at for at, text in enumerate(known)}
            phrases += [f"{labels.get(name, name)}: {words}" for words in (*known, UNSEEN, ABSENT)]
        return cls(model, count, phrases, numeric, categorical)

    def codes(self, table: pa.Table) -> Codes:
        """Return the phrases of each row's reasons, the one that raises its score most first.

        Returns
        -------
        Codes
            Shape (rows, count): places in `phrases`, -1 where no further feature raises the score. What raises it
            equally comes in the features' order.
        """
        found = self.model.contributions(table)
        order = np.argsort(-found, axis=1, kind="stable")[:, : self.count]
        phrases = np.stack([self._phrases(table, name) for name in self.model.features], axis=1)
        raises = np.take_along_axis(found, order, axis=1) > LEAST
        codes = np.full((table.num_rows, self.count), -1, np.int32)
        codes[:, : order.shape[1]] = np.where(raises, np.take_along_axis(phrases, order, axis=1), -1)
        return codes

    def _phrases(self, table: pa.Table, name: str) -> Codes:
        """Return the phrase that says how each row's value stands to the reference (shape (rows,))."""
        if name in self.numeric:
            first, reference = self.numeric[name]
            x = numbers_of(table, name)
            level = np.full(len(x), 3) if reference is None else np.where(x > reference, 0, 1)
            return np.asarray(first + np.where(np.isnan(x), 2, level), np.int32)
        first, known = self.categorical[name]
        texts, places = codes_of(table, name)
        numbered = [known.get(text, len(known)) for text in texts]
        return np.asarray(first + np.array([*numbered, len(known) + 1])[places], np.int32)

    def columns(self, table: pa.Table, chosen: Bools, quoted: bool = False) -> pl.DataFrame:
        """Return the columns reason_1, reason_2, … of the rows.

        Parameters
        ----------
        table
            Clean rows.
        chosen
            Shape (rows,): which of them get reasons.
        quoted
            Whether texts have the quotes that CSV needs; then a row's missing reason is an empty text, else null.
        """
        codes = np.full((table.num_rows, self.count), -1, np.int32)
        if chosen.any():
            codes[chosen] = self.codes(table.filter(pa.array(chosen)))
        texts = [*(_quoted(phrase) if quoted else phrase for phrase in self.phrases), "" if quoted else None]
        last = len(texts) - 1
        phrases = pl.Series(texts, dtype=pl.String)
        each = zip(reason_columns(self.count), codes.T, strict=True)
        return pl.DataFrame([phrases.gather(np.where(c < 0, last, c)).alias(name) for name, c in each])


def no_reasons(names: list[str], rows: int, quoted: bool) -> pl.DataFrame:
    """Return the columns of rows without reasons, as `Reasons.columns` does."""
    empty = pl.Series([""] if quoted else [None], dtype=pl.String).gather(np.zeros(rows, np.int64))
    return pl.DataFrame([empty.alias(name) for name in names])


def _quoted(text: str) -> str:
    """Return a text as Polars writes it to CSV."""
    return pl.DataFrame({"t": [text]}).write_csv(include_header=False).removesuffix("\n")


HIGHER, LOWER = "higher than typical of repaid loans", "lower than typical of repaid loans"
ABSENT, PRESENT, UNSEEN = "missing", "given", "a value unknown to the model"


def reason_columns(count: int) -> list[str]:
    """Return the names of the predictions' columns of reasons.

    >>> reason_columns(2)
    ['reason_1', 'reason_2']
    """
    return [f"reason_{n}" for n in range(1, count + 1)]


# --- how steady they are ------------------------------------------------------------------------------------------


def stability(
    model: Explainer, table: pa.Table, card: dict[str, Any], count: int, seed: int, noise: float = NOISE
) -> dict[str, Any]:
    """Return how often the reasons stay when the given numbers change by a little, and derived ones with them.

    Parameters
    ----------
    model
        What explains the scores.
    table
        Clean rows, with all columns of the contract.
    card
        The model's card.
    count
        How many reasons an application gets at most.
    seed
        Of the changes.
    noise
        Each number is multiplied by a factor drawn evenly from 1 - noise to 1 + noise.

    Returns
    -------
    dict
        `rows`; of these, those with a reason are `rows_with_reasons`; `first_same`: the share of those whose first
        reason is the same feature, with `first_same_interval` (95 %, Wilson 1927); `set_same`: whose features are the
        same in any order, with `set_same_interval`; `set_overlap`: the mean share of the features, before and after,
        that both sets have (Jaccard index); `noise`. Shares and intervals are None without rows.
    """
    before = _leading(model.contributions(table), count)
    after = _leading(model.contributions(_shaken(table, card, seed, noise)), count)
    some = (before >= 0).any(axis=1)
    before, after = before[some], after[some]
    rows = len(before)
    about: dict[str, Any] = {"rows": table.num_rows, "rows_with_reasons": rows}
    if not rows:
        unknown = dict.fromkeys(
            ("first_same", "first_same_interval", "set_same", "set_same_interval", "set_overlap"), None
        )
        return about | unknown | {"noise": noise}
    first = int((before[:, 0] == after[:, 0]).sum())
    sets = [np.zeros((rows, len(model.features) + 1), np.bool_) for _ in range(2)]
    for members, places in zip(sets, (before, after), strict=True):
        np.put_along_axis(members, places, True, axis=1)  # -1, no reason, is the last column
    one, other = (members[:, :-1] for members in sets)
    shared, either = (one & other).sum(axis=1), (one | other).sum(axis=1)
    same = int((shared == either).sum())
    return about | {
        "first_same": first / rows,
        "first_same_interval": wilson_interval(first, rows),
        "set_same": same / rows,
        "set_same_interval": wilson_interval(same, rows),
        "set_overlap": float((shared / either).mean()),
        "noise": noise,
    }


def _leading(found: Floats, count: int) -> Integers:
    """Return the features that raise each row's score most (shape (rows, count or fewer)), -1 where there is none."""
    order = np.argsort(-found, axis=1, kind="stable")[:, :count]
    return np.where(np.take_along_axis(found, order, axis=1) > LEAST, order, -1)


def _shaken(table: pa.Table, card: dict[str, Any], seed: int, noise: float) -> pa.Table:
    """Return the rows with the given numbers changed a little, and the derived ones computed from those."""
    random = np.random.default_rng(seed)
    given: list[str] = card["contract"]["columns"]["numeric"]
    texts: list[str] = card["contract"]["columns"]["categorical"]
    there = [name for name in given if name in table.column_names]
    for name in there:
        x = numbers_of(table, name) * random.uniform(1 - noise, 1 + noise, table.num_rows)
        table = table.set_column(table.column_names.index(name), name, pa.chunked_array([numbers(x, np.isnan(x))]))
    for name, text in card["contract"]["features"].items():
        if name in table.column_names:
            formula = checked(text, f"features.{name}", tuple(given), tuple(texts))
            columns = {column: table.column(column).combine_chunks() for column in formula.columns}
            table = table.set_column(table.column_names.index(name), name, formula.numbers(columns))
    return table
