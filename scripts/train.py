"""Step train: fit one model's Pipeline on the train rows, and write it with its card."""

import logging
from pathlib import Path
from typing import Any

from scripts.shared.calibrated import with_map
from scripts.shared.cards import SKOPS
from scripts.shared.config import read_config
from scripts.shared.environment import describe
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file
from scripts.shared.golden import golden_rows, largest_deviation, make_golden
from scripts.shared.membership import Digest
from scripts.shared.models import load_model, save_model, versions
from scripts.shared.pipeline import build_pipeline
from scripts.shared.scoring import fast_scorer
from scripts.shared.search import tuned_row
from scripts.shared.trusted import USE_JOBLIB
from scripts.streaming.source import train_rows


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    name: str,
    tuned: list[Path],
    cv: list[Path],
    config: Path,
    code: str,
) -> None:
    """Train one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The artefact, in the format that its name ends with, and its card.
    name
        The model's name in the config.
    tuned
        What its search found, where it has one, else empty.
    cv
        Its cross-validation, where the model is calibrated, else empty.
    config
        The run's config.
    code
        Hash of the code that trains.

    Raises
    ------
    UserError
        Where the model is to be calibrated, and its cross-validation has no map.
    """
    settings = read_config(config)
    row, contract = tuned_row(settings.models[name], tuned), settings.contract()
    calibration = read_calibration(name, cv) if row.calibration != "none" else None
    numeric, categorical = contract.features_of(row)
    pipeline = build_pipeline(name, row, numeric, categorical, settings.seed)
    digest = Digest(contract)
    with train_rows(name, settings, parts, membership, pipeline, held_out=True, digest=digest) as rows:
        logging.info("%s: fitting %s on %s rows", name, row.estimator, f"{rows.count:,}")
        curve = rows.learning_curve(name, pipeline)
        rows.fit(name, pipeline)
        model = pipeline["model"]
        whole = with_map(pipeline, calibration["map"]) if calibration else pipeline
        categories = rows.categories
        scorer = fast_scorer(whole, numeric, categorical)
        golden = make_golden(scorer, golden_rows(rows.first_numbers(), categories), numeric, categorical)
        save_model(
            whole,
            {
                "name": name,
                "model": row.model_dump(mode="json"),
                "contract": contract.model_dump(mode="json"),
                "features": {
                    "numeric": numeric,
                    "categorical": categorical,
                    "categories": categories,
                },
                "training": {"rows": rows.count, "defaults": rows.defaults},
                "reference_group": rows.reference(),
                "labels": settings.labels,
                **({"sample": curve} if row.sample else {}),
                **({"tuned": read_json(tuned[0])} if tuned else {}),
                **({"calibration": calibration} if calibration else {}),
                **(model.card(pipeline["columns"]) if hasattr(model, "card") else {}),
                "seed": settings.seed,
                # No part of its version: tells a later comparison whether it may have seen that one's test rows.
                "split": settings.split.model_dump(mode="json"),
                "code": code,
                "versions": versions(),
                "environment": describe(row.estimator, model_file.name),
                "golden": golden,
                "data": str(digest),
                "inputs": {path.as_posix(): sha256_file(path) for path in [*parts, *membership]},
            },
            model_file,
            card,
        )
    if model_file.suffix == SKOPS:
        check_round_trip(name, model_file, card)
    logging.info("%s: done", name)


def check_round_trip(name: str, model_file: Path, card: Path) -> None:
    """Load what was written, and raise UserError where it doesn't score its golden rows as the model did.

    A pickle gives back what it was given; skops builds objects anew, from what it knows of them.
    """
    pipeline, about = load_model(model_file, card)
    scorer = fast_scorer(pipeline, about["features"]["numeric"], about["features"]["categorical"])
    if deviation := largest_deviation(scorer, about["golden"]):
        raise UserError(f"models.{name}: read back from skops, scores differ by up to {deviation:.3g}; {USE_JOBLIB}")


def read_calibration(name: str, cv: list[Path]) -> dict[str, Any]:
    """Return what the cross-validation of a model says of its calibration, the map included.

    Raises
    ------
    UserError
        Where it isn't there.
    """
    found = read_json(cv[0]) if cv else {}
    if found.get("model") != name or "calibration" not in found:
        raise UserError(
            f"models.{name}.calibration: its cross_validation.json has no map; run the step cross_validate first"
        )
    about: dict[str, Any] = found["calibration"]
    return about
