"""Step preprocess: one raw file in, clean Parquet out; row by row, nothing learnt from the data."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from scripts.shared.cleaning import Cleaner
from scripts.shared.config import Contract, Rejects, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import atomic, write_json
from scripts.shared.progress import Progress
from scripts.shared.reading import read_blocks
from scripts.shared.rejects import RejectsWriter


def main(raw: Path, clean: Path, rejects: Path, summary: Path, config: Path) -> None:
    """Preprocess one raw file.

    Parameters
    ----------
    raw
        CSV or Parquet.
    clean
        Clean rows, Parquet; see `Cleaner.schema`.
    rejects
        Rows set aside: file, line, column, value, reason.
    summary
        Counts of this file; rows in = rows out + rows rejected.
    config
        The run's config.
    """
    options = read_config(config)
    counts = preprocess(raw, clean, rejects, options.contract(), options.rejects)
    write_json(summary, counts)
    logging.info(
        "%s: %s rows in, %s out, %s rejected",
        raw,
        f"{counts['rows_in']:,}",
        f"{counts['rows_out']:,}",
        f"{counts['rows_rejected']:,}",
    )


def preprocess(raw: Path, clean: Path, rejects: Path, contract: Contract, policy: Rejects) -> dict[str, Any]:
    """Write the clean rows and the rejects of one raw file; return the counts.

    Raises
    ------
    UserError
        Where the file can't be read, or has no rows.
    """
    cleaner = Cleaner(contract, training=True)
    schema = cleaner.schema()
    progress = Progress(f"preprocess {raw.name}")
    rows_in = rows_out = 0
    present: Counter[str] = Counter()
    with (
        atomic(clean) as clean_part,
        atomic(rejects) as rejects_part,
        rejects_part.open("w", encoding="utf-8", newline="") as rejects_file,
        pa.parquet.ParquetWriter(clean_part, schema, compression="zstd", use_dictionary=_repeated(contract)) as writer,
    ):
        rejected = RejectsWriter(rejects_file, str(raw), policy.show_values)
        for block in read_blocks(raw, contract.format, contract.columns.numeric, cleaner.text_columns()):
            cleaned = cleaner.clean(block)
            rejected.write(cleaned.rejects)
            if cleaned.table.num_rows:
                writer.write_table(cleaned.table)
            rows_in += cleaned.rows_in
            rows_out += cleaned.table.num_rows
            for name in contract.columns.features():
                present[name] += cleaned.table.num_rows - cleaned.table.column(name).null_count
            progress.at(rows_in, block.done)
        if rows_in == 0:
            raise UserError(f"{raw} has a header and no rows; expected at least one row of data")
    return {
        "file": str(raw),
        "rows_in": rows_in,
        "rows_out": rows_out,
        "rows_rejected": rejected.by_reason.total(),
        "rejected_by_reason": dict(sorted(rejected.by_reason.items())),
        "first_reject": vars(rejected.first) | {"value": ""} if rejected.first else None,
        "set_to_missing": {name: n for name, n in sorted(cleaner.set_to_missing.items()) if n},
        "target_values": dict(sorted(cleaner.target_values.items())),
        "values_present": {name: present[name] for name in contract.columns.features()},
    }


def _repeated(contract: Contract) -> list[str]:
    """Return the columns whose values repeat. Dictionaries of the others would cost half of the writing's time."""
    columns = contract.columns
    return [*columns.numeric, *columns.categorical, columns.target.column]
