"""Step report: one page for people that opens offline, is printable, and holds no applicant's row."""

import logging
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.reporting import formats
from scripts.reporting.charts import SHOWN_MODELS, draw_charts, drawn_gap
from scripts.reporting.checks import Evidence, run_checks, verdict
from scripts.reporting.provenance import provenance, read_svg, run_times
from scripts.reporting.rules import read_rules
from scripts.reporting.sections import (
    AGAIN,
    CHOSEN_ON,
    LABELS,
    SHOWN_FILES,
    candidate_table,
    data_section,
    drift_section,
    drivers_section,
    fairness_section,
    prediction_section,
    profile_section,
    read_models,
    read_trials,
    screen_section,
    sensitivity_section,
    tuning_section,
)
from scripts.shared.errors import UserError, listing
from scripts.shared.files import read_json, sha256_file, write_text
from scripts.shared.registry import history

TEMPLATES = Path(__file__).resolve().parents[1] / "workflow" / "report"


def main(
    summary: Path,
    profile: Path,
    metrics: list[Path],
    curves: list[Path],
    performance: list[Path],
    cards: list[Path],
    drivers: list[Path],
    sensitivity: list[Path],
    fairness: list[Path],
    screens: list[Path],
    tuned: list[Path],
    trials: list[Path],
    receipt: Path,
    differences: Path,
    plan: Path,
    rules: Path,
    lock: Path,
    live: Path,
    rulegraph: Path,
    config: Path,
    page: Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    summary, profile
        What split and profile wrote: the row waterfall and the split; the features by side and outcome.
    metrics, curves, performance, cards
        What evaluate and train wrote, one of each a model.
    drivers, sensitivity, fairness
        What explain and fairness wrote, one of each a model.
    screens
        What screen wrote: models without the columns that the config marks. May be none.
    tuned, trials
        What gather wrote, one of each a model that was tuned. May be none.
    receipt, differences
        What select wrote: the winner and why; intervals and paired differences.
    plan
        What the run works on: the names of the application files, whose counts stand in `predictions` beside the page.
        They may be tens of thousands, too many for a command line.
    rules
        The dated register of rules.
    lock, live, rulegraph, config
        The lock file; the registry's live pointer; the picture of the rules; the run's config.
    page
        One HTML file without scripts or references; the same inputs give the same bytes.

    Raises
    ------
    UserError
        Where the files don't belong to one run.
    """
    settings, chosen, compared = read_json(config), read_json(receipt), read_json(differences)
    models = read_models(metrics, curves, performance, chosen, compared)
    winner, files = chosen["winner"], read_predictions(plan, page.parent / "predictions")
    entries, problem = read_history(live.parent)
    current = read_json(live)["version"]
    evidence = Evidence(
        config=settings,
        receipt=chosen,
        differences=compared,
        card=of_model(cards, winner, "name"),
        metrics=models[0]["values"],
        performance=models[0]["performance"],
        summary=read_json(summary),
        profile=read_json(profile),
        drivers=of_model(drivers, winner),
        sensitivity=of_model(sensitivity, winner),
        fairness=of_model(fairness, winner),
        screen=next((found for found in map(read_json, screens) if found["model"] == winner), None),
        predictions=files,
        history=entries,
        history_problem=problem,
        lock=sha256_file(lock),
    )
    checks, labels = run_checks(evidence), settings["labels"]
    html = render(
        {
            "config": settings,
            "receipt": chosen,
            "live": current,
            "differences": compared,
            "decision": in_words(chosen, current),
            "verdict": verdict(checks),
            "checks": checks,
            "rules": read_rules(rules),
            "models": models,
            "candidates": candidate_table(chosen),
            "charts": draw_charts(models[:SHOWN_MODELS]) | {"rulegraph": read_svg(rulegraph)},
            "tuning": [
                tuning_section(read_json(found), read_trials(table)) for found, table in zip(tuned, trials, strict=True)
            ],
            "drivers": drivers_section(evidence.drivers, labels),
            "sensitivity": sensitivity_section(evidence.sensitivity),
            "reference": evidence.card.get("reference_group"),
            "screens": screen_section([read_json(path) for path in screens]),
            "fairness": fairness_section(evidence.fairness, labels),
            "scorecard": evidence.card.get("scorecard"),
            "data": data_section(evidence.summary),
            "profile": profile_section(evidence.profile, labels),
            "drift": drift_section(files, labels),
            "predictions": prediction_section(files, current),
            "provenance": provenance(evidence.card, chosen["version"], evidence.lock, sha256_file(config)),
            "times": run_times(page.parent / "benchmarks", page.parent / "logs", [model["name"] for model in models]),
            "config_text": yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=110),
        }
    )
    write_text(page, html)
    logging.info("%s: %d models, %d application files, %.0f kB", page, len(models), len(files), len(html) / 1000)


def of_model(paths: list[Path], name: str, key: str = "model") -> dict[str, Any]:
    """Return what the one of some files says that is about a model.

    Raises
    ------
    UserError
        Where none is.
    """
    for path in paths:
        found: dict[str, Any] = read_json(path)
        if found[key] == name:
            return found
    raise UserError(f"the selection's winner '{name}' is in none of {listing(map(str, paths))}; {AGAIN}")


def read_history(registry: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """Return the entries of the promotion log; or None, and what is wrong with it."""
    try:
        return history(registry)[1], ""
    except UserError as error:
        return None, str(error)


def read_predictions(plan: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the counts of the application files, by name; none where no model was live that could score them."""
    frozen = read_json(plan)
    if frozen["waits"]:
        return []
    return [read_json(folder / f"{name}.summary.json") for name in sorted(frozen["applications"])]


def in_words(receipt: dict[str, Any], live: str | None) -> str:
    """Return what the run did with the winner, and what people have done since."""
    version, winner = receipt["version"], receipt["winner"]
    match receipt["decision"]:
        case "stage" if live == version:
            return f"The run had staged version {version} ({winner}); it was promoted since, and is live."
        case "stage":
            return (
                f"The run has staged version {version} ({winner}): it waits for a person’s yes, "
                f'make promote VERSION={version} REASON="…"'
            )
        case "keep":
            since = "" if live == receipt["champion"] else f"; since then, {live} was made live"
            return f"The run has kept the champion, version {receipt['champion']}: {receipt['why']}{since}"
    if live != version:
        return f"The run had published version {version} ({winner}); since then, {live} was made live."
    return f"The run has published version {version} ({winner})."


def render(context: dict[str, Any]) -> str:
    """Return the page of a context; all texts in it are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": formats.count,
        "percent": formats.percent,
        "signed_points": formats.signed_points,
        "signed": formats.signed,
        "number": formats.number,
        "p_value": formats.p_value,
        "interval": formats.between,
    }
    shared = {
        "labels": LABELS,
        "chosen_on": CHOSEN_ON,
        "shown_files": SHOWN_FILES,
        "shown_models": SHOWN_MODELS,
        "cumulative_gap": drawn_gap,
    }
    return environment.get_template("report.html.j2").render(shared | context)
