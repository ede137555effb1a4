"""Which file system a folder lies on, and which of its mount options hurt a run whose hosts share it. Pure functions.

The options and what they do are those of the manual page nfs(5).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LONGEST_CACHE = 60  # seconds: nfs(5)'s own defaults of acregmax and acdirmax, and the latency-wait that runs are given


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes
    ----------
    point
        Where it is mounted.
    kind
        Its type, such as nfs4.
    source
        What is mounted.
    options
        Its options, with empty values where they have none.
    """

    point: str
    kind: str
    source: str
    options: Mapping[str, str]

    @property
    def is_nfs(self) -> bool:
        """Whether it is NFS."""
        return self.kind in ("nfs", "nfs4")


def mount_of(path: str, mountinfo: Iterable[str]) -> Mount | None:
    """Return the file system that an absolute path without symbolic links lies on; see proc_pid_mountinfo(5)."""
    found: Mount | None = None
    for line in mountinfo:
        before, separator, behind = line.partition(" - ")
        fields, rest = before.split(), behind.split()
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        point = _unescaped(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # Of mounts on one point, the later hides the earlier.
        if inside and (found is None or len(point) >= len(found.point)):
            options = _options(fields[5]) | (_options(rest[2]) if len(rest) > 2 else {})
            if "ro" in _options(fields[5]):
                options = {name: value for name, value in options.items() if name != "rw"}
            found = Mount(point, rest[0], _unescaped(rest[1]), options)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _options(text: str) -> dict[str, str]:
    parts = [option.partition("=") for option in text.split(",") if option]
    return {name: value for name, _, value in parts}


def trouble(mount: Mount) -> list[tuple[str, str]]:
    """Return the options that hurt, each with why."""
    options = mount.options
    found = [("ro", "nothing can be written")] if "ro" in options else []
    if not mount.is_nfs:
        return found
    if "soft" in options or "softerr" in options:
        name = "soft" if "soft" in options else "softerr"
        found.append(
            (name, "a server that is slow for a moment gives jobs an I/O error, or cuts what they write; use hard")
        )
    for name, what in (("acregmax", "files"), ("acdirmax", "folders"), ("actimeo", "files and folders")):
        seconds = options.get(name, "")
        if seconds.isdigit() and int(seconds) > LONGEST_CACHE:
            found.append(
                (
                    f"{name}={seconds}",
                    f"what another host changes in {what} is seen up to {seconds} s late, more than a run waits; "
                    f"use at most {LONGEST_CACHE}",
                )
            )
    reasons = {
        "noac": "every look at a file asks the server, and every write waits for it; leave it out",
        "sync": "every single write waits for the server; leave it out",
        "nocto": "a job may read what a file held before another host changed it; leave it out",
        "nolock": "a lock holds on its own host alone, so two hosts may write one file at once; leave it out",
    }
    found += [(name, why) for name, why in reasons.items() if name in options]
    if "nolock" not in options and options.get("local_lock", "none") in ("all", "flock", "posix"):
        found.append((f"local_lock={options['local_lock']}", reasons["nolock"]))
    return found
