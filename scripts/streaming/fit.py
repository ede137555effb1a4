"""Decides whether a model is fitted in memory or from blocks on scratch disk, and does the latter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from scripts.shared.config import Model, Resources
from scripts.shared.errors import UserError, listing
from scripts.shared.membership import Survey
from scripts.shared.pipeline import path_of
from scripts.streaming import logistic, tree
from scripts.streaming.cache import Keep, RowCache
from scripts.streaming.logistic import WARM_BLOCKS, Blocks, fit_logistic
from scripts.streaming.transformers import BLOCK_VALUES, Design, fit_columns, summarise
from scripts.streaming.tree import HISTOGRAM_BYTES, fit_tree

# Measured on 281,598 train rows of the loan data (14 columns), peak less what the libraries take: 1,172 to 1,392 bytes
# a row where the estimator sees 14 to 30 columns, 3,328 where it sees 151. So about 72 for each column of the data and
# 16 for each that the estimator sees, for all tried: logistic regression, tree, forest, both kinds of boosting.
COLUMN_BYTES, FEATURE_BYTES = 80, 20
IMPORTS_MB = 250  # 207 MB measured
MB = 2**20
# LightGBM keeps a byte a feature and row at most, and gradients, scores and places of some 40 bytes.
LIGHTGBM_ROW_BYTES = 40

LIGHTGBM = "lightgbm.sklearn.LGBMClassifier"
STREAMING = (path_of(LogisticRegression), path_of(DecisionTreeClassifier), LIGHTGBM)
FASTER_IN_BLOCKS = STREAMING[:2]  # four and ten times, at 1.6 million rows
STREAMING_NAMES = (
    "sklearn.linear_model.LogisticRegression, sklearn.tree.DecisionTreeClassifier and lightgbm.LGBMClassifier"
)


def width_at_most(model: Model, numeric: list[str], categories: dict[str, int]) -> int:
    """Return how many columns the estimator sees at most."""
    columns = len(numeric) * (2 if model.numeric.impute else 1)  # an indicator for each that has gaps
    each = {"spline": model.numeric.knots + 2, "bin": model.numeric.knots}.get(model.numeric.transform, 1)
    native = model.categorical.encoding == "native"
    return columns * each + sum(1 if native else count + 1 for count in categories.values())


def in_memory_mb(rows: int, columns: int, width: int) -> int:
    """Return the memory that a fit in memory takes at most, in MB.

    >>> in_memory_mb(281_598, 14, 151)
    1361
    """
    return IMPORTS_MB + rows * (COLUMN_BYTES * columns + FEATURE_BYTES * width) // MB


def streaming_mb(kind: str, rows: int, width: int) -> int:
    """Return the memory that a fit from blocks takes at most, in MB."""
    own = 3 * HISTOGRAM_BYTES
    if kind == path_of(LogisticRegression):
        own = 3 * 8 * width**2 + WARM_BLOCKS * 8 * BLOCK_VALUES
    if kind == LIGHTGBM:
        own = rows * (width + LIGHTGBM_ROW_BYTES)
    return IMPORTS_MB + (6 * 8 * BLOCK_VALUES + own) // MB  # six blocks: one, and what is computed from it


def fits_from_blocks(
    name: str, model: Model, pipeline: Pipeline, numeric: list[str], found: Survey, resources: Resources
) -> bool:
    """Return whether a model is fitted from blocks: because the rows don't fit in memory, or because it is faster.

    Parameters
    ----------
    name, model
        The model's name and row in the config.
    pipeline
        As `build_pipeline` makes it.
    numeric
        The numeric feature columns.
    found
        The rows to train on, and the values of the categorical columns.
    resources
        The config's: `memory_mb` and `in_memory_rows`.

    Raises
    ------
    UserError
        Where neither way fits, or the estimator or one of its parameters is for rows in memory only.
    """
    width = width_at_most(model, numeric, found.categories)
    needed = in_memory_mb(found.rows, len(numeric) + len(found.categories), width)
    estimator = pipeline["model"]
    kind = path_of(type(estimator))
    least, limit = streaming_mb(kind, found.rows, width), resources.memory_mb
    bad = _refused(estimator)
    if needed <= limit:
        return found.rows > resources.in_memory_rows and kind in FASTER_IN_BLOCKS and least <= limit and not bad
    what = f"models.{name}: {found.rows:,} train rows"
    remedies = f"raise resources.memory_mb (now {limit:,}), set models.{name}.sample.rows"
    if kind not in STREAMING:
        raise UserError(
            f"{what} need about {needed:,} MB in memory with {model.estimator}; {remedies}, or use an estimator that "
            f"trains in blocks: {STREAMING_NAMES}"
        )
    if least > limit:
        others = ", or use another estimator that trains in blocks" if kind == LIGHTGBM else ""
        raise UserError(f"{what} and {width:,} features need about {least:,} MB also in blocks; {remedies}{others}")
    if bad:
        raise UserError(
            f"models.{name}.params: {listing(bad)}: not possible for rows that don't fit in memory; leave it out, "
            f"raise resources.memory_mb, or set models.{name}.sample.rows"
        )
    return True


def _refused(estimator: Any) -> list[str]:
    if isinstance(estimator, LogisticRegression):
        return logistic.refused(estimator)
    return tree.refused(estimator) if isinstance(estimator, DecisionTreeClassifier) else []


def fit_streaming(pipeline: Pipeline, cache: RowCache, keep: Keep | None = None) -> None:
    """Fit a Pipeline on cached rows, in place: the same fitted objects as a fit in memory makes.

    Parameters
    ----------
    pipeline
        As `build_pipeline` makes it, of an estimator that `fits_from_blocks` lets pass.
    cache, keep
        The rows.

    Raises
    ------
    UserError
        Where the rows have one outcome only.
    ValueError
        As scikit-learn does, where missing values can't be taken.
    """
    summary = summarise(cache, keep)
    if summary.defaults in (0, summary.rows):
        raise UserError("the train rows have one outcome only; there is nothing to tell apart: use more data")
    fit_columns(pipeline["columns"], cache, summary, keep)
    design = Design(pipeline["columns"], cache, keep)
    estimator = pipeline["model"]
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()
    counts = (summary.rows - summary.defaults, summary.defaults)
    _fit_of(estimator)(estimator, design.blocks, counts, cache.folder)


def _fit_of(estimator: Any) -> Callable[[Any, Blocks, tuple[int, int], Path], None]:
    if isinstance(estimator, LogisticRegression):
        return lambda model, blocks, counts, _: fit_logistic(model, _finite(blocks), counts)
    if isinstance(estimator, DecisionTreeClassifier):
        return fit_tree
    from scripts.streaming.boosting import fit_boosting  # noqa: PLC0415 (its import costs others 0.3 s)

    return fit_boosting


def _finite(blocks: Blocks) -> Blocks:
    """Return the same blocks, and refuse missing values as scikit-learn does."""

    def checked() -> Any:
        for features, target in blocks():
            if np.isnan(features).any():
                raise ValueError("Input X contains NaN")
            yield features, target

    return checked
