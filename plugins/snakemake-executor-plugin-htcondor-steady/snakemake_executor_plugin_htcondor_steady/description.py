"""From a Snakemake job to HTCondor's submit description: pure functions.

The words of a command reach the job as they are, spaces and quotes included. (The executor that this one builds on
strips single quotes from a shell line and hands over the rest, so a file name with a space falls apart.)
"""

import ast
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# What a rule's resources may say in HTCondor's own words; the numeric requests come from the executor itself.
PASSED_ON = (
    "getenv",
    "stream_output",
    "stream_error",
    "input",
    "rank",
    "request_disk",
    "request_memory",
    "requirements",
    "request_gpus",
    "require_gpus",
    "gpus_minimum_capability",
    "gpus_minimum_memory",
    "gpus_minimum_runtime",
    "cuda_version",
    "max_retries",
    "allowed_execute_duration",
    "allowed_job_duration",
    "retry_until",
    "universe",
    "container_image",
    "accounting_group",
    "accounting_group_user",
)

# HTCondor's numbers of them; container and docker are kinds of vanilla.
UNIVERSES = {
    "vanilla": 5,
    "container": 5,
    "docker": 5,
    "scheduler": 7,
    "grid": 9,
    "java": 10,
    "parallel": 11,
    "local": 12,
}
UNIVERSES |= {"vm": 13}

LOG_SUFFIXES = (".log", ".txt", ".out", ".err")

# A word of Snakemake's shell line that is quoted by Python's `repr`, as texts are; paths are quoted for a shell.
PYTHON_TEXT = re.compile(r"""(?<!\S)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\S)""")


def arguments(words: Sequence[str]) -> str:
    r"""Return words as HTCondor's ``arguments`` in its new syntax.

    Source: the manual page of condor_submit, "arguments". ``$(`` and ``$NAME(`` begin a macro, so that ``$`` is
    spelled out.

    Raises
    ------
    ValueError
        Where a word holds a line break or ``$$(``, which the syntax can't carry.

    Examples
    --------
    >>> arguments(["-m", "snakemake", "results/a b.csv", "it's"])
    '"-m snakemake \'results/a b.csv\' \'it\'\'s\'"'
    """
    for word in words:
        if "\n" in word or "\r" in word:
            raise ValueError(f"HTCondor's arguments can't hold the line break in {word!r}")
        if re.search(r"\$\$\w*\(", word):
            raise ValueError(f"HTCondor would put an attribute of the machine in place of $$(…) in {word!r}")
    quoted = " ".join(_quote(word) for word in words).replace('"', '""')
    return '"' + verbatim(quoted) + '"'


def environment(variables: Mapping[str, str], own: str | None) -> str:
    r"""Return environment variables in HTCondor's new syntax, and behind them what a rule's resources say in it.

    >>> environment({"DATA": "/my data"}, '"THREADS=2"')
    '"\'DATA=/my data\' THREADS=2"'
    >>> environment({}, None)
    ''
    """
    if not variables:
        return own or ""
    words = arguments([f"{name}={value}" for name, value in sorted(variables.items())])
    return words if not own else f'{words[:-1]} {own.strip().removeprefix(chr(34)).removesuffix(chr(34))}"'


def _quote(word: str) -> str:
    if word and not re.search(r"[\s']", word):
        return word
    return "'" + word.replace("'", "''") + "'"


def verbatim(text: str) -> str:
    """Return a text so that HTCondor finds no macro in it: a value of any submit command.

    >>> verbatim("100$ $HOME $(x) $ENV(y)")
    '100$ $HOME $(DOLLAR)(x) $(DOLLAR)ENV(y)'
    """
    return re.sub(r"\$(?=\w*\()", "$(DOLLAR)", text)


