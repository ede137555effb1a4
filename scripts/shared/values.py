"""How single values are written, and when two of them are the same."""

import re

LINE = "__line"  # the column of clean rows that says on which line of its file a row stood
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def canonical_value(text: str) -> str:
    """Return one text for equal target values, which CSV and Parquet may write differently.

    >>> canonical_value(" 1.0 "), canonical_value("1"), canonical_value("good")
    ('1', '1', 'good')
    """
    trimmed = text.strip()
    if not re.fullmatch(NUMBER, trimmed, re.ASCII):
        return trimmed
    number = float(trimmed) + 0.0  # no -0
    return str(int(number)) if number.is_integer() else str(number)
