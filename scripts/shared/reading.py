"""Raw files, block by block: CSV (plain, .gz, .zst) or Parquet in, Arrow tables with line numbers out.

A block is cut at the end of a record, also where quoted fields hold line breaks. A clean block goes through Arrow's
CSV reader with numbers parsed on the way. A block with a value that is no number is read as text; from there on, so is
that column in the whole file, and the others aren't. One with embedded line breaks or blank lines is read by Python's
csv module, which counts physical lines exactly. Memory is bounded by the block size.
"""

import codecs
import contextlib
import csv
import hashlib
import io
import re
from collections.abc import Generator, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from scripts.shared import arrays
from scripts.shared.config import Format
from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.files import read_json
from scripts.shared.rejects import Reject

BLOCK_BYTES = 8 << 20
HEADER_BYTES = 1 << 16
MAX_RECORD_BYTES = 1 << 20  # a longer record means a quote that was never closed
PARQUET_ROWS = 65_536
FEW_QUOTES = 2_000  # in a block: so many are looked at one by one

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


@dataclass(frozen=True)
class Share:
    """What a partition takes of a file, as the step `divide` has found it.

    Attributes
    ----------
    start, end
        CSV: the bytes from `start` to before `end`. Parquet: the rows, counted from 0.
    line
        The line (CSV) or row (Parquet) that the first record stands on, counted as `RawBlock.lines` are.
    sha256
        Of these bytes; empty for Parquet, which has checksums of its own.
    piece
        The name of the unpacked piece that holds these records, where the file itself can't be entered midway.
    """

    start: int
    end: int
    line: int
    sha256: str = ""
    piece: str = ""


@dataclass(frozen=True)
class Part:
    """What to read of a file: all of it, or a share, which may lie in a folder of unpacked pieces."""

    share: Share | None = None
    pieces: Path | None = None


WHOLE = Part()


def part_of(shares: list[Path], pieces: list[Path], number: int) -> Part:
    """Return what a partition takes of a file, as the step `divide` has written it; all where it isn't divided."""
    return Part(Share(**read_json(shares[0])["shares"][number - 1]), pieces[0]) if shares else WHOLE


def read_blocks(
    path: Path,
    file_format: Format,
    numeric: Sequence[str],
    text: Sequence[str],
    optional: Sequence[str] = (),
    block_bytes: int = BLOCK_BYTES,
    part: Part = WHOLE,
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
    part
        What to read of the file.

    Raises
    ------
    UserError
        Where the file is missing, empty, unreadable, in another encoding, or lacks a wanted column; or where the share
        holds other bytes than it did.
    """
    wanted = {name: name in set(numeric) for name in (*numeric, *text)}
    with file_errors(path):
        if is_parquet(path):
            yield from _parquet_blocks(path, wanted, set(optional), part.share)
        else:
            yield from CsvFile(path, file_format, wanted, set(optional), block_bytes).blocks(part)


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet by its ending."""
    return path.suffix.lower() in (".parquet", ".pq")


def column_names(path: Path, file_format: Format) -> list[str]:
    """Return the names of a file's columns."""
    with file_errors(path):
        if is_parquet(path):
            return list(open_parquet(path).schema_arrow.names)
        with _open_bytes(path) as stream:
            return CsvFile(path, file_format).read_header(_utf8(stream, path, file_format, HEADER_BYTES))[0]


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
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


def _codec(path: Path) -> str | None:
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())


