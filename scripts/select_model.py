"""Step select: find the winner, compare it with the live model, publish or stage it as the last act, write receipts."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from scripts.shared.access import Access
from scripts.shared.cards import check_artefact, model_version
from scripts.shared.champion import KEEP, STAGE, Gain, decide
from scripts.shared.config import LOWER_IS_BETTER, Config, Select, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.model_card import version_files
from scripts.shared.registry import how_to_promote, live_before, live_name, publish, stage

BASIS = {
    "test": "on the test rows (choosing and reporting on the same rows flatters the winner)",
    "cv": "by cross-validation on training rows; the test rows had no say",
}


def main(
    model_files: list[Path],
    cards: list[Path],
    metrics: list[Path],
    cv: list[Path],
    references: list[Path],
    parts: list[Path],
    membership: list[Path],
    scores: list[Path],
    live: Path,
    lock: Path,
    receipt: Path,
    differences: Path,
    config: Path,
) -> None:
    """Select, compare with what is live, and publish, stage or keep.

    What is live is looked up here, when the step runs: a rollback is no reason to run it again. A step that was killed
    after it had published writes the same receipts when it runs again.

    Parameters
    ----------
    model_files, cards, metrics, scores
        One of each per candidate, in the same order; scores are of the test rows.
    cv
        Their cross-validations, where `select.on` is cv, else empty.
    references
        What drift is measured against, one per candidate.
    parts, membership
        Clean rows and their sides, in the same order, for the live model to score.
    live
        The registry's live pointer.
    lock
        The lock file, kept with each version.
    receipt
        JSON: the winner, the metric, every candidate's value, the reason in words, and what was decided.
    differences
        JSON: intervals of all models, and the winner's differences from the live model and from the others.
    config
        The run's config.

    Raises
    ------
    UserError
        Where no candidate passes the gates; what is deployed stays.
    """
    settings = read_config(config)
    options = settings.select
    about = [read_json(path) for path in cards]
    tested = [read_json(path) for path in metrics]
    judged = [read_json(path)["mean"] for path in cv] if options.on == "cv" else tested
    candidates = {
        card["name"]: {"complexity": card["model"]["complexity"], "values": values}
        for card, values in zip(about, judged, strict=True)
    }
    winner, reason = choose(candidates, options)
    index = [card["name"] for card in about].index(winner)
    check_artefact(model_files[index], about[index])
    version = model_version(about[index], tested[index]["threshold"])
    run = sha256_file(config)[:12]  # a run is known by the config that it froze
    before = live_before(live, version, run)
    found = compared(
        winner,
        version,
        live.parent / "versions" / before if before else None,
        {card["name"]: path for card, path in zip(about, scores, strict=True)},
        {card["name"]: values for card, values in zip(about, tested, strict=True)},
        (parts, membership),
        settings,
    )
    decision, why = found["decision"], found["why"]
    entry = {
        "model": winner,
        "reason": reason,
        "metric": options.metrics[0],
        "value": judged[index][options.metrics[0]],
        "run": run,
    }
    with tempfile.TemporaryDirectory() as made:
        winners = model_files[index], cards[index], metrics[index]
        files = version_files(Path(made), *winners, lock, settings, version, found)
        files["reference.json"] = references[index]
        said = bring(live.parent, version, files, entry, (decision, before), settings)
    write_json(differences, found)
    shown = list(dict.fromkeys([*options.metrics, *options.gates]))
    write_json(
        receipt,
        {
            "winner": winner,
            "version": version,
            "metric": options.metrics[0],
            "on": options.on,
            "reason": reason,
            "decision": decision,
            "why": why,
            "champion": before,
            "live": live_name(live),
            "candidates": {
                name: {key: candidate["values"][key] for key in shown}
                | {
                    "complexity": candidate["complexity"],
                    "passes_gates": not failed_gates(candidate["values"], options),
                }
                for name, candidate in sorted(candidates.items())
            },
        },
    )
    logging.info("%s wins: %s", winner, reason)
    logging.info("%s: %s", decision, why)
    logging.info("version %s %s", version, said)


def compared(
    winner: str,
    version: str,
    live: Path | None,
    scores: dict[str, Path],
    metrics: dict[str, dict[str, float]],
    rows: tuple[list[Path], list[Path]],
    settings: Config,
) -> dict[str, Any]:
    """Return what `differences.json` holds: the winner against the live model and the others, and what follows.

    Parameters
    ----------
    winner, version
        Its name and its version.
    live
        Folder of the live version, None where nothing is live.
    scores, metrics
        Of each candidate, by name.
    rows
        The clean parts, and the sides of their rows.
    settings
        The run's config.
    """
    from scripts.shared.differences import Champion, compare_all, find_champion, read_scores  # noqa: PLC0415

    target, scored = read_scores(scores)
    if live is None:
        champion = Champion(None, why_not="nothing is live yet")
    elif live.name == version:
        champion = Champion(version, winner, why_not="it is the winner itself")
    else:
        champion = find_champion(live, *rows, target, settings)
    found = compare_all(winner, target, scored, metrics, champion, settings)
    first = [
        each for each in found["differences"] if each["against"] == "champion" and each["metric"] == found["metric"]
    ]
    gain = Gain.of(first[0]) if champion.scores is not None else None
    decision, why = decide(
        version, champion.version, gain, champion.why_not, settings.select.champion.min_gain, settings.deploy.approval
    )
    if champion.note:
        why = f"{why}; of the live model: {champion.note}"
    return found | {"decision": decision, "why": why}


def bring(
    folder: Path,
    version: str,
    files: dict[str, Path],
    entry: dict[str, Any],
    decided: tuple[str, str | None],
    settings: Config,
) -> str:
    """Publish or stage a version in the registry, or leave it; return in words what came of it.

    Parameters
    ----------
    folder, version, files, entry
        As `publish` takes them.
    decided
        The decision, and what was live when it was taken.
    settings
        The run's config.

    Raises
    ------
    UserError
        Where another version has become live since the decision.
    """
    deploy, (decision, before) = settings.deploy, decided
    if decision == KEEP:
        return "is not published"
    access = Access.of(deploy.group, deploy.mode)
    if decision == STAGE:
        new = stage(folder, version, files, entry, access)
        return f"{'is staged' if new else 'was staged already'}; {how_to_promote(version)}"
    changed = publish(folder, version, files, entry, access, deploy.keep, {before})
    return "is live now" if changed else "was live already"


def choose(candidates: dict[str, dict[str, Any]], options: Select) -> tuple[str, str]:
    """Return the winner's name and the reason in words.

    Parameters
    ----------
    candidates
        By name: `complexity` and `values`, a dict of metrics.
    options
        Metrics in order of importance, tolerance of ties, gates.

    Raises
    ------
    UserError
        Where no candidate passes the gates.
    """
    failed = {name: failed_gates(c["values"], options) for name, c in candidates.items()}
    left = sorted(name for name in candidates if not failed[name])
    if not left:
        details = "; ".join(f"{name}: {', '.join(failed[name])}" for name in sorted(failed))
        raise UserError(f"no candidate passes the gates ({details}); nothing was published, what is deployed stays")
    steps = []
    if len(left) < len(candidates):
        steps.append(f"{', '.join(sorted(set(candidates) - set(left)))} failed the gates")
    for metric in options.metrics:
        best = _best([candidates[name]["values"][metric] for name in left], metric)
        tied = [n for n in left if abs(candidates[n]["values"][metric] - best) <= options.tolerance]
        value = f"{metric} {best:.4f}"
        if len(tied) == 1:
            others = [candidates[n]["values"][metric] for n in left if n != tied[0]]
            against = f" against {_best(others, metric):.4f} of the next" if others else ", the only candidate left"
            return tied[0], "; ".join([*steps, f"best {value}{against}, {BASIS[options.on]}"])
        steps.append(f"{', '.join(tied)} tie on {value}")
        left = tied
    winner = min(left, key=lambda name: (candidates[name]["complexity"], name))
    return winner, "; ".join([*steps, f"{winner} is the simplest of them, {BASIS[options.on]}"])


def _best(values: list[float], metric: str) -> float:
    return min(values) if metric in LOWER_IS_BETTER else max(values)


def failed_gates(values: dict[str, float], options: Select) -> list[str]:
    """Return in words which gates a candidate fails."""
    return [
        f"{metric} {values[metric]:.4f} is {'above' if metric in LOWER_IS_BETTER else 'below'} {gate:g}"
        for metric, gate in sorted(options.gates.items())
        if (values[metric] > gate if metric in LOWER_IS_BETTER else values[metric] < gate)
    ]
