"""Run the workflow with the local profile, and end with a short table of what came out: what `make run` calls.

Before it starts, it looks who holds the working folder: a killed run's lock is removed, a living run is named.
Afterwards, it repeats the one sentence that says why a job failed, if one did.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from scripts.shared.cards import artefact_name
from scripts.shared.champion import KEEP, STAGE
from scripts.shared.config import METRICS
from scripts.shared.errors import UserError
from scripts.shared.files import read_json
from scripts.shared.ownership import IS_RUNNING, Owner, lock_state
from scripts.shared.plan import make_plan, read_yaml
from scripts.shared.promotions import staged
from scripts.shared.registry import history, how_to_promote

RESULTS = Path("results")
SUMMARY = RESULTS / "data" / "summary.json"


def main() -> int:
    """Run Snakemake; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="config file (default: config/config.yaml)")
    parser.add_argument("--target", default="all", help="rule to run")
    options = parser.parse_args()
    # The target stands first: --configfile takes all that follows it.
    command = [sys.executable, "-m", "snakemake", options.target, "--profile", "profiles/local"]
    started = time.time()
    try:
        if options.config:
            command += ["--configfile", options.config]
        config = Path(options.config or "config/config.yaml")
        make_plan(read_yaml(config), str(config))  # tells mistakes without Snakemake's words around them
        release_stale_lock(command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130
    if code:
        for sentence in failures(started):
            print(sentence, file=sys.stderr)
    elif options.target == "all":
        print(summary())
    else:
        print(f"{RESULTS / options.target}.html is there")
    return code


def release_stale_lock(command: list[str]) -> None:
    """Remove the lock of a run that was killed.

    Raises
    ------
    UserError
        Where the owner of the lock lives, or runs on another host.
    """
    owner = refuse_held_lock()
    if owner:
        print(f"{owner} was ended before it was done; its lock is removed and the run resumes", flush=True)
        subprocess.run([*command, "--unlock", "--quiet", "all"], check=True)


def refuse_held_lock() -> Owner | None:
    """Return the owner of a stale lock, or None where there is no lock.

    Raises
    ------
    UserError
        Where the owner of the lock lives, or runs on another host.
    """
    state, owner = lock_state()
    if state == "held":
        raise UserError(f"{owner} {IS_RUNNING}")
    if state == "unknown":
        raise UserError(
            f"this folder is locked by {owner or 'a run that left no note'}, which can't be checked from here; when "
            "you know that it is over, run: .venv/bin/snakemake --profile profiles/local --unlock"
        )
    return owner if state == "stale" else None


def failures(since: float) -> list[str]:
    """Return the sentences with which jobs failed after a point in time, from their logs."""
    logs = (p for p in (RESULTS / "logs").rglob("*.log") if p.stat().st_mtime >= since)
    lines = (line for path in sorted(logs) for line in path.read_text(errors="replace").splitlines())
    return list(dict.fromkeys(line for line in lines if line.startswith("error: ")))


# --- the table at the end ------------------------------------------------------------------------------------------


def summary() -> str:
    """Return the table: models, winner, rows, and where everything is."""
    receipt, data = read_json(RESULTS / "selection.json"), read_json(SUMMARY)
    models = [read_json(RESULTS / "metrics" / f"{name}.json") for name in receipt["candidates"]]
    applications = [
        read_json(path) for path in sorted((RESULTS / "predictions").rglob("*.summary.json")) if _is_current(path)
    ]
    deploy = read_json(RESULTS / "config.json")["deploy"]
    said = _decision(receipt, Path(deploy["folder"]))
    return "\n\n".join(
        ["", _models(models, receipt) + said, _rows(data, applications), _places(bool(applications), deploy)]
    )


def _decision(receipt: dict[str, Any], folder: Path) -> str:
    """Return a line that says why the winner isn't live, and what one can do; nothing where it is."""
    if receipt.get("decision") == KEEP:
        return f"\n* it is not published: {receipt['why']}"
    live, entries = history(folder) if receipt.get("decision") == STAGE else (None, [])
    if receipt.get("version") not in staged(entries):
        return ""
    goes_on = f"predictions go on with {live}" if live else "no model is live yet, so nothing is predicted"
    return f"\n* version {receipt['version']} is staged, {goes_on}; {how_to_promote(receipt['version'])}"


def _is_current(path: Path) -> bool:
    """Whether the application file of a prediction is still there."""
    return Path(read_json(path)["file"]).exists()


def _models(models: list[dict[str, Any]], receipt: dict[str, Any]) -> str:
    rows = [
        [m["model"] + (" *" if m["model"] == receipt["winner"] else ""), *(m[key] for key in METRICS), m["threshold"]]
        for m in models
    ]
    table = tabulate(rows, ["model", *METRICS, "threshold"], floatfmt=".4f")
    return f"{table}\n* {receipt['winner']} wins: {receipt['reason']}"


def _rows(data: dict[str, Any], applications: list[dict[str, Any]]) -> str:
    split = data["split"]
    totals = {key: sum(a[key] for a in applications) for key in ("rows_in", "rows_rejected", "rows_predicted")}
    table = [
        ["loans", data["rows_in"], data["rows_rejected"], split["train"]["rows"], split["test"]["rows"], None],
        ["applications", totals["rows_in"], totals["rows_rejected"], None, None, totals["rows_predicted"]],
    ]
    return tabulate(table, ["rows", "in", "rejected", "trained", "tested", "predicted"], intfmt=",", missingval="-")


def _live_artefact(current: Path) -> Path:
    """Return the artefact of the live version, which a rollback may have made one of another format."""
    card = current / "model.json"
    return current / artefact_name(read_json(card) if card.exists() else {})


def _places(predicted: bool, deploy: dict[str, Any]) -> str:
    none = "none: " + ("no model is live yet" if deploy.get("approval") else "data.applications matches no file")
    places: list[list[object]] = [
        ["metrics", RESULTS / "metrics" / "comparison.csv"],
        ["winner", RESULTS / "selection.json"],
        ["live model", _live_artefact(Path(deploy["folder"]) / "current")],
        ["rejected rows", RESULTS / "data" / "rejects.csv"],
        ["predictions", f"{RESULTS / 'predictions'}/" if predicted else none],
        ["logs", f"{RESULTS / 'logs'}/"],
    ]
    return tabulate(places, tablefmt="plain")


if __name__ == "__main__":
    sys.exit(main())
