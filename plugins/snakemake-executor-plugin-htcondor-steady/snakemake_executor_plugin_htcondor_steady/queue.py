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

FULL_SECONDS = 5.0  # how often a full queue is tried again

REMOVED_BY = ("Snakemake removed it", 0)  # a reason without a code is dropped by the bindings (24.12)

Say = Callable[[str], None]


class QueueError(Exception):
    """The schedd can't be reached, or refuses."""


class RefusedError(QueueError):
    """The schedd answers, and doesn't take this job."""


class FullError(QueueError):
    """The schedd takes no more jobs for the moment."""


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
        self._said_full = False
        self._full_since: float | None = None
        self._next_try = 0.0

    def has_room(self) -> bool:
        """Tell whether a submission is worth a try: for some seconds after one that found the queue full, none is."""
        return time.monotonic() >= self._next_try

    def submit(
        self,
        description: Mapping[str, Any],
        key: str,
        ours: str = "false",
        given_up: Callable[[], bool] = lambda: False,
    ) -> int:
        """Submit a job exactly once; return its cluster number.

        A submission whose answer was lost is looked up by its key before it is tried again. Where the queue is full,
        it doesn't wait for room, since the caller has the run's jobs to watch.

        Parameters
        ----------
        ours
            A constraint that this run's jobs meet.
        given_up
            Tells whether the run has ended, so that there is nothing to wait for any more.

        Raises
        ------
        FullError
            Where the queue is full: the job is to be submitted again once `has_room` says so.
        RefusedError
            Where the schedd takes others, but not this job; the queue has been full for longer than the patience, and
            with no jobs of this run, which would leave it; or the run has ended.
        QueueError
            Where the schedd doesn't answer for longer than the patience.
        """
        submit = htcondor.Submit({**description, f"+{SUBMISSION}": string(key)})
        refused = 0
        began = time.monotonic()
        while not given_up():
            try:
                cluster = int(htcondor.Schedd().submit(submit).cluster())
                self._full_since = None
                return cluster
            except Exception as error:
                problem = _words(error)
            try:
                found = self.look(f"{SUBMISSION} == {string(key)}", ["ClusterId"])
                waits_for = self.look(ours, ["ClusterId"]) if not found and is_full(problem) else []
            except QueueError:
                self._wait(began, f"the schedd doesn't take the job: {problem}")
                continue
            if found:
                return int(found[0]["ClusterId"])
            began = time.monotonic()  # it answers
            if is_full(problem):
                self._note_full(problem, bool(waits_for))
                raise FullError(problem)
            self._full_since = None
            refused += 1
            if refused == 3:  # so it is the description; once more, as a schedd may have just come back
                raise RefusedError(f"HTCondor refuses the job: {problem}")
            time.sleep(1)
        raise RefusedError("the run ends")

    def _note_full(self, problem: str, is_ours: bool) -> None:
        """Note when the next try is due; refuse the job where others have kept the queue full for the patience."""
        now = time.monotonic()
        if is_ours or self._full_since is None:
            self._full_since = now
        waited = now - self._full_since
        if waited > self._patience:
            self._full_since = None
            raise RefusedError(f"HTCondor's queue has had no room for {waited:.0f} s: {problem}")
        if not self._said_full:  # once in a run: a full queue is so for each of its jobs
            self._said_full = True
            self._say(
                f"HTCondor's queue takes no more jobs ({problem}), as where a limit such as MAX_JOBS_PER_OWNER is "
                "reached; the submissions wait until there is room"
            )
        self._next_try = now + FULL_SECONDS

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

    def last_words(
        self, cluster: int, constraint: str, attributes: Iterable[str], since: int
    ) -> list[Mapping[str, Any]]:
        """Return attributes of a job that has left the queue, in a list that is empty where there is none.

        A history may hold years. It is read from its newest job back to the first that left the queue before `since`.

        Parameters
        ----------
        since
            When the run began, in seconds since the epoch by the access point's clock.

        Raises
        ------
        QueueError
            Where the schedd doesn't answer.
        """
        try:
            found = htcondor.Schedd().history(
                constraint=f"ClusterId == {cluster} && {constraint}",
                projection=list(attributes),
                match=1,
                since=left_before(since),
            )
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
            Where the schedd doesn't answer for longer than the patience, jobs are another user's, or they are still
            there in the end.
        """
        began = time.monotonic()
        while True:
            denied = 0
            try:
                jobs = self.look(constraint, ["ClusterId", "JobStatus", "Owner"])
                if any(job["JobStatus"] != REMOVED for job in jobs):
                    done = htcondor.Schedd().act(htcondor.JobAction.Remove, constraint, reason=REMOVED_BY)
                    denied = int(dict(done or {}).get("TotalPermissionDenied", 0))
                if not jobs or gone_within is None:
                    return
            except Exception as error:
                self._wait(began, f"jobs can't be removed: {_words(error)}", patience)
                continue
            if denied:
                names = ", ".join(f"{job['ClusterId']} of {job.get('Owner', '?')}" for job in jobs)
                raise QueueError(f"HTCondor lets only their owner or an administrator remove jobs: {names}")
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


def of_folder(folder: str) -> str:
    """Return a constraint for all jobs of a working folder, also those that HTCondor's own executor has submitted.

    >>> print(of_folder("/shared/loans"))
    SnakemakeWorkdir == "/shared/loans" || Iwd == "/shared/loans"
    """
    return f"{FOLDER} == {string(folder)} || Iwd == {string(folder)}"


def left_before(when: int) -> str:
    """Return the expression that is true of a job that left the queue before a time, in seconds since the epoch.

    Only a job that left when it was done tells when it left: one may have been held for days before it was removed, and
    one that was spooled, or says so itself, stays after its end. An hour is left for clocks that differ.

    >>> left_before(1795593600).split(" && ")[:2]
    ['JobStatus == 4', 'CompletionDate > 0']
    """
    return (
        f"JobStatus == {COMPLETED} && CompletionDate > 0 && CompletionDate < {when - 3600} && "
        "StageInStart =?= undefined && (LeaveJobInQueue ?: false) =?= false"
    )


def is_full(problem: str) -> bool:
    """Tell whether a refusal is because of the number of jobs in the queue, and not of the job.

    The bindings (24.12) name no limit, but say only that a cluster can't be made, before they send the description;
    others name it: MAX_JOBS_SUBMITTED, MAX_JOBS_PER_OWNER. MAX_JOBS_PER_SUBMISSION is of no concern: each of our jobs
    is a submission.

    >>> is_full("Failed to create new cluster."), is_full("Number of submitted jobs would exceed MAX_JOBS_PER_OWNER")
    (True, True)
    >>> is_full("Failed to parse requirements expression")
    False
    """
    return any(words in problem for words in ("Failed to create new cluster", "jobs would exceed", "MAX_JOBS_"))


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
