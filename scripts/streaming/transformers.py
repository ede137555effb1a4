"""Fits the `columns` step of a Pipeline from blocks of rows; what comes out is what scikit-learn's own fit makes.

Each transformer is fitted by scikit-learn itself, on a few rows that have the order statistics and categories of all
rows: so its attributes are scikit-learn's own, and only counts that depend on the number of rows are set here.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

from scripts.streaming.cache import Block, Keep, RowCache
from scripts.streaming.quantiles import Floats, Integers, order_statistics, quantile

Order = Callable[[Integers], Floats]  # the values at some ranks of a column


# Numbers that a block of the design holds at most: 16 MB, however many columns the categories make.
BLOCK_VALUES = 2_000_000


@dataclass(frozen=True)
class Summary:
    """What one pass tells of the rows.

    Attributes
    ----------
    rows, defaults
        Number of rows, and of those with target 1.
    present
        Shape (numeric columns,), int64: values that are not missing.
    categories
        Per categorical column the number of rows by code; the last counts the missing.
    """

    rows: int
    defaults: int
    present: Integers
    categories: list[Integers]


def summarise(cache: RowCache, keep: Keep | None = None) -> Summary:
    """Count rows, values and categories."""
    rows = defaults = 0
    present = np.zeros(len(cache.numeric), np.int64)
    categories = [np.zeros(len(texts) + 1, np.int64) for texts in cache.texts]
    for block in cache.blocks(keep):
        rows += len(block.target)
        defaults += int(block.target.sum())
        present += (~np.isnan(block.numeric)).sum(axis=0)
        for at, codes in enumerate(block.codes.T):
            counts = categories[at]
            counts += np.bincount(np.where(codes < 0, len(counts) - 1, codes), minlength=len(counts))
    return Summary(rows, defaults, present, categories)


class Design:
    """A fitted `columns` step that turns cached blocks into what the estimator sees.

    Categories are encoded once each and looked up by code, which is many times faster than to encode every row.

    Parameters
    ----------
    columns
        Fitted.
    cache, keep
        The rows.
    """

    def __init__(self, columns: ColumnTransformer, cache: RowCache, keep: Keep | None = None) -> None:
        self.cache, self.keep = cache, keep
        self._steps: list[Callable[[Block], npt.NDArray[np.float64]]] = []
        self.names = columns.get_feature_names_out()
        for name, transformer, _ in columns.transformers_:
            if name == "numeric":
                self._steps.append(_numeric_step(transformer))
            elif name == "categorical":
                self._steps.append(_categorical_step(transformer, cache))

    @property
    def width(self) -> int:
        """Return the number of columns that the estimator sees."""
        return len(self.names)

    def transform(self, block: Block) -> npt.NDArray[np.float64]:
        """Return what the estimator sees of a block, shape (rows, width)."""
        return np.hstack([step(block) for step in self._steps])

    def blocks(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]]:
        """Yield features and target of all rows."""
        rows = max(1, BLOCK_VALUES // self.width)
        for block in self.cache.blocks(self.keep):
            for start in range(0, len(block.target), rows):
                piece = block.slice(start, start + rows)
                yield self.transform(piece), piece.target


def fit_columns(columns: ColumnTransformer, cache: RowCache, summary: Summary, keep: Keep | None = None) -> None:
    """Fit the `columns` step of a Pipeline on cached rows, in place.

    Parameters
    ----------
    columns
        As `build_pipeline` makes it.
    cache, keep
        The rows.
    summary
        Of the same rows.

    Raises
    ------
    ValueError
        As scikit-learn does, where a transformer refuses missing values.
    """
    few = _few_rows(cache, summary)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few rows
        columns.fit(few)  # for the names and places of columns; what it learnt is replaced below
    fitted = []
    outputs = {}
    for name, transformer, chosen in columns.transformers_:
        if name == "numeric":
            _fit_numeric(transformer, cache, summary, keep)
        elif name == "categorical":
            _fit_categorical(transformer, cache, summary)
        fitted.append((name, transformer, chosen))
        outputs[name] = transformer.transform(few[chosen]).shape[1]
    columns.transformers_ = fitted
    ends = np.cumsum(list(outputs.values()))
    columns.output_indices_ |= {
        name: slice(int(end) - width, int(end)) for end, (name, width) in zip(ends, outputs.items(), strict=True)
    }


# --- numeric ------------------------------------------------------------------------------------------------------


def _fit_numeric(transformer: Any, cache: RowCache, summary: Summary, keep: Keep | None) -> None:
    """Fit imputer, then spline or bins, then scaler, each on what the one before gives."""
    if not hasattr(transformer, "steps"):  # passthrough
        return
    steps = [step for _, step in transformer.steps]
    imputes = isinstance(steps[0], SimpleImputer)
    known = _Imputed(cache, summary, keep, _levels(steps), imputes)
    names = cache.numeric
    for at, step in enumerate(steps):
        if isinstance(step, SimpleImputer):
            step.fit(pd.DataFrame(known.few_rows(), columns=names))
        elif isinstance(step, SplineTransformer):
            knots = known.knots()
            # Interpolated once more, knots could differ in their last bit, and where knots coincide that bit counts.
            step._get_base_knot_positions = _always(knots)
            _fit_on(step, knots, names, first=at == 0)
            del step._get_base_knot_positions
        elif isinstance(step, KBinsDiscretizer):
            _fit_on(step, known.bin_rows(), names, first=at == 0)
        elif isinstance(step, StandardScaler):
            step._reset()
            before = _in_turn(steps[:at])
            for block in cache.blocks(keep):
                values = before(block.numeric)
                step.partial_fit(pd.DataFrame(values, columns=names) if at == 0 else values)


def _always(value: Floats) -> Callable[..., Floats]:
    return lambda *_, **__: value


def _fit_on(step: Any, rows: Floats, names: list[str], first: bool) -> None:
    """Fit on rows; only the first step of a pipeline gets, and so remembers, the names of columns."""
    step.fit(pd.DataFrame(rows, columns=names) if first else rows)


def _levels(steps: list[Any]) -> Floats:
    """Return the quantile levels that the steps need, in [0, 1]."""
    for step in steps:
        if isinstance(step, SplineTransformer):
            return 100 * np.linspace(0, 1, step.n_knots) / 100  # as scikit-learn and numpy compute it, to the last bit
        if isinstance(step, KBinsDiscretizer):
            return np.linspace(0, 100, step.n_bins + 1) / 100
    return np.empty(0)


class _Imputed:
    """Order statistics of the numeric columns before and after imputation, by one selection over the raw columns.

    Imputation puts `missing` copies of the median into the sorted values, so the value at a rank after it is the median
    clipped to [value at rank - missing, value at rank] before it.
    """

    def __init__(self, cache: RowCache, summary: Summary, keep: Keep | None, levels: Floats, imputes: bool) -> None:
        self.rows, self.present = summary.rows, summary.present
        self.levels, self.imputes = levels, imputes
        self.missing = summary.rows - summary.present
        wanted = [self._wanted(count) for count in self.present]
        found = order_statistics(lambda: (block.numeric for block in cache.blocks(keep)), wanted)
        self.values = [dict(zip(r.tolist(), v.tolist(), strict=True)) for r, v in zip(wanted, found, strict=True)]
        self.medians = np.array([self._median(column) for column in range(len(self.present))])

    def few_rows(self) -> Floats:
        """Return two rows with the medians of all rows, and gaps in the columns that have gaps."""
        some = np.where(self.present > 0, self.medians, np.nan)
        return np.array([some, np.where(self.missing > 0, np.nan, some)])

    def knots(self) -> Floats:
        """Return the knots of splines, shape (knots, columns after imputation)."""
        at = self.levels * (self.rows - 1)
        below = np.floor(at).astype(np.int64)
        pairs = below, np.minimum(below + 1, self.rows - 1)
        low, high = (np.column_stack([order(ranks) for order in self._columns()]) for ranks in pairs)
        return quantile((low, high), (at - below)[:, None])

    def bin_rows(self) -> Floats:
        """Return two rows a bin whose averaged inverted distribution function has the edges of all rows."""
        low, high = (np.column_stack([order(ranks) for order in self._columns()]) for ranks in self._bin_ranks())
        return np.vstack([low[0], np.stack([low[1:-1], high[1:-1]], axis=1).reshape(-1, low.shape[1]), high[-1]])

    def _bin_ranks(self) -> tuple[Integers, Integers]:
        """Return the two ranks that numpy's `averaged_inverted_cdf` averages at each level; equal off the jumps."""
        at = self.levels * self.rows - 1
        below = np.floor(at).astype(np.int64)
        jump = at == below
        above = np.clip(below + 1, 0, self.rows - 1)
        return np.where(jump, np.clip(below, 0, self.rows - 1), above), above

    def _wanted(self, present: np.int64) -> Integers:
        count = int(present)
        if not count:
            return np.empty(0, np.int64)
        ranks = [(count - 1) // 2, count // 2]
        if len(self.levels):
            below = np.floor(self.levels * (self.rows - 1)).astype(np.int64)
            at = np.concatenate([below, below + 1, *self._bin_ranks()])
            ranks += [*at.tolist(), *(at - (self.rows - count)).tolist()]
        return np.unique(np.clip(ranks, 0, count - 1)).astype(np.int64)

    def _median(self, column: int) -> float:
        count = int(self.present[column])
        if not count:
            return 0.0  # as SimpleImputer with keep_empty_features
        values = self.values[column]
        return float(np.mean([values[(count - 1) // 2], values[count // 2]]))

    def _columns(self) -> list[Order]:
        """Return a function per column that the step sees: the numeric ones, then the indicators of missing values."""
        numeric: list[Order] = [partial(self._after, column) for column in range(len(self.present))]
        return numeric + [partial(self._indicator, gap) for gap in self.missing if gap and self.imputes]

    def _indicator(self, gap: int, ranks: Integers) -> Floats:
        return (ranks >= self.rows - gap).astype(np.float64)

    def _after(self, column: int, ranks: Integers) -> Floats:
        """Return the values at ranks of a column after imputation; NaN comes last where nothing is imputed."""
        present, missing = int(self.present[column]), int(self.missing[column])
        if not self.imputes:
            return np.array([self.values[column][r] if r < present else np.nan for r in ranks.tolist()])
        median, values = self.medians[column], self.values[column]
        low = [values[r - missing] if 0 <= r - missing < present else -np.inf for r in ranks.tolist()]
        high = [values[r] if r < present else np.inf for r in ranks.tolist()]
        return np.asarray(np.clip(median, low, high))


# --- categorical --------------------------------------------------------------------------------------------------


def _fit_categorical(transformer: Any, cache: RowCache, summary: Summary) -> None:
    """Fit the encoder on each category once, then tell it how often each is."""
    each_once = _categories(cache, summary)
    encoder = transformer.steps[-1][1] if hasattr(transformer, "steps") else transformer
    transformer.fit(each_once)
    counts = []
    fill = transformer.steps[0][1].fill_value if isinstance(encoder, OneHotEncoder) else None
    for known, texts, of_code in zip(encoder.categories_, cache.texts, summary.categories, strict=True):
        by_text = {text: int(of_code[code]) for text, code in texts.items()}
        if fill is not None:
            by_text[fill] = by_text.get(fill, 0) + int(of_code[-1])
        counts.append(np.array([by_text.get(text, int(of_code[-1])) for text in known]))
    missing = encoder._missing_indices if isinstance(encoder, OrdinalEncoder) else {}
    encoder._fit_infrequent_category_mapping(summary.rows, counts, missing)
    if isinstance(encoder, OneHotEncoder):
        encoder._set_drop_idx()
        encoder._n_features_outs = encoder._compute_n_features_outs()


def _categories(cache: RowCache, summary: Summary) -> pd.DataFrame:
    """Return a frame that has each value of each categorical column at least once, and a gap where there is one."""
    values = {}
    for at, name in enumerate(cache.categorical):
        counts = summary.categories[at]
        values[name] = cache.values(at)[counts > 0]
    longest = max((len(of_column) for of_column in values.values()), default=0)
    padded = {name: np.resize(of_column, longest) for name, of_column in values.items()}
    return pd.DataFrame(padded, dtype=object)


def _few_rows(cache: RowCache, summary: Summary) -> pd.DataFrame:
    """Return some rows that every transformer can be fitted on, whatever is missing."""
    categories = _categories(cache, summary)
    rows = max(2, len(categories))
    data: dict[str, Any] = {name: np.arange(rows, dtype=np.float64) for name in cache.numeric}
    data |= {name: np.resize(categories[name].to_numpy(), rows) for name in cache.categorical}
    return pd.DataFrame(data)


# --- the design ---------------------------------------------------------------------------------------------------


def _numeric_step(transformer: Any) -> Callable[[Block], Floats]:
    apply = _in_turn([step for _, step in transformer.steps] if hasattr(transformer, "steps") else [])
    return lambda block: apply(block.numeric)


def _in_turn(steps: list[Any]) -> Callable[[Floats], Floats]:
    """Return fitted steps as one function of a matrix."""
    functions = [_function(step) for step in steps]

    def apply(values: Floats) -> Floats:
        for function in functions:
            values = function(values)
        return values

    return apply


def _function(step: Any) -> Callable[[Floats], Floats]:
    """Return a fitted step as a function of a matrix.

    The simple ones are written out, with the same operations in the same order: what scikit-learn checks of each block
    costs more than they do.
    """
    if isinstance(step, SimpleImputer):
        return partial(_impute, step.statistics_, step.indicator_.features_)
    if isinstance(step, StandardScaler):
        return partial(_scale, step.mean_, step.scale_)
    names = getattr(step, "feature_names_in_", None)
    return lambda values: np.asarray(step.transform(values if names is None else pd.DataFrame(values, columns=names)))


def _impute(medians: Floats, with_gaps: Integers, values: Floats) -> Floats:
    """Fill gaps with medians, and add a column for each feature that has gaps which says where they are."""
    width = values.shape[1]
    filled = np.empty((len(values), width + len(with_gaps)))
    gaps = np.isnan(values)
    filled[:, :width] = np.where(gaps, medians, values)
    filled[:, width:] = gaps[:, with_gaps]
    return filled


def _scale(means: Floats, scales: Floats, values: Floats) -> Floats:
    return np.asarray((values - means) / scales)


def _categorical_step(transformer: Any, cache: RowCache) -> Callable[[Block], npt.NDArray[np.float64]]:
    """Return a function that looks up each code's encoding."""
    tables = []
    encoder = transformer.steps[-1][1] if hasattr(transformer, "steps") else transformer
    values = [cache.values(at) for at in range(len(cache.categorical))]
    widths = encoder._n_features_outs if isinstance(encoder, OneHotEncoder) else [1] * len(values)
    start = 0
    for at, width in enumerate(widths):
        rows = len(values[at])
        some = {n: values[at] if i == at else np.resize(values[i], rows) for i, n in enumerate(cache.categorical)}
        encoded = transformer.transform(pd.DataFrame(some, dtype=object))
        tables.append(np.asarray(encoded[:, start : start + width], dtype=np.float64))
        start += width
    return lambda block: np.hstack([table[codes] for table, codes in zip(tables, block.codes.T, strict=True)])
