"""The model registry: a folder of versions on shared storage, and which of them is live.

::

    deployed/
        live.json               the live version, and the log's entry that made it live; what `predict` follows
        current -> versions/X   the same for people and other programs
        versions/X/             what docs/registry.md lists; the card, model.json, names the artefact
        log.jsonl               what became live, one line each (scripts/shared/promotions.py)

Old versions stay. Whoever publishes or rolls back holds the log's lock, and goes in this order:

1. what a killed predecessor left is put in order: half a line at the log's end goes, the entry that the live pointer
   carries joins the log if it isn't there yet, `current` is set to what is live, half-copied versions go;
2. a version is completed beside the others, and appears by one rename;
3. the live pointer is replaced by one rename: it names the version and carries the log's next entry, so both are
   decided at the same instant;
4. the entry is appended to the log;
5. `current` follows, by one rename.

Killed before 3, nothing has happened but for a version that nobody uses yet. Killed after 3, the version is live and
its entry is safe in the pointer: readers count it as the log's last (`history`), and the next publisher appends it.
Readers take no lock. Light to import: the Snakefile checks the folder before a run starts.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scripts.shared.cards import artefact_name, check_artefact
from scripts.shared.errors import UserError, did_you_mean
from scripts.shared.files import atomic, read_json, remove_remains, sha256_file, write_json
from scripts.shared.promotions import (
    ADOPT,
    FOUND,
    GUIDE,
    LOG,
    PUBLISH,
    ROLLBACK,
    Entry,
    Log,
    held,
    is_sealed,
    verify,
    waiting,
    whole_lines,
)

LIVE = "live.json"
PUBLISH_ANEW = "delete results/selection.json and run again to publish the winner anew"
ANOTHER = "choose another version"
LOOKS, BETWEEN_LOOKS_S = 20, 0.05


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
            with held(folder):
                if not pointer.exists():  # another run has made it, and perhaps published, while this one waited
                    write_json(pointer, {"version": None})
    except OSError as error:
        raise UserError(
            f"deploy.folder: '{folder}' can't be written ({error.strerror}); "
            "mend its permissions or name another folder in the config"
        ) from None
    return pointer


def publish(folder: Path, version: str, files: dict[str, Path], about: Entry) -> bool:
    """Publish a version and make it live; return whether that changed anything.

    Parameters
    ----------
    folder
        The registry.
    version
        Its name; a version that is there already, and whole, is not written again.
    files
        What it consists of: name in the version's folder, and where it comes from.
    about
        What the log says of it, beside who, when and what was live before.

    Raises
    ------
    UserError
        Where the log doesn't verify; what is live stays.
    """
    prepare(folder)
    with _alone(folder) as log:
        if not _is_whole(folder / "versions" / version, files):
            _write_version(folder / "versions" / version, files)
        return _make_live(folder, log, PUBLISH, version, about)


def roll_back(folder: Path, version: str) -> bool:
    """Make a version live that was published earlier; return whether that changed anything.

    Raises
    ------
    UserError
        Where there is no such version, it is damaged, or the log doesn't verify; what is live stays.
    """
    _pointed(folder / LIVE)
    known = versions(folder)
    if version not in known:
        raise UserError(
            f"{folder} has no version '{version}'{did_you_mean(version, known)}; make models lists what is there"
        )
    with _alone(folder) as log:
        check_version(folder / "versions" / version)
        return _make_live(folder, log, ROLLBACK, version, {})


def adopt(folder: Path, reason: str) -> bool:
    """Accept lines of the log that no chain vouches for, as they are; return False where there are none.

    Raises
    ------
    UserError
        Where the live pointer can't be read.
    """
    version, carried = _pointed(folder / LIVE)
    with held(folder) as log:
        try:
            log.verify()
            waiting(log.entries, carried, log.path)
        except UserError as error:
            log.entries = []
            about = {"reason": reason, "found": str(error), "adopted": len(log.lines)}
            about["pointer"] = carried["sha256"] if carried else None
            log.append(log.next(ADOPT, version, version, about))
            return True
    return False


def versions(folder: Path) -> list[str]:
    """Return the names of all versions, sorted; a version that is being copied has a name with a dot."""
    place = folder / "versions"
    return sorted(path.name for path in place.iterdir() if path.name[0] != ".") if place.is_dir() else []


def check_version(folder: Path) -> None:
    """Raise UserError where a version lacks its card or metrics, or its artefact isn't the one that the card names."""
    card, _ = (_object(folder / name) for name in ("model.json", "metrics.json"))
    if not isinstance(card.get("sha256"), str):
        raise UserError(f"{folder / 'model.json'} is no model's card; {ANOTHER}, or restore it")
    check_artefact(folder / artefact_name(card), card, ANOTHER)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except UserError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path} is missing or damaged; {ANOTHER}, or restore it")
    return content


