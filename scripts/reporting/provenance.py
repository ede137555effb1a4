"""Where a run's results come from: versions, checksums, run times, hosts."""

import csv
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

HOST = re.compile(r"^host: (\S+)$", re.MULTILINE)
OF_MODEL = ("evaluate", "explain", "screen", "cross_validate", "score")  # rules whose jobs are named by their model
HEAD_BYTES = 400  # the host is the log's first line


def run_times(benchmarks: Path, logs: Path, models: list[str]) -> list[dict[str, Any]]:
    """Return what each rule's jobs took, and where they ran.

    Parameters
    ----------
    benchmarks, logs
        Folders of a run: `RULE/JOB.tsv` as Snakemake writes them, `RULE/JOB.log` as steps do.
    models
        The run's: what an earlier run with others has left doesn't count. Nor does the report, which isn't done yet.

    Returns
    -------
    list
        A dict a rule, by name: rule, jobs, seconds (all jobs together), longest (seconds), peak_mb (largest resident
        set) and hosts (sorted). Jobs that an earlier run has done count with what they took then.
    """
    found = []
    for folder in sorted(path for path in benchmarks.glob("*") if path.is_dir()):
        if folder.name == "report" or (folder.name.removeprefix("train_") not in models and "train_" in folder.name):
            continue
        jobs = [
            row
            for path in sorted(folder.rglob("*.tsv"))
            if folder.name not in OF_MODEL or path.relative_to(folder).parts[0].removesuffix(".tsv") in models
            for row in _rows(path)
        ]
        if not jobs:
            continue
        seconds = [_number(job, "s") for job in jobs]
        found.append(
            {
                "rule": folder.name,
                "jobs": len(jobs),
                "seconds": sum(seconds),
                "longest": max(seconds),
                "peak_mb": max(_number(job, "max_rss") for job in jobs),
                "hosts": sorted(_hosts(logs / folder.name)),
            }
        )
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))[-1:]  # the last attempt


def _number(row: dict[str, str], key: str) -> float:
    try:
        return float(row.get(key) or 0)
    except ValueError:  # Snakemake writes NA where a job was too quick to be looked at
        return 0.0


def _hosts(folder: Path) -> set[str]:
    hosts = set()
    for log in folder.rglob("*.log") if folder.is_dir() else ():
        with log.open(encoding="utf-8", errors="replace") as file:
            hosts.update(HOST.findall(file.read(HEAD_BYTES)))
    return hosts


def provenance(card: dict[str, Any], version: str, lock: str, config: str) -> dict[str, Any]:
    """Return what the winner was made from: checksums and versions, by what they are."""
    return {
        "model version": version,
        "config": config,
        "requirements.lock": lock,
        "train rows": card["data"],
        "code that trains": card["code"],
        "artefact": card["sha256"],
        "seed": card["seed"],
        **{name.replace("_", "-"): found for name, found in card["versions"].items()},
    }


def read_svg(path: Path) -> Markup:
    """Return a picture that Graphviz drew, to stand in HTML."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index("<svg") :]
    return Markup(re.sub(r"<!--.*?-->|<title>.*?</title>", "", body, flags=re.DOTALL))  # noqa: S704 - our own rules' names
