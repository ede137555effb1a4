"""Which features of a model the config marks as set by the lender, or as prohibited."""

import re
from collections.abc import Iterable

from scripts.shared.config import Config

METRICS = ("roc_auc", "pr_auc", "ks", "brier")


def marked_features(settings: Config, used: Iterable[str]) -> list[str]:
    """Return which of some features are marked, or derived from a marked column; in the order given."""
    marked = {*settings.screen.lender_set, *settings.screen.prohibited}
    return [
        name
        for name in used
        if name in marked or any(_names(settings.features.get(name, ""), column) for column in marked)
    ]


def _names(expression: str, column: str) -> bool:
    """Whether an SQL expression names a column, plain or in quotes."""
    plain = rf"(?<![\w\"]){re.escape(column)}(?![\w\"])"
    return bool(re.search(plain, expression, re.IGNORECASE)) or f'"{column}"' in expression
