"""Parts of the data between steps: Parquet, with a checksum on each page so that damage is noticed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from scripts.shared.errors import UserError


def part_writer(path: Path, schema: pa.Schema, repeated: bool | list[str] = True) -> pa.parquet.ParquetWriter:
    """Return a writer of one part; a dictionary is kept of the columns whose values are `repeated` (True: of all)."""
    return pa.parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=repeated,
        write_page_checksum=True,
        write_statistics=False,  # nobody asks for them, and they cost a seventh of the writing
    )


def write_part(table: pa.Table, path: Path) -> None:
    """Write a part at once."""
    with part_writer(path, table.schema) as writer:
        writer.write_table(table)


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a part, or some of its columns.

    Raises
    ------
    UserError
        Where the file is damaged. It is moved aside, so that the next run makes it anew.
    """
    try:
        with _open(path) as file:
            return file.read(columns=list(columns) if columns is not None else None, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def part_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a part in batches of `rows` rows; the last one, and those at the end of a row group, may be shorter."""
    try:
        with _open(path, pre_buffer=False) as file:  # buffering would hold whole row groups
            yield from file.iter_batches(rows, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def count_rows(path: Path) -> int:
    """Return the number of a part's rows."""
    try:
        with _open(path) as file:
            return int(file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _open(path: Path, pre_buffer: bool = True) -> pa.parquet.ParquetFile:
    return pa.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=pre_buffer)


def _damaged(path: Path, error: Exception) -> Exception:
    aside = path.with_name(f"{path.name}.damaged")
    if isinstance(error, FileNotFoundError) and aside.exists():
        return UserError(f"{path} was damaged, and another step has moved it to {aside.name}: run again")
    if isinstance(error, FileNotFoundError | PermissionError):
        return error
    path.rename(aside)
    reason = " ".join(str(error).split())
    return UserError(f"{path} is damaged ({reason}); it is moved to {aside.name}: run again, and it is made anew")
