"""The promotion log: what became live in a registry, when, and by whom; an entry that was changed or lost is found.

A line is an entry as canonical JSON. It carries the number of its line (``entry``), the checksum of the entry before it
(``before``; the first one that of a fixed text) and its own (``sha256``). Lines are only ever appended.

The log is its own lock. `flock` holds on every host of NFS 4, and goes when its owner dies, however that happens. A
lock file made by O_EXCL would outlive a killed owner, and no other host could tell that owner from a slow one. To lock
the very file that is appended to also makes an NFS client forget what it believes of the file's end.

Lines that no chain vouches for (written before there was one, or damaged since) are refused until a person adopts them:
an entry ``adopt`` names how many lines stand before it, and its ``before`` is the checksum of their bytes. They are
fixed from then on, but nobody vouches for what they say.
"""

import contextlib
import datetime as dt
import fcntl
import getpass
import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError
from scripts.shared.files import canonical, sha256_text

Entry = dict[str, Any]

LOG = "log.jsonl"
GENESIS = "what became live in this registry"
PUBLISH, ROLLBACK, FOUND, ADOPT, PROMOTED = "publish", "rollback", "found", "adopt", "promoted"
# These leave what is live as it is, and name the versions that they concern.
STAGED, REJECTED, PRUNED = "staged", "rejected", "pruned"
QUIET = frozenset({STAGED, REJECTED, PRUNED})
GUIDE = "see docs/registry.md"


# --- the chain -----------------------------------------------------------------------------------------------------


def root(lines: Sequence[bytes]) -> str:
    """Return what the first entry of a chain follows: the checksum of a fixed text and the lines before the chain."""
    return hashlib.sha256(b"\n".join([GENESIS.encode(), *lines])).hexdigest()


def seal(entry: Entry) -> Entry:
    """Return an entry with its own checksum."""
    return entry | {"sha256": _checksum(entry)}


def is_sealed(entry: Any) -> bool:
    """Whether an entry's checksum is that of its content."""
    return isinstance(entry, dict) and entry.get("sha256") == _checksum(entry)


def _has_fields(entry: Entry) -> bool:
    """Whether an entry has what readers rely on, also where somebody has given it a checksum by hand."""
    texts = all(isinstance(entry.get(key), str) for key in ("at", "before", "action"))
    return texts and isinstance(entry.get("entry"), int) and {"version", "previous"} <= entry.keys()


def _checksum(entry: Entry) -> str:
    return sha256_text(canonical({key: value for key, value in entry.items() if key != "sha256"}))


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines of a log. One that doesn't end was cut off when its writer died, and doesn't count."""
    return content.split(b"\n")[:-1]


def verify(lines: Sequence[bytes], path: Path) -> list[Entry]:
    """Return the entries of the chain, the last adoption first if there is one.

    Raises
    ------
    UserError
        Names the line that was changed, or where one is missing or out of order.
    """
    start = _last_adoption(lines)
    entries: list[Entry] = []
    for number, line in enumerate(lines[start:], start + 1):
        entry = _parse(line)
        place = f"{path}: line {number}"
        if entry is None:
            raise UserError(f"{place} is no entry of a promotion log; {GUIDE}")
        if "sha256" not in entry:
            raise UserError(
                f"{place} has no checksum: it was written before the log had any, or changed; read it, then adopt it "
                f'by: make models ADOPT="why"; {GUIDE}'
            )
        if not is_sealed(entry) or not _has_fields(entry) or canonical(entry).encode() != line:
            raise UserError(f"{place} was changed: its checksum doesn't fit; {GUIDE}")
        if entry["entry"] > number:
            raise UserError(f"{place} holds entry {entry['entry']}: entry {number} is missing; {GUIDE}")
        if entry["entry"] < number:
            raise UserError(f"{place} holds entry {entry['entry']}: it is out of order, or there twice; {GUIDE}")
        if entry["before"] != (entries[-1]["sha256"] if entries else root(lines[:start])):
            changed = f"line {number - 1}" if entries else f"one of the lines before line {number}"
            raise UserError(f"{path}: {changed} was changed after line {number} was written; {GUIDE}")
        entries.append(entry)
    return entries


def _last_adoption(lines: Sequence[bytes]) -> int:
    """Return how many lines the last adoption leaves behind, 0 where there is none."""
    for index in range(len(lines) - 1, 0, -1):
        entry = _parse(lines[index]) or {}
        if entry.get("action") == ADOPT and entry.get("adopted") == index and is_sealed(entry):
            return index
    return 0


def _parse(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
        canonical(entry).encode()  # half a surrogate pair is JSON, and no text
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def waiting(entries: Sequence[Entry], carried: Entry | None, path: Path) -> Entry | None:
    """Return the entry that the live pointer carries and the log doesn't have yet, or None.

    Raises
    ------
    UserError
        Where the pointer's entry is neither in the log nor the next one: the log has lost its end.
    """
    known = {entry["sha256"] for entry in entries}
    if entries and entries[0]["action"] == ADOPT:
        known.add(entries[0]["pointer"])
    if carried is None or carried["sha256"] in known:
        return None
    number = entries[-1]["entry"] if entries else 0
    if carried["entry"] == number + 1 and carried["before"] == (entries[-1]["sha256"] if entries else root([])):
        return carried
    raise UserError(
        f"{path}: ends with line {number}, but the live pointer carries entry {carried['entry']}, which doesn't follow "
        f"it: the end of the log is missing, or another; {GUIDE}"
    )


# --- time ----------------------------------------------------------------------------------------------------------


def now() -> dt.datetime:
    """Return the time, in UTC."""
    return dt.datetime.now(dt.UTC)


def moment(text: str) -> dt.datetime:
    """Return the time that a text names: an ISO time with its zone, or a date, which means that day's end in UTC.

    Raises
    ------
    UserError
        Where it is neither, or lies in the future.
    """
    try:
        if len(text) == len("2026-03-01"):
            day = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
            if day > now():
                raise UserError(f"AT: {text} lies in the future")
            return day + dt.timedelta(days=1, microseconds=-1)
        time = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UserError(
            f"AT: '{text}' is neither a date such as 2026-03-01 nor a time such as 2026-03-01T09:30+01:00"
        ) from None
    if time.tzinfo is None:
        raise UserError(f"AT: '{text}' needs a zone, such as {text}Z for UTC")
    if time > now():
        raise UserError(f"AT: {text} lies in the future")
    return time


def last_until(entries: Sequence[Entry], time: dt.datetime, path: Path) -> Entry | None:
    """Return the last entry that was made until a point in time, or None where nothing was live.

    Raises
    ------
    UserError
        Where the log doesn't reach back so far.
    """
    made = [entry for entry in entries if _time_of(entry) <= time]
    decided = [entry for entry in made if entry["action"] not in QUIET]
    if decided:
        return decided[-1]
    if not made and entries and (entries[0]["action"] in {ADOPT, FOUND}):
        raise UserError(f"{path}: can't say what was live before {entries[0]['at']}, where its chain begins; {GUIDE}")
    return None


def _time_of(entry: Entry) -> dt.datetime:
    return dt.datetime.fromisoformat(entry["at"])


# --- what the entries say of versions ------------------------------------------------------------------------------


def concerns(entry: Entry) -> list[str]:
    """Return the versions that an entry is about."""
    if entry["action"] in QUIET:
        names = entry.get("concerns")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [entry["version"]] if entry["version"] is not None else []


def last_mentions(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return for each version the last entry about it, the version that was mentioned longest ago first."""
    last: dict[str, Entry] = {}
    for entry in entries:
        for version in concerns(entry):
            last.pop(version, None)
            last[version] = entry
    return last


