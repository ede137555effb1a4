"""Raw files, block by block: CSV (plain, .gz, .zst) or Parquet in, Arrow tables with line numbers out.

A block is cut at the end of a record, also where quoted fields hold line breaks. A clean block goes through Arrow's
CSV reader with numbers parsed on the way; one that isn't is read as text, and one with embedded line breaks or blank
lines by Python's csv module, which counts physical lines exactly. Memory is bounded by the block size.
"""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from scripts.shared.config import Format
from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.rejects import Reject

BLOCK_BYTES = 8 << 20
MAX_RECORD_BYTES = 1 << 20  # a longer record means a quote that was never closed
PARQUET_ROWS = 65_536

csv.field_size_limit(MAX_RECORD_BYTES)


@dataclass
class RawBlock:
    """Some rows of a file.

    Attributes
    ----------
    columns
        The wanted columns by name; text, or numbers where the reader could parse them. A wanted column that the file
        lacks is absent.
    lines
        Shape (rows,): physical line of each row (CSV, the header is line 1) or row number (Parquet, from 1).
    rejects
        Rows that could not be read at all.
    done
        Share of the file that is read, 0 to 1, for progress.
    """

    columns: dict[str, pa.Array]
    lines: npt.NDArray[np.int64]
    rejects: list[Reject] = field(default_factory=list)
    done: float = 0.0

    @property
    def rows_in(self) -> int:
        """Rows read, usable or not."""
        return len(self.lines) + len(self.rejects)


