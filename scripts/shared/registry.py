"""The model registry: a folder of versions on shared storage, and which of them is live.

::

    deployed/
        live.json               the live version, and the log's entry that made it live; what `predict` follows
        current -> versions/X   the same for people and other programs
        versions/X/             what docs/registry.md lists; the card, model.json, names the artefact
        log.jsonl               what became live, one line each (scripts/shared/promotions.py)

Old versions stay, or as many as the config says. Whoever changes something holds the log's lock and goes in this order:

1. what a killed predecessor left is put in order: half a line at the log's end goes, the entry that the live pointer
   carries joins the log if it isn't there yet, `current` is set to what is live, half-copied versions go;
2. a version is completed beside the others, and appears by one rename;
3. the live pointer is replaced by one rename: it names the version and carries the log's next entry, so both are
   decided at the same instant;
4. the entry is appended to the log;
5. `current` follows, by one rename.

Killed before 3, nothing has happened but for a version that nobody uses yet. Killed after 3, the version is live and
its entry is safe in the pointer: readers count it as the log's last (`history`), and the next publisher appends it.

To stage a version is 1, 2, and an entry that names it and leaves what is live as it is. What is pruned is renamed to
`versions/.pruned.X`, which decides it; then the log gets its entry, and the folder is deleted. Killed between, the next
publisher does what is left of that.
Readers take no lock. Light to import: the Snakefile checks the folder before a run starts.
"""

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from scripts.shared.access import NO_CHANGE, Access
from scripts.shared.cards import artefact_name, check_artefact
from scripts.shared.errors import UserError, did_you_mean
from scripts.shared.files import atomic, read_json, remove_remains, sha256_file, to_json, write_json
from scripts.shared.promotions import (
    ADOPT,
    FOUND,
    GUIDE,
    LOG,
    PROMOTED,
    PRUNED,
    PUBLISH,
    REJECTED,
    ROLLBACK,
    STAGED,
    Entry,
    Log,
    held,
    is_sealed,
    last_mentions,
    staged,
    to_prune,
    verify,
    waiting,
    whole_lines,
)

LIVE = "live.json"
PUBLISH_ANEW = "delete results/selection.json and run again to publish the winner anew"
ANOTHER = "choose another version"
LOOKS, BETWEEN_LOOKS_S = 20, 0.05
Reader = ParamSpec("Reader")
Result = TypeVar("Result")
PRUNING = ".pruned."  # before the name of a version that goes


def prepare(folder: Path, access: Access = NO_CHANGE) -> Path:
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
        access.grant_all(folder)
    except OSError as error:
        raise UserError(
            f"deploy.folder: '{folder}' can't be written ({error.strerror}); "
            "mend its permissions or name another folder in the config"
        ) from None
    return pointer


