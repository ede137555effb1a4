"""One line now and then from a long step."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Says how far a step is, at most every few seconds; a short step says nothing.

    Parameters
    ----------
    what
        What is being done, such as ``preprocess loans.csv``.
    every
        Seconds between lines.
    """

    what: str
    every: float = 5.0
    _start: float = field(default_factory=time.monotonic, init=False)
    _last: float = field(default_factory=time.monotonic, init=False)

    def at(self, rows: int, done: float) -> None:
        """Say it where it is time. `done` is the share of the work, 0 where that isn't known."""
        now = time.monotonic()
        if now - self._last < self.every:
            return
        self._last = now
        share = f"{done:.0%} done, " if done else ""
        logging.info(
            "%s: %s%s rows, %s rows/s",
            self.what,
            share,
            f"{rows:,}",
            f"{rows / (now - self._start):,.0f}",
        )


@contextlib.contextmanager
def heartbeat(what: str, every: float = 30.0) -> Iterator[None]:
    """Say now and then that something goes on that can't tell how far it is, such as a solver."""
    over = threading.Event()
    start = time.monotonic()

    def beat() -> None:
        while not over.wait(every):
            logging.info("%s: going on for %.0f s", what, time.monotonic() - start)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
