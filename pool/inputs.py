"""What a run on the pool needs of this machine beside the checkout: its config, and the files that it names."""

import os
import re
import shutil
from pathlib import Path

from scripts.shared.config import load_config
from scripts.shared.errors import UserError
from scripts.shared.inputs import find_inputs
from scripts.shared.plan import read_yaml

VARIABLE = re.compile(r"\$\{?(\w+)\}?/")


def bring(config: Path, root: Path, shared: Path, project: Path) -> tuple[str, dict[str, str]]:
    """Copy a config and its files to where the pool's hosts see them.

    Parameters
    ----------
    config
        The config on this machine.
    root
        The checkout, to which relative names belong.
    shared, project
        The shared folder, and the checkout's copy in it.

    Returns
    -------
    tuple
        The config's name in the project, and the environment variables by which the hosts find the files.

    Raises
    ------
    UserError
        Where the config is wrong, names no file, or names one that the hosts couldn't find under that name.
    """
    data = load_config(read_yaml(config), str(config)).data
    variables: dict[str, str] = {}
    for where, patterns in (("data.raw", data.raw), ("data.applications", data.applications)):
        for pattern in patterns:
            found = VARIABLE.match(pattern)
            files = find_inputs([pattern], where).values()
            if found:
                name = found[1]
                base, target = Path(os.environ.get(name, "")), shared / "inputs" / name
                variables[name] = f"/shared/inputs/{name}"
            elif Path(pattern).is_absolute() or ".." in Path(pattern).parts or pattern.startswith("~"):
                raise UserError(
                    f"{where}: the pool's hosts don't have '{pattern}'; put it below {root}, or name its folder by an "
                    f"environment variable, such as $DATA/{Path(pattern).name}"
                )
            else:
                base, target = root, project
            for file in files:
                _copy(Path(file), target / Path(file).absolute().relative_to(base.absolute()))
    inside = config.resolve()
    name = str(inside.relative_to(root)) if inside.is_relative_to(root) else f"config/{config.name}"
    _copy(config, project / name)
    return name, variables


def _copy(source: Path, target: Path) -> None:
    """Copy a file, readable for all, unless it is there already."""
    stat = source.stat()
    if target.exists() and (target.stat().st_size, target.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.copy2(source, new)
    new.chmod(0o644)
    new.replace(target)
