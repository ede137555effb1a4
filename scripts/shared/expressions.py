"""Derived features and checks: SQL expressions over one row, with three-valued logic for missing values.

Polars parses and runs them: it reaches nothing but the row's columns, and knows that a comparison with a missing
value is neither true nor false.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from scripts.shared import arrays
from scripts.shared.errors import UserError, did_you_mean, listing

_PROBE_ROWS = 64


class Expression:
    """One expression, checked against the columns that it may use.

    Parameters
    ----------
    text
        SQL, such as ``loan_amnt / person_income``; names with spaces stand in double quotes.
    where
        The config key, for messages.
    numeric, categorical
        The columns that it may use.

    Raises
    ------
    UserError
        Where it can't be parsed, names an unknown column, or looks beyond its own row (an average, a rank, a lag):
        that would leak between rows, and give other values in other partitions.
    """

    def __init__(self, text: str, where: str, numeric: Sequence[str], categorical: Sequence[str]) -> None:
        self.text = text
        self.where = where
        try:
            self.expression = pl.sql_expr(text)
            self.columns = sorted(set(self.expression.meta.root_names()))
        except pl.exceptions.PolarsError as error:
            raise UserError(f"{where}: '{text}' is not an expression ({error})") from None
        allowed = [*numeric, *categorical]
        for name in self.columns:
            if name not in allowed:
                raise UserError(f"{where}: no such column '{name}'{did_you_mean(name, allowed)}")
        if not self.columns:
            raise UserError(f"{where}: '{text}' uses no column; the columns are {listing(allowed)}")
        self._check_row_by_row(set(numeric))

    def _check_row_by_row(self, numeric: set[str]) -> None:
        frame = _probe(self.columns, numeric)
        whole = self._evaluate(frame)
        single = [self._evaluate(frame[row : row + 1]) for row in range(len(frame))]
        if len(whole) != len(frame) or not whole.equals(pl.concat(single)):
            raise UserError(f"{self.where}: '{self.text}' looks beyond its own row; use only values of the same row")

    def _evaluate(self, frame: pl.DataFrame) -> pl.Series:
        # Polars divides one row by a constant, but multiplies many rows by its inverse: the last bit can differ. So
        # that values don't depend on how rows are cut into blocks, a single row is computed as two (rebuilt: a slice
        # of one row counts as a constant).
        alone = len(frame) == 1
        rows = pl.DataFrame([pl.Series(c.name, c.to_list() * 2, c.dtype) for c in frame]) if alone else frame
        try:
            values = rows.select(value=self.expression).to_series()
        except pl.exceptions.PolarsError as error:
            raise UserError(f"{self.where}: '{self.text}' can't be computed ({error})") from None
        return values[:1] if alone else values

    def _frame(self, columns: Mapping[str, pa.Array]) -> pl.DataFrame:
        series = [pl.Series(name, _plain(columns[name])) for name in self.columns]
        return pl.DataFrame(series)

    def numbers(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """Return the values as float64, null where they are missing or not finite."""
        series = self._evaluate(self._frame(columns))
        if series.dtype == pl.Boolean or series.dtype.is_numeric():
            values = series.cast(pl.Float64).to_numpy()
            return arrays.numbers(values, ~np.isfinite(values))
        raise UserError(f"{self.where}: '{self.text}' gives {series.dtype}, not a number")

    def is_false(self, columns: Mapping[str, pa.Array]) -> npt.NDArray[np.bool_]:
        """Return where the condition is false; where it can't be judged, it isn't."""
        series = self._evaluate(self._frame(columns))
        if series.dtype != pl.Boolean:
            raise UserError(f"{self.where}: '{self.text}' is not a condition")
        return np.asarray((~series).fill_null(False).to_numpy(), dtype=bool)


@functools.lru_cache(maxsize=256)
def checked(text: str, where: str, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> Expression:
    """Return an expression that was checked before, if it was: a job may score a hundred small files."""
    return Expression(text, where, numeric, categorical)


def _probe(columns: Sequence[str], numeric: set[str]) -> pl.DataFrame:
    """Return rows that show what looks beyond one: values of all sizes and signs, repeated, some missing."""
    random = np.random.default_rng(2026)
    series = []
    for name in columns:
        distinct = random.choice([-1.0, 1.0], _PROBE_ROWS // 4) * 10 ** random.uniform(-3, 9, _PROBE_ROWS // 4)
        numbers = random.choice(distinct, _PROBE_ROWS)
        texts = random.choice(["A", "B", "C"], _PROBE_ROWS)
        values = numbers.tolist() if name in numeric else texts.tolist()
        values[random.integers(_PROBE_ROWS)] = None
        series.append(pl.Series(name, values, pl.Float64 if name in numeric else pl.String))
    return pl.DataFrame(series)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
