"""Whether a published model may score in this environment: versions as in training, or equal scores of golden rows."""

import logging
import warnings
from pathlib import Path

from scripts.shared.environment import GOLDEN, differences, recorded, refusal
from scripts.shared.errors import UserError
from scripts.shared.files import read_json
from scripts.shared.golden import largest_deviation, read_golden
from scripts.shared.scoring import Scorer


def check_versions(folder: Path, policy: str) -> list[str]:
    """Return in words which versions are others than those that a published model was trained with, mostly none.

    Parameters
    ----------
    folder
        The version's folder.
    policy
        `predict.other_versions`.

    Raises
    ------
    UserError
        Where there are any, and the policy is `refuse`, or the version has no golden rows.
    """
    then = recorded(folder, read_json(folder / "model.json"))
    different = differences(then)
    if not different:
        return []
    python = then.get("Python", "3")
    if policy != GOLDEN:
        raise UserError(refusal(folder, different, python, ""))
    if read_golden(folder) is None:
        why = (
            "; it was published before there were golden rows, so they can't be tried (predict.other_versions: golden)"
        )
        raise UserError(refusal(folder, different, python, why))
    # scikit-learn tells of each object that is loaded under another version: here it is told in one sentence.
    warnings.filterwarnings("ignore", module="sklearn")
    return different


def check_golden(folder: Path, scorer: Scorer, different: list[str]) -> str:
    """Return how predictions say that the golden rows came out equal under other versions, and warn of it in the log.

    Parameters
    ----------
    folder, scorer
        The version's folder, and its model.
    different
        As `check_versions` returns them.

    Raises
    ------
    UserError
        Where a score is another one, be it by the last bit.
    """
    golden = read_golden(folder)
    if golden is None:
        raise AssertionError("check_versions has seen them")
    if deviation := largest_deviation(scorer, golden):
        why = f", and those of its golden rows are: by up to {deviation:.3g}"
        raise UserError(_refused(folder, different, why))
    logging.warning(
        "warning: the model was trained with %s; its %d golden rows have equal scores here, so it goes on",
        ", ".join(different),
        len(golden["scores"]),
    )
    return GOLDEN