def read_blocks(
    path: Path,
    file_format: Format,
    numeric: Sequence[str],
    text: Sequence[str],
    optional: Sequence[str] = (),
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[RawBlock]:
    """Yield the file's rows in order.

    Parameters
    ----------
    path
        A CSV or Parquet file, told apart by its ending.
    file_format
        How CSV files are written.
    numeric, text
        The columns that are wanted; numeric ones are parsed where that succeeds for a whole block.
    optional
        Those of them that the file may lack.

    Raises
    ------
    UserError
        Where the file is missing, empty, unreadable, in another encoding, or lacks a wanted column.
    """
    wanted = {name: name in set(numeric) for name in (*numeric, *text)}
    with _file_errors(path):
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from _parquet_blocks(path, wanted, set(optional))
        else:
            yield from _CsvFile(path, file_format, wanted, set(optional), block_bytes).blocks()


def column_names(path: Path, file_format: Format) -> list[str]:
    """Return the names of a file's columns."""
    with _file_errors(path):
        if path.suffix.lower() in (".parquet", ".pq"):
            return list(_open_parquet(path).schema_arrow.names)
        with _open_bytes(path) as stream:
            return _CsvFile(path, file_format, {}, set(), BLOCK_BYTES).read_header(_utf8(stream, path, file_format))[0]


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Say in a sentence why a path can't be opened."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file")
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except PermissionError:
        raise UserError(f"{path} can't be read by this user; check its permissions") from None


# --- CSV ---------------------------------------------------------------------------------------------------------


def _open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or compressed file as bytes."""
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    if codec is None:
        return path.open("rb")
    stream: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), codec)
    return stream


def _utf8(stream: IO[bytes], path: Path, file_format: Format, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the stream's bytes as UTF-8, without a byte order mark."""
    native = codecs.lookup(file_format.encoding).name in ("utf-8", "ascii")
    decoder = None if native else codecs.getincrementaldecoder(file_format.encoding)()
    first, line = True, 1
    while True:
        try:
            chunk = stream.read(max(block_bytes, 4) if first else block_bytes)  # a byte order mark, whole
        except (OSError, EOFError) as error:
            raise UserError(f"{path}: the compressed data is damaged or cut short ({error})") from None
        end = not chunk
        if first and native and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UserError(f"{path} is UTF-16, not UTF-8; set data.format.encoding: utf-16")
        if decoder is not None:
            try:
                text = decoder.decode(chunk, final=end)
            except UnicodeError as error:
                raise UserError(
                    f"{path}, near line {line}: not {file_format.encoding} ({error}); check data.format.encoding"
                ) from None
            chunk = text.encode()
        if first and chunk:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            first = False
        if decoder is not None:
            line += chunk.count(b"\n")
        if chunk:
            yield chunk
        if end:
            return


class _CsvFile:
    """One CSV file being read; keeps the position between blocks."""

    def __init__(
        self,
        path: Path,
        file_format: Format,
        wanted: dict[str, bool],
        optional: set[str],
        block_bytes: int,
    ) -> None:
        self.path = path
        self.format = file_format
        self.wanted = wanted
        self.optional = optional
        self.block_bytes = block_bytes
        self.names: list[str] = []
        delimiter = re.escape(file_format.delimiter.encode())
        opening = rb"(?:\A|(?<=[\n" + delimiter + rb']))"'
        closing = rb'" *(?=[\r\n' + delimiter + rb"]|\Z)"
        self._quoted = re.compile(opening + rb'[^"]*+(?:""[^"]*+)*+' + closing)  # possessive: linear time
        self._unclosed = re.compile(opening)
        # Values, beside NaN, that the text decides on: missing, or a number.
        self._doubtful = [float(m) for m in file_format.missing_values if re.fullmatch(r"[+-]?\d+\.?\d*", m)]

    def blocks(self) -> Iterator[RawBlock]:
        """Yield the file's rows in order."""
        size = max(self.path.stat().st_size, 1)
        with _open_bytes(self.path) as stream:
            chunks = _utf8(stream, self.path, self.format, self.block_bytes)
            self.names, pending, line = self.read_header(chunks)
            self._check_header()
            raw = stream if self.path.suffix.lower() not in (".gz", ".zst") else None
            for chunk in chunks:
                pending += chunk
                done = raw.tell() / size if raw else 0.0
                pending, line = yield from self._whole_records(pending, line, done, at_end=False)
            yield from self._whole_records(pending, line, 1.0, at_end=True)

    def _whole_records(
        self, data: bytes, line: int, done: float, at_end: bool
    ) -> Generator[RawBlock, None, tuple[bytes, int]]:
        """Yield blocks of whole records; return the rest and its line."""
        masked, at = self._masked(data), 0
        while True:
            end, unclosed = self._cut(data, masked, at, at_end)
            if end == at:
                return data[at:], line
            if unclosed:
                block = self._unclosed_line(line)
                if masked.find(b"\n", at) + 1 != end:  # what seemed quoted on the bad line reached beyond it
                    masked = masked[:end] + self._masked(data[end:])
            else:
                records = data[at:end]
                block = self._block(records, records if masked is data else masked[at:end], line)
            block.done = done
            line += _line_breaks(data, at, end)
            at = end
            yield block

    def read_header(self, chunks: Iterator[bytes]) -> tuple[list[str], bytes, int]:
        """Return the column names, the bytes read beyond the header, and the line after it."""
        pending, masked, line = b"", b"", 1
        for chunk in chunks:
            pending += chunk
            masked = self._masked(pending.lstrip(b"\r\n")[:MAX_RECORD_BYTES])
            end = masked.find(b"\n")
            if end >= 0 and (len(pending) >= MAX_RECORD_BYTES or not self._unclosed.search(masked, 0, end)):
                break
        if not pending.strip():
            raise UserError(f"{self.path} is empty; expected a header line with column names")
        blank = len(pending) - len(pending.lstrip(b"\r\n"))
        line += pending[:blank].count(b"\n")
        pending = pending[blank:]
        end = masked.find(b"\n") + 1 or len(pending)
        header, rest = pending[:end], pending[end:]
        try:
            text = header.decode()
        except UnicodeDecodeError:
            raise UserError(self._encoding_message(line)) from None
        if b"\r" in masked[:end].removesuffix(b"\n").removesuffix(b"\r"):
            raise UserError(f"{self.path}: lines end in a lone carriage return; save the file with LF or CRLF")
        rows = list(csv.reader(io.StringIO(text.replace("\r\n", "\n"), newline=""), delimiter=self.format.delimiter))
        names = [name.strip() for name in rows[0]]
        return names, rest, line + header.count(b"\n")

    def _check_header(self) -> None:
        check_names(self.path, self.names, self.wanted, self.optional)

    def _masked(self, data: bytes) -> bytes:
        """Return the data with quoted fields masked: as long, without line breaks and delimiters."""
        if b'"' not in data:
            return data
        plain = _without_plain_quotes(data, self.format.delimiter.encode())
        return self._quoted.sub(lambda quoted: b"q" * len(quoted[0]), data) if plain is None else plain

    def _cut(self, data: bytes, masked: bytes, at: int, at_end: bool) -> tuple[int, bool]:
        """Return where the whole records from `at` on end, and whether it is a line to set aside instead.

        A quote that opens a field and is never closed (before a delimiter or line end) would swallow rows after it.
        Where one is found (at the end of the file, or when a record grows beyond reason), its line alone is set aside.
        """
        open_quote = self._unclosed.search(masked, at) if masked.find(b'"', at) >= 0 else None
        if open_quote is None:
            return len(data) if at_end else max(at, masked.rfind(b"\n", at) + 1), False
        start = masked.rfind(b"\n", at, open_quote.start()) + 1
        if start > at:
            return start, False
        if not at_end and len(data) - at < MAX_RECORD_BYTES:
            return at, False
        return data.find(b"\n", at) + 1 or len(data), True

    def _unclosed_line(self, line: int) -> RawBlock:
        columns = {name: pa.array([], pa.string()) for name in self.wanted if name in self.names}
        return RawBlock(columns, np.empty(0, np.int64), [Reject(line, "", "", "a quote is opened and never closed")])

    def _block(self, data: bytes, masked: bytes, line: int) -> RawBlock:
        """Parse whole records that start at `line`."""
        embedded = data != masked and _line_breaks(data) > _line_breaks(masked)
        if embedded or _needs_care(data):
            return self._with_csv_module(data, line)
        return self._with_arrow(data, line)

    def _with_arrow(self, data: bytes, line: int) -> RawBlock:
        """Parse records of one line each."""
        self._check_encoding(data, line)
        rejects: list[Reject] = []

        def ragged(row: pyarrow.csv.InvalidRow) -> str:
            reason = _ragged(row.expected_columns, row.actual_columns)
            rejects.append(Reject(line + row.number - 1, "", row.text, reason))
            return "skip"

        present = {name: numeric for name, numeric in self.wanted.items() if name in self.names}
        missing = {spelling for m in self.format.missing_values for spelling in (m, m.lower(), m.upper())}
        for numbers in (True, False):  # where one value of the block isn't a number, all of it is read as text
            rejects.clear()
            try:
                table = pyarrow.csv.read_csv(
                    pa.BufferReader(data),
                    read_options=pyarrow.csv.ReadOptions(
                        column_names=self.names, use_threads=False, block_size=len(data) + 1
                    ),
                    parse_options=pyarrow.csv.ParseOptions(
                        delimiter=self.format.delimiter,
                        invalid_row_handler=ragged,
                        ignore_empty_lines=False,
                    ),
                    convert_options=pyarrow.csv.ConvertOptions(
                        include_columns=list(present),
                        column_types={
                            name: pa.float64() if numeric and numbers else pa.string()
                            for name, numeric in present.items()
                        },
                        null_values=sorted(missing) if numbers else [],
                        strings_can_be_null=False,
                        decimal_point=self.format.decimal,
                    ),
                )
                if not numbers or not self._has_doubtful(table):
                    break
            except pa.ArrowInvalid as error:
                if numbers:
                    continue
                raise UserError(f"{self.path}, from line {line} on: not readable as CSV ({error})") from None
        taken = {reject.line for reject in rejects}
        lines = np.arange(line, line + table.num_rows + len(rejects), dtype=np.int64)
        if taken:
            lines = lines[~np.isin(lines, np.fromiter(taken, np.int64))]
        columns = {name: table.column(name).combine_chunks() for name in present}
        return RawBlock(columns, lines, rejects)

    def _has_doubtful(self, table: pa.Table) -> bool:
        """Return whether a number was parsed that the text may mean otherwise, such as ``nan`` or `` -9``."""
        numeric = [table.column(name) for name in table.column_names if self.wanted[name]]
        return any(
            pc.any(pc.is_nan(column)).as_py() or any(pc.any(pc.equal(column, n)).as_py() for n in self._doubtful)
            for column in numeric
        )

    def _with_csv_module(self, data: bytes, line: int) -> RawBlock:
        """Parse records that may span lines; slower, exact about lines."""
        self._check_encoding(data, line)
        text = re.sub(r"\r(?!\n)", " ", data.decode()).replace("\r\n", "\n")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.format.delimiter)
        rows, lines, rejects, start = [], [], [], line
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                rejects.append(Reject(start, "", "", f"not readable as CSV ({error})"))
                start = line + reader.line_num
                continue
            if row is None:
                break
            if len(row) == len(self.names):
                rows.append(row)
                lines.append(start)
            elif row:
                rejects.append(
                    Reject(
                        start,
                        "",
                        self.format.delimiter.join(row),
                        _ragged(len(self.names), len(row)),
                    )
                )
            start = line + reader.line_num
        by_name = dict(zip(self.names, zip(*rows, strict=True) if rows else [()] * len(self.names), strict=True))
        columns = {name: pa.array(by_name[name], pa.string()) for name in self.wanted if name in by_name}
        return RawBlock(columns, np.asarray(lines, dtype=np.int64), rejects)

    def _check_encoding(self, data: bytes, line: int) -> None:
        if data.isascii():
            return
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise UserError(self._encoding_message(line + data[: error.start].count(b"\n"))) from None

    def _encoding_message(self, line: int) -> str:
        return (
            f"{self.path}, line {line}: not valid UTF-8; if the file is in another encoding, "
            "name it in the config, such as data.format.encoding: cp1252"
        )