def publish(
    folder: Path,
    version: str,
    files: dict[str, Path],
    about: Entry,
    access: Access = NO_CHANGE,
    keep: int | None = None,
    instead_of: Collection[str | None] | None = None,
) -> bool:
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
    access
        Group and mode of all that is written.
    keep
        How many versions may stay; of more, the oldest are removed (`to_prune`). None: all.
    instead_of
        The versions in whose place it may come; None: any. What the winner was compared with, so that no other is
        replaced unseen.

    Raises
    ------
    UserError
        Where the log doesn't verify, or another version has become live meanwhile; what is live stays.
    """
    prepare(folder, access)
    with _alone(folder, access) as log:
        if instead_of is not None and log.version not in {*instead_of, version}:
            raise UserError(
                f"version {log.version} has become live in {folder} since the winner was compared with what was live "
                "before; run again"
            )
        _bring(folder, version, files, access)
        changed = _make_live(folder, log, PUBLISH, version, about, access)
        _prune(folder, log, keep)
    return changed


def stage(folder: Path, version: str, files: dict[str, Path], about: Entry, access: Access = NO_CHANGE) -> bool:
    """Bring a version into the registry that a person may make live; return whether that changed anything.

    One that is live, or staged already, gets no second entry. The parameters are those of `publish`.

    Raises
    ------
    UserError
        Where the log doesn't verify.
    """
    prepare(folder, access)
    with _alone(folder, access) as log:
        _bring(folder, version, files, access)
        if version == log.version or version in staged(log.entries):
            return False
        log.append(log.next(STAGED, log.version, log.version, about | {"concerns": [version]}))
    return True


def promote(folder: Path, version: str, reason: str, access: Access = NO_CHANGE, keep: int | None = None) -> bool:
    """Make a staged version live; return whether that changed anything.

    Parameters
    ----------
    folder, access, keep
        As those of `publish`.
    version
        The staged version.
    reason
        Why, in a person's words.

    Raises
    ------
    UserError
        Where there is no such version, it isn't staged, it is damaged, or the log doesn't verify; what is live stays.
    """
    _check_known(folder, version)
    with _alone(folder, access) as log:
        if version == log.version:
            return False
        about = _about_staged(log, version)
        check_version(folder / "versions" / version)
        about = {key: about[key] for key in ("model", "metric", "value", "run") if key in about}
        _make_live(folder, log, PROMOTED, version, about | {"reason": reason}, access)
        _prune(folder, log, keep)
    return True


def reject(folder: Path, version: str, reason: str, access: Access = NO_CHANGE) -> None:
    """Say no to a staged version: it stays in the registry, and waits no longer. The parameters are those of `promote`.

    Raises
    ------
    UserError
        Where there is no such version, it isn't staged, or the log doesn't verify.
    """
    _check_known(folder, version)
    with _alone(folder, access) as log:
        _about_staged(log, version)
        log.append(log.next(REJECTED, log.version, log.version, {"concerns": [version], "reason": reason}))


def _about_staged(log: Log, version: str) -> Entry:
    """Return the entry by which a version was staged.

    Raises
    ------
    UserError
        Where it isn't staged.
    """
    waits = staged(log.entries)
    if version in waits:
        return waits[version]
    if version == log.version:
        raise UserError(f"version {version} is live, not staged; to make another one live: make rollback VERSION=…")
    last = last_mentions(log.entries).get(version)
    history = f"its last entry in the log is '{last['action']}'" if last else "the log doesn't say that it ever was"
    others = f"; staged: {', '.join(waits)}" if waits else ""
    raise UserError(
        f"version {version} isn't staged ({history}){others}; "
        f"to make it live all the same: make rollback VERSION={version}"
    )


def roll_back(folder: Path, version: str, access: Access = NO_CHANGE) -> bool:
    """Make a version live that was published earlier; return whether that changed anything.

    Raises
    ------
    UserError
        Where there is no such version, it is damaged, or the log doesn't verify; what is live stays.
    """
    _check_known(folder, version)
    with _alone(folder, access) as log:
        check_version(folder / "versions" / version)
        return _make_live(folder, log, ROLLBACK, version, {}, access)


def _check_known(folder: Path, version: str) -> None:
    _pointed(folder / LIVE)
    known = versions(folder)
    if version not in known:
        raise UserError(
            f"{folder} has no version '{version}'{did_you_mean(version, known)}; make models lists what is there"
        )


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
    with _readable(place):
        return sorted(path.name for path in place.iterdir() if path.name[0] != ".") if place.is_dir() else []


def check_version(folder: Path) -> None:
    """Raise UserError where a version lacks its card or metrics, or its artefact isn't the one that the card names."""
    with _readable(folder):
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
    with _readable(path):
        lines = whole_lines(path.read_bytes()) if path.exists() else []
    entries = verify(lines, path)
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
def _readable(path: Path) -> Iterator[None]:
    """Say in one sentence that a file of the registry, or what is in a folder of it, can't be read."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or path} can't be read ({error.strerror}); mend its permissions, or restore it"
        ) from None


@contextmanager
def _alone(folder: Path, access: Access = NO_CHANGE) -> Iterator[Log]:
    """Hold the log's lock, and put in order what a killed publisher, or a person by hand, has left."""
    with held(folder) as log:
        access.grant(log.path)
        log.verify()
        version, carried = _pointed(folder / LIVE)
        if late := waiting(log.entries, carried, log.path):
            log.append(late)
        if version != log.version:
            reason = f"the live pointer named it, the log's last entry {log.version}"
            log.append(log.next(FOUND, version, log.version, {"reason": reason}))
        if version is not None:
            _link(folder, version, access)
        _end_pruning(folder, log)
        for remains in (folder / "versions").glob(".*"):
            shutil.rmtree(remains, ignore_errors=True)
        remove_remains(folder)
        yield log


def _prune(folder: Path, log: Log, keep: int | None) -> None:
    """Remove the oldest versions where there are more than `keep`."""
    place = folder / "versions"
    doomed = to_prune(versions(folder), log.lines, log.entries, keep) if keep is not None else []
    for version in doomed:
        (place / version).rename(place / f"{PRUNING}{version}")
    if doomed:
        _sync(place)
        _end_pruning(folder, log)


def _end_pruning(folder: Path, log: Log) -> None:
    """Log which versions were renamed to go, where the log doesn't say so yet, and delete them."""
    going = sorted((folder / "versions").glob(f"{PRUNING}*"))
    last = last_mentions(log.entries)
    gone = [version for path in going if not _is_pruned(version := path.name.removeprefix(PRUNING), last)]
    if gone:
        log.append(log.next(PRUNED, log.version, log.version, {"concerns": gone, "reason": "deploy.keep"}))
    for path in going:
        shutil.rmtree(path, ignore_errors=True)


def _is_pruned(version: str, last: dict[str, Entry]) -> bool:
    return version in last and last[version]["action"] == PRUNED


