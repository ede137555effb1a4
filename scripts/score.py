"""Step score: one model's scores of one part's test rows."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.pipeline import Pipeline

from scripts.shared.config import Contract
from scripts.shared.files import atomic
from scripts.shared.membership import read_table
from scripts.shared.models import load_model
from scripts.shared.parts import write_part
from scripts.shared.scoring import fast_scorer
from scripts.shared.sides import TEST


def main(part: Path, membership: Path, model_file: Path, card: Path, scores: Path) -> None:
    """Score one part.

    Parameters
    ----------
    part, membership
        Clean rows and their sides.
    model_file, card
        The model, checked against its card before it is loaded.
    scores
        Parquet: target (int8) and score (float64) of each test row, in the part's order.
    """
    pipeline, about = load_model(model_file, card)
    target, scored = score_test_rows([part], [membership], pipeline, about)
    with atomic(scores) as beside:
        write_part(pa.table({"target": target, "score": scored}), beside)


def score_test_rows(
    parts: list[Path], membership: list[Path], pipeline: Pipeline, card: dict[str, Any]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return target and score of the test rows, in the order of the parts, by a model and its card."""
    contract, features = Contract.model_validate(card["contract"]), card["features"]
    table = read_table(parts, membership, TEST, contract)
    target = table.column(contract.columns.target.column).to_numpy()
    # The scorer that predict uses: what is measured here is what applications will get.
    return target, fast_scorer(pipeline, features["numeric"], features["categorical"]).score(table)