def history(folder: Path) -> tuple[str | None, list[Entry]]:
    """Return the live version and the entries of the log, verified, without a lock.

    A publisher may be at work: where the log and the pointer don't fit each other, it is looked at again.

    Raises
    ------
    UserError
        Where the log was changed, lacks an entry, or doesn't end with what is live.
    """
    for look in range(LOOKS):
        try:
            return _look(folder)
        except UserError:
            if look == LOOKS - 1:
                raise
            time.sleep(BETWEEN_LOOKS_S)
    raise AssertionError("the last look returns or raises")


def _look(folder: Path) -> tuple[str | None, list[Entry]]:
    version, carried = _pointed(folder / LIVE)
    path = folder / LOG
    entries = verify(whole_lines(path.read_bytes()) if path.exists() else [], path)
    late = waiting(entries, carried, path)
    entries += [late] if late else []
    logged = entries[-1]["version"] if entries else None
    if logged != version:
        raise UserError(
            f"{folder / LIVE} names the version {version}, but by the log {logged} is live: the pointer was changed by "
            f"hand, or the log has lost its end; {GUIDE}"
        )
    return version, entries


@contextmanager
def _alone(folder: Path) -> Iterator[Log]:
    """Hold the log's lock, and put in order what a killed publisher, or a person by hand, has left."""
    with held(folder) as log:
        log.verify()
        version, carried = _pointed(folder / LIVE)
        if late := waiting(log.entries, carried, log.path):
            log.append(late)
        if version != log.version:
            reason = f"the live pointer named it, the log's last entry {log.version}"
            log.append(log.next(FOUND, version, log.version, {"reason": reason}))
        if version is not None:
            _link(folder, version)
        for remains in (folder / "versions").glob(".*"):
            shutil.rmtree(remains, ignore_errors=True)
        remove_remains(folder)
        yield log


def _write_version(target: Path, files: dict[str, Path]) -> None:
    if _fits(target):  # it may be live: what it lacks is added, and its readers notice nothing
        for name, source in files.items():
            if not (target / name).is_file():
                with atomic(target / name) as part:
                    shutil.copyfile(source, part)
        return
    target.parent.mkdir(exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
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


def _is_whole(folder: Path, names: Iterable[str]) -> bool:
    """Whether a version's folder has all its files, and the artefact that its card vouches for."""
    return all((folder / name).is_file() for name in names) and _fits(folder)


def _fits(folder: Path) -> bool:
    """Whether the artefact is there, and the one that the card vouches for."""
    try:
        card = _object(folder / "model.json")
        return bool(card.get("sha256") == sha256_file(folder / artefact_name(card)))
    except (UserError, FileNotFoundError):
        return False


def _make_live(folder: Path, log: Log, action: str, version: str, about: Entry) -> bool:
    if log.version == version:
        return False
    entry = log.next(action, version, log.version, about)
    write_json(folder / LIVE, {"version": version, "entry": entry})
    _sync(folder)
    log.append(entry)
    _link(folder, version)
    return True


def _sync(folder: Path) -> None:
    """Bring a rename to the disk: after a power cut, the log must not know more than the pointer."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems can't do it for a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(folder: Path, version: str) -> None:
    """Point `current` to a version by one rename; a link is needed by no reader of this project."""
    link, beside = folder / "current", folder / ".current.part"
    beside.unlink(missing_ok=True)
    if not link.is_symlink() or Path(os.readlink(link)).name != version:  # noqa: PTH115 - the text of the link
        beside.symlink_to(Path("versions") / version)
        beside.replace(link)


def live_version(pointer: Path) -> Path:
    """Return the folder of the live version.

    Raises
    ------
    UserError
        Where nothing is deployed, the pointer names no version, or the version's folder is gone.
    """
    version, _ = _pointed(pointer)
    if version is None:
        raise UserError(f"{pointer}: no model is deployed yet; run the workflow first")
    folder = pointer.parent / "versions" / version
    if not (folder / "model.json").exists():
        raise UserError(
            f"{pointer} names the version {version}, but {folder} is not there; {PUBLISH_ANEW}, or restore it"
        )
    return folder


def _pointed(pointer: Path) -> tuple[str | None, Entry | None]:
    """Return the version that the live pointer names, and the log's entry of it; edited by hand, it has none."""
    content: Any = read_json(pointer)
    match content:
        case {"version": None}:
            return None, None
        case {"version": str() as version, "entry": {"version": entered} as entry} if version and version == entered:
            return version, entry if is_sealed(entry) else None
        case {"version": str() as version} if version:
            return version, None
    raise UserError(f'{pointer}: expected {{"version": "…"}}, a name from {pointer.parent / "versions"}; restore it')
