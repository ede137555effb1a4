"""Model artefacts: writing and loading the fitted Pipeline with the card that vouches for its bytes."""

import platform
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn
from sklearn.pipeline import Pipeline

from scripts.shared.cards import MAKE_ANEW, check_artefact
from scripts.shared.files import atomic, read_json, sha256_file, write_json


def versions() -> dict[str, str]:
    """Return the versions that a pickled Pipeline depends on."""
    return {
        "python": platform.python_version(),
        "scikit_learn": sklearn.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "joblib": joblib.__version__,
    }


def save_model(pipeline: Pipeline, card: dict[str, Any], model_file: Path, card_file: Path) -> None:
    """Write the artefact, then the card with the artefact's checksum."""
    with atomic(model_file) as beside:
        joblib.dump(pipeline, beside)
    write_json(card_file, card | {"sha256": sha256_file(model_file)})


def load_model(model_file: Path, card_file: Path, remedy: str = MAKE_ANEW) -> tuple[Pipeline, dict[str, Any]]:
    """Return the Pipeline and its card. Nothing is unpickled before the checksum agrees.

    Parameters
    ----------
    model_file, card_file
        The artefact and its card.
    remedy
        What to do where they don't agree.

    Raises
    ------
    UserError
        Where the artefact isn't the one that the card was written for.
    """
    card = read_json(card_file)
    check_artefact(model_file, card, remedy)
    return joblib.load(model_file), card


def predict_default(pipeline: Pipeline, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the probability of default of each row (shape (rows,)); the positive class is 1."""
    if frame.empty:
        return np.empty(0)
    probabilities = pipeline.predict_proba(frame)
    return np.asarray(probabilities[:, list(pipeline.classes_).index(1)], dtype=np.float64)
