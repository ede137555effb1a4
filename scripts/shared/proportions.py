"""Shares of rows, with what chance leaves open."""

import math

Z_95 = 1.959963984540054  # of the normal distribution, for 95 % in the middle


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `rows` rows, 0 to 1 where there are none.

    Wilson's score interval (1927); unlike the usual one it stays within 0 and 1, and holds with few rows, too.
    """
    if not rows:
        return 0.0, 1.0
    share, square = hits / rows, Z_95**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z_95 / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == rows else middle + half)


def default_rate(defaults: int, rows: int) -> dict[str, float | int | None]:
    """Return rows, defaults, rate (None without rows), low and high of its 95 % interval."""
    low, high = wilson(defaults, rows)
    return {"rows": rows, "defaults": defaults, "rate": defaults / rows if rows else None, "low": low, "high": high}
