"""What the answer of a node's probe means, beside what this host is and has. Pure functions."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..words import count, listed, megabytes
from .mounts import mount_of, trouble
from .report import Check, Result

SKEW_SECONDS = 2.0
MOST_STARTS = 3  # of a probe that a node gives back each time
ENOUGH_SHARE = 2 / 3  # of the deadline: a probe that ran for so long hangs; its imports end themselves after half
SLACK = 1.0  # a job may have begun this long before HTCondor's event log says so
TIMED_OUT = "124"  # the exit code of timeout(1)
# Too little is less than LEAST_MB, or less than both ENOUGH_MB and LEAST_SHARE of all.
LEAST_MB, ENOUGH_MB, LEAST_SHARE = 1024, 50 * 1024, 0.05
NO_JOBS = {"draining": "it is draining", "offline": "it is switched off"}
ASK_ADMIN = "Ask the pool's admin"


@dataclass(frozen=True)
class Here:
    """What the access point is and has.

    Attributes
    ----------
    folder
        The working folder.
    nonce
        What the probes are to read and write.
    uid
        Of the user.
    python
        The interpreter that runs Snakemake.
    version
        Its version.
    packages
        The locked packages and their versions here.
    broken
        Modules of them that can't be imported here, either.
    """

    folder: str
    nonce: str
    uid: int
    python: str
    version: str = ""
    packages: Mapping[str, str | None] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """What one node has to say to one check."""

    id: str
    result: Result
    sentence: str
    remedy: str = ""


def parse(output: str) -> dict[str, Any]:
    """Return the findings of a probe by name; "mountinfo" and "broken" are lists of lines."""
    found: dict[str, Any] = {"mountinfo": [], "broken": []}
    for line in output.splitlines():
        name, _, value = line.partition("=")
        if name in ("mountinfo", "broken"):
            found[name].append(value)
        else:
            found[name] = value
    return found


def findings(row: Mapping[str, Any], here: Here, state: str, seconds: float) -> Iterator[Finding]:
    """Yield what a node's probe found.

    Parameters
    ----------
    row
        What `questions.probe` tells of the node.
    here
        This host.
    state
        What the node's slots are at: "free", "busy", "draining" or "offline".
    seconds
        How long the probe was waited for.
    """
    said = parse(row["output"])
    if "end" not in said:
        yield _unfinished(row, state, seconds)
        return
    yield Finding("node.probe", Result.PASS, "a small job ran")
    yield from _folder(row, said, here)
    yield _user(row, said, here)
    yield _clock(row, said)
    yield from _mount(said)
    yield from _space(said)
    yield from _python(said, here)


def not_probed(state: str) -> Finding:
    """Say that a node gets no probe: it would wait until the deadline, or wake a node that is off."""
    sentence = f"{NO_JOBS[state]}, so no small job was sent there, and nothing could be checked"
    return Finding("node.probe", Result.NOT_RUN, sentence)


def _unfinished(row: Mapping[str, Any], state: str, seconds: float) -> Finding:
    if row["held"]:
        return Finding(
            "node.probe",
            Result.FAIL,
            f"HTCondor can't run a job there: {row['held'].strip().rstrip('.')}",
            f"{ASK_ADMIN}, with this reason; the node's StarterLog tells more",
        )
    if row["given_back"]:
        sure = len(row["given_back"]) >= MOST_STARTS
        what = "can't start jobs, and swallows those of a run" if sure else "may not be able to start jobs"
        times, why = count(len(row["given_back"]), "time"), row["given_back"][-1].strip().rstrip(".")
        return Finding(
            "node.probe",
            Result.FAIL if sure else Result.WARN,
            f"a small job was sent there and came back {times} ({why}): the node {what}",
            f"{ASK_ADMIN}, who finds the reason in the node's StarterLog: you may be unknown there, or the scratch "
            "folder not writable",
        )
    if row["late"]:
        return Finding(
            "node.probe",
            Result.WARN,
            f"a small job started there too late to end within {seconds:.0f} s; nothing else could be checked",
            "Try again later, or with a longer --deadline",
        )
    if row["started"]:
        return Finding(
            "node.probe",
            Result.FAIL,
            f"a small job started there, and did not end within {seconds:.0f} s: the working folder, or the disk of "
            "the Python environment, may hang",
            f"{ASK_ADMIN} to look at the node's mounts and its network",
        )
    if row["refused"]:
        return Finding(
            "node.probe",
            Result.NOT_RUN,
            "no small job (1 core, 512 MB) can start there, by the node's START or its size: it takes other jobs only; "
            "nothing else could be checked",
        )
    why = {"busy": "it is busy", **NO_JOBS}.get(state, "it gives no answer, though it counts as free")
    return Finding(
        "node.probe",
        Result.WARN,
        f"a small job did not start there within {seconds:.0f} s: {why}; nothing else could be checked",
        "Try again later, or with a longer --deadline"
        if state != "free"
        else "Look at: condor_q -better-analyze, and at the StartLog of the node; or try with a longer --deadline",
    )


def _folder(row: Mapping[str, Any], said: Mapping[str, Any], here: Here) -> Iterator[Finding]:
    share = f"{ASK_ADMIN} to mount the same file system there, under the same path, or start the run in a folder that "
    share += "all nodes have"
    rights = "Give the user that jobs run as the right to write there; see node.user"
    if "folder_error" in said:
        yield Finding("node.folder", Result.FAIL, f"{here.folder} can't be opened: {said['folder_error']}", share)
    elif "own_error" in said:
        sentence = f"{here.folder} is there, but is not the folder of this host, or is too old a view of it: "
        sentence += f"what this host made a moment ago can't be opened ({said['own_error']})"
        yield Finding("node.folder", Result.FAIL, sentence, share)
    elif "read_error" in said:
        yield Finding("node.folder", Result.FAIL, f"{here.folder} can't be read: {said['read_error']}", rights)
    elif said.get("read") != here.nonce:
        sentence = f"a file in {here.folder} has another content than this host wrote"
        yield Finding("node.folder", Result.FAIL, sentence, share)
    elif "write_error" in said:
        yield Finding("node.folder", Result.FAIL, f"{here.folder} can't be written: {said['write_error']}", rights)
    elif row["content"] != here.nonce:
        sentence = f"what the node writes into {here.folder} isn't seen on this host in time"
        yield Finding("node.folder", Result.FAIL, sentence, share)
    else:
        yield Finding("node.folder", Result.PASS, f"{here.folder} is read and written")


def _user(row: Mapping[str, Any], said: Mapping[str, Any], here: Here) -> Finding:
    if said.get("uid") != str(here.uid):
        return Finding(
            "node.user",
            Result.FAIL,
            f"jobs run there with uid {said.get('uid')}, here you have uid {here.uid}",
            f"{ASK_ADMIN} to give you one uid on all hosts, and to set UID_DOMAIN alike, or files belong to others",
        )
    if row["owner"] is not None and row["owner"] != here.uid:
        return Finding(
            "node.user",
            Result.FAIL,
            f"what the node writes belongs to uid {row['owner']} here, not to {here.uid}: the file server maps users",
            f"{ASK_ADMIN} to export the folder without all_squash, or to correct the map of NFS users (idmapd)",
        )
    if int(said.get("umask", "0"), 8) & 0o700:
        return Finding(
            "node.user",
            Result.FAIL,
            f"the umask {said['umask']} of jobs there takes rights from yourself",
            f"{ASK_ADMIN} to correct the umask of HTCondor's daemons",
        )
    return Finding("node.user", Result.PASS, f"jobs run with uid {here.uid}, as here, and umask {said.get('umask')}")


def skew(told: float, began: float | None, seen: float | None) -> float:
    """Return by how many seconds a clock is surely ahead of this host's, negative if it is behind; 0 if it may agree.

    Parameters
    ----------
    told
        What it showed.
    began, seen
        This host's clock before and after.

    >>> skew(100.0, 99.0, 101.0), skew(110.0, 99.0, 101.0), skew(90.0, 99.0, 101.0)
    (0.0, 9.0, -8.0)
    """
    if seen is not None and told > seen:
        return told - seen
    if began is not None and told < began - SLACK:
        return told - (began - SLACK)
    return 0.0


def _clock(row: Mapping[str, Any], said: Mapping[str, Any]) -> Finding:
    try:
        told = float(said["time"])
    except (KeyError, ValueError):
        return Finding("node.clock", Result.NOT_RUN, "the node's date can't be read")
    ahead = skew(told, row["began"], row["seen"])
    if abs(ahead) > SKEW_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        return Finding(
            "node.clock",
            Result.WARN,
            f"the clock is at least {abs(ahead):.0f} s {side} this host's, so files may look older than their inputs",
            f"{ASK_ADMIN} to set the clocks by NTP",
        )
    return Finding("node.clock", Result.PASS, f"the clock agrees within {SKEW_SECONDS:.0f} s, as far as can be told")


def mount_finding(check: str, path: str, mountinfo: Sequence[str]) -> Finding:
    """Say what is wrong with the options of the file system that a folder lies on."""
    mount = mount_of(path, mountinfo)
    if mount is None:
        return Finding(check, Result.NOT_RUN, "the table of mounts can't be read")
    found = trouble(mount)
    if not found:
        return Finding(check, Result.PASS, f"{mount.kind}, with no option that hurts")
    return Finding(
        check,
        Result.FAIL if "ro" in mount.options else Result.WARN,
        f"{mount.point} ({mount.kind}) is mounted with " + "; ".join(f"{option}: {why}" for option, why in found),
        f"{ASK_ADMIN} to mount it without: {', '.join(option for option, _ in found)}",
    )


def _mount(said: Mapping[str, Any]) -> Iterator[Finding]:
    if "real" in said:
        yield mount_finding("node.mount", said["real"], said["mountinfo"])


def space_finding(check: str, spaces: Iterable[tuple[str, float, float]]) -> Finding:
    """Say which of some folders, each with free and total MB, is nearly full."""
    short, free = [], []
    for path, left, total in spaces:
        free.append(left)
        if left < LEAST_MB or (left < ENOUGH_MB and left < LEAST_SHARE * total):
            short.append(f"{path} has {megabytes(left)} of {megabytes(total)} left")
    if short:
        least = f"less than {megabytes(LEAST_MB)}, or than {megabytes(ENOUGH_MB)} and {LEAST_SHARE:.0%}"
        return Finding(check, Result.WARN, f"{listed(short)}, {least}", "Free some space, or use another folder")
    if not free:
        return Finding(check, Result.NOT_RUN, "it can't be told")
    least_free = 1 << (int(min(free)).bit_length() - 1)  # a power of two: 200 nodes are told in a few lines
    return Finding(check, Result.PASS, f"at least {megabytes(least_free)} are free")


def _space(said: Mapping[str, Any]) -> Iterator[Finding]:
    spaces = []
    for path, name in ((said.get("real"), "space"), (said.get("scratch"), "scratch_space")):
        figures = str(said.get(name, "")).split()
        if path and len(figures) == 2 and all(figure.isdigit() for figure in figures):
            label = "the working folder" if name == "space" else "the scratch folder"
            spaces.append((label, int(figures[0]) / 1024, int(figures[1]) / 1024))
    yield space_finding("node.space", spaces)


def _python(said: Mapping[str, Any], here: Here) -> Iterator[Finding]:
    if "python_error" in said:
        sentence = f"{here.python}, which runs Snakemake here, does not run there: {said['python_error']}"
        remedy = "Put the environment on a folder that all nodes have, and build it on a Python that all nodes have"
        yield Finding("node.python", Result.FAIL, sentence, remedy)
        return
    try:
        found = json.loads(said["packages"])
        version, packages = str(found["python"]), dict(found["packages"])
    except (KeyError, ValueError, TypeError):
        remedy = "Run it there by hand; build the environment anew"
        yield Finding("node.python", Result.FAIL, f"{here.python} runs there and tells no version", remedy)
        return
    if version != here.version:
        sentence = f"Python is {version} there and {here.version} here"
        yield Finding("node.python", Result.FAIL, sentence, "Build the environment on a Python that all hosts have")
    else:
        yield Finding("node.python", Result.PASS, f"{here.python} runs there, Python {version}")
    different = [
        f"{name} ({packages.get(name) or 'missing'} there, {own or 'missing'} here)"
        for name, own in sorted(here.packages.items())
        if packages.get(name) != own
    ]
    if different:
        remedy = "Have all hosts use one environment, or build it anew from the lock file"
        yield Finding(
            "node.packages", Result.FAIL, f"{count(len(different), 'package')} differ: {listed(different)}", remedy
        )
    broken = _broken(said, here)
    if broken:
        remedy = f"{ASK_ADMIN} for the library that is missing there, or build the environment anew, for all nodes"
        sentence = f"{count(len(broken), 'package')} can't be imported there: {'; '.join(broken)}"
        yield Finding("node.packages", Result.FAIL, sentence, remedy)
    if here.packages and not different and not broken:
        yield _imported(said, here)


def broken_modules(said: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return, of each module that a node could not import, its package and why."""
    rows = [line.split(" ", 2) for line in said["broken"]]
    return {row[1]: (row[0], row[2]) for row in rows if len(row) == 3}


