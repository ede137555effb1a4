"""Shares of rows, with what chance leaves open."""

from scripts.shared.statistics import wilson_interval


def default_rate(defaults: int, rows: int) -> dict[str, float | int | None]:
    """Return rows, defaults, rate (None without rows), low and high of its 95 % interval."""
    low, high = wilson_interval(defaults, rows) or (0.0, 1.0)
    return {"rows": rows, "defaults": defaults, "rate": defaults / rows if rows else None, "low": low, "high": high}
