"""Where there is no terminal: a line on how the run stands, now and then, if that changed."""

import time
from collections.abc import Callable

from .jobs import Run


class PlainLines:
    """Tells how the run stands.

    Parameters
    ----------
    every
        Seconds between two lines; the first comes after so many, so that a short run has none.
    clock
        Returns seconds; only differences count.
    """

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._last, self._said_at = "", clock()

    def update(self, run: Run) -> str | None:
        """Return a line, where it is time and something changed."""
        if self._clock() - self._said_at < self._every:
            return None
        from .view import plain_line  # noqa: PLC0415 - rich is loaded where something is drawn

        self._said_at = self._clock()
        line = plain_line(run)
        if line == self._last:
            return None
        self._last = line
        return line
