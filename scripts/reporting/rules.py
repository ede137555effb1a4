"""The dated register of rules: what the report cites, and nothing else."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from scripts.shared.errors import UserError

Words = Annotated[str, Field(min_length=1)]


class Rule(BaseModel):
    """One entry of the register."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    rule: Words
    status: Words
    checked: date
    source: Words
    means: Words
    checks: list[str] = []  # ids of the report's checks that lean on it


def read_rules(path: Path) -> list[Rule]:
    """Read the register.

    Raises
    ------
    UserError
        Where the file is missing, is no YAML, or an entry lacks something or names itself twice.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"report.rules: there is no {path}; restore it or name another file in the config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {error}") from None
    try:
        rules = TypeAdapter(list[Rule]).validate_python(raw)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise UserError(f"{path}: entry {place or '?'}: {detail['msg'].lower()}") from None
    twice = {rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1}
    if twice:
        raise UserError(f"{path}: the id {sorted(twice)[0]} is there twice; ids name one rule each")
    return rules
