"""Asks HTCondor in a process of its own for each question, and no longer than a deadline.

The bindings keep all of Python waiting while a daemon is silent, whatever thread asks; a process can be given up.
"""

import contextlib
import json
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..asker import NoAnswer, start

__all__ = ["NoAnswer", "ask"]

END_SECONDS = 15.0  # for a process that is told to end and has jobs to remove
WITH_JOBS = ("match", "probe")


def ask(question: str, seconds: float, /, **about: Any) -> Any:
    """Ask a question of `questions.py` and return its answer.

    Raises
    ------
    NoAnswer
        Where none came in time, or an error.
    """
    child = start(f"{__package__}.questions")
    try:
        said, _ = child.communicate(json.dumps({"question": question, "about": about}), timeout=seconds)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {seconds:.0f} s") from None
    finally:
        _end(child, END_SECONDS if question in WITH_JOBS else 0.0)
    try:
        answer = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError):
        raise NoAnswer(f"the process that asks ended with exit code {child.returncode}") from None
    if "error" in answer:
        raise NoAnswer(answer["error"])
    return answer["answer"]


def _end(child: "subprocess.Popen[str]", patience: float) -> None:
    """End a process: in order where it needs that, else by force; one that hangs in the kernel is left to it."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 2.0)):
        if child.poll() is not None:
            break
        if not seconds:
            continue
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError, ValueError):
            if pipe:
                pipe.close()


def ask_all(questions: Mapping[str, tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """Ask several questions at once; return the answers by question, a NoAnswer where there is none."""

    def one(question: str) -> Any:
        seconds, about = questions[question]
        try:
            return ask(question, seconds, **about)
        except NoAnswer as problem:
            return problem

    with ThreadPoolExecutor(max_workers=len(questions)) as threads:
        return dict(zip(questions, threads.map(one, questions), strict=True))
