"""Sample notices: what a refused applicant would be told, for made-up applications."""

from typing import Any

import numpy as np
import pyarrow as pa

from scripts.analysis.importance import partial_dependence
from scripts.analysis.sample import Sample, replaced
from scripts.shared.reasons import Reasons, reference_table
from scripts.shared.scoring import Scorer

NOTICES = 3


def sample_notices(
    reasons: Reasons, scorer: Scorer, test: Sample, card: dict[str, Any], threshold: float
) -> list[dict[str, Any]]:
    """Return notices of made-up applications: the reference, made riskier feature by feature until it is refused.

    The first begins with the feature that raises the reference's risk most, the next ones with the second and third.

    Returns
    -------
    list
        At most NOTICES, each with its score and its reasons in words. Fewer where no such application is refused.
    """
    reference, numeric = reference_table(card), set(card["features"]["numeric"])
    riskiest = []
    for name in reasons.model.features:
        curve = partial_dependence(scorer, test, name, name in numeric)
        candidates = [replaced(reference, name, _one(reference, name, value)) for value in curve["grid"]]
        if candidates:
            scores = [float(scorer.score(row)[0]) for row in candidates]
            at = int(np.argmax(scores))
            riskiest.append((scores[at], name, curve["grid"][at]))
    order = sorted(riskiest, key=lambda each: (-each[0], each[1]))
    notices = []
    for start in range(min(NOTICES, len(order))):
        row = reference
        for _, name, value in [*order[start:], *order[:start]]:
            row = replaced(row, name, _one(row, name, value))
            score = float(scorer.score(row)[0])
            if score >= threshold:
                said = [reasons.phrases[code] for code in reasons.codes(row)[0] if code >= 0]
                notices.append({"score": score, "reasons": said})
                break
    return notices


def _one(table: pa.Table, name: str, value: Any) -> pa.Array:
    kind = table.schema.field(name).type
    if pa.types.is_dictionary(kind):
        return pa.array([value], pa.string()).dictionary_encode().cast(kind)
    return pa.array([value], kind)
