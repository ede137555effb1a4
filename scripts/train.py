"""Step train: fit one model's Pipeline on the train rows, and write it with its card."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError

from scripts.shared.config import read_config
from scripts.shared.errors import UserError
from scripts.shared.files import sha256_file
from scripts.shared.membership import read_rows, stream_rows, survey
from scripts.shared.models import save_model, versions
from scripts.shared.pipeline import build_pipeline
from scripts.shared.progress import heartbeat
from scripts.shared.sides import TRAIN
from scripts.streaming.cache import BLOCK_ROWS, Keep, RowCache, cached
from scripts.streaming.fit import fit_streaming, must_stream


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    name: str,
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
    config
        The run's config.
    code
        Hash of the code that trains.
    """
    settings = read_config(config)
    row, contract = settings.models[name], settings.contract()
    numeric, categorical = contract.numeric_features(), contract.columns.categorical
    pipeline = build_pipeline(name, row, numeric, categorical, settings.seed)
    found = survey(parts, membership, TRAIN, contract)
    logging.info("%s: fitting %s on %s rows", name, row.estimator, f"{found.rows:,}")
    if must_stream(name, row, pipeline, numeric, found, settings.resources.memory_mb):
        with cached(stream_rows(parts, membership, TRAIN, contract, BLOCK_ROWS), numeric, categorical) as cache:
            fit_in_blocks(name, pipeline, cache)
            defaults = sum(int(block.target.sum()) for block in cache.blocks())
            categories = {of: sorted(texts) for of, texts in zip(categorical, cache.texts, strict=True)}
    else:
        rows = read_rows(parts, membership, TRAIN, contract)
        fit(name, pipeline, rows.frame, rows.target)
        defaults = int(rows.target.sum())
        categories = {name: _categories(rows.frame, name) for name in categorical}
    save_model(
        pipeline,
        {
            "name": name,
            "model": row.model_dump(mode="json"),
            "contract": contract.model_dump(mode="json"),
            "features": {
                "numeric": numeric,
                "categorical": categorical,
                "categories": categories,
            },
            "training": {"rows": found.rows, "defaults": defaults},
            "seed": settings.seed,
            "code": code,
            "versions": versions(),
            "inputs": {path.as_posix(): sha256_file(path) for path in [*parts, *membership]},
        },
        model_file,
        card,
    )
    logging.info("%s: done", name)


def fit(name: str, pipeline: Pipeline, frame: pd.DataFrame, target: npt.NDArray[np.int8]) -> None:
    """Fit in memory, and say it in one line where the solver did not converge.

    Raises
    ------
    UserError
        Where the estimator refuses the value of a parameter, or missing values.
    """
    with _in_words(name):
        pipeline.fit(frame, target)


def fit_in_blocks(name: str, pipeline: Pipeline, cache: RowCache, keep: Keep | None = None) -> None:
    """Fit from cached rows, those that `keep` keeps; says and raises what `fit` does."""
    logging.info("%s: in blocks, since the rows don't fit in resources.memory_mb", name)
    with _in_words(name):
        fit_streaming(pipeline, cache, keep)


@contextlib.contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn what fitting warns of and raises into sentences that name the config's keys."""
    with warnings.catch_warnings(record=True) as caught, heartbeat(f"{name}: fitting"):
        warnings.simplefilter("always")
        try:
            yield
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
