"""Step divide: find where the partitions of a large file begin, so that each job reads only its own.

A CSV file is cut at the ends of records, also where quoted fields hold line breaks; a Parquet file by rows. A file that
can't be entered midway (compressed, or in another encoding) is unpacked into pieces on the way: by one job, once.
"""

import hashlib
import itertools
import logging
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from scripts.shared.config import Contract, Format, read_config
from scripts.shared.files import read_json, write_json
from scripts.shared.partitions import planned_file
from scripts.shared.progress import Progress
from scripts.shared.reading import (
    CsvFile,
    Records,
    Share,
    can_be_entered_midway,
    file_errors,
    is_parquet,
    line_breaks,
    open_parquet,
)
from scripts.shared.registry import live_version

PIECE_BLOCK = 1 << 20  # pieces end at the end of a block, so that this is by how much they differ


def main(source: Path, shares: Path, pieces: Path, plan: Path, config: Path, live: list[Path]) -> None:
    """Divide one file.

    Parameters
    ----------
    source
        CSV or Parquet.
    shares
        JSON: what each partition takes of the file, and its checksum.
    pieces
        Folder of the unpacked pieces; empty where the file itself can be entered midway.
    plan
        What the run works on.
    config
        The run's config.
    live
        For applications: the registry's live pointer, since the live model says how they are written. Else empty.
    """
    file = planned_file(plan, source)
    file.check()
    file_format = _format_of_model(live[0]) if live else read_config(config).data.format
    pieces.mkdir(parents=True, exist_ok=True)
    found = divide(source, file_format, file.partitions, pieces)
    file.check()
    write_json(shares, {"file": str(source), "size": file.size, "shares": [asdict(share) for share in found]})
    logging.info("%s: divided into %d partitions", source, len(found))


def _format_of_model(live: Path) -> Format:
    return Contract.model_validate(read_json(live_version(live) / "model.json")["contract"]).format


def divide(source: Path, file_format: Format, count: int, pieces: Path) -> list[Share]:
    """Return the shares of `count` partitions, in the file's order; a share may be empty.

    Raises
    ------
    UserError
        Where the file can't be read.
    """
    with file_errors(source):
        if is_parquet(source):
            rows = open_parquet(source).metadata.num_rows
            edges = [rows * number // count for number in range(count + 1)]
            return [Share(a, b, a + 1) for a, b in itertools.pairwise(edges)]
        if can_be_entered_midway(source, file_format):
            return _ranges(CsvFile(source, file_format), source.stat().st_size, count)
        return _unpack(CsvFile(source, file_format, block_bytes=PIECE_BLOCK), count, pieces)


class _Open:
    """A share that is still growing."""

    def __init__(self, start: int, line: int) -> None:
        self.start = self.end = start
        self.line = line
        self._digest = hashlib.sha256()

    def add(self, data: bytes | memoryview) -> None:
        """Take in what comes next."""
        self._digest.update(data)
        self.end += len(data)

    def close(self, piece: str = "") -> Share:
        """Return the share, which ends here."""
        return Share(self.start, self.end, self.line, self._digest.hexdigest(), piece)


def _ranges(file: CsvFile, size: int, count: int) -> list[Share]:
    """Return shares of about equal bytes: each begins with the first record at or after its edge."""
    shares: list[Share] = []
    current: _Open | None = None
    edges = [size * number // count for number in range(1, count)]
    progress, rest = Progress(f"divide {file.path.name}"), 0
    for records in file.records():
        current = current or _Open(file.body, records.line)
        begin, used = current.end, 0
        while len(shares) < len(edges) and edges[len(shares)] < begin + len(records.data):
            cut = _record_start(records, max(edges[len(shares)] - begin, used))
            current.add(memoryview(records.data)[used:cut])
            shares.append(current.close())
            used, line = cut, records.line + line_breaks(records.data, 0, cut)
            current = _Open(current.end, line)
        current.add(memoryview(records.data)[used:])
        rest = records.line + line_breaks(records.data)
        progress.at(rest, records.done)
    current = current or _Open(file.body, rest)
    shares.append(current.close())
    while len(shares) < count:
        shares.append(_Open(current.end, rest).close())
    return shares


def _record_start(records: Records, at: int) -> int:
    """Return where the first record at or after a byte starts."""
    if at == 0:
        return 0
    line_break = -1 if records.unclosed else records.masked.find(b"\n", at - 1)
    return line_break + 1 if line_break >= 0 else len(records.data)


def _unpack(file: CsvFile, count: int, pieces: Path) -> list[Share]:
    """Write pieces of about equal shares of the packed file, as UTF-8 without a header; return what they hold."""
    shares: list[Share] = []
    progress = Progress(f"unpack {file.path.name}")
    records = file.records()
    pending, line = next(records, None), 1
    for number in range(1, count + 1):
        piece = f"{number:04d}.zst"
        with pa.CompressedOutputStream(str(pieces / piece), "zstd") as stream:
            current = _Open(0, pending.line if pending else line)
            while pending and (number == count or pending.done < number / count or not current.end):
                stream.write(pending.data)
                current.add(pending.data)
                line = pending.line + line_breaks(pending.data)
                progress.at(line, pending.done)
                pending = next(records, None)
        shares.append(current.close(piece))
    return shares
