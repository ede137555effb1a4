"""List the versions in the model registry, or say what was live at a time: `make models [AT=2026-03-01]`."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from scripts.shared.config import Config, load_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, to_json
from scripts.shared.plan import read_yaml
from scripts.shared.promotions import (
    ADOPT,
    FOUND,
    LOG,
    PRUNED,
    QUIET,
    STAGED,
    Entry,
    concerns,
    last_mentions,
    last_until,
    moment,
    staged,
)
from scripts.shared.registry import adopt, check_version, history, how_to_promote, versions

CONFIG = Path("config/config.yaml")


def main() -> int:
    """Print the table, or what was live; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="config file (default: %(default)s)")
    parser.add_argument("--at", help="say what was live then: a date (its end, in UTC), or an ISO time with its zone")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--adopt", metavar="WHY", help="accept lines of the log that no chain vouches for, as they are")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = load_config(read_yaml(options.config), str(options.config))
        folder = Path(config.deploy.folder)
        if options.adopt:
            done = adopt(folder, options.adopt)
            print(f"{folder / LOG}: {'adopted as it is' if done else 'verifies; there is nothing to adopt'}")
            return 0
        if options.at:
            found = at_time(folder, options.at)
            print(to_json(found) if options.json else sentence(found), end="" if options.json else "\n")
            return 0
        found = overview(folder, config)
        print(to_json(found) if options.json else table(found), end="" if options.json else "\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


# --- all versions --------------------------------------------------------------------------------------------------


def overview(folder: Path, config: Config) -> dict[str, Any]:
    """Return all versions, and the state of the log.

    Raises
    ------
    UserError
        Where the log doesn't verify.
    """
    live, entries = history(folder)
    metric = config.select.metrics[0]
    rows = [_row(folder / "versions" / name, live, entries, metric) for name in versions(folder)]
    known = {row["version"] for row in rows}
    last = last_mentions(entries)
    lost = {version for version, entry in last.items() if entry["action"] != PRUNED} - known
    waits = staged(entries)
    rows = [row | {"state": _joined(row["state"], "staged")} if row["version"] in waits else row for row in rows]
    rows += [_lost(name, live, entries) for name in sorted(lost)]
    return {
        "registry": str(folder),
        "live": live,
        "metric": metric,
        "versions": sorted(rows, key=lambda row: (row["live_since"] or row["staged_since"] or "", row["version"])),
        "staged": list(waits),
        "log": {"entries": len(entries), "head": entries[-1]["sha256"] if entries else None},
    }


def _row(folder: Path, live: str | None, entries: list[Entry], metric: str) -> dict[str, Any]:
    try:
        check_version(folder)
        state = "live" if folder.name == live else ""
        name, value = read_json(folder / "model.json").get("name"), read_json(folder / "metrics.json").get(metric)
    except UserError:
        state, name, value = "damaged" + (", live" if folder.name == live else ""), None, None
    return _logged(folder.name, entries) | {"state": state, "model": name, "value": value}


def _lost(version: str, live: str | None, entries: list[Entry]) -> dict[str, Any]:
    state = "missing" + (", live" if version == live else "")
    return _logged(version, entries) | {"state": state, "model": None, "value": None}


def _joined(*states: str) -> str:
    return ", ".join(filter(None, states))


def _logged(version: str, entries: list[Entry]) -> dict[str, Any]:
    """Return what the log says of a version: when it went live last, when it was staged, and its run."""
    own = [entry for entry in entries if version in concerns(entry)]
    live = [entry for entry in own if entry["action"] not in QUIET]
    promoted = [entry for entry in live if entry["action"] != ADOPT] or live
    since = promoted[-1] if promoted else {}
    quiet = [entry for entry in own if entry["action"] in QUIET and entry["entry"] > since.get("entry", 0)]
    last = (quiet or [since])[-1]  # one that was staged anew, or rejected, after it was live
    run = next((entry["run"] for entry in reversed(own) if "run" in entry), None)
    return {
        "version": version,
        "live_since": since.get("at"),
        "staged_since": next((entry["at"] for entry in reversed(quiet) if entry["action"] == STAGED), None),
        "action": last.get("action"),
        "by": last.get("by"),
        "run": run,
    }


def table(found: dict[str, Any]) -> str:
    """Return the overview for people."""
    rows = [
        [
            row["version"],
            row["state"],
            _short(row["live_since"]) if row["live_since"] else None,
            row["model"],
            row["value"],
            f"{row['action']}, {row['by']}" if row["action"] else None,
            row["run"],
        ]
        for row in found["versions"]
    ]
    if not rows:
        return f"{found['registry']}: no model is deployed yet; run the workflow first"
    heads = ["version", "state", "went live (UTC)", "model", found["metric"], "by", "run"]
    listing = tabulate(rows, heads, floatfmt=".4f", missingval="-", disable_numparse=[0, 6])
    number, head = found["log"]["entries"], found["log"]["head"]
    waits = "".join(f"\nversion {version} is staged; {how_to_promote(version)}" for version in found["staged"])
    return (
        f"{listing}\n{waits}\nlog: {number} {'entry' if number == 1 else 'entries'}, verified; the last one is {head}"
    )


def _short(at: str) -> str:
    return at[:19].replace("T", " ")


# --- one moment ----------------------------------------------------------------------------------------------------


def at_time(folder: Path, text: str) -> dict[str, Any]:
    """Return what was live at a time.

    Raises
    ------
    UserError
        Where the log doesn't verify or doesn't reach back so far, or the text names no time.
    """
    time = moment(text)
    _, entries = history(folder)
    entry = last_until(entries, time, folder / LOG)
    after = entries[entry["entry"] - entries[0]["entry"] + 1 :] if entry else []
    later = [each for each in after if each["action"] not in QUIET]
    return {
        "at": time.isoformat(),
        "version": entry["version"] if entry else None,
        "entry": entry,
        "found_later": later[0]["at"] if later and later[0]["action"] == FOUND else None,
    }


def sentence(found: dict[str, Any]) -> str:
    """Return in words what was live at a time."""
    entry = found["entry"]
    if found["version"] is None:
        return f"{found['at']}: no model was live"
    model = f" ({entry['model']})" if entry.get("model") else ""
    done = f"{entry['action']} by {entry['by']}, entry {entry['entry']} of the log"
    text = f"{found['at']}: {found['version']}{model} was live, since {_short(entry['at'])} UTC: {done}"
    if found["found_later"]:
        text += (
            f"; until {_short(found['found_later'])} UTC at the latest: by then, another version had become live "
            "without an entry"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