def string(text: str) -> str:
    r"""Return a text as a ClassAd string literal.

    >>> string('C:\\a "b"')
    '"C:\\\\a \\"b\\""'
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def command(line: str, python: str, wrapper: str | None = None) -> list[str]:
    """Return the words of the shell line that Snakemake makes for a job.

    Parameters
    ----------
    line
        ``PYTHON -m snakemake …``, as Snakemake quotes it; with a command before it, joined by ``&&``, it needs a shell.
    python
        The interpreter that is to run it.
    wrapper
        A script that is started with Snakemake's own arguments instead (resource ``job_wrapper``).
    """
    line = PYTHON_TEXT.sub(_as_shell_word, line)
    words = shlex.split(line)
    if "&&" in words:
        return ["/bin/sh", "-c", line]
    start = words.index("-m")
    if wrapper:
        return [wrapper, *words[start + 2 :]]
    return [python, *words[start:]]


def _as_shell_word(match: re.Match[str]) -> str:
    word = match[0]
    try:
        text = ast.literal_eval(word)
    except (SyntaxError, ValueError):
        return word
    # Only what Python itself would write; a shell's word may look alike, but then reads the same.
    return shlex.quote(text) if repr(text) == word else word


def check_wildcards(wildcards: Iterable[Mapping[str, Any]]) -> None:
    """Refuse what Snakemake itself can't hand over to a job: it splits ``RULE:NAME=VALUE,…`` at each comma.

    Raises
    ------
    ValueError
        Where a wildcard's value holds a comma.
    """
    for names in wildcards:
        for name, value in names.items():
            if "," in str(value):
                raise ValueError(f"Snakemake can't hand over the comma in {name} {value!r}; rename the file")


def requests(resources: Mapping[str, Any]) -> dict[str, str]:
    """Return memory, disk and time as Snakemake's own resources name them, `mem_mb`, `disk_mb` and `runtime`.

    So a rule says it once, for every executor. HTCondor takes a number without a unit as MB of memory, KB of disk, and
    seconds; Snakemake's runtime is in minutes.

    >>> requests({"mem_mb": 1000, "disk_mb": 2, "runtime": 90, "tmpdir": "/tmp"})
    {'request_memory': '1000', 'request_disk': '2048', 'allowed_execute_duration': '5400'}
    """
    found = {}
    if isinstance(memory := resources.get("mem_mb"), int):
        found["request_memory"] = str(memory)
    if isinstance(disk := resources.get("disk_mb"), int):
        found["request_disk"] = str(disk * 1024)
    if isinstance(minutes := resources.get("runtime"), int):
        found["allowed_execute_duration"] = str(minutes * 60)
    return found


def expected_ad(submit: Mapping[str, Any], owner: str, host: Mapping[str, str]) -> str:
    """Return the ClassAd that a job will have, as far as it decides where it can run, in text.

    Parameters
    ----------
    submit
        Submit commands: requests and requirements.
    owner
        The submitting user.
    host
        The access point's configuration: ARCH, OPSYS and FILESYSTEM_DOMAIN.

    HTCondor's own demands are added as condor_submit does: a host of the same kind, unless the requirements speak of
    that; the shared folder, where no files are to be transferred; as much of each resource as is asked for. (Source:
    the manual page of condor_submit, "requirements".)
    """
    requests = {f"Request{name}" for name in ("Cpus", "Memory", "Disk")}
    universe = UNIVERSES.get(str(submit.get("universe", "vanilla")).lower(), 0)
    lines = [
        f"Owner = {string(owner)}",
        f"JobUniverse = {universe}",
        "JobStatus = 1",
        "NumJobStarts = 0",
        "JobPrio = 0",
    ]
    if host.get("FILESYSTEM_DOMAIN"):
        lines.append(f"FileSystemDomain = {string(host['FILESYSTEM_DOMAIN'])}")
    demands = _of_its_kind(submit, host)
    for key, value in submit.items():
        if key.lower() == "requirements":
            demands.append(f"({value})")
        elif key.startswith("request_"):
            name = "GPUs" if key == "request_gpus" else key.removeprefix("request_").capitalize()
            lines.append(f"Request{name} = {_amount(name, str(value))}")
            requests.discard(f"Request{name}")
            if str(value).strip() == "0":
                continue
            demands.append(f"(TARGET.{name} >= Request{name})")
        elif key.startswith("+"):
            lines.append(f"{key[1:]} = {value}")
    lines += _accounting(submit, owner)
    lines += [f"{name} = 1" for name in sorted(requests)]  # next to nothing, as it is where HTCondor chooses
    return "\n".join([*lines, f"Requirements = {' && '.join(demands) or 'true'}"])


def _accounting(submit: Mapping[str, Any], owner: str) -> list[str]:
    """Return what condor_submit makes of the accounting group; the user within it is the owner, if none is named."""
    group, user = (str(submit.get(f"accounting_group{more}") or "") for more in ("", "_user"))
    if not group and not user:
        return []
    user = user or owner
    names = {"AcctGroup": group, "AcctGroupUser": user, "AccountingGroup": f"{group}.{user}" if group else user}
    return [f"{name} = {string(value)}" for name, value in names.items() if value]


def _of_its_kind(submit: Mapping[str, Any], host: Mapping[str, str]) -> list[str]:
    """Return what condor_submit demands of a node beside amounts: its kind, and the shared folder."""
    demands = []
    if str(submit.get("universe", "vanilla")).lower() == "vanilla":
        said = " ".join(str(value) for key, value in submit.items() if key.lower() == "requirements").lower()
        demands = [
            f"(TARGET.{name} == {string(host[name.upper()])})"
            for name in ("Arch", "OpSys")
            if name.lower() not in said and host.get(name.upper())
        ]
    if str(submit.get("should_transfer_files", "")).upper() == "NO" and host.get("FILESYSTEM_DOMAIN"):
        demands.append("(TARGET.FileSystemDomain == MY.FileSystemDomain)")
    return demands


def _amount(name: str, text: str) -> str:
    """Return an amount with a unit in HTCondor's own, MB of memory and KB of disk; an expression as it is.

    >>> _amount("Memory", "2GB"), _amount("Disk", "1M"), _amount("Memory", "500"), _amount("Cpus", "4")
    ('2048', '1024', '500', '4')
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])B?\s*", text, re.IGNORECASE)
    if not found or name not in ("Memory", "Disk"):
        return text
    kilobytes = float(found[1]) * 1024 ** "KMGT".index(found[2].upper())
    return str(math.ceil(kilobytes / 1024 if name == "Memory" else kilobytes))


