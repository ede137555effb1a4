"""Step train: fit one model's Pipeline on the train rows, and write it with its card."""

import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError

from scripts.shared.config import Model, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file
from scripts.shared.membership import read_rows
from scripts.shared.models import save_model, versions
from scripts.shared.pipeline import build_pipeline
from scripts.shared.progress import heartbeat
from scripts.shared.search import with_parameters
from scripts.shared.sides import TRAIN


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    name: str,
    tuned: list[Path],
    config: Path,
    code: str,
) -> None:
    """Train one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The artefact and its card.
    name
        The model's name in the config.
    tuned
        What its search found, where it has one, else empty.
    config
        The run's config.
    code
        Hash of the code that trains.
    """
    settings = read_config(config)
    row, contract = tuned_row(settings.models[name], tuned), settings.contract()
    numeric, categorical = contract.numeric_features(), contract.columns.categorical
    rows = read_rows(parts, membership, TRAIN, contract)
    pipeline = build_pipeline(name, row, numeric, categorical, settings.seed)
    logging.info("%s: fitting %s on %s rows", name, row.estimator, f"{len(rows.target):,}")
    fit(name, pipeline, rows.frame, rows.target)
    save_model(
        pipeline,
        {
            "name": name,
            "model": row.model_dump(mode="json"),
            "contract": contract.model_dump(mode="json"),
            "features": {
                "numeric": numeric,
                "categorical": categorical,
                "categories": {name: _categories(rows.frame, name) for name in categorical},
            },
            "training": {"rows": len(rows.target), "defaults": int(rows.target.sum())},
            "seed": settings.seed,
            "code": code,
            "versions": versions(),
            "inputs": {path.as_posix(): sha256_file(path) for path in [*parts, *membership]},
            **({"tuned": read_json(tuned[0])} if tuned else {}),
        },
        model_file,
        card,
    )
    logging.info("%s: done", name)


def tuned_row(row: Model, tuned: list[Path]) -> Model:
    """Return a model's row with the parameters that its search found, or as it is where there was none."""
    return with_parameters(row, read_json(tuned[0])["parameters"]) if tuned else row


def fit(name: str, pipeline: Pipeline, frame: pd.DataFrame, target: npt.NDArray[np.int8]) -> None:
    """Fit, and say it in one line where the solver did not converge.

    Raises
    ------
    UserError
        Where the estimator refuses the value of a parameter, or missing values.
    """
    with warnings.catch_warnings(record=True) as caught, heartbeat(f"{name}: fitting"):
        warnings.simplefilter("always")
        try:
            pipeline.fit(frame, target)
        except InvalidParameterError as error:
            raise UserError(f"models.{name}.params: {error}") from None
        except ValueError as error:
            if "NaN" not in str(error):
                raise
            raise UserError(
                f"models.{name}: the estimator can't take missing values; set models.{name}.numeric.impute: true"
            ) from None
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            logging.warning("warning: %s did not converge; raise models.%s.params.max_iter", name, name)
        else:
            logging.warning("warning: %s: %s", name, warning.message)


def _categories(frame: pd.DataFrame, name: str) -> list[str]:
    """Return the values that training saw, so that prediction can tell new ones."""
    return sorted(frame[name].dropna().unique())
