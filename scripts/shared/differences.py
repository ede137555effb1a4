"""The winner against the live model and the other candidates, on the same test rows: values and intervals.

The bootstrap (scripts/shared/resampling.py) draws the same rows for all models, so that what they share, the rows,
doesn't blur how they differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.champion import contract_of_used, metrics_compared, split_note, why_not_comparable
from scripts.shared.config import LOWER_IS_BETTER, METRICS, Config
from scripts.shared.environment import differences as differing
from scripts.shared.environment import recorded
from scripts.shared.errors import UserError
from scripts.shared.files import read_json
from scripts.shared.parts import count_rows, read_part
from scripts.shared.resampling import interval, resample

Target = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]

CHAMPION = "champion"


@dataclass(frozen=True)
class Champion:
    """The live model, as far as it can be compared.

    Attributes
    ----------
    version, model
        Its version, and its name where that can be read.
    scores
        Shape (rows,), of the test rows; None where it can't be compared.
    threshold
        From which probability on it refuses.
    values
        Its metrics on the test rows; None where it can't be compared.
    why_not, note
        Why it can't; what is to be known about the comparison.
    """

    version: str | None
    model: str | None = None
    scores: Scores | None = None
    threshold: float | None = None
    values: dict[str, float] | None = None
    why_not: str | None = None
    note: str | None = None

    def told(self) -> dict[str, Any]:
        """Return what `differences.json` says of it."""
        return {
            "version": self.version,
            "model": self.model,
            "comparable": self.scores is not None,
            "why_not": self.why_not,
            "note": self.note,
            "values": self.values,
        }


def find_champion(
    folder: Path, parts: Sequence[Path], membership: Sequence[Path], target: Target, settings: Config
) -> Champion:
    """Return the live model with its scores of the test rows, or why it has none. Its checksum is looked at first.

    Parameters
    ----------
    folder
        Of the live version.
    parts, membership
        Clean rows and their sides, in the same order.
    target
        Shape (rows,): of the test rows, as the candidates were scored.
    settings
        The run's config.
    """
    version = folder.name
    try:
        card, metrics = read_json(folder / "model.json"), read_json(folder / "metrics.json")
        threshold = float(metrics["threshold"])
        why_not = why_not_comparable(card, settings.contract())
        name = str(card["name"])
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        return Champion(version, why_not=f"its files can't be read ({_words(error)})")
    other = differing(recorded(folder, card))
    about_versions = f"it was trained with {', '.join(other)}, by which its scores could be others" if other else None
    note = "; ".join(filter(None, (split_note(card, settings.contract(), settings.split), about_versions))) or None
    if why_not:
        return Champion(version, name, why_not=why_not, note=note)
    try:
        found, scores = _score(folder, card, parts, membership)
    except Exception as error:  # an artefact of other library versions may fail in any way
        return Champion(version, name, why_not=f"it can't be loaded and asked here ({_words(error)})", note=note)
    if not np.array_equal(found, target):
        raise UserError("results/scores don't belong to the rows in results/data; delete results/scores and run again")
    from scripts.shared.metrics import compute_metrics  # noqa: PLC0415 - scikit-learn, which a first run needn't load

    values = compute_metrics(found, scores, threshold)
    return Champion(version, name, scores, threshold, {key: float(values[key]) for key in METRICS}, note=note)


def _score(
    folder: Path, card: dict[str, Any], parts: Sequence[Path], membership: Sequence[Path]
) -> tuple[Target, Scores]:
    """Return target and the live model's score of the test rows; no more than a part is held at a time."""
    from scripts.score import score_test_rows  # noqa: PLC0415 - scikit-learn, which a first run needn't load
    from scripts.shared.models import load_version  # noqa: PLC0415

    pipeline, _ = load_version(folder)
    reading = card | {"contract": contract_of_used(card)}
    scored = [
        score_test_rows([part], [member], pipeline, reading)
        for part, member in zip(parts, membership, strict=True)
        if count_rows(part)
    ]
    return np.concatenate([target for target, _ in scored]), np.concatenate([scores for _, scores in scored])


def _words(error: Exception) -> str:
    return " ".join(f"{'' if isinstance(error, UserError) else f'{type(error).__name__}: '}{error}".split())


def read_scores(files: Mapping[str, Path]) -> tuple[Target, dict[str, Scores]]:
    """Return the target of the test rows (shape (rows,)) and each candidate's scores of them, as `evaluate` wrote them.

    Raises
    ------
    UserError
        Where the files are of different rows.
    """
    tables: dict[str, pa.Table] = {name: read_part(path) for name, path in files.items()}
    targets = {name: table.column("target").to_numpy() for name, table in tables.items()}
    target = next(iter(targets.values()))
    for name, found in targets.items():
        if not np.array_equal(target, found):
            raise UserError(f"{files[name]} is of other rows than the other models' scores; delete results/scores")
    return target, {name: table.column("score").to_numpy() for name, table in tables.items()}


def compare_all(
    winner: str,
    target: Target,
    scores: Mapping[str, Scores],
    metrics: Mapping[str, Mapping[str, float]],
    champion: Champion,
    settings: Config,
) -> dict[str, Any]:
    """Return what `differences.json` holds, but for the decision.

    Parameters
    ----------
    winner
        A candidate's name.
    target
        Shape (rows,), 1 for default.
    scores
        Of each candidate, shape (rows,).
    metrics
        Of each candidate on these rows, with its threshold.
    champion
        The live model.
    settings
        `select` and `seed` of the run's config.
    """
    options = settings.select
    values, thresholds = dict(metrics), {name: metrics[name]["threshold"] for name in scores}
    of_all = dict(scores)
    if champion.scores is not None and champion.threshold is not None and champion.values is not None:
        of_all[CHAMPION], thresholds[CHAMPION], values[CHAMPION] = champion.scores, champion.threshold, champion.values
    count = options.champion.resamples
    drawn = resample(target, of_all, METRICS, count, settings.seed, thresholds)
    others = [name for name in (CHAMPION, *sorted(scores)) if name in of_all and name != winner]
    return {
        "rows": len(target),
        "defaults": int(target.sum()),
        "resamples": count,
        "seed": settings.seed,
        "metric": options.metrics[0],
        "intervals": {
            name: {metric: list(interval(drawn[name][metric])) for metric in METRICS} for name in sorted(drawn)
        },
        "champion": champion.told(),
        "differences": [
            {"model": winner, "against": name, "metric": metric}
            | _difference(metric, values[winner][metric], values[name][metric], drawn[winner], drawn[name])
            for name in others
            for metric in metrics_compared(options.metrics[0])
        ],
    }


def _difference(
    metric: str, own: float, other: float, drawn: Mapping[str, Scores], drawn_other: Mapping[str, Scores]
) -> dict[str, float]:
    """Return winner less other, its interval, and the share of the resamples in which the winner is better."""
    differences = drawn[metric] - drawn_other[metric]
    low, high = interval(differences)
    better = differences < 0 if metric in LOWER_IS_BETTER else differences > 0
    return {"value": own - other, "low": low, "high": high, "share_better": float(better.mean())}
