"""What a run on the pool needs of this machine beside the checkout: its config, and the files that it names."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from scripts.shared.config import load_config
from scripts.shared.errors import UserError
from scripts.shared.inputs import find_inputs, variables
from scripts.shared.plan import read_yaml

VARIABLE = re.compile(r"\$\{?(\w+)\}?/")
# What a shell, Python, HTCondor or the project's own commands read, and what a shell doesn't let anyone set.
THEIRS = re.compile(
    r"HOME|PATH|USER|LOGNAME|SHELL|HOSTNAME|PWD|OLDPWD|IFS|ENV|TERM|TZ|LANG|LANGUAGE|TMPDIR|TMP|TEMP|VENV|VIRTUAL_ENV|"
    r"UID|EUID|PPID|SHELLOPTS|(BASH|LC_|LD_|XDG_|PYTHON|PIP_|SSL_|SNAKEMAKE|_?CONDOR_).*"
)


@dataclass(frozen=True)
class Brought:
    """What a run on the pool brings along.

    Parameters
    ----------
    config
        The config's name in the project.
    variables
        Environment variables by which the hosts find the files.
    files
        Files of this machine, by their names on the shared folder.
    """

    config: str
    variables: dict[str, str]
    files: dict[str, Path]


def bring(config: Path, root: Path) -> Brought:
    """Return what is to be brought to where the pool's hosts see it.

    Parameters
    ----------
    config
        The config on this machine.
    root
        The checkout, to which relative names belong.

    Raises
    ------
    UserError
        Where the config is wrong, names no file, or names one that the hosts couldn't find under that name.
    """
    data = load_config(read_yaml(config), str(config)).data
    inside = config.resolve()
    name = str(inside.relative_to(root)) if inside.is_relative_to(root) else f"config/{config.name}"
    files = {f"project/{name}": config}
    values: dict[str, str] = {}
    for where, patterns in (("data.raw", data.raw), ("data.applications", data.applications)):
        for pattern in patterns:
            found = find_inputs([pattern], where).values()
            values |= {other: os.environ[other] for other in variables([pattern])}
            base, target, folders = _place(pattern, where, root)
            values |= folders
            for file in found:
                path = Path(file).absolute()
                if not path.is_relative_to(base.absolute()):
                    raise _not_there(pattern, where, root)
                files[f"{target}/{path.relative_to(base.absolute())}"] = path
    return Brought(name, values, files)


def _place(pattern: str, where: str, root: Path) -> tuple[Path, str, dict[str, str]]:
    """Return a pattern's folder here, its name on the shared folder, and the variable that names it there."""
    for name in variables([pattern]):
        if THEIRS.fullmatch(name):
            raise UserError(
                f"{where}: the pool's hosts need {name} for themselves, so '{pattern}' can't be found by it there; put "
                f"the file below {root}, or name its folder by a variable of yours, such as $DATA/{Path(pattern).name}"
            )
    if ".." in Path(pattern).parts or pattern.startswith("~") or Path(pattern).is_absolute():
        raise _not_there(pattern, where, root)
    if first := VARIABLE.match(pattern):
        name = first[1]
        return Path(os.environ[name]), f"inputs/{name}", {name: f"/shared/inputs/{name}"}
    return root, "project", {}


def _not_there(pattern: str, where: str, root: Path) -> UserError:
    return UserError(
        f"{where}: the pool's hosts don't have '{pattern}'; put it below {root}, or name its folder by an environment "
        f"variable, such as $DATA/{Path(pattern).name}"
    )


def changed(files: dict[str, Path], shared: Path) -> dict[str, Path]:
    """Return those of the files, by their names on the shared folder, that aren't there yet as they are here."""
    return {name: file for name, file in files.items() if not _same(file, shared / name)}


def _same(source: Path, target: Path) -> bool:
    if not target.exists():
        return False
    here, there = source.stat(), target.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
