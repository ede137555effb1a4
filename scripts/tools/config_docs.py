"""Write config/README.md and workflow/schemas/config.schema.json from the config's schema; `--check` only compares."""

import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scripts.shared.config import Config, plain_type
from scripts.shared.files import to_json, write_text

README = Path("config/README.md")
JSON_SCHEMA = Path("workflow/schemas/config.schema.json")

INTRODUCTION = """\
# Configuration

`config.yaml` runs the shipped sample; `examples/` holds configs for real data. A run reads one config:
`make run CONFIG=your.yaml`, or `snakemake --profile profiles/local --configfile your.yaml`. A config of yours replaces
`config.yaml`; what it leaves out has the default below. Unknown keys are refused, with the nearest right one.

`make schema DATA=your.csv TARGET=your_outcome OUT=your.yaml` drafts a config from a sample of your file, once. A run
never guesses.

A change in the config reruns the steps that it concerns, and what follows from them.

This page is made from `scripts/shared/config.py` by `make docs`.
"""


def main() -> int:
    """Write both files, or with `--check` tell whether they are up to date."""
    wanted = {README: reference(), JSON_SCHEMA: to_json(json_schema())}
    if sys.argv[1:] == ["--check"]:
        stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        if stale:
            print(f"error: {', '.join(stale)}: not as the code says; run: make docs", file=sys.stderr)
        return bool(stale)
    for path, text in wanted.items():
        write_text(path, text)
    return 0


def json_schema() -> dict[str, Any]:
    """Return the JSON schema, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def reference() -> str:
    """Return the page: a table a section, in the order of the schema."""
    page = INTRODUCTION + "".join(_sections(Config, ""))
    return re.sub(r"(?<![\w/])docs/[\w-]+\.md", r"[\g<0>](../\g<0>)", page)


def _sections(model: type[BaseModel], path: str) -> list[str]:
    lines = [f"\n## {f'`{path}`' if path else 'Top level'}\n\n"]
    lines.append(" ".join((model.__doc__ or "").split()) + "\n\n| key | default | what |\n| --- | --- | --- |\n")
    below: list[str] = []
    for name, info in model.model_fields.items():
        child, many = _section_of(info)
        if child is None:
            lines.append(f"| `{name}` | {_default(info)} | {_cell(info.description)} |\n")
        else:
            child_path = f"{path}.{name}" if path else name
            child_path += ".NAME" if many else ""
            what = _cell(info.description) or f"see [`{child_path}`](#{child_path.replace('.', '').lower()})"
            section = isinstance(info.default, BaseModel | dict)
            default = "none" if info.default is None else "see below" if section else _default(info)
            lines.append(f"| `{name}` | {default} | {what} |\n")
            below += _sections(child, child_path)
    return lines + below


def _section_of(info: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that a key holds, and whether it holds many by name."""
    annotation = plain_type(info.annotation)
    many = typing.get_origin(annotation) is dict
    kind = typing.get_args(annotation)[-1] if many else annotation
    if typing.get_origin(kind) is types.UnionType:  # a section that may be left out
        kind = typing.get_args(kind)[0]
    return (kind, many) if isinstance(kind, type) and issubclass(kind, BaseModel) else (None, False)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