def check_requests(resources: Mapping[str, Any]) -> None:
    """Refuse a job whose memory or disk Snakemake can't tell: HTCondor's own default is next to nothing.

    Raises
    ------
    ValueError
        Where one follows from an input that is gone.
    """
    for name in ("mem_mb", "disk_mb"):
        if not isinstance(resources.get(name, 0), int):
            raise ValueError(f"its {name} can't be told, since an input is gone; run again")


OWN = ("classad_", "htcondor_submit_")  # what the resources are called that become attributes and submit commands


def of_group(resources: Mapping[str, Any], members: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a group's resources with the largest number of its members for attributes and submit commands.

    Snakemake adds up the numbers of members that run side by side, as is right for cores and memory alone.

    >>> seconds = {"htcondor_submit_job_max_vacate_time": 5}
    >>> of_group({"mem_mb": 800, "htcondor_submit_job_max_vacate_time": 20}, [seconds | {"mem_mb": 200}] * 4)
    {'mem_mb': 800, 'htcondor_submit_job_max_vacate_time': 5}
    """
    largest: dict[str, int] = {}
    for member in members:
        for name, value in member.items():
            if name.startswith(OWN) and isinstance(value, int):
                largest[name] = max(value, largest.get(name, value))
    return dict(resources.items()) | largest


def own_attributes(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return what resources named ``classad_NAME`` and ``htcondor_submit_NAME`` add to a submit description.

    A text becomes a ClassAd string in an attribute, and stays as it is in a submit command: most of them take words,
    such as ``notification``, or expressions. ``__`` in a submit command stands for a dot.

    Raises
    ------
    ValueError
        Where a text holds a line break, which would begin another submit command.

    Examples
    --------
    >>> own_attributes({"classad_Team": "risk", "htcondor_submit_notification": "Error"})
    {'+Team': '"risk"', 'notification': 'Error'}
    """
    found: dict[str, Any] = {}
    for key, value in resources.items():
        if not key.startswith(OWN):
            continue
        if isinstance(value, str) and ("\n" in value or "\r" in value):
            raise ValueError(f"HTCondor's submit description can't hold the line break in {key}={value!r}")
        literal = string(value) if isinstance(value, str) else value
        if key.startswith("classad_"):
            found["+" + key.removeprefix("classad_")] = literal
        else:
            name = key.removeprefix("htcondor_submit_").replace("__", ".")
            found[name] = literal if name.upper().startswith("MY.") else value
    return found


def killed_by(text: str) -> str | None:
    """Return the signal that ended a step, as the Snakemake inside a job words it on its standard error.

    >>> killed_by("CalledProcessError: Command 'exec python -m x' died with <Signals.SIGKILL: 9>.")
    'SIGKILL'
    >>> killed_by("CalledProcessError: Command 'x' returned non-zero exit status 1.")
    """
    found = re.search(r"died with <Signals\.(SIG\w+): \d+>", text)
    return found[1] if found else None


def files_for(
    rule: str, log: Sequence[str], wildcards: Mapping[str, str], attempt: int, logs: Path, group: str = ""
) -> tuple[Path, Path]:
    """Return where HTCondor's output and error of a job go: beside the rule's own log, one pair an attempt.

    Parameters
    ----------
    group
        The id of a group of jobs, as others have its name.

    Examples
    --------
    >>> [str(path) for path in files_for("fit", ["logs/fit/a.log"], {}, 2, Path("logs"))]
    ['logs/fit/a.htcondor-2.out', 'logs/fit/a.htcondor-2.err']
    >>> [str(path) for path in files_for("fit", [], {"model": "x/y"}, 1, Path("logs"))][0]
    'logs/fit/x_y.htcondor-1.out'
    >>> [str(path) for path in files_for("g_fit", [], {}, 1, Path("logs"), "1b9d6bcd-bbfd-4b2d")][0]
    'logs/g_fit/g_fit-1b9d6bcd.htcondor-1.out'
    """
    if log:
        stem = Path(log[0])
        if stem.suffix in LOG_SUFFIXES:  # what else follows a dot tells jobs apart, as in v1.2 and v1.3
            stem = stem.with_suffix("")
    else:
        name = ("-".join(wildcards.values()) or rule) + (f"-{group[:8]}" if group else "")
        stem = logs / rule / name.replace("/", "_")
    return Path(f"{stem}.htcondor-{attempt}.out"), Path(f"{stem}.htcondor-{attempt}.err")
