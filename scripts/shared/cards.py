"""A model's card: what the artefact is, and whether its bytes are still those that it was written for.

Nothing here loads a model, so that a step which only compares and publishes imports no scikit-learn.
"""

from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError
from scripts.shared.files import canonical, sha256_file, sha256_text

MAKE_ANEW = "delete it and run again"
JOBLIB, SKOPS = ".joblib", ".skops"


def artefact_name(card: dict[str, Any]) -> str:
    """Return the file name of a model's artefact in its version's folder, which also says its format.

    Raises
    ------
    UserError
        Where the card names something else; cards from before there was a choice name nothing.
    """
    name = card.get("artefact", f"model{JOBLIB}")
    if name not in (f"model{JOBLIB}", f"model{SKOPS}"):
        raise UserError(f"the card of the model names the artefact {name!r}, which is no format known here; restore it")
    return str(name)


def check_artefact(model_file: Path, card: dict[str, Any], remedy: str = MAKE_ANEW) -> None:
    """Raise UserError where the artefact's checksum isn't the card's."""
    if not model_file.exists():
        raise UserError(f"{model_file} does not exist; {remedy}, or restore it")
    found = sha256_file(model_file)
    if found != card["sha256"]:
        raise UserError(
            f"{model_file} has the checksum {found[:12]}…, its card says {card['sha256'][:12]}…: it was changed or "
            f"damaged after training and is not loaded; {remedy}, or restore it"
        )


def _seen(columns: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in columns.items() if key != "observed"}


def model_version(card: dict[str, Any], threshold: float) -> str:
    """Return the version that a model is published under.

    A hash over everything that decides what the model says: data, config, code, seed, library versions, threshold. Not
    over the artefact's bytes, which pickle doesn't promise to repeat, nor over the parts that the data lies in. Its
    format counts where it isn't the usual one, since a version's folder holds one artefact.
    """
    identity = {key: card[key] for key in ("name", "model", "data", "code", "seed", "versions")}
    # Columns that are only observed say nothing of the model; whatever library its scores may depend on does.
    identity["contract"] = {**card["contract"], "columns": _seen(card["contract"].get("columns", {}))}
    if "environment" in card:
        identity["libraries"] = card["environment"]["libraries"]
    if (artefact := artefact_name(card)) != f"model{JOBLIB}":
        identity["artefact"] = artefact
    if "calibration" in card:  # the map depends on more than this: on the folds, and on the code that makes it
        identity["calibration"] = card["calibration"]["map"]
    return sha256_text(canonical(identity | {"threshold": threshold}))[:12]