def _line_breaks(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Return how many line feeds there are; NumPy counts twice as fast as bytes do."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8)[start:end] == ord("\n")))


def _needs_care(data: bytes) -> bool:
    """Return whether there are blank lines or lone carriage returns, which Arrow reads otherwise than people do."""
    feeds = np.frombuffer(data, np.uint8) == ord("\n")
    if data.startswith((b"\n", b"\r")) or (feeds[1:] & feeds[:-1]).any():
        return True
    return b"\r" in data and (b"\n\r\n" in data or data.count(b"\r") != data.count(b"\r\n"))


def _without_plain_quotes(data: bytes, delimiter: bytes) -> bytes | None:
    """Return the data with each quote replaced by ``q``, None where that takes a closer look.

    Most files quote whole fields and nothing else: then quotes come in pairs, each pair around one field without a
    line break, and nothing within needs masking. Files that quote every text have millions of them.

    >>> _without_plain_quotes(b'a,"b;c","d', b",")
    b'a,qb;cq,"d'
    >>> _without_plain_quotes(b'a,"b""c"', b",") is None
    True
    """
    marks = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(marks == ord('"'))
    pairs = len(quotes) // 2
    opening, closing = quotes[: 2 * pairs : 2], quotes[1 : 2 * pairs : 2]
    edges = [ord("\n"), *delimiter]
    before, after = marks[opening[opening > 0] - 1], marks[closing[closing < len(data) - 1] + 1]
    breaks = np.flatnonzero((marks == ord("\n")) | (marks == ord("\r")))
    plain = (
        np.isin(before, edges).all()
        and np.isin(after, [ord("\r"), *edges]).all()
        and (np.searchsorted(breaks, opening) == np.searchsorted(breaks, closing)).all()
    )
    if not plain:
        return None
    paired = int(closing[-1]) + 1 if pairs else 0
    return data[:paired].replace(b'"', b"q") + data[paired:]  # a last one is not closed yet


def _ragged(expected: int, actual: int) -> str:
    return f"{actual} fields where the header has {expected}"


def check_names(path: Path, names: Sequence[str], wanted: dict[str, bool], optional: set[str]) -> None:
    """Refuse a file whose columns are not as the config says.

    Raises
    ------
    UserError
        For a wanted column that is missing (with the nearest name that is there), or a name that stands twice.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1 and name in wanted})
    if twice:
        raise UserError(f"{path}: the column {listing(twice)} stands twice in the header; remove or rename one")
    for name in wanted:
        if name not in names and name not in optional:
            raise UserError(
                f"{path}: the column '{name}' is missing{did_you_mean(name, names)}; "
                f"its columns are {listing(n[:60] for n in names)}"
            )


# --- Parquet -----------------------------------------------------------------------------------------------------


def _open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise UserError(f"{path} is not a readable Parquet file ({error})") from None


def _parquet_blocks(path: Path, wanted: dict[str, bool], optional: set[str]) -> Iterator[RawBlock]:
    file = _open_parquet(path)
    check_names(path, file.schema_arrow.names, wanted, optional)
    present = [name for name in wanted if name in file.schema_arrow.names]
    total, row = file.metadata.num_rows, 1
    try:
        for batch in file.iter_batches(PARQUET_ROWS, columns=present, use_threads=False):
            columns = {name: _plain_array(batch.column(name), wanted[name], path, name) for name in present}
            lines = np.arange(row, row + batch.num_rows, dtype=np.int64)
            row += batch.num_rows
            yield RawBlock(columns, lines, done=(row - 1) / total)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: the Parquet data is damaged ({error})") from None


def _plain_array(column: pa.Array, numeric: bool, path: Path, name: str) -> pa.Array:
    """Bring a typed column to what a CSV column would be: float64 for numbers, else text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    try:
        if numeric and (is_number or pa.types.is_boolean(kind)):
            return column.cast(pa.float64())
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UserError(f"{path}: the column '{name}' has the type {kind}, which can't be used") from None
