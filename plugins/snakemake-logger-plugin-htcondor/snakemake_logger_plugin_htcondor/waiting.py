"""Jobs that wait: which are looked at, when a verdict is sure enough to be said, and to whom it applies at once.

Pure but for its memory of what was found and said before.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .jobs import Job
from .matching import Word
from .words import count, duration

CHECKS = {Word.NEVER: 3, Word.NOT_YET: 2, Word.UNKNOWN: 2}  # the same verdict, one after the other
PAUSE = 300.0  # seconds before another reason of a job that can start is said: it may change with every job that ends
MOST_ASKED = 20  # jobs that are asked about at once


@dataclass(frozen=True)
class Found:
    """What a check found of a job: see `diagnosis.Diagnosis`."""

    word: Word
    key: str
    reason: str
    remedy: str
    sure: bool = False


@dataclass
class _Memory:
    found: Found
    checks: int = 1
    since: float = 0.0
    at: float = 0.0  # of the last check
    said: str = ""  # the key
    said_at: float = 0.0


@dataclass(frozen=True)
class Idle:
    """A job that waits, and since when; jobs of one `kind` are alike to HTCondor."""

    job: Job
    since: float
    kind: str


@dataclass
class Waiting:
    """What is known of the jobs that wait.

    Attributes
    ----------
    threshold
        Seconds that a job may wait before anything is said.
    period
        Seconds between two checks.
    """

    threshold: float
    period: float
    _jobs: dict[int, _Memory] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)

    def to_ask(self, idle: Iterable[Idle], now: float) -> dict[int, list[int]]:
        """Return the jobs to ask about, each with those that are alike, however long these have waited.

        The checks begin so early that a verdict is sure when the threshold is reached.
        """
        lead = self.period * (CHECKS[Word.NEVER] - 1)
        groups: dict[str, list[Idle]] = {}
        for one in sorted(idle, key=lambda one: one.since):
            groups.setdefault(one.kind, []).append(one)
        self._asked = {kind: at for kind, at in self._asked.items() if kind in groups}
        late = [jobs for jobs in groups.values() if now - jobs[0].since >= self.threshold - lead]
        # Where there are more kinds than are asked about at once, each has its turn.
        late.sort(key=lambda jobs: self._asked.get(jobs[0].kind, 0.0))
        turn = late[:MOST_ASKED]
        self._asked.update({jobs[0].kind: now for jobs in turn})
        return {jobs[0].job.cluster: [one.job.cluster for one in jobs] for jobs in turn}

    def note(self, cluster: int, found: Found, now: float) -> None:
        """Note what a check found of a job."""
        memory = self._jobs.get(cluster)
        if memory is None:
            self._jobs[cluster] = _Memory(found, since=now)
        elif memory.checks and (memory.found.word, memory.found.key) == (found.word, found.key):
            memory.checks += 1
            memory.found = found
        else:
            memory.found, memory.checks, memory.since = found, 1, now
        self._jobs[cluster].at = now

    def forget(self, cluster: int) -> bool:
        """Forget a job that waits no more; return whether something was said of it."""
        memory = self._jobs.pop(cluster, None)
        return bool(memory and memory.said)

    def unsure(self) -> None:
        """Begin all counts anew, as a check failed: what stands on both sides of it may not be the same."""
        for memory in self._jobs.values():
            memory.checks = 0

    def news(self, idle: Iterable[Idle], now: float) -> Iterator[tuple[Found, list[Idle]]]:
        """Yield what is to be said, with the jobs of one rule that it is said of: one has waited for the threshold."""
        groups: dict[tuple[str, str, str], list[Idle]] = {}
        for one in idle:
            memory = self._jobs.get(one.job.cluster)
            if memory and self._is_news(memory, now):
                groups.setdefault((one.job.rule, memory.found.word, memory.found.key), []).append(one)
        for jobs in groups.values():
            if now - min(one.since for one in jobs) < self.threshold:
                continue
            for one in jobs:
                memory = self._jobs[one.job.cluster]
                memory.said, memory.said_at = memory.found.key, now
            yield self._jobs[jobs[0].job.cluster].found, jobs

    @staticmethod
    def _is_news(memory: _Memory, now: float) -> bool:
        if memory.checks < CHECKS[memory.found.word] or memory.said == memory.found.key:
            return False
        return not memory.said or memory.found.word is Word.NEVER or now - memory.said_at >= PAUSE

    def hopeless(self, now: float, seconds: float) -> Iterator[tuple[int, Found]]:
        """Yield the jobs whose verdict has been NEVER for so many seconds, at each check, and which were told so.

        Only those that were checked just now, as `now` tells, and of which it is sure: it hangs on nothing that only
        seems to stay as it is.
        """
        for cluster, memory in self._jobs.items():
            never = memory.found.word is Word.NEVER and memory.found.sure and memory.checks >= CHECKS[Word.NEVER]
            if never and memory.at == now and memory.said == memory.found.key and now - memory.since >= seconds:
                yield cluster, memory.found


def line(found: Found, jobs: list[Idle], now: float) -> str:
    """Return what is said of jobs that wait for one reason."""
    longest = duration(max(now - one.since for one in jobs))
    if len(jobs) == 1:
        who = f"{jobs[0].job.title} (job {jobs[0].job.cluster}.0) has been idle for {longest}"
    else:
        who = f"{count(len(jobs), 'job')} of {jobs[0].job.rule} have been idle for up to {longest}"
    return f"{who}. {sentence(found)}"


def sentence(found: Found) -> str:
    """Return word, reason and remedy of a verdict."""
    return f"{found.word}: {found.reason}. {found.remedy}."


def found_of(answer: Mapping[str, Any]) -> Found:
    """Return a verdict as it comes from the process that asks."""
    sure = answer.get("sure") is True
    return Found(Word(answer["word"]), answer["key"], answer["reason"], answer["remedy"], sure)
