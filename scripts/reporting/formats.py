"""How the report writes numbers."""

Interval = tuple[float, float]

NOTHING = "–"


def count(number: int | None) -> str:
    """Return a number of things; what isn't known is a dash, here as below.

    >>> count(58645)
    '58,645'
    """
    return NOTHING if number is None else f"{number:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent; a few of many are neither none nor all."""
    if share is None:
        return NOTHING
    text = f"{100 * share:.{digits}f}"
    smallest = 10.0**-digits
    if share > 0 and float(text) == 0:
        text = f"<{smallest:.{digits}f}"
    elif share < 1 and float(text) == 100:
        text = f">{100 - smallest:.{digits}f}"
    return f"{text}\u00a0%"


def signed_points(share: float) -> str:
    """Return a difference of shares in percentage points."""
    return f"{100 * share:+.2f}".replace("-", "\u2212") + "\u00a0pp"


def signed(value: float | None, digits: int = 4) -> str:
    """Return a difference, with its sign."""
    return NOTHING if value is None else f"{value:+.{digits}f}".replace("-", "\u2212")


def number(value: float | None) -> str:
    """Return a number of any size in few digits.

    >>> number(0.123456), number(123456.0), number(42.0)
    ('0.1235', '123,456', '42')
    """
    if value is None:
        return NOTHING
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def p_value(p: float) -> str:
    """Return a p-value.

    >>> p_value(9.25e-46), p_value(0.0162)
    ('<0.001', '0.016')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def between(interval: Interval | None, digits: int = 3) -> str:
    """Return an interval; where so few rows give none, that."""
    if interval is None or interval[0] is None:
        return "no interval"
    return f"{interval[0]:.{digits}f}\u2013{interval[1]:.{digits}f}"
