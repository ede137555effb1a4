"""Raw files, block by block: CSV (plain, .gz, .zst) or Parquet in, Arrow tables with line numbers out.

A block is cut at the end of a record, also where quoted fields hold line breaks. A clean block goes through Arrow's
CSV reader with numbers parsed on the way; one that isn't is read as text, and one with embedded line breaks or blank
lines by Python's csv module, which counts physical lines exactly. Memory is bounded by the block size.
"""

import codecs
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
import pyarrow.csv
import pyarrow.parquet

from scripts.shared.config import Format
from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.rejects import Reject

BLOCK_BYTES = 8 << 20
MAX_RECORD_BYTES = 1 << 20  # a longer record means a quote that was never closed
PARQUET_ROWS = 65_536
NEEDS_CARE = re.compile(rb"\n\r?\n|\r(?!\n)")

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
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from _parquet_blocks(path, wanted, set(optional))
        else:
            yield from _CsvFile(path, file_format, wanted, set(optional), block_bytes).blocks()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except PermissionError:
        raise UserError(f"{path} can't be read by this user; check its permissions") from None


def column_names(path: Path, file_format: Format) -> list[str]:
    """Return the names of a file's columns."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return list(_open_parquet(path).schema_arrow.names)
    with _open_bytes(path) as stream:
        return _CsvFile(path, file_format, {}, set(), BLOCK_BYTES).read_header(_utf8(stream, path, file_format))[0]


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
            chunk = stream.read(block_bytes)
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
        if first:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            first = False
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
        self._quoted = re.compile(opening + rb'[^"]*+(?:""[^"]*+)*+"')  # possessive: linear time
        self._unclosed = re.compile(opening)

    def blocks(self) -> Iterator[RawBlock]:
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
        while True:
            records, data, bad_lines = self._cut(data, at_end)
            if not records and not bad_lines:
                return data, line
            block, line = self._block(records, line, bad_lines)
            block.done = done
            yield block

    def read_header(self, chunks: Iterator[bytes]) -> tuple[list[str], bytes, int]:
        """Return the column names, the bytes read beyond the header, and the line after it."""
        pending, line = b"", 1
        for chunk in chunks:
            pending += chunk
            if b"\n" in pending.lstrip(b"\r\n"):
                break
        if not pending.strip():
            raise UserError(f"{self.path} is empty; expected a header line with column names")
        blank = len(pending) - len(pending.lstrip(b"\r\n"))
        line += pending[:blank].count(b"\n")
        pending = pending[blank:]
        masked = self._quoted.sub(_mask, pending)
        end = masked.find(b"\n") + 1 or len(pending)
        header, rest = pending[:end], pending[end:]
        try:
            text = header.decode()
        except UnicodeDecodeError:
            raise UserError(self._encoding_message(line)) from None
        rows = list(csv.reader(io.StringIO(text.replace("\r\n", "\n"), newline=""), delimiter=self.format.delimiter))
        names = [name.strip() for name in rows[0]]
        return names, rest, line + header.count(b"\n")

    def _check_header(self) -> None:
        check_names(self.path, self.names, self.wanted, self.optional)

    def _cut(self, data: bytes, at_end: bool) -> tuple[bytes, bytes, int]:
        """Cut after the last whole record: (whole records, rest, lines to reject first).

        A quote that opens a field and is never closed would swallow the rest of the file. Where one is found (at the
        end of the file, or when a record grows beyond reason), its line alone is set aside.
        """
        masked = self._quoted.sub(_mask, data) if b'"' in data else data
        open_quote = self._unclosed.search(masked) if b'"' in masked else None
        if open_quote is None:
            end = len(data) if at_end else masked.rfind(b"\n") + 1
            return data[:end], data[end:], 0
        start = masked.rfind(b"\n", 0, open_quote.start()) + 1
        if start > 0:
            return data[:start], data[start:], 0
        if not at_end and len(data) < MAX_RECORD_BYTES:
            return b"", data, 0
        line_end = data.find(b"\n") + 1 or len(data)
        return b"", data[line_end:], 1

    def _block(self, data: bytes, line: int, bad_lines: int) -> tuple[RawBlock, int]:
        """Parse whole records that start at `line`; return them and the line after them."""
        if bad_lines:
            return RawBlock(
                {},
                np.empty(0, np.int64),
                [Reject(line, "", "", "a quote is opened and never closed")],
            ), (line + 1)
        embedded = b'"' in data and b"\n" in b"".join(self._quoted.findall(data))
        after = line + data.count(b"\n")
        if embedded or NEEDS_CARE.search(data) or data.startswith((b"\n", b"\r")):
            return self._with_csv_module(data, line), after
        return self._with_arrow(data, line), after

    def _with_arrow(self, data: bytes, line: int) -> RawBlock:
        """Parse records of one line each."""
        rejects: list[Reject] = []

        def ragged(row: pyarrow.csv.InvalidRow) -> str:
            rejects.append(
                Reject(
                    line + row.number - 1,
                    "",
                    row.text,
                    _ragged(row.expected_columns, row.actual_columns),
                )
            )
            return "skip"

        present = {name: numeric for name, numeric in self.wanted.items() if name in self.names}
        missing = {spelling for m in self.format.missing_values for spelling in (m, m.lower(), m.upper())}
        for numbers in (
            True,
            False,
        ):  # where one value of the block isn't a number, all of it is read as text
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
                break
            except pa.ArrowInvalid as error:
                if numbers:
                    continue
                self._check_encoding(data, line)
                raise UserError(f"{self.path}, from line {line} on: not readable as CSV ({error})") from None
        taken = {reject.line for reject in rejects}
        lines = np.arange(line, line + table.num_rows + len(rejects), dtype=np.int64)
        if taken:
            lines = lines[~np.isin(lines, np.fromiter(taken, np.int64))]
        columns = {name: table.column(name).combine_chunks() for name in present}
        return RawBlock(columns, lines, rejects)

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
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise UserError(self._encoding_message(line + data[: error.start].count(b"\n"))) from None

    def _encoding_message(self, line: int) -> str:
        return (
            f"{self.path}, line {line}: not valid UTF-8; if the file is in another encoding, "
            "name it in the config, such as data.format.encoding: cp1252"
        )


def _mask(quoted: re.Match[bytes]) -> bytes:
    """Stand in for a quoted field: as long, without line breaks and delimiters."""
    return b"q" * len(quoted[0])


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
