"""From raw columns to clean ones, row by row: the same code for training data and for new applications.

Nothing here looks at more than one row, so it can't leak, and splits over any number of jobs.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from scripts.shared import arrays
from scripts.shared.config import Contract, Format
from scripts.shared.expressions import checked
from scripts.shared.reading import RawBlock
from scripts.shared.rejects import Reject, RowProblems
from scripts.shared.texts import perhaps_one_of, trimmed
from scripts.shared.values import LINE, NUMBER, canonical_value

SPELLINGS_KEPT = 100_000
DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$"


@dataclass
class CleanBlock:
    """Clean rows, in their order.

    Attributes
    ----------
    table
        `__line` (int64), id, group and date (string, where configured), the numeric and derived columns (float64,
        null where missing), the categorical columns (dictionary of string), the target (int8, 1 is default), the
        observed columns (as categorical ones).
    """

    table: pa.Table
    rejects: list[Reject]
    rows_in: int


@dataclass
class Cleaner:
    """Applies one contract to blocks of raw rows.

    Parameters
    ----------
    contract
        What the columns are and how they are cleaned.
    training
        Whether rows must carry the target (and the group, date and observed columns, where configured). New
        applications need none.
    """

    contract: Contract
    training: bool
    set_to_missing: Counter[str] = field(default_factory=Counter, init=False)
    target_values: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        columns = self.contract.columns
        names = (tuple(columns.numeric), tuple(columns.categorical))
        self._derived = {
            name: checked(text, f"features.{name}", *names) for name, text in self.contract.features.items()
        }
        self._checks = {
            name: checked(check.require, f"cleaning.checks.{name}", *names)
            for name, check in self.contract.cleaning.checks.items()
        }
        self._missing = {text.casefold() for text in self.contract.format.missing_values} | {""}
        self._missing_texts = arrays.texts(sorted(self._missing))
        self._spelling: dict[tuple[str, str], str | None] = {}
        # What happens to the rows of one block; counted when it is known which of them are kept.
        self._dropped: list[tuple[str, npt.NDArray[np.bool_]]] = []
        self._outcomes: dict[str, npt.NDArray[np.bool_]] = {}

    def text_columns(self) -> list[str]:
        """Return the columns to read as text."""
        columns = self.contract.columns
        extra = [columns.target.column, columns.group, columns.date, *columns.observed] if self.training else []
        return [*columns.categorical, *(name for name in [columns.id, *extra] if name)]

    def clean(self, raw: RawBlock) -> CleanBlock:
        """Return the block's clean rows, and what was set aside."""
        columns, rows = self.contract.columns, len(raw.lines)
        problems = RowProblems(raw.lines)
        out: dict[str, pa.Array] = {LINE: arrays.numbers(raw.lines)}
        for name in filter(None, [columns.id, *([columns.group] if self.training else [])]):
            out[name] = self._identity(raw, name, problems)
        if self.training and columns.date:
            out[columns.date] = self._date(raw, columns.date, problems)
        for name in columns.numeric:
            out[name] = self._numeric(raw, name, problems)
        for name in [*columns.categorical, *(columns.observed if self.training else [])]:
            out[name] = self._categorical(raw.columns.get(name, pa.nulls(rows, pa.string())), name)
        if self.training:
            out[columns.target.column] = self._target(raw, problems)
        self._apply_checks(out, problems)
        for name, expression in self._derived.items():
            out[name] = expression.numbers(out)
        self._count(~problems.bad)
        table = pa.table({name: out[name] for name in self.schema().names}, schema=self.schema())
        if problems.bad.any():
            table = table.filter(arrays.flags(~problems.bad))
        return CleanBlock(table, raw.rejects + problems.rejects, raw.rows_in)

    def _count(self, kept: npt.NDArray[np.bool_]) -> None:
        """Count what was done to the rows of a block that are kept."""
        for name, dropped in self._dropped:
            self.set_to_missing[name] += int((dropped & kept).sum())
        self._dropped.clear()
        for text, rows in self._outcomes.items():
            if count := int((rows & kept).sum()):
                self.target_values[text] += count
        self._outcomes.clear()

    def schema(self) -> pa.Schema:
        """Return the schema of clean tables."""
        columns = self.contract.columns
        fields = [(LINE, pa.int64())]
        texts = [columns.id, *([columns.group, columns.date] if self.training else [])]
        fields += [(name, pa.string()) for name in texts if name]
        fields += [(name, pa.float64()) for name in self.contract.numeric_features()]
        fields += [(name, pa.dictionary(pa.int32(), pa.string())) for name in columns.categorical]
        if self.training:
            fields.append((columns.target.column, pa.int8()))
            fields += [(name, pa.dictionary(pa.int32(), pa.string())) for name in columns.observed]
        return pa.schema(fields)

    def _is_missing(self, values: pa.Array) -> npt.NDArray[np.bool_]:
        """Return where a text means missing: spaces around and case do not matter."""
        if pa.types.is_dictionary(values.type):
            of_texts = np.append(self._is_missing(values.dictionary), True)
            return np.asarray(of_texts[_places(values)])
        perhaps = perhaps_one_of(values, self._missing)
        if not perhaps.any():
            return perhaps
        missing = np.zeros(len(values), dtype=bool)
        missing[perhaps] = self._looked_up(values.filter(arrays.flags(perhaps)))
        return missing

    def _looked_up(self, values: pa.Array) -> npt.NDArray[np.bool_]:
        folded = pc.ascii_lower(pc.utf8_trim_whitespace(values))
        missing = pc.is_in(folded, value_set=self._missing_texts, skip_nulls=True)
        absent = arrays.nulls(values)
        missing = arrays.to_flags(missing) | absent
        foreign = ~arrays.to_flags(pc.string_is_ascii(values)) & ~absent
        if foreign.any():  # Arrow does not fold all case that Python does
            encoded = values.filter(arrays.flags(foreign)).dictionary_encode()
            found = [text.strip().casefold() in self._missing for text in encoded.dictionary.to_pylist()]
            missing[foreign] = np.array(found)[_places(encoded)]
        return np.asarray(missing, dtype=bool)

    def _identity(self, raw: RawBlock, name: str, problems: RowProblems) -> pa.Array:
        values = trimmed(raw.columns[name])
        problems.add(self._is_missing(values), name, "missing")
        return values

    def _date(self, raw: RawBlock, name: str, problems: RowProblems) -> pa.Array:
        values = pc.utf8_trim_whitespace(raw.columns[name])
        days = pc.utf8_slice_codeunits(values, 0, 10)  # a time of day may follow
        written = pc.strftime(pc.strptime(days, "%Y-%m-%d", "s", error_is_null=True), "%Y-%m-%d")
        shaped = pc.match_substring_regex(values, DATE)
        same = arrays.to_flags(pc.and_(shaped, pc.equal(written, days)))  # 30 February reads as 2 March
        problems.add(~same, name, "not a date like 2026-01-31", values)
        return days

    def _numeric(self, raw: RawBlock, name: str, problems: RowProblems) -> pa.Array:
        column = raw.columns.get(name)
        if column is None:
            return pa.nulls(len(raw.lines), pa.float64())
        numbers, invalid = parse_numbers(column, self.contract.format, self._is_missing)
        problems.add(invalid, name, "not a number", column)
        bounds = self.contract.cleaning.bounds.get(name)
        if bounds:
            low = -np.inf if bounds.min is None else bounds.min
            high = np.inf if bounds.max is None else bounds.max
            outside = (numbers < low) | (numbers > high)
            if bounds.otherwise == "missing":
                self._dropped.append((name, outside))
                numbers = np.where(outside, np.nan, numbers)
            else:
                # The number, not how it was written: whether the reader has parsed it depends on other rows.
                problems.add(outside, name, f"outside {_range(bounds.min, bounds.max)}", arrays.numbers(numbers))
        return arrays.numbers(numbers, np.isnan(numbers))

    def _categorical(self, values: pa.Array, name: str) -> pa.Array:
        encoded = values.dictionary_encode()
        spelled = [self._spell(name, text) for text in encoded.dictionary.to_pylist()]
        known = sorted({text for text in spelled if text is not None})
        position = {text: index for index, text in enumerate(known)}
        missing = -1
        codes = np.array([missing if text is None else position[text] for text in (*spelled, None)], np.int32)
        codes = codes[_places(encoded)]
        return pa.DictionaryArray.from_arrays(arrays.numbers(codes, codes == missing), arrays.texts(known))

    def _spell(self, name: str, text: str | None) -> str | None:
        """Return the one spelling of a category, None where it means missing."""
        if text is None:
            return None
        key = (name, text)
        if len(self._spelling) >= SPELLINGS_KEPT:  # a column of free text must not fill the memory
            self._spelling.clear()
        if key not in self._spelling:
            self._spelling[key] = spell(
                text,
                self.contract.cleaning.case,
                self.contract.cleaning.aliases.get(name, {}),
                self._missing,
            )
        return self._spelling[key]

    def _target(self, raw: RawBlock, problems: RowProblems) -> pa.Array:
        target = self.contract.columns.target
        values = raw.columns[target.column]
        encoded = values.dictionary_encode()
        problems.add(self._is_missing(encoded), target.column, "missing")
        texts = [canonical_value(text) for text in encoded.dictionary.to_pylist()]
        indices = _places(encoded)
        positive = canonical_value(target.positive)
        if target.negative is not None:
            negative = canonical_value(target.negative)
            unknown = np.array([text not in (positive, negative) for text in texts] + [False])[indices]
            problems.add(unknown, target.column, f"neither {target.positive} nor {target.negative}", values)
        for index, text in enumerate(texts):
            rows = indices == index  # 1 and 1.0 are one value
            self._outcomes[text] = self._outcomes[text] | rows if text in self._outcomes else rows
        return arrays.numbers(np.array([text == positive for text in texts] + [False])[indices].astype(np.int8))

    def _apply_checks(self, columns: dict[str, pa.Array], problems: RowProblems) -> None:
        for name, expression in self._checks.items():
            check = self.contract.cleaning.checks[name]
            failed = expression.is_false(columns)
            if check.otherwise == "reject":
                problems.add(failed, check.column, f"fails the check {name}", columns[check.column])
            elif failed.any():
                self._dropped.append((check.column, failed))
                column = columns[check.column]
                columns[check.column] = pc.if_else(arrays.flags(failed), pa.nulls(len(failed), column.type), column)


