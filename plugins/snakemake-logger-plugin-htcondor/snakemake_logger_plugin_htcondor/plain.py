"""Where there is no terminal: a line on how the run stands, now and then, if that changed."""

import time
from collections.abc import Callable

from .jobs import Run


class PlainLines:
    """Says how the run stands.

    Parameters
    ----------
    say
        Prints a line.
    every
        Seconds between two lines; the first comes after so many, so that a short run has none.
    clock
        Returns seconds; only differences count.
    """

    def __init__(self, say: Callable[[str], None], every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._every, self._clock = say, every, clock
        self._last, self._said_at = "", clock()

    def update(self, run: Run) -> None:
        """Say a line, where it is time and something changed."""
        if self._clock() - self._said_at < self._every:
            return
        from .view import plain_line  # noqa: PLC0415 - rich is loaded where something is drawn

        self._said_at = self._clock()
        if (line := plain_line(run)) != self._last:
            self._last = line
            self._say(line)
