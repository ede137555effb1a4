"""Small things that several unit tests need."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.shared.cleaning import Cleaner
from scripts.shared.config import Config, Contract, Format, load_config
from scripts.shared.files import write_json
from scripts.shared.partitions import look_at, to_plain
from scripts.shared.reading import RawBlock, read_blocks
from scripts.shared.rejects import Reject


def config_dict(**sections: Any) -> dict[str, Any]:
    """Return the smallest useful config: id, x and y, text t, target z; sections replace."""
    return {
        "data": {"raw": "raw.csv"},
        "columns": {
            "id": "id",
            "target": {"column": "z", "positive": "1"},
            "numeric": ["x", "y"],
            "categorical": ["t"],
        },
    } | sections


def config(**sections: Any) -> Config:
    return load_config(config_dict(**sections))


def contract(file_format: dict[str, Any] | None = None, columns: dict[str, Any] | None = None, **rest: Any) -> Contract:
    whole = config_dict(**rest)
    whole["data"]["format"] = file_format or {}
    whole["columns"] |= columns or {}
    return load_config(whole).contract()


def block(**columns: list[Any]) -> RawBlock:
    """Return a raw block; lines count from 2, all columns are text unless they hold floats."""
    arrays = {name: pa.array(values, None if _floats(values) else pa.string()) for name, values in columns.items()}
    rows = len(next(iter(columns.values())))
    return RawBlock(arrays, np.arange(2, rows + 2))


def _floats(values: list[Any]) -> bool:
    return any(isinstance(value, float) for value in values)


def rows_of(**columns: list[Any]) -> RawBlock:
    """Return a block with valid values in every column of `config_dict` that isn't given."""
    rows = len(next(iter(columns.values())))
    usual = {"id": [f"i{n}" for n in range(rows)], "x": ["1"] * rows, "y": ["2"] * rows, "t": ["a"] * rows}
    return block(**(usual | {"z": ["0"] * rows} | columns))


def cleaned(raw: RawBlock, **of_contract: Any) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]]]:
    """Return clean rows, and (line, column, reason) of the rejects."""
    clean = Cleaner(contract(**of_contract), training=True).clean(raw)
    assert clean.rows_in == clean.table.num_rows + len(clean.rejects)
    return clean.table.to_pylist(), [(r.line, r.column, r.reason) for r in clean.rejects]


def read(
    path: Path, numeric: list[str], text: list[str], file_format: Format | None = None, **options: Any
) -> tuple[dict[str, list[Any]], list[int], list[Reject]]:
    """Read a file whole: columns, lines, rejects sorted by line."""
    columns: dict[str, list[Any]] = {}
    lines, rejects = [], []
    for raw in read_blocks(path, file_format or Format(), numeric, text, **options):
        lines += raw.lines.tolist()
        rejects += raw.rejects
        for name, values in raw.columns.items():
            assert len(values) == len(raw.lines)
            columns.setdefault(name, []).extend(values.to_pylist())
    return columns, lines, sorted(rejects, key=lambda reject: reject.line)


def write(path: Path, content: str | bytes) -> Path:
    """Write text or bytes as they are, with parents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_plan(folder: Path, *files: Path, mb: float = 100) -> Path:
    """Write the plan of a run on these files, as they are now."""
    plan = folder / "plan.json"
    raw = {path.name: look_at(str(path), mb) for path in files if path.is_file()}
    write_json(plan, {"raw": to_plain(raw), "applications": {}, "live": ""})
    return plan
