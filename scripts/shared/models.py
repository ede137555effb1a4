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

from scripts.shared import trusted
from scripts.shared.cards import MAKE_ANEW, SKOPS, artefact_name, check_artefact
from scripts.shared.environment import python_line
from scripts.shared.errors import UserError
from scripts.shared.files import atomic, read_json, sha256_file, write_json


def versions() -> dict[str, str]:
    """Return the versions that a Pipeline depends on, as part of what it is known by: Python's last part is repairs."""
    return {
        "python": python_line(platform.python_version()),
        "scikit_learn": sklearn.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "joblib": joblib.__version__,
    }


def save_model(pipeline: Pipeline, card: dict[str, Any], model_file: Path, card_file: Path) -> None:
    """Write the artefact in the format that its name ends with, then the card with that and the artefact's checksum.

    Raises
    ------
    UserError
        Where skops can't carry the model.
    """
    with atomic(model_file) as beside:
        if model_file.suffix == SKOPS:
            trusted.dump(pipeline, beside)
        else:
            joblib.dump(pipeline, beside)
    write_json(card_file, card | {"artefact": f"model{model_file.suffix}", "sha256": sha256_file(model_file)})


def load_model(model_file: Path, card_file: Path, remedy: str = MAKE_ANEW) -> tuple[Pipeline, dict[str, Any]]:
    """Return the Pipeline and its card. Nothing is loaded before the checksum agrees, or by another format's loader.

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
    expected = Path(artefact_name(card)).suffix
    if model_file.suffix != expected:
        raise UserError(
            f"{model_file} is not loaded: its card says that the model is a {expected} file; {remedy}, or restore it"
        )
    check_artefact(model_file, card, remedy)
    if expected == SKOPS:
        return trusted.load(model_file, remedy), card
    return joblib.load(model_file), card


def load_version(folder: Path, remedy: str = MAKE_ANEW) -> tuple[Pipeline, dict[str, Any]]:
    """Return the Pipeline and the card of a published version, whichever its format; see `load_model`."""
    card = folder / "model.json"
    return load_model(folder / artefact_name(read_json(card)), card, remedy)


def predict_default(pipeline: Pipeline, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the probability of default of each row (shape (rows,)); the positive class is 1."""
    if frame.empty:
        return np.empty(0)
    probabilities = pipeline.predict_proba(frame)
    return np.asarray(probabilities[:, list(pipeline.classes_).index(1)], dtype=np.float64)
