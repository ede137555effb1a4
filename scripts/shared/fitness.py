"""Whether a published model may score in this environment: versions as in training, or equal scores of golden rows."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    if policy != GOLDEN:
        raise UserError(refusal(folder, different, then["Python"], ""))
    if read_golden(folder) is None:
        why = ", and it was published before there were golden rows that predict.other_versions: golden could try"
        raise UserError(refusal(folder, different, then["Python"], why))
    return different


@contextmanager
def tried(folder: Path, different: list[str]) -> Iterator[None]:
    """Load and try a model; what goes wrong under other versions is put down to them.

    Raises
    ------
    UserError
        Where versions differ, for any exception. Where they are the same, an exception stays what it is.
    """
    if not different:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of each object; check_golden says it in one sentence
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UserError(_refused(folder, different, f", and here it can't be used ({what})")) from error


def _refused(folder: Path, different: list[str], why: str) -> str:
    return refusal(folder, different, recorded(folder, read_json(folder / "model.json"))["Python"], why)


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