@contextlib.contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or compressed file as bytes."""
    with path.open("rb") as raw:
        yield _unpacked(raw, path)


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    codec = _codec(path)
    return pa.CompressedInputStream(raw, codec) if codec else raw


def _read_some(stream: IO[bytes], path: Path, size: int) -> bytes:
    try:
        return stream.read(size)
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: the compressed data is damaged or cut short ({error})") from None


def can_be_entered_midway(path: Path, file_format: Format) -> bool:
    """Return whether a CSV file can be read from a byte on: not if it is compressed or in another encoding."""
    return _codec(path) is None and _is_utf8(file_format)


def _is_utf8(file_format: Format) -> bool:
    return codecs.lookup(file_format.encoding).name in ("utf-8", "ascii")


def _utf8(stream: IO[bytes], path: Path, file_format: Format, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the stream's bytes as UTF-8, without a byte order mark."""
    native = _is_utf8(file_format)
    decoder = None if native else codecs.getincrementaldecoder(file_format.encoding)()
    first, line = True, 1
    while True:
        chunk = _read_some(stream, path, max(block_bytes, 4) if first else block_bytes)  # a byte order mark, whole
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


@dataclass(frozen=True)
class Records:
    """Whole records of a CSV file, as bytes.

    Attributes
    ----------
    data
        UTF-8.
    masked
        The same with quoted fields masked: as long, without line breaks and delimiters. Each of its line breaks ends a
        record.
    line
        The physical line of the first record.
    unclosed
        Whether this is one line to set aside, since a quote is opened there and never closed.
    done
        Share of the file that is read, 0 to 1.
    """

    data: bytes
    masked: bytes
    line: int
    unclosed: bool
    done: float


