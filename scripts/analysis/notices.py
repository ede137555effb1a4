"""Sample notices: what refused applicants would be told, for made-up applications."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scripts.analysis.features import replaced
from scripts.shared.membership import numbers_of
from scripts.shared.reasons import Reasons, reference_table
from scripts.shared.scoring import Scorer

NOTICES = 3
QUANTILES = np.linspace(0.05, 0.95, 10)
FEWEST = 20  # rows that a category has before it stands in a made-up application


def sample_notices(
    reasons: Reasons, scorer: Scorer, table: pa.Table, card: dict[str, Any], threshold: float
) -> list[dict[str, Any]]:
    """Return notices of made-up applications: the reference, made riskier feature by feature until it is refused.

    The first begins with the feature that can raise the reference's score most, the others with the next ones.

    Parameters
    ----------
    reasons
        The model's.
    scorer
        Of the model.
    table
        Test rows: their quantiles and categories are what is tried.
    card
        The model's card, with its reference group.
    threshold
        An application is refused from this score on.

    Returns
    -------
    list
        At most NOTICES, each with its `score` and its `reasons` in words; fewer where no such application is refused.
    """
    reference = reference_table(card)
    riskiest = []
    for name in reasons.model.features:
        if tried := [replaced(reference, name, value) for value in candidates(table, reference, name)]:
            scores = scorer.score(pa.concat_tables(tried).unify_dictionaries())
            at = int(np.argmax(scores))
            riskiest.append((float(scores[at]), name, tried[at].column(name)))
    order = sorted(riskiest, key=lambda one: (-one[0], one[1]))
    notices = []
    for start in range(min(NOTICES, len(order))):
        row = reference
        for _, name, value in [*order[start:], *order[:start]]:
            row = replaced(row, name, value)
            score = float(scorer.score(row)[0])
            if score >= threshold:
                said = [reasons.phrases[code] for code in reasons.codes(row)[0] if code >= 0]
                notices.append({"score": score, "reasons": said})
                break
    return notices


def candidates(table: pa.Table, reference: pa.Table, name: str) -> Sequence[pa.Array]:
    """Return the values of a feature that are tried, each as a column of one row."""
    if pa.types.is_floating(table.schema.field(name).type):
        values = numbers_of(table, name)
        values = values[~np.isnan(values)]
        if len(values) < FEWEST:
            return []
        return [pa.array([value], pa.float64()) for value in np.unique(np.quantile(values, QUANTILES)).tolist()]
    counted = pc.value_counts(table.column(name).cast(pa.string()).combine_chunks().drop_null()).to_pylist()
    kind = reference.schema.field(name).type
    common = sorted(one["values"] for one in counted if one["counts"] >= FEWEST)
    return [pa.array([text], pa.string()).dictionary_encode().cast(kind) for text in common]
