"""Golden rows: a few made-up rows whose scores a model keeps, so that another environment can be tried on them.

They are nobody's: each number is a quantile of its column, each text one of its column's, put together by position.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.errors import UserError
from scripts.shared.files import read_json
from scripts.shared.scoring import Scorer

FILE = "golden.json"
ROWS = 12
# Never the ends: the largest income is somebody's. Seven levels, so that the columns, which are a step of 3 apart, meet
# in every combination of neighbours.
LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
STEP = 3

Row = dict[str, float | str | None]


def golden_rows(numbers: dict[str, npt.NDArray[np.float64]], categories: dict[str, list[str]]) -> list[Row]:
    """Return made-up rows, the same for the same columns.

    Parameters
    ----------
    numbers
        Some train rows' values of each numeric feature (shape (rows,), NaN where missing), whose quantiles are taken
        (type 7 of Hyndman and Fan 1996).
    categories
        The values of each categorical feature, sorted.

    Returns
    -------
    list
        ROWS rows by feature. In the last but one, every second feature is missing; in the last, each category is
        unknown. A column without any value is missing throughout.
    """
    quantiles = {name: _quantiles(values) for name, values in numbers.items()}
    rows: list[Row] = []
    for n in range(ROWS):
        row: Row = {}
        for place, (name, of_column) in enumerate(quantiles.items()):
            row[name] = of_column[(n + STEP * place) % len(LEVELS)]
        for place, (name, texts) in enumerate(categories.items()):
            row[name] = texts[(n + place) % len(texts)] if texts else None
        rows.append(row)
    rows[-2] |= dict.fromkeys(list(rows[-2])[::2])
    rows[-1] |= {name: unknown(texts) for name, texts in categories.items()}
    return rows


def unknown(texts: Sequence[str]) -> str:
    """Return a text that is none of these."""
    return "?" * (1 + max(map(len, texts), default=0))


def _quantiles(values: npt.NDArray[np.float64]) -> list[float | None]:
    present = values[np.isfinite(values)]
    return np.quantile(present, LEVELS).tolist() if len(present) else [None] * len(LEVELS)


def make_golden(scorer: Scorer, rows: list[Row], numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, Any]:
    """Return the content of `golden.json`.

    Parameters
    ----------
    scorer
        Of the fitted model: the one that predictions come from.
    rows
        As `golden_rows` makes them; those that lack a number are left out where the model refuses them.
    numeric, categorical
        The model's features.

    Returns
    -------
    dict
        `features` (`numeric`, `categorical`), `rows` (values by feature, null where missing), and their `scores`,
        float64 that read back equal.
    """
    try:
        scores = scorer.score(to_table(rows, numeric, categorical))
    except ValueError:
        rows = [row for row in rows if all(row[name] is not None for name in numeric)]
        scores = scorer.score(to_table(rows, numeric, categorical))
    features = {"numeric": list(numeric), "categorical": list(categorical)}
    return {"features": features, "rows": rows, "scores": scores.tolist()}


def to_table(rows: Sequence[Row], numeric: Sequence[str], categorical: Sequence[str]) -> pa.Table:
    """Return rows as scorers take them: float64 and texts by dictionary, null where missing."""
    columns = {name: pa.array([row[name] for row in rows], pa.float64()) for name in numeric}
    columns |= {name: pa.array([row[name] for row in rows], pa.string()).dictionary_encode() for name in categorical}
    return pa.table(columns)


def read_golden(folder: Path) -> dict[str, Any] | None:
    """Return a version's golden rows; None where it was published before there were any.

    Raises
    ------
    UserError
        Where the file holds something else.
    """
    path = folder / FILE
    if not path.exists():
        return None
    content: Any = read_json(path)
    match content:
        case {"features": {"numeric": [*_], "categorical": [*_]}, "rows": [_, *_] as rows, "scores": [*scores]} if len(
            rows
        ) == len(scores):
            return dict(content)
    raise UserError(f"{path} doesn't hold rows and as many scores; restore it, or remove predict.other_versions")


def largest_deviation(scorer: Scorer, golden: dict[str, Any]) -> float:
    """Return by how much a score differs most from the one that was kept; 0 where all are equal to the last bit."""
    features = golden["features"]
    scores = scorer.score(to_table(golden["rows"], features["numeric"], features["categorical"]))
    deviations = np.abs(scores - np.array(golden["scores"], np.float64))
    return float(np.max(np.where(np.isnan(deviations), np.inf, deviations)))