def _bring(folder: Path, version: str, files: dict[str, Path], access: Access) -> None:
    """Make sure that a version is there, and whole."""
    target = folder / "versions" / version
    if not _is_whole(target, files):
        _write_version(target, files, access)


def _write_version(target: Path, files: dict[str, Path], access: Access) -> None:
    if _fits(target):  # it may be live: what it lacks is added, and its readers notice nothing
        for name, source in files.items():
            if not (target / name).is_file():
                with atomic(target / name) as part:
                    shutil.copyfile(source, part)
                    access.grant(part)
        return
    target.parent.mkdir(exist_ok=True)
    access.grant(target.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, source in files.items():
            shutil.copyfile(source, beside / name)
        beside.chmod(0o755)
        access.grant_all(beside)
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


def _make_live(folder: Path, log: Log, action: str, version: str, about: Entry, access: Access) -> bool:
    if log.version == version:
        return False
    entry = log.next(action, version, log.version, about)
    with atomic(folder / LIVE) as beside:
        beside.write_text(to_json({"version": version, "entry": entry}), encoding="utf-8", newline="\n")
        access.grant(beside)
    _sync(folder)
    log.append(entry)
    _link(folder, version, access)
    return True


def _sync(folder: Path) -> None:
    """Bring a rename to the disk: after a power cut, the log must not know more than the pointer."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems can't do it for a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(folder: Path, version: str, access: Access) -> None:
    """Point `current` to a version by one rename; a link is needed by no reader of this project."""
    link, beside = folder / "current", folder / ".current.part"
    beside.unlink(missing_ok=True)
    if not link.is_symlink() or Path(os.readlink(link)).name != version:  # noqa: PTH115 - the text of the link
        beside.symlink_to(Path("versions") / version)
        access.grant(beside)
        beside.replace(link)


def live_name(pointer: Path) -> str | None:
    """Return the name of the live version, None where nothing is live.

    Raises
    ------
    UserError
        Where the pointer can't be read, or names no version.
    """
    return _pointed(pointer)[0]


def live_before(pointer: Path, version: str, run: str) -> str | None:
    """Return in whose place a run's winner comes: what is live, or what was so when that very run published it.

    So a selection that was killed after it had published, and runs again, is compared with the same model as before.

    Parameters
    ----------
    pointer
        The live pointer.
    version, run
        The winner's version, and the run's name as the log's entries have it.

    Raises
    ------
    UserError
        Where the pointer can't be read, or names no version.
    """
    live, entry = _pointed(pointer)
    if entry is None or live != version or (entry["action"], entry.get("run")) != (PUBLISH, run):
        return live
    before: str | None = entry["previous"]
    return before


def live_version(pointer: Path) -> Path:
    """Return the folder of the live version.

    Raises
    ------
    UserError
        Where nothing is deployed, the pointer names no version, or the version's folder is gone.
    """
    version = live_name(pointer)
    if version is None:
        raise UserError(f"{pointer}: {nothing_live(pointer.parent)}")
    folder = pointer.parent / "versions" / version
    if not (folder / "model.json").exists():
        raise UserError(
            f"{pointer} names the version {version}, but {folder} is not there; {PUBLISH_ANEW}, or restore it"
        )
    return folder


def nothing_live(folder: Path) -> str:
    """Return in words that nothing is live, and what would change that."""
    waits = list(staged(history(folder)[1]))
    if not waits:
        return "no model is deployed yet; run the workflow first"
    return f"no model is live yet, and version {waits[-1]} is staged; {how_to_promote(waits[-1])}, then run again"


def how_to_promote(version: str) -> str:
    """Return the command that makes a staged version live."""
    return f'to make it live: make promote VERSION={version} REASON="…"'


def reads_live_version(function: Callable[Reader, Result]) -> Callable[Reader, Result]:
    """Say in one sentence, where a reader of a version finds that a file is gone, that it was removed meanwhile."""

    @functools.wraps(function)
    def reading(*arguments: Reader.args, **named: Reader.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except FileNotFoundError as error:
            raise UserError(
                f"{error.filename} was removed while it was read: newer versions were published meanwhile "
                "(deploy.keep); run again"
            ) from None

    return reading


def _pointed(pointer: Path) -> tuple[str | None, Entry | None]:
    """Return the version that the live pointer names, and the log's entry of it; edited by hand, it has none."""
    with _readable(pointer):
        content: Any = read_json(pointer)
    match content:
        case {"version": None}:
            return None, None
        case {"version": str() as version, "entry": {"version": entered} as entry} if version and version == entered:
            return version, entry if is_sealed(entry) else None
        case {"version": str() as version} if version:
            return version, None
    raise UserError(f'{pointer}: expected {{"version": "…"}}, a name from {pointer.parent / "versions"}; restore it')
