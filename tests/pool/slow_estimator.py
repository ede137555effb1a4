"""A model whose training takes time and no computing, which a test copies into its project.

A fault needs a job that is still there when it strikes. What that job does meanwhile is nothing to the fault, and the
pool's hosts share the machine's cores.
"""

import time
from typing import Any

from sklearn.tree import DecisionTreeClassifier


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
        time.sleep(self.seconds)
        super().fit(X, y)
        return self