class CsvFile:
    """One CSV file being read.

    Attributes
    ----------
    names
        The columns, known when the first records are.
    body
        The byte that the first record starts at, in a file that can be entered midway.
    """

    def __init__(
        self,
        path: Path,
        file_format: Format,
        wanted: dict[str, bool] | None = None,
        optional: Set[str] = frozenset(),
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.path = path
        self.format = file_format
        self.wanted = wanted or {}
        self.optional = optional
        self.block_bytes = block_bytes
        self.unparsed: set[str] = set()  # numeric columns that had a value which the reader couldn't parse
        self.names: list[str] = []
        self.body = 0
        delimiter = re.escape(file_format.delimiter.encode())
        opening = rb"(?:\A|(?<=[\n" + delimiter + rb']))"'
        closing = rb'" *(?=[\r\n' + delimiter + rb"]|\Z)"
        self._quoted = re.compile(opening + rb'[^"]*+(?:""[^"]*+)*+' + closing)  # possessive: linear time
        self._unclosed = re.compile(opening)
        # Values, beside NaN, that the text decides on: missing, or a number.
        self._doubtful = [float(m) for m in file_format.missing_values if re.fullmatch(r"[+-]?\d+\.?\d*", m)]

    def blocks(self, part: Part = WHOLE) -> Iterator[RawBlock]:
        """Yield the rows of the file, or of a share of it, in order."""
        for records in self.records() if part.share is None else self._records_of(part.share, part.pieces):
            if records.unclosed:
                block = self._unclosed_line(records.line)
            else:
                block = self._block(records.data, records.masked, records.line)
            block.done = records.done
            yield block

    def records(self) -> Iterator[Records]:
        """Yield all records of the file in order."""
        size = max(self.path.stat().st_size, 1)
        with self.path.open("rb") as raw:
            chunks = _utf8(_unpacked(raw, self.path), self.path, self.format, self.block_bytes)
            self.names, pending, line = self.read_header(chunks)
            self.body = raw.tell() - len(pending)
            self._check_header()
            for chunk in chunks:
                pending += chunk
                pending, line = yield from self._whole_records(pending, line, raw.tell() / size, at_end=False)
            yield from self._whole_records(pending, line, 1.0, at_end=True)

    def _records_of(self, share: Share, pieces: Path | None) -> Iterator[Records]:
        """Yield the records of a share, whose columns the file's header names.

        Raises
        ------
        UserError
            Where its bytes are others than they were.
        """
        with _open_bytes(self.path) as stream:
            self.names = self.read_header(_utf8(stream, self.path, self.format, HEADER_BYTES))[0]
        self._check_header()
        source = self.path if pieces is None or not share.piece else pieces / share.piece
        digest, left, pending, line = hashlib.sha256(), share.end - share.start, b"", share.line
        with _open_bytes(source) as stream:
            if source is self.path:
                stream.seek(share.start)
            while left and (chunk := _read_some(stream, source, min(left, self.block_bytes))):
                digest.update(chunk)
                left -= len(chunk)
                pending += chunk
                done = 1 - left / (share.end - share.start)
                pending, line = yield from self._whole_records(pending, line, done, at_end=not left)
        if digest.hexdigest() != share.sha256:
            raise UserError(f"{source} has changed since it was divided; run again, when nothing writes to it any more")

    def _whole_records(
        self, data: bytes, line: int, done: float, at_end: bool
    ) -> Generator[Records, None, tuple[bytes, int]]:
        """Yield whole records; return the rest and its line."""
        masked, at = self._masked(data), 0
        while True:
            end, unclosed = self._cut(data, masked, at, at_end)
            if end == at:
                return data[at:], line
            records = data[at:end]
            yield Records(records, records if masked is data else masked[at:end], line, unclosed, done)
            if unclosed and masked.find(b"\n", at) + 1 != end:  # what seemed quoted on the bad line reached beyond it
                masked = masked[:end] + self._masked(data[end:])
            line += line_breaks(data, at, end)
            at = end

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
        columns = {name: arrays.texts([]) for name in self.wanted if name in self.names}
        return RawBlock(columns, np.empty(0, np.int64), [Reject(line, "", "", "a quote is opened and never closed")])

    def _block(self, data: bytes, masked: bytes, line: int) -> RawBlock:
        """Parse whole records that start at `line`."""
        embedded = data != masked and line_breaks(data) > line_breaks(masked)
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

        present = [name for name in self.wanted if name in self.names]
        for numbers in (True, False):  # where one value of the block isn't a number, all of it is read as text
            rejects.clear()
            types = {name: self._type(name, numbers) for name in present}
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
                        include_columns=present,
                        column_types=types,
                        null_values=self._null_values() if numbers else [],
                        strings_can_be_null=False,
                        decimal_point=self.format.decimal,
                    ),
                )
                if not numbers:
                    self.unparsed.update(
                        name for name in present if self.wanted[name] and not self._parses(table, name)
                    )
                doubtful = self._doubtful_columns(table)
                self.unparsed.update(doubtful)
                if not doubtful:
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

    def _type(self, name: str, numbers: bool) -> pa.DataType:
        """Return what a column is read as, where numbers are parsed or not."""
        return pa.float64() if numbers and self.wanted[name] and name not in self.unparsed else pa.string()

    def _null_values(self) -> list[str]:
        return sorted({spelling for m in self.format.missing_values for spelling in (m, m.lower(), m.upper())})

    def _parses(self, table: pa.Table, name: str) -> bool:
        """Return whether a column that was read as text is numbers throughout, but for missing values."""
        texts = table.column(name)
        texts = texts.filter(pc.invert(pc.is_in(texts, arrays.texts(self._null_values()))))
        if self.format.decimal != ".":
            texts = pc.replace_substring(texts, self.format.decimal, ".")
        try:
            texts.cast(pa.float64())
        except pa.ArrowInvalid:
            return False
        return True

    def _doubtful_columns(self, table: pa.Table) -> list[str]:
        """Return where a number was parsed that the text may mean otherwise, such as ``nan``, ``inf`` or `` -9``."""
        parsed = {name: table.column(name) for name in table.column_names if table.field(name).type == pa.float64()}
        return [
            name
            for name, column in parsed.items()
            if not pc.all(pc.is_finite(column), min_count=0).as_py()
            or any(pc.any(pc.equal(column, n)).as_py() for n in self._doubtful)
        ]

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


