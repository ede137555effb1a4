"""A model whose training takes time and no computing, which a test copies into its project.

A fault needs a job that is still there when it strikes. What that job does meanwhile is nothing to the fault, and the
pool's hosts share the machine's cores.

It notes when it was at work, in a file of its own in the folder `trainings` of the project: whether two trained the
same model at once is seen by that, whatever the schedd believes of its jobs.
"""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from sklearn.tree import DecisionTreeClassifier

NOTED_EACH = 0.2  # seconds


class SlowTree(DecisionTreeClassifier):
    """A decision tree that sleeps before it is fitted.

    Parameters
    ----------
    seconds
        For how long.
    max_depth, random_state
        The tree's own.
    """

    def __init__(self, *, seconds: float = 0.0, max_depth: int = 5, random_state: int | None = None) -> None:
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.seconds = seconds

    def fit(self, X: Any, y: Any) -> "SlowTree":
        """Sleep, and fit."""
        began = time.monotonic()
        # The time, too: a host that is started anew gives its process numbers again.
        note = Path("trainings") / f"{self.max_depth} {socket.gethostname()} {os.getpid()} {time.time_ns()}"
        _note(note)
        while (left := began + self._patience() - time.monotonic()) > 0:
            time.sleep(min(left, NOTED_EACH))
            _note(note)
        super().fit(X, y)
        _note(note)
        return self

    def _patience(self) -> float:
        """How long to sleep: the file `seconds` in the project tells it where the parameters are not to change."""
        with contextlib.suppress(OSError):
            return float(Path("seconds").read_text())
        return self.seconds


def _note(file: Path) -> None:
    """Note that this process is at work: one that is killed has no time to note its end."""
    with contextlib.suppress(OSError):  # a full disk is for the step to complain of
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as lines:
            lines.write(f"{time.time()}\n")
