"""Fitting a Pipeline, with what goes wrong said in the config's words."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError

from scripts.shared.errors import UserError
from scripts.shared.progress import heartbeat


def fit(name: str, pipeline: Pipeline, frame: pd.DataFrame, target: npt.NDArray[np.int8]) -> None:
    """Fit in memory, and say it in one line where the solver did not converge.

    Raises
    ------
    UserError
        Where the estimator refuses the value of a parameter, or missing values.
    """
    with in_words(name):
        pipeline.fit(frame, target)


@contextlib.contextmanager
def in_words(name: str) -> Iterator[None]:
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
