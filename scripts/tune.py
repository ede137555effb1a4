"""Step tune: score some candidates of a model's search by cross-validation on the train rows."""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from scripts.cross_validate import score_held_out
from scripts.shared.config import Config, Contract, Model, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import canonical, read_json, sha256_text, write_json
from scripts.shared.membership import digest
from scripts.shared.metrics import compute_metrics
from scripts.shared.models import versions
from scripts.shared.pipeline import build_pipeline
from scripts.shared.search import UNTUNED, Candidate, candidates, ranked, rounds, with_parameters
from scripts.shared.sides import TRAIN
from scripts.streaming.source import TrainRows, train_rows

THRESHOLD = 0.5  # of the metrics that need one


def main(
    parts: list[Path],
    membership: list[Path],
    trials: list[Path],
    previous: list[Path],
    name: str,
    round_number: int,
    config: Path,
    code: str,
) -> None:
    """Score candidates, one after the other, each into a file of its own as soon as it is done.

    What was scored before under the same circumstances is not scored again, so that a search which was interrupted or
    made larger does only what is new.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    trials
        JSON, one a candidate: its parameters, and its metrics by fold. Their names, without the ending, are those of
        the round.
    previous
        The trials of the round before, of which the best go on; empty in the first.
    name
        The model's name in the config.
    round_number
        The round, from 1.
    config
        The run's config.
    code
        Hash of the code that tunes.
    """
    settings = read_config(config)
    row, contract = settings.models[name], settings.contract()
    everyone = candidates(row, settings.seed)
    this = rounds(row, everyone)[round_number - 1]
    entered = survivors(everyone, [read_json(path) for path in previous], settings.models[name], len(this.names))
    by_name = dict(zip(this.names, entered, strict=True))
    data = digest(parts, membership, TRAIN, contract)
    known = known_trials(trials[0].parent)
    rows: TrainRows | None = None
    with contextlib.ExitStack() as held:
        for number, path in enumerate(trials, start=1):
            candidate = by_name[path.stem]
            key = trial_key(settings, name, candidate, this.share, code, data)
            trial = known.get(key)
            if trial is None:
                pipeline = candidate_pipeline(name, row, candidate, contract, settings.seed)
                rows = rows or held.enter_context(train_rows(name, settings, parts, membership, pipeline))
                scores = score_candidate(name, row, candidate, rows, pipeline, this.share)
                trial = {"key": key, "share": this.share, **scores}
            # The model as its row says it is told in the words of the space, which may have been another one then.
            trial = trial | {"parameters": candidate.parameters}
            write_json(path, trial)  # also one that is there already: it is as new as what it was made from
            logging.info("%s: candidate %s, %d of %d, done", name, candidate.id, number, len(trials))


def survivors(
    everyone: Sequence[Candidate], previous: Sequence[dict[str, Any]], row: Model, count: int
) -> list[Candidate]:
    """Return the `count` candidates of a round, in the order of the search.

    All, or the best of the round before and the model as its row says it.
    """
    if not previous:
        return list(everyone)
    if row.tune is None:
        raise AssertionError("a model without a search has no rounds")
    searched = [trial for trial in previous if trial["candidate"] != UNTUNED]
    best = ranked(searched, [candidate.id for candidate in everyone], row.tune.metric)[: count - 1]
    names = {UNTUNED} | {trial["candidate"] for trial in best}
    return [candidate for candidate in everyone if candidate.id in names]


def trial_key(settings: Config, name: str, candidate: Candidate, share: float, code: str, data: str) -> str:
    """Return the hash of all that decides what a candidate scores.

    Neither the metric that ranks nor the other candidates are in it: they change no score.
    """
    row = settings.models[name]
    circumstances = {
        "row": with_parameters(row, candidate.parameters).model_dump(
            mode="json", exclude={"tune", "complexity", "calibration"}
        ),
        "candidate": candidate.id,
        "folds": row.tune.folds if row.tune else None,
        "share": share,
        "seed": settings.seed,
        "contract": settings.contract().model_dump(mode="json"),
        "data": data,
        "code": code,
        "versions": versions(),
    }
    return sha256_text(canonical(circumstances))


def known_trials(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the trials of a round that were scored before, by key. What can't be read is scored again."""
    known = {}
    for path in sorted(folder.glob("*.json")):
        try:
            trial = read_json(path)
            known[trial["key"]] = trial
        except (UserError, KeyError, TypeError):
            logging.warning("warning: %s can't be read; its candidate is scored again", path)
    return known


def candidate_pipeline(name: str, row: Model, candidate: Candidate, contract: Contract, seed: int) -> Pipeline:
    """Return the model, unfitted, with a candidate's parameters."""
    tuned = with_parameters(row, candidate.parameters)
    return build_pipeline(name, tuned, *contract.features_of(row), seed)


def score_candidate(
    name: str, row: Model, candidate: Candidate, rows: TrainRows, pipeline: Pipeline, share: float
) -> dict[str, Any]:
    """Return a candidate's parameters and its metrics by fold.

    Raises
    ------
    UserError
        Where the estimator refuses the parameters.
    """
    if row.tune is None:
        raise AssertionError("a model without a search has no candidates")
    try:
        fold, held_out = score_held_out(name, pipeline, rows, row.tune.folds, share)
    except ValueError as error:
        raise UserError(
            f"models.{name}.tune.space: the candidate {canonical(candidate.parameters)} can't be fitted ({error}); "
            "take what doesn't go together out of the space"
        ) from None
    target = rows.target()
    return {
        "candidate": candidate.id,
        "parameters": candidate.parameters,
        "folds": [
            compute_metrics(target[fold == k], held_out[fold == k], THRESHOLD) for k in range(int(np.max(fold)) + 1)
        ],
    }
