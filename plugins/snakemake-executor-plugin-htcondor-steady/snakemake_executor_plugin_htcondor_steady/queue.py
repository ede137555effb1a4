"""The schedd, asked and told so that a moment of silence harms nothing: submit once, remove for certain, look.

All jobs of a run carry its id, and all of a working folder the folder, as ClassAd attributes. So they are found again
without a list of numbers: after a submission whose answer was lost, when a run is cancelled in the middle of a
submission, and by the next run, when the driver was killed.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import classad2 as classad
import htcondor2 as htcondor

from .description import string

RUN = "SnakemakeRun"
FOLDER = "SnakemakeWorkdir"
SUBMISSION = "SnakemakeSubmission"
STATUS = ("ClusterId", "JobStatus", "ExitCode", "ExitBySignal", "ExitSignal", "EnteredCurrentStatus", "HoldReason")

IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5

REMOVED_BY = ("Snakemake removed it", 0)  # a reason without a code is dropped by the bindings (24.12)

Say = Callable[[str], None]


class QueueError(Exception):
    """The schedd can't be reached, or refuses."""


class Queue:
    """A run's view of the schedd.

    Parameters
    ----------
    say
        Told in words when the schedd doesn't answer.
    patience
        For how many seconds a schedd that doesn't answer is asked again.
    """

    def __init__(self, say: Say, patience: float) -> None:
        self._say = say
        self._patience = patience

    def submit(self, description: Mapping[str, Any], key: str) -> int:
        """Submit a job exactly once; return its cluster number.

        A submission whose answer was lost is looked up by its key before it is tried again.

        Raises
        ------
        QueueError
            Where the schedd refuses the description, or doesn't answer for longer than the patience.
        """
        submit = htcondor.Submit({**description, f"+{SUBMISSION}": string(key)})
        refused = 0
        began = time.monotonic()
        while True:
            try:
                return int(htcondor.Schedd().submit(submit).cluster())
            except Exception as error:
                problem = _words(error)
            try:
                found = self.look(f"{SUBMISSION} == {string(key)}", ["ClusterId"])
            except QueueError:
                self._wait(began, f"the schedd doesn't take the job: {problem}")
                continue
            if found:
                return int(found[0]["ClusterId"])
            refused += (
                1  # it answers, so it is the description that it doesn't take; once more, it may have just come back
            )
            if refused == 3:
                raise QueueError(f"HTCondor refuses the job: {problem}")
            time.sleep(1)

    def look(self, constraint: str, attributes: Iterable[str]) -> list[Mapping[str, Any]]:
        """Return attributes of the jobs in the queue that meet a constraint, in one query.

        What an attribute's expression refers to must be among the attributes.

        Raises
        ------
        QueueError
            Where the schedd doesn't answer.
        """
        try:
            ads = htcondor.Schedd().query(constraint=constraint, projection=list(attributes))
            return [evaluated(ad) for ad in ads]
        except Exception as error:
            raise QueueError(_words(error)) from error

    def look_patiently(self, constraint: str, attributes: Iterable[str], seconds: float) -> list[Mapping[str, Any]]:
        """Look, and where the schedd doesn't answer, look again for so many seconds.

        Raises
        ------
        QueueError
            Where it doesn't answer in that time, either.
        """
        began = time.monotonic()
        while True:
            try:
                return self.look(constraint, attributes)
            except QueueError as error:
                self._wait(began, f"the schedd doesn't answer: {error}", min(seconds, self._patience))

    def history(self, constraint: str, attributes: Iterable[str], match: int) -> list[Mapping[str, Any]]:
        """Return attributes of at most `match` jobs that have left the queue, newest first.

        Raises
        ------
        QueueError
            Where the schedd doesn't answer.
        """
        try:
            found = htcondor.Schedd().history(constraint=constraint, projection=list(attributes), match=match)
            return [dict(ad) for ad in found]
        except Exception as error:
            raise QueueError(_words(error)) from error

    def edit(self, job: str, attribute: str, value: str) -> None:
        """Set an attribute of a job in the queue.

        Raises
        ------
        QueueError
            Where the schedd doesn't answer, or refuses.
        """
        try:
            htcondor.Schedd().edit([job], attribute, value)
        except Exception as error:
            raise QueueError(_words(error)) from error

    def remove(self, constraint: str, gone_within: float | None = None, patience: float | None = None) -> None:
        """Remove the jobs that meet a constraint.

        Parameters
        ----------
        gone_within
            Wait for so many seconds until none of them is in the queue any more: until then, one may still write.
        patience
            Another one than the queue's own.

        Raises
        ------
        QueueError
            Where the schedd doesn't answer for longer than the patience, or jobs are still there in the end.
        """
        began = time.monotonic()
        while True:
            try:
                jobs = self.look(constraint, ["ClusterId", "JobStatus"])
                if any(job["JobStatus"] != REMOVED for job in jobs):
                    htcondor.Schedd().act(htcondor.JobAction.Remove, constraint, reason=REMOVED_BY)
                if not jobs or gone_within is None:
                    return
            except Exception as error:
                self._wait(began, f"jobs can't be removed: {_words(error)}", patience)
                continue
            if time.monotonic() - began > gone_within:
                left = ", ".join(str(job["ClusterId"]) for job in jobs)
                raise QueueError(f"after {gone_within:.0f} s, these jobs are still being removed: {left}")
            time.sleep(0.5)

    def _wait(self, began: float, problem: str, patience: float | None = None) -> None:
        patience = self._patience if patience is None else patience
        waited = time.monotonic() - began
        if waited > patience:
            raise QueueError(f"{problem} (tried for {waited:.0f} s)")
        self._say(f"{problem}; trying again for up to {patience - waited:.0f} s")
        time.sleep(min(5, max(1, waited / 4)))


def host_configuration() -> dict[str, str]:
    """Return of this host's HTCondor configuration what decides with which nodes a job of it goes together."""
    names = ("ARCH", "OPSYS", "FILESYSTEM_DOMAIN")
    return {name: str(htcondor.param[name]) for name in names if name in htcondor.param}


def evaluated(ad: Any) -> dict[str, Any]:
    """Return the values of a ClassAd: MemoryUsage and others are expressions there. What is undefined is left out."""
    values = {name: ad.eval(name) for name in ad}
    return {name: value for name, value in values.items() if not isinstance(value, classad.Value)}


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
