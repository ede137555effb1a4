"""What a run will work on: the validated config, the files that it names, and the registry.

Made when the workflow is parsed, and by the driver before that, so that a mistake is told before anything starts.
Imported by every job: nothing heavy here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.shared.access import Access
from scripts.shared.config import Config, load_config, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import check_space, read_json, write_json
from scripts.shared.inputs import find_inputs
from scripts.shared.partitions import InputFile, from_plain, look_at, to_plain
from scripts.shared.registry import live_name, prepare
from scripts.shared.search import Round, find_rounds
from scripts.shared.trusted import check_carried

# What predictions leave beside FILE.csv; no application file may be named so.
BESIDE_PREDICTIONS = (".rejects", ".summary")


# As jobs read it, frozen when the run starts: a file that grows meanwhile, or a config that is edited, changes nothing.
FROZEN_CONFIG, FROZEN_PLAN = Path("results/config.json"), Path("results/plan.json")


@dataclass(frozen=True)
class Plan:
    """What a run will work on.

    Attributes
    ----------
    config
        The validated config.
    raw, applications
        The input files by name, sorted.
    live
        The registry's live pointer.
    searches
        The rounds of each model that is tuned, by its name.
    waits
        Whether nothing can be predicted: no model is live, and a person must make one so.
    """

    config: Config
    raw: dict[str, InputFile]
    applications: dict[str, InputFile]
    live: str
    searches: dict[str, list[Round]]
    waits: bool = False

    def freeze(self) -> None:
        """Write the plan for the run's jobs."""
        write_json(FROZEN_CONFIG, self.config.model_dump(mode="json"))
        files = {"raw": to_plain(self.raw), "applications": to_plain(self.applications)}
        write_json(FROZEN_PLAN, files | {"live": self.live, "waits": self.waits})


def make_plan(raw_config: Mapping[str, Any], source: str = "the config") -> Plan:
    """Return the plan for a config as it was read.

    Raises
    ------
    UserError
        Where the config is wrong, a file is missing, the disk is full, or the registry can't be written, or not by the
        config's group.
    """
    check_space(Path.cwd())
    config = load_config(raw_config, source)
    check_carried({name: row.estimator for name, row in config.models.items()}, config.deploy.artefact)
    raw = find_inputs(config.data.raw, "data.raw")
    if not raw:
        raise UserError(f"data.raw: no file matches {', '.join(config.data.raw)}")
    applications = find_inputs(config.data.applications, "data.applications", reserved=BESIDE_PREDICTIONS)
    mb = config.partitions.mb
    live = prepare(Path(config.deploy.folder), Access.of(config.deploy.group, config.deploy.mode))
    return Plan(
        config,
        {name: look_at(path, mb) for name, path in raw.items()},
        {name: look_at(path, mb) for name, path in applications.items()},
        str(live),
        find_searches(config),
        config.deploy.approval and live_name(live) is None,
    )


def frozen_plan() -> Plan:
    """Return the plan that the run was started with."""
    files, config = read_json(FROZEN_PLAN), read_config(FROZEN_CONFIG)
    raw, applications = from_plain(files["raw"]), from_plain(files["applications"])
    return Plan(config, raw, applications, str(files["live"]), find_searches(config), files["waits"])


def find_searches(config: Config) -> dict[str, list[Round]]:
    """Return the rounds of each model that is tuned, by its name."""
    return {name: find_rounds(name, row, config.seed) for name, row in config.models.items() if row.tune}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file.

    Raises
    ------
    UserError
        Where the file is missing, or isn't YAML with keys at the top level.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"the config file '{path}' does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the config file '{path}' is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"the config file '{path}' has no keys; see config/README.md")
    return content