def _broken(said: Mapping[str, Any], here: Here) -> list[str]:
    found = [
        f"{package} ({why})" for module, (package, why) in broken_modules(said).items() if module not in here.broken
    ]
    code = said.get("imports_exit", "0")
    if code not in ("0", TIMED_OUT) and "imported" not in said and (last := said.get("importing")):
        found.append(f"{last} (it ends Python itself, with exit code {code})")
    return found


def _imported(said: Mapping[str, Any], here: Here) -> Finding:
    same = f"{count(len(here.packages), 'locked package')} as here"
    done, _, wanted = str(said.get("imported", "")).partition(" ")
    if not done.isdigit():
        where = f": {said['importing']} took too long" if said.get("imports_exit") == TIMED_OUT else ""
        return Finding("node.packages", Result.NOT_RUN, f"{same}; whether all can be imported is not known{where}")
    if done != wanted:
        sentence = f"{same}; there was time or memory to import {done} of them, and they can be"
        return Finding("node.packages", Result.NOT_RUN, sentence)
    return Finding("node.packages", Result.PASS, f"{same}, and they can be imported")


def together(found: Mapping[str, Sequence[Finding]]) -> list[Check]:
    """Return the findings of all nodes, those that are alike in one: by check, what is wrong first."""
    groups: dict[Finding, list[str]] = {}
    for node, its in found.items():
        for finding in its:
            groups.setdefault(finding, []).append(node)
    order = [Result.FAIL, Result.WARN, Result.NOT_RUN, Result.PASS]
    ids = [name for name in _IDS if any(finding.id == name for finding in groups)]
    return [
        Check(finding.id, finding.result, finding.sentence, finding.remedy, listed(nodes))
        for name in ids
        for finding, nodes in sorted(groups.items(), key=lambda item: (order.index(item[0].result), item[1]))
        if finding.id == name
    ]


_IDS = (
    *("node.probe", "node.folder", "node.user", "node.clock", "node.mount", "node.space"),
    *("node.python", "node.packages"),
)
