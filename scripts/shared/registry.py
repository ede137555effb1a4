"""The model registry: a folder of versions on shared storage, and which of them is live.

::

    deployed/
        live.json               the live version; what `predict` follows
        current -> versions/X   the same for people and other programs
        versions/X/             model.joblib, model.json, metrics.json, requirements.lock
        log.jsonl               what became live, one line each

A version is completed beside the others and appears by one rename; it becomes live by another. Old versions stay.
Light to import: the Snakefile checks the folder before a run starts.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json

LIVE = "live.json"
PUBLISH_ANEW = "delete results/selection.json and run again to publish the winner anew"


def prepare(folder: Path) -> Path:
    """Make sure that the registry exists and can be written, before hours are spent; return its live pointer.

    The pointer must exist for Snakemake to depend on it, also before anything is deployed. None of the registry's files
    is ever an output of a rule: Snakemake deletes outputs before it runs a rule.

    Raises
    ------
    UserError
        Where the folder can't be made or written.
    """
    pointer = folder / LIVE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if not pointer.exists():
            write_json(pointer, {"version": None})
    except OSError as error:
        raise UserError(
            f"deploy.folder: '{folder}' can't be written ({error.strerror}); "
            "mend its permissions or name another folder in the config"
        ) from None
    return pointer


def publish(folder: Path, version: str, files: dict[str, Path], entry: dict[str, Any]) -> bool:
    """Publish a version and make it live; return whether that changed anything.

    Parameters
    ----------
    folder
        The registry.
    version
        Its name; a version that is there already, and whole, is not written again.
    files
        What it consists of: name in the version's folder, and where it comes from.
    entry
        What the log says of it.
    """
    pointer = prepare(folder)
    target = folder / "versions" / version
    if not _is_whole(target, files):
        target.parent.mkdir(exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=target.parent))
        try:
            for name, source in files.items():
                shutil.copyfile(source, beside / name)
            beside.chmod(0o755)
            if target.exists():  # damaged: readers refuse it already
                target.rename(beside / "damaged")
            beside.rename(target)
            shutil.rmtree(target / "damaged", ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return make_live(folder, pointer, version, entry)


def _is_whole(folder: Path, names: Iterable[str]) -> bool:
    """Whether a version's folder has all its files, and the artefact that its card vouches for."""
    if not all((folder / name).is_file() for name in names):
        return False
    try:
        card = read_json(folder / "model.json")
    except UserError:
        return False
    return bool(card.get("sha256") == sha256_file(folder / "model.joblib"))


def make_live(folder: Path, pointer: Path, version: str, entry: dict[str, Any]) -> bool:
    """Point `current` and the live pointer to a version, each by one rename."""
    previous = _named(pointer)
    link = folder / "current"
    if not link.is_symlink() or Path(os.readlink(link)).name != version:  # noqa: PTH115 - the text of the link
        beside = folder / f".current.{os.getpid()}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(Path("versions") / version)
        beside.replace(link)
    if previous == version:
        return False
    write_json(pointer, {"version": version})
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"version": version, "previous": previous, **entry}, ensure_ascii=False) + "\n")
    return True


def live_version(pointer: Path) -> Path:
    """Return the folder of the live version.

    Raises
    ------
    UserError
        Where nothing is deployed, the pointer names no version, or the version's folder is gone.
    """
    version = _named(pointer)
    if version is None:
        raise UserError(f"{pointer}: no model is deployed yet; run the workflow first")
    folder = pointer.parent / "versions" / version
    if not (folder / "model.json").exists():
        raise UserError(
            f"{pointer} names the version {version}, but {folder} is not there; {PUBLISH_ANEW}, or restore it"
        )
    return folder


def _named(pointer: Path) -> str | None:
    """Return the version that the live pointer names; people edit it by hand, too."""
    content = read_json(pointer)
    match content:
        case {"version": None}:
            return None
        case {"version": str() as version} if version:
            return version
    raise UserError(f'{pointer}: expected {{"version": "…"}}, a name from {pointer.parent / "versions"}; restore it')
