"""Asks the pool, in a process of its own: the bindings keep all of Python waiting while a daemon is silent.

A collector that hangs would stop Snakemake for a minute and more, whatever thread asks (seen with bindings 24.12). So a
child process asks and judges, and the run goes on; a question that takes too long ends the child, and the next one
starts another. One question is one line of JSON to the child, and one line back; before it, a line for each daemon that
the child turns to, so that it can be said who doesn't answer.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# Not from the working folder: a workflow's own json.py must not take the place of Python's.
PYTHON = (sys.executable, "-P", "-m")
_PATHS = tuple(path for path in sys.path if path and Path(path).resolve() != Path.cwd())
DEADLINE = 25.0  # HTCondor's own timeout of most questions is 20 s


JUDGING = "judging"  # what takes the time where no daemon is asked
SPARE = 0.8  # of the time for an answer may be used to judge; the rest is for the daemons' own


class NoAnswer(Exception):  # noqa: N818 - it is the answer that is missing
    """The pool did not answer; the text says what went wrong.

    Attributes
    ----------
    who
        Who did not answer, such as "the pool's collector", or `JUDGING`; empty where that isn't known.
    """

    def __init__(self, words: str, who: str = "") -> None:
        super().__init__(words, who)
        self.who = who

    def __str__(self) -> str:
        """Return the words."""
        return str(self.args[0])


def start(module: str) -> subprocess.Popen[str]:
    """Start a process that asks, with pipes to it; it finds the packages that this one found at its start."""
    return subprocess.Popen(
        [*PYTHON, module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is for whoever started it, who ends it in order
        env=os.environ | {"PYTHONPATH": os.pathsep.join(_PATHS)},
    )


class Asker:
    """The child process, started when it is first asked.

    Parameters
    ----------
    deadline
        Seconds that an answer may take.
    """

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._child: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, question: str, deadline: float | None = None, **about: Any) -> Any:
        """Ask a question of `questions.py`, and return the answer.

        Raises
        ------
        NoAnswer
            Where it doesn't come in time, or is an error.
        """
        seconds = deadline or self._deadline
        turned = {"to": ""}
        with self._lock:  # one question at a time: an answer doesn't say what it answers
            child, answers = self._running()
            try:
                _tell(child, json.dumps({"question": question, "about": about}) + "\n")
                answer = _answer(answers, seconds, turned)
            except queue.Empty:
                self._end()
                raise NoAnswer(f"no answer within {seconds:.0f} s", turned["to"]) from None
            except (OSError, ValueError) as error:
                self._end()
                words = "the run is over" if self._closed else f"the process that asks ended: {error}"
                raise NoAnswer(words, turned["to"]) from None
        if "error" in answer:
            raise NoAnswer(answer["error"], turned["to"])
        return answer["answer"]

    def time_to_judge(self, deadline: float | None = None) -> float:
        """Return how many seconds of the time for an answer may be used to judge jobs."""
        return (deadline or self._deadline) * SPARE

    def close(self) -> None:
        """End the child; whoever waits for an answer is told at once that there is none."""
        self._closed = True
        self._end()

    def _running(self) -> "tuple[subprocess.Popen[str], queue.Queue[str]]":
        if self._closed:
            raise NoAnswer("the run is over")
        if self._child is None or self._child.poll() is not None:
            self._end()  # also a dead one leaves pipes
            self._answers = queue.Queue()
            self._child = start(f"{__package__}.questions")
            threading.Thread(target=self._listen, args=(self._child, self._answers), daemon=True).start()
        return self._child, self._answers

    @staticmethod
    def _listen(child: subprocess.Popen[str], answers: "queue.Queue[str]") -> None:
        with contextlib.suppress(ValueError):  # closed
            for line in child.stdout or ():
                answers.put(line)
        answers.put("")  # not JSON: whoever waits is told at once

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, and is left to it
            child.wait(timeout=2)
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


def _answer(answers: "queue.Queue[str]", seconds: float, turned: dict[str, str]) -> dict[str, Any]:
    """Return the line that answers; the lines before tell whom the child has turned to."""
    end = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = json.loads(answers.get(timeout=max(0.0, end - time.monotonic())))
        if "turns_to" not in found:
            return found
        turned["to"] = found["turns_to"]


def _tell(child: subprocess.Popen[str], line: str) -> None:
    if child.stdin is None:
        raise OSError("it has no standard input")
    child.stdin.write(line)
    child.stdin.flush()