def staged(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the versions that wait for a person's yes: staged, and since then neither live, rejected nor pruned."""
    return {version: entry for version, entry in last_mentions(entries).items() if entry["action"] == STAGED}


def previously_live(entries: Sequence[Entry]) -> str | None:
    """Return what was live before the version that is live, or None: what one would roll back to."""
    lived = [entry["version"] for entry in entries if entry["action"] not in QUIET]
    before = [version for version in lived if version is not None and version != lived[-1]]
    return before[-1] if before else None


def to_prune(there: Iterable[str], lines: Sequence[bytes], entries: Sequence[Entry], keep: int) -> list[str]:
    """Return the versions that are too many, the oldest first.

    Parameters
    ----------
    there
        The versions in the registry's folder.
    lines
        The whole log: its order also tells the age of versions from before an adoption.
    entries
        Its verified part.
    keep
        How many versions may stay. What is live, what was live before it, and what is staged stay in any case; a
        version that the log has never named isn't counted, and stays.
    """
    named = last_mentions(entry for line in lines if (entry := _parse(line)) and _has_fields(entry))
    known = set(there)
    ages = [version for version in named if version in known]
    safe = {entries[-1]["version"] if entries else None, previously_live(entries), *staged(entries)}
    spare = max(0, len(ages) - keep)
    return [version for version in ages if version not in safe][:spare]


# --- writing -------------------------------------------------------------------------------------------------------


def author() -> str:
    """Return who acts, and where. In a container, a user may have no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user} on {socket.gethostname()}"


class Log:
    """The log, in the hands of the one publisher that may write now."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path
        content = _read_all(descriptor)
        self.lines = whole_lines(content)
        self._remove_half_line(content)
        self.entries: list[Entry] = []

    def verify(self) -> None:
        """Read the entries.

        Raises
        ------
        UserError
            Where a line was changed, is missing or out of order.
        """
        self.entries = verify(self.lines, self.path)

    @property
    def version(self) -> str | None:
        """The version that the last entry made live."""
        return self.entries[-1]["version"] if self.entries else None

    def next(self, action: str, version: str | None, previous: str | None, about: Entry) -> Entry:
        """Return the entry that would come next. Its time is never before the last one's, whatever the host's clock."""
        last = self.entries[-1] if self.entries else None
        at = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        who = {"action": action, "version": version, "previous": previous, "by": author()}
        place = {
            "entry": len(self.lines) + 1,
            "at": max(at, last["at"]) if last else at,
            "before": last["sha256"] if last else root(self.lines),
        }
        return seal(about | who | place)

    def append(self, entry: Entry) -> None:
        """Write an entry to the disk."""
        line = canonical(entry).encode()
        left = line + b"\n"
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)
        self.lines.append(line)
        self.entries.append(entry)

    def _remove_half_line(self, content: bytes) -> None:
        kept = content.rfind(b"\n") + 1
        if kept < len(content):
            os.ftruncate(self._descriptor, kept)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Log]:
    """Wait until no other publisher is at work in a registry, and keep the others waiting.

    Raises
    ------
    UserError
        Where the file system has no locks.
    """
    path = folder / LOG
    descriptor = _locked(path)
    try:
        yield Log(descriptor, path)
    finally:
        os.close(descriptor)  # gives the lock back


def _locked(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(f"{path} can't be written ({error.strerror}); mend its permissions") from None
        try:
            _lock(descriptor, path)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:  # moved away while this one waited, as a restored log is put there
            pass
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"{path} can't be locked ({error.strerror}); the registry needs a file system with locks, {GUIDE}"
            ) from None
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.info("%s: another publisher is at work; waiting for it", path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _read_all(descriptor: int) -> bytes:
    content, part = b"", b"-"
    while part:
        part = os.pread(descriptor, 1 << 20, len(content))
        content += part
    return content
