"""The quick checks as a run begins, by themselves: said is what isn't well, and nothing where all is.

A process of its own makes them, and a thread waits for it, so a run neither waits for them nor ends by them.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..asker import start
from .checks import quick
from .report import Check, Result

Say = Callable[[str, str], None]

# What an executor that has the pool looked at before its first submission makes the watch say in its own words.
ALREADY_SAID = ("pool.negotiator",)
NO_NODES = "pool.nodes"


class EarlyLook:
    """The quick checks of one run.

    Parameters
    ----------
    say
        Prints a line of a level.
    fails
        Takes an error of this class's own.
    looked
        Whether the executor has had the pool looked at already.
    """

    def __init__(self, say: Say, fails: Callable[[Exception], None], looked: bool = False) -> None:
        self._say, self._fails, self._looked = say, fails, looked
        self._over = False
        self._thread = threading.Thread(target=self._wait, name="htcondor-early-look", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say nothing more: the run is over. The process ends by itself, within seconds."""
        self._over = True

    def join(self, seconds: float) -> None:
        """Wait until all is said."""
        self._thread.join(seconds)

    def _wait(self) -> None:
        try:
            child = start(__name__)
            said, _ = child.communicate()
            for line in lines(json.loads(said), self._looked):
                if not self._over:
                    self._say("warning", line)
        except Exception as error:
            if not self._over:
                self._fails(error)


def lines(found: Collection[dict[str, Any]], looked: bool) -> list[str]:
    """Return what is to be said of checks: those that warn or fail, with the remedy.

    Parameters
    ----------
    found
        The checks as dictionaries.
    looked
        Whether the executor has had the pool looked at, which tells of the negotiator, and of a pool without nodes.
    """
    checks = [Check(**{**one, "result": Result(one["result"])}) for one in found]
    wrong = [check for check in checks if check.result in (Result.WARN, Result.FAIL)]
    return [f"{check.line}. {check.remedy}." for check in wrong if not (looked and _said(check))]


def _said(check: Check) -> bool:
    return check.id in ALREADY_SAID or (check.id == NO_NODES and check.result is Result.FAIL)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # whoever wanted to know may be gone
        print(json.dumps([asdict(check) for check in quick(Path.cwd().resolve())]), flush=True)
