"""Draft a config from a sample of the user's file, once: `make schema`.

The user checks it and keeps it; a run never guesses.
"""

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from scripts.shared.cleaning import parse_numbers
from scripts.shared.config import Format, load_config
from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.files import write_text
from scripts.shared.inputs import find_inputs
from scripts.shared.reading import column_names, read_blocks

SAMPLE_BLOCKS = 4
MOST_CATEGORIES = 50
FEW_NUMBERS = 10
NUMERIC_SHARE = 0.95  # so many of the present values must be numbers; the rest are for the rejects
STRAY_SHARE = 0.01  # of target values that are neither outcome
DELIMITERS = ",;\t|"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
IDENTITY = re.compile(r"(^|[_\s])(id|no|nr|number|key)$", re.IGNORECASE)
DECIMAL_COMMA = r"^[+-]?[\d.]*\d,\d+$"
DECIMAL_POINT = r"^[+-]?(\d+\.(\d{1,2}|\d{4,})|0\.\d+)$"  # three digits may be thousands


@dataclass
class Schema:
    """What the sample says of each column, with a note where a person should look."""

    id: str | None = None
    date: str | None = None
    numeric: dict[str, str] = field(default_factory=dict)
    categorical: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Write the draft; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CSV or Parquet file, or a glob (its first file is sampled)")
    parser.add_argument("--target", required=True, help="the column to predict")
    parser.add_argument("--out", required=True, help="config file to write")
    options = parser.parse_args()
    try:
        draft_config(options.data, options.target, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} is written: read it, correct it, then run: make run CONFIG={options.out}")
    return 0


def draft_config(data: str, target: str, out: str) -> None:
    """Write a config for `data` to `out`.

    Raises
    ------
    UserError
        Where an argument is missing, `out` exists, or the target isn't a column with two values.
    """
    if not data or not out:
        raise UserError("say which file and where to write: make schema DATA=loans.csv TARGET=loan_status OUT=my.yaml")
    if Path(out).exists():
        raise UserError(f"{out} exists and is kept; name another file, or delete it first")
    files = list(find_inputs([data], "DATA").values())
    if not files:
        raise UserError(f"no file matches DATA={data}")
    path = Path(files[0])
    file_format = guess_format(path)
    names = column_names(path, file_format)
    blocks = islice(read_blocks(path, file_format, [], names), SAMPLE_BLOCKS)
    tables = [pa.table(block.columns) for block in blocks if block.columns]
    sample = pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.string()) for name in names})
    if not sample.num_rows:
        raise UserError(f"{path} has a header and no rows; expected at least one row of data")
    missing = {text.casefold() for text in file_format.missing_values}
    values = {name: _present(sample.column(name), missing) for name in names}
    if target not in values:
        pairs = [name for name in names if len(set(values[name])) == 2]
        raise UserError(
            f"TARGET={target} is no column of {path}{did_you_mean(target, names)}; "
            f"columns with two values: {listing(pairs) or 'none'}"
        )
    outcomes = two_outcomes(target, values[target])
    schema = infer({n: v for n, v in values.items() if n != target}, sample.num_rows, file_format)
    text = render(data, target, outcomes, schema, file_format, path, sample.num_rows)
    load_config(yaml.safe_load(text), out)  # what is drafted must be valid
    write_text(Path(out), text)


def two_outcomes(target: str, present: list[str]) -> tuple[str, str]:
    """Return the target's two values, the rarer first; a stray third value is left to the rejects.

    Raises
    ------
    UserError
        Where the target has not two values.
    """
    counts = Counter(present).most_common()
    strays = sum(count for _, count in counts[2:])
    if len(counts) < 2 or strays > STRAY_SHARE * len(present):
        shown = listing((value for value, _ in counts), limit=5)
        raise UserError(f"TARGET={target} has {len(counts)} values in the sample, not two: {shown}")
    return counts[1][0], counts[0][0]


