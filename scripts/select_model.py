"""Step select: find the winner, publish it as the last act, then write the receipt."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from scripts.shared.cards import check_artefact, model_version
from scripts.shared.config import LOWER_IS_BETTER, Select, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.model_card import version_files
from scripts.shared.registry import publish

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
    live: Path,
    lock: Path,
    receipt: Path,
    config: Path,
) -> None:
    """Select and publish.

    Parameters
    ----------
    model_files, cards, metrics
        One of each per candidate, in the same order.
    cv
        Their cross-validations, where `select.on` is cv, else empty.
    references
        What drift is measured against, one per candidate.
    live
        The registry's live pointer.
    lock
        The lock file, kept with each version.
    receipt
        JSON: the winner, the metric, every candidate's value, the reason in words.
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
    with tempfile.TemporaryDirectory() as made:
        winners = model_files[index], cards[index], metrics[index]
        changed = publish(
            live.parent,
            version,
            version_files(Path(made), *winners, lock, settings, version) | {"reference.json": references[index]},
            {
                "model": winner,
                "reason": reason,
                "metric": options.metrics[0],
                "value": judged[index][options.metrics[0]],
                "run": sha256_file(config)[:12],  # a run is known by the config that it froze
            },
        )
    shown = list(dict.fromkeys([*options.metrics, *options.gates]))
    write_json(
        receipt,
        {
            "winner": winner,
            "version": version,
            "metric": options.metrics[0],
            "on": options.on,
            "reason": reason,
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
    logging.info("version %s %s", version, "is live now" if changed else "was live already")


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
