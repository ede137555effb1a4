"""The environment that a model was trained in, and whether this one is the same.

Light to import: versions are asked of the installed packages' own records, so no library is loaded for its number.
"""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError
from scripts.shared.files import read_json

FILE = "environment.json"
LIBRARIES = ("scikit-learn", "numpy", "pandas", "joblib", "scipy", "pyarrow")
OWN = {"scripts.shared.catboosting": "catboost"}  # what estimators of this project's own are made of
SAME, GOLDEN = "same", "golden"
NOT_INSTALLED = "not installed"


def python_line(version: str) -> str:
    """Return major and minor of Python's version: what comes after is repairs.

    >>> python_line("3.11.7")
    '3.11'
    """
    return ".".join(version.split(".")[:2])


def describe(estimator: str, artefact: str) -> dict[str, Any]:
    """Return what a model's scores may depend on beside its code.

    Parameters
    ----------
    estimator
        As the config names it; its package counts, too.
    artefact
        The artefact's file name.

    Returns
    -------
    dict
        `python` (whole version), `machine`, and `libraries`: versions by the names under which they are installed.
    """
    names = list(LIBRARIES)
    module = estimator.rpartition(".")[0]
    package = OWN.get(module, module.partition(".")[0])
    if package not in ("sklearn", "scripts") and installed(package) != NOT_INSTALLED:
        names.append(package)
    if artefact.endswith(".skops"):
        names.append("skops")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": {name: installed(name) for name in names},
    }


def installed(name: str) -> str:
    """Return an installed package's version, or that it isn't installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def for_version(card: dict[str, Any], lock: str) -> dict[str, Any]:
    """Return the content of a version's `environment.json`, from its card and the checksum of its lock file."""
    return {**card["environment"], "lock": lock, "environment": lock[:12]}


def recorded(folder: Path, card: dict[str, Any]) -> dict[str, str]:
    """Return the versions that a published model was trained with, by name, Python's without its last part.

    Versions that were published before there was `environment.json` have them in their card.

    Raises
    ------
    UserError
        Where `environment.json` can't be read.
    """
    path = folder / FILE
    if path.exists():
        content: Any = read_json(path)
        found: dict[str, Any]
        match content:
            case {"python": str() as python, "libraries": dict(libraries)}:
                found = {"Python": python, **libraries}
            case _:
                raise UserError(f"{path} doesn't say Python's version and those of the libraries; restore it")
    else:
        found = {"Python" if n == "python" else n.replace("_", "-"): v for n, v in card["versions"].items()}
    return {name: python_line(str(v)) if name == "Python" else str(v) for name, v in found.items()}


def differences(then: dict[str, str]) -> list[str]:
    """Return in words which of a model's versions are others here; empty where all are the same."""
    now = {name: python_line(platform.python_version()) if name == "Python" else installed(name) for name in then}
    return [f"{name} {then[name]} (here {now[name]})" for name in then if now[name] != then[name]]


def refusal(folder: Path, different: list[str], python: str, why: str) -> str:
    """Return the sentence by which a model is refused under other versions, with the ways out.

    Parameters
    ----------
    folder
        The version's folder.
    different
        As `differences` returns them.
    python
        Python's version that the model was trained with, such as 3.11.
    why
        What else stands in the way, a clause, or empty.
    """
    version = folder.name
    place = f".venv-{version}"
    return (
        f"{folder}: the model was trained with {', '.join(different)}, by which its scores could be others{why}. "
        f"Predict in its own environment: `python{python} -m venv {place} && {place}/bin/pip install --require-hashes "
        f"-r {folder / 'requirements.lock'} && {place}/bin/pip install --no-deps plugins/*/`, then "
        f"`{place}/bin/snakemake --profile profiles/local`. Or make a version live that was trained in this one: "
        "`make rollback VERSION=…`. Or train anew: delete results/models and results/selection.json, and run again"
    )