def guess_format(path: Path) -> Format:
    """Return the format: the delimiter that stands most often in the header, an encoding that reads the file.

    Semicolons are taken to come with a decimal comma, unless the numbers say otherwise.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return Format()
    for encoding in ("utf-8", "cp1252"):
        try:
            header = "".join(column_names(path, Format(delimiter="\x1f", encoding=encoding)))
            file_format = Format(delimiter=max(DELIMITERS, key=header.count), encoding=encoding)
            commas = points = 0
            for block in islice(read_blocks(path, file_format, [], column_names(path, file_format)), SAMPLE_BLOCKS):
                for column in block.columns.values():
                    commas += _count(column, DECIMAL_COMMA)
                    points += _count(column, DECIMAL_POINT)
        except UserError as error:
            if encoding == "utf-8" and "not valid UTF-8" in str(error):
                continue
            raise
        if file_format.delimiter == ";" and points <= commas:
            return file_format.model_copy(update={"decimal": ",", "thousands": "."})
        return file_format
    raise UserError(f"{path} is neither UTF-8 nor cp1252")


def _count(column: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0)


def _present(column: pa.ChunkedArray, missing: set[str]) -> list[str]:
    texts = (text.strip() for text in column.to_pylist() if text is not None)
    return [text for text in texts if text.casefold() not in missing]


def infer(values: dict[str, list[str]], rows: int, file_format: Format) -> Schema:
    """Say what each column is, from the values that are present in the sample."""
    numbers = {name: _share_of_numbers(present, file_format) for name, present in values.items()}
    usable = {name: present for name, present in values.items() if name and not name.startswith("__")}
    schema = Schema(id=_find_id(usable, numbers, rows))
    for name, present in values.items():
        distinct = len(set(present))
        if name == schema.id:
            continue
        if name not in usable:
            schema.left_out[name] = "its name can't be used; rename it"
        elif distinct <= 1:
            schema.left_out[name] = "always the same value" if distinct else "always missing"
        elif _are_dates(present):
            if schema.date is None:
                schema.date = name
            else:
                schema.left_out[name] = "a date"
        elif numbers[name] >= NUMERIC_SHARE:
            few = distinct <= FEW_NUMBERS and all(re.fullmatch(r"\d+", text) for text in present)
            schema.numeric[name] = "few whole numbers: if they are codes, move it to categorical" if few else ""
        elif distinct <= MOST_CATEGORIES:
            schema.categorical[name] = ""
        else:
            schema.left_out[name] = f"text with {distinct} different values"
    return schema


def _find_id(values: dict[str, list[str]], numbers: dict[str, float], rows: int) -> str | None:
    """Return the first unique column that is called an id, or else the first unique text."""
    unique = [name for name, present in values.items() if len(set(present)) == rows > 1]
    named = [name for name in unique if IDENTITY.search(name)]
    texts = [name for name in unique if numbers[name] < NUMERIC_SHARE and not _are_dates(values[name])]
    return next(iter(named + texts), None)


def _are_dates(present: list[str]) -> bool:
    return all(DATE.match(text) for text in present)


def _share_of_numbers(present: list[str], file_format: Format) -> float:
    if not present:
        return 0.0
    _, invalid = parse_numbers(pa.array(present), file_format, lambda texts: np.zeros(len(texts), dtype=bool))
    return 1 - float(invalid.mean())


def render(
    data: str, target: str, outcomes: tuple[str, str], schema: Schema, file_format: Format, path: Path, rows: int
) -> str:
    """Return the config as commented YAML."""
    lines = [
        f"# Drafted from {rows:,} rows of {path.name}; every line is yours to correct. All keys: config/README.md",
        "",
        "data:",
        f"  raw: {_quoted(data)}",
        "  # applications: new_applications/*.csv",
    ]
    changed = file_format.model_dump(exclude_defaults=True)
    if changed:
        lines.append(f"  format: {json.dumps(changed, ensure_ascii=False)}")
    lines += ["", "columns:"]
    if schema.id:
        lines.append(f"  id: {_quoted(schema.id)} # unique in the sample")
    lines.append(
        f"  target: {{column: {_quoted(target)}, positive: {_quoted(outcomes[0])}, negative: {_quoted(outcomes[1])}}}"
        " # positive: the rarer value; check that it means default"
    )
    if schema.date:
        lines.append(f"  date: {_quoted(schema.date)} # for split.method: time")
    for kind, columns in (("numeric", schema.numeric), ("categorical", schema.categorical)):
        if columns:
            lines.append(f"  {kind}:")
            lines += [f"    - {_quoted(name)}{f' # {note}' if note else ''}" for name, note in columns.items()]
    if schema.left_out:
        lines.append("  # left out:")
        lines += [f"  #   {_quoted(name)}: {note}" for name, note in schema.left_out.items()]
    lines += [
        "",
        "# Would you know each of these columns when an application comes in? What is set later (a grade, a rate, an",
        "# outcome) leaks: take it out.",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a YAML scalar that reads back as this very text."""
    plain = bool(re.fullmatch(r"[A-Za-z_][\w ./*-]*\w", text)) and yaml.safe_load(text) == text
    return text if plain else yaml.safe_dump(text, default_style='"', allow_unicode=True, width=sys.maxsize).strip()


if __name__ == "__main__":
    sys.exit(main())
