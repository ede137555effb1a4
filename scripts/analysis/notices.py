"""Sample notices: what refused applicants would be told, for made-up applications."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scripts.analysis.features import rederived, replaced
from scripts.shared.config import Contract
from scripts.shared.membership import numbers_of
from scripts.shared.reasons import Reasons
from scripts.shared.scoring import Scorer

NOTICES = 3
QUANTILES = np.linspace(0.05, 0.95, 10)
FEWEST = 20  # rows that a category has before it stands in a made-up application


def sample_notices(
    reasons: Reasons, scorer: Scorer, table: pa.Table, card: dict[str, Any], threshold: float
) -> list[dict[str, Any]]:
    """Return notices of made-up applications: the reference, made riskier column by column until it is refused.

    The first begins with the column that can raise the reference's score most, the others with the next ones. Derived
    features follow from the columns, so that such an application could be made.

    Parameters
    ----------
    reasons
        The model's.
    scorer
        Of the model.
    table
        Test rows: their quantiles and categories are what is tried.
    card
        The model's card, with its contract and its reference group.
    threshold
        An application is refused from this score on.

    Returns
    -------
    list
        At most NOTICES, each with its `score` and its `reasons` in words; fewer where no such application is refused.
    """
    contract = Contract.model_validate(card["contract"])
    start = typical(table, card["reference_group"]["values"], contract)
    riskiest = []
    for name in contract.columns.features():
        tried = [(moved(start, name, value, contract), value) for value in candidates(table, name)]
        if tried:
            scores = [float(scorer.score(row)[0]) for row, _ in tried]
            at = int(np.argmax(scores))
            riskiest.append((scores[at], name, tried[at][1]))
    order = sorted(riskiest, key=lambda one: (-one[0], one[1]))
    notices = []
    for first in range(min(NOTICES, len(order))):
        row = start
        for _, name, value in [*order[first:], *order[:first]]:
            row = moved(row, name, value, contract)
            score = float(scorer.score(row)[0])
            if score >= threshold:
                said = [reasons.phrases[code] for code in reasons.codes(row)[0] if code >= 0]
                notices.append({"score": score, "reasons": said})
                break
    return notices


def typical(table: pa.Table, values: dict[str, Any], contract: Contract) -> pa.Table:
    """Return one row with the reference's values, and of columns that the model doesn't see the typical ones."""
    columns: dict[str, pa.Array] = {}
    for name in contract.columns.numeric:
        middle = np.nanmedian(numbers_of(table, name)) if table.column(name).null_count < table.num_rows else None
        columns[name] = pa.array([values.get(name, middle)], pa.float64())
    for name in contract.columns.categorical:
        common = candidates(table, name)
        columns[name] = text(values.get(name, common[0] if common else None))
    for name in contract.features:
        columns[name] = pa.nulls(1, pa.float64())
    return rederived(pa.table(columns), contract)


def moved(row: pa.Table, name: str, value: Any, contract: Contract) -> pa.Table:
    """Return a row with another value in one column, and what is derived from it."""
    column = pa.array([value], pa.float64()) if pa.types.is_floating(row.schema.field(name).type) else text(value)
    return rederived(replaced(row, name, column), contract)


def text(value: str | None) -> pa.Array:
    """Return a category as a column of one row."""
    return pa.array([value], pa.string()).dictionary_encode()


def candidates(table: pa.Table, name: str) -> list[Any]:
    """Return the values of a column that are tried: quantiles, or categories of enough rows, the commonest first."""
    if pa.types.is_floating(table.schema.field(name).type):
        values = numbers_of(table, name)
        values = values[~np.isnan(values)]
        return np.unique(np.quantile(values, QUANTILES)).tolist() if len(values) >= FEWEST else []
    counted = pc.value_counts(table.column(name).cast(pa.string()).combine_chunks().drop_null()).to_pylist()
    counted.sort(key=lambda one: (-one["counts"], one["values"]))
    return [one["values"] for one in counted if one["counts"] >= FEWEST]
