"""Step preprocess: a raw file or a share of it in, clean Parquet out; row by row, nothing learnt from the data."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.shared.cleaning import Cleaner
from scripts.shared.config import Contract, Rejects, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import atomic, write_json
from scripts.shared.partitions import planned_file
from scripts.shared.parts import part_writer
from scripts.shared.progress import Progress
from scripts.shared.reading import WHOLE, Part, part_of, read_blocks
from scripts.shared.rejects import RejectsWriter


def main(
    raw: Path,
    clean: Path,
    rejects: Path,
    summary: Path,
    config: Path,
    plan: Path,
    shares: list[Path],
    pieces: list[Path],
    number: int,
) -> None:
    """Preprocess one partition: a raw file, or a share of it.

    Parameters
    ----------
    raw
        CSV or Parquet.
    clean
        Clean rows, Parquet; see `Cleaner.schema`.
    rejects
        Rows set aside: file, line, column, value, reason.
    summary
        Counts of this partition; rows in = rows out + rows rejected.
    config, plan
        The run's config, and what it works on.
    shares, pieces
        What the step `divide` has found, where the file is divided; else empty.
    number
        The partition's number, from 1.
    """
    options, file = read_config(config), planned_file(plan, raw)
    file.check()
    part = part_of(shares, pieces, number)
    counts = preprocess(raw, clean, rejects, options.contract(), options.rejects, part)
    file.check()
    write_json(summary, counts)
    logging.info(
        "%s: %s rows in, %s out, %s rejected",
        raw,
        f"{counts['rows_in']:,}",
        f"{counts['rows_out']:,}",
        f"{counts['rows_rejected']:,}",
    )


def preprocess(
    raw: Path, clean: Path, rejects: Path, contract: Contract, policy: Rejects, part: Part = WHOLE
) -> dict[str, Any]:
    """Write the clean rows and the rejects of one raw file, or of a part of it; return the counts.

    Raises
    ------
    UserError
        Where the file can't be read, or has no rows.
    """
    cleaner = Cleaner(contract, training=True)
    progress = Progress(f"preprocess {raw.name}")
    rows_in = rows_out = 0
    present: Counter[str] = Counter()
    with (
        atomic(clean) as clean_part,
        atomic(rejects) as rejects_part,
        rejects_part.open("w", encoding="utf-8", newline="") as rejects_file,
        part_writer(clean_part, cleaner.schema(), _repeated(contract)) as writer,
    ):
        rejected = RejectsWriter(rejects_file, str(raw), policy.show_values)
        for block in read_blocks(raw, contract.format, contract.columns.numeric, cleaner.text_columns(), part=part):
            cleaned = cleaner.clean(block)
            rejected.write(cleaned.rejects)
            if cleaned.table.num_rows:
                writer.write_table(cleaned.table)
            rows_in += cleaned.rows_in
            rows_out += cleaned.table.num_rows
            for name in contract.columns.features():
                present[name] += cleaned.table.num_rows - cleaned.table.column(name).null_count
            progress.at(rows_in, block.done)
        if rows_in == 0 and part.share is None:
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
    return [*columns.numeric, *columns.categorical, columns.target.column, *columns.observed]