def _places(encoded: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """Return the place of each value in the dictionary (shape (rows,)), one beyond its end where it is missing."""
    places = arrays.to_numbers(encoded.indices)
    return np.where(arrays.nulls(encoded.indices), len(encoded.dictionary), places) if encoded.null_count else places


def parse_numbers(
    column: pa.Array, file_format: Format, is_missing: Callable[[pa.Array], npt.NDArray[np.bool_]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read numbers as people write them: with spaces around, thousands separators, a decimal comma.

    Parameters
    ----------
    column
        Text, or float64 that the reader has parsed already.
    file_format
        The decimal mark and the thousands separator.
    is_missing
        Tells which of some texts mean missing; it is asked of those that need it.

    Returns
    -------
    numbers
        Shape (rows,), float64; NaN where missing or invalid.
    invalid
        Shape (rows,), where there is something that is no finite number.
    """
    if pa.types.is_floating(column.type):
        numbers = arrays.to_numbers(column)
        infinite = np.isinf(numbers)
        return np.where(infinite, np.nan, numbers) if infinite.any() else numbers, infinite
    text = column
    # Nearly all numbers are plain; what Polars can't read, or reads as no finite number, gets a closer look.
    plain = file_format.decimal == "."
    numbers = np.full(len(text), np.nan)
    if plain:
        numbers = pl.Series(text).cast(pl.Float64, strict=False).to_numpy(writable=True)
    unread = ~np.isfinite(numbers)
    if any(re.fullmatch(NUMBER, spelling.strip()) for spelling in file_format.missing_values):
        missing = is_missing(text)  # a number may mean it
    else:
        missing = unread.copy()
        missing[unread] = is_missing(text.filter(arrays.flags(unread)))
    numbers[missing] = np.nan
    unread &= ~missing
    if unread.any():
        numbers[unread] = _closer_look(trimmed(text.filter(arrays.flags(unread))), file_format)
        unread &= ~np.isfinite(numbers)
        numbers[unread] = np.nan
    return numbers, unread


def _closer_look(text: pa.Array, file_format: Format) -> npt.NDArray[np.float64]:
    """Return the numbers that trimmed texts mean (shape (rows,)), NaN where they mean none."""
    if file_format.thousands == " ":
        text = pc.replace_substring_regex(text, "[\u00a0\u202f]", " ")  # spaces that don't break
    if file_format.thousands:
        mark, point = re.escape(file_format.thousands), re.escape(file_format.decimal)
        grouped = pc.match_substring_regex(text, rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?$")
        text = pc.if_else(grouped, pc.replace_substring(text, file_format.thousands, ""), text)
    dotted = np.zeros(len(text), bool)
    if file_format.decimal != ".":
        dotted = arrays.to_flags(pc.match_substring(text, "."))
        text = pc.replace_substring(text, file_format.decimal, ".")
    valid = arrays.to_flags(pc.match_substring_regex(text, NUMBER)) & ~dotted
    parsed = pc.if_else(arrays.flags(valid), text, pa.nulls(len(text), text.type)).cast(pa.float64())
    return np.asarray(arrays.to_numbers(parsed))


def spell(text: str, case: str, aliases: Mapping[str, str], missing: Set[str]) -> str | None:
    """Return the one spelling of a category, None where the text means missing.

    >>> spell("  home   improvement ", "upper", {"HOME IMPROVEMENT": "HOMEIMPROVEMENT"}, {""})
    'HOMEIMPROVEMENT'
    >>> spell(" n/a ", "upper", {}, {"n/a"}) is None
    True
    """
    trimmed = unicodedata.normalize("NFC", " ".join(text.split()))  # one spelling of accents, too
    if trimmed.casefold() in missing:
        return None
    cased = _cased(trimmed, case)
    folded = {_cased(" ".join(old.split()), case): new for old, new in aliases.items()}
    return folded.get(cased, cased)


def _cased(text: str, case: str) -> str:
    return {"upper": text.upper(), "lower": text.lower(), "keep": text}[case]


def _range(low: float | None, high: float | None) -> str:
    return f"{'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