def line_breaks(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Return how many line feeds there are; NumPy counts twice as fast as bytes do."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8)[start:end] == ord("\n")))


def _needs_care(data: bytes) -> bool:
    """Return whether there are blank lines or lone carriage returns, which Arrow reads otherwise than people do."""
    if data.startswith((b"\n", b"\r")) or any((pairs == 0x0A0A).any() for pairs in _pairs(data)):
        return True
    return b"\r" in data and (b"\n\r\n" in data or data.count(b"\r") != data.count(b"\r\n"))


def _pairs(data: bytes) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Return all pairs of neighbouring bytes: those that start at even places, and at odd ones."""
    even, odd = len(data) // 2, (len(data) - 1) // 2
    return np.frombuffer(data, np.uint16, even), np.frombuffer(memoryview(data)[1:], np.uint16, odd)


def _without_plain_quotes(data: bytes, delimiter: bytes) -> bytes | None:
    """Return the data with each quote replaced by ``q``, None where that takes a closer look.

    Most files quote whole fields and nothing else: then quotes come in pairs, each pair around one field without a
    line break, and nothing within needs masking. Files that quote every text have millions of them.

    >>> _without_plain_quotes(b'a,"b;c","d', b",")
    b'a,qb;cq,"d'
    >>> _without_plain_quotes(b'a,"b""c"', b",") is None
    True
    """
    few = data.count(b'"') <= FEW_QUOTES
    paired = _end_of_few_plain(data, delimiter) if few else _end_of_plain(data, delimiter)
    if paired is None:
        return None
    return data[:paired].replace(b'"', b"q") + data[paired:]  # a last one is not closed yet


def _end_of_few_plain(data: bytes, delimiter: bytes) -> int | None:
    """Return where the last pair of quotes ends, None where not all are plain; for few quotes."""
    before, after = (b"", b"\n", delimiter), (b"", b"\r", b"\n", delimiter)
    end = 0
    while (opening := data.find(b'"', end)) >= 0 and (closing := data.find(b'"', opening + 1)) >= 0:
        field = data[opening:closing]
        if data[max(opening - 1, 0) : opening] not in before or data[closing + 1 : closing + 2] not in after:
            return None
        if b"\n" in field or b"\r" in field:
            return None
        end = closing + 1
    return end


def _end_of_plain(data: bytes, delimiter: bytes) -> int | None:
    """Return the same; for many quotes."""
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
    return int(closing[-1]) + 1 if pairs else 0


def _ragged(expected: int, actual: int) -> str:
    return f"{actual} fields where the header has {expected}"


def check_names(path: Path, names: Sequence[str], wanted: dict[str, bool], optional: Set[str]) -> None:
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


def open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    """Open a Parquet file.

    Raises
    ------
    UserError
        Where it is none.
    """
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise UserError(f"{path} is not a readable Parquet file ({error})") from None


def _parquet_blocks(path: Path, wanted: dict[str, bool], optional: Set[str], share: Share | None) -> Iterator[RawBlock]:
    file = open_parquet(path)
    check_names(path, file.schema_arrow.names, wanted, optional)
    present = [name for name in wanted if name in file.schema_arrow.names]
    first, end = (share.start, share.end) if share else (0, file.metadata.num_rows)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    groups = [group for group in range(len(sizes)) if starts[group] < end and starts[group + 1] > first]
    at = int(starts[groups[0]]) if groups else 0
    try:
        for batch in file.iter_batches(PARQUET_ROWS, row_groups=groups, columns=present, use_threads=False):
            begin, stop = max(first, at), min(end, at + batch.num_rows)
            rows = batch.slice(begin - at, max(stop - begin, 0))
            at += batch.num_rows
            if rows.num_rows:
                columns = {name: _plain_array(rows.column(name), wanted[name], path, name) for name in present}
                lines = np.arange(begin + 1, stop + 1, dtype=np.int64)
                yield RawBlock(columns, lines, done=(stop - first) / (end - first))
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
