"""Jobs that wait: which are looked at, when a verdict is sure enough to be said, and to whom it applies at once.

Pure but for its memory of what was found and said before.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

from .jobs import Job, State
from .lines import SINGLY, name
from .matching import NEXT_CYCLE, Word
from .words import count, duration, form

CHECKS = {Word.NEVER: 3, Word.NOT_YET: 2, Word.UNKNOWN: 2}  # the same verdict, one after the other
# Seconds before another reason of a job that can start is said, as it may change with every job that ends; and before
# more jobs of a rule are said to wait for a reason of which that rule's were told before.
PAUSE = 300.0
MOST_ASKED = 20  # jobs that are asked about at once
LEFT = 0.0  # the time at which a kind was asked about that there was no time to judge
AMOUNT = re.compile(r"(?<=\w=)\d[\d.e+]*(?=,|$)")  # in a verdict's key: what a job asks for, as in "Memory=102400"


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


@dataclass
class _Told:
    """Jobs of one rule that were said to wait, until none of them is idle any more."""

    jobs: dict[int, Job] = field(default_factory=dict)
    started: dict[int, Job] = field(default_factory=dict)
    longest: float = 0.0  # that one of them waited before it started
    begun: bool = False  # a start was told


@dataclass(frozen=True)
class Idle:
    """A job that waits, and since when; jobs of one `kind` are alike to HTCondor."""

    job: Job
    since: float
    kind: str


@dataclass(frozen=True)
class News:
    """What is to be said: a verdict, all jobs of one rule that it holds for, and those of which it wasn't told yet.

    They may ask for different amounts: then the verdict gives the least and the most.
    """

    found: Found
    jobs: list[Idle]
    joined: list[Idle]


Group = tuple[str, Word, str]  # rule, word, and key without amounts: what is said of such jobs is one line


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
    _told: dict[Group, float] = field(default_factory=dict)  # when that was said last
    _waits: dict[str, _Told] = field(default_factory=dict)  # by rule

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
        # Where there are more kinds than are asked about at once, each has its turn; but half of them are for those
        # whose verdict isn't sure yet: with thousands of kinds, none would be for hours.
        late.sort(key=lambda jobs: self._asked.get(jobs[0].kind, 0.0))
        left = [jobs for jobs in late if self._asked.get(jobs[0].kind) == LEFT]
        others = [jobs for jobs in late if self._asked.get(jobs[0].kind) != LEFT]
        begun = [jobs for jobs in others if self._is_begun(jobs[0])][: max(0, MOST_ASKED - len(left)) // 2]
        first = {jobs[0].kind for jobs in begun}
        turn = [*left, *begun, *(jobs for jobs in others if jobs[0].kind not in first)][:MOST_ASKED]
        self._asked.update({jobs[0].kind: now for jobs in turn})
        return {jobs[0].job.cluster: [one.job.cluster for one in jobs] for jobs in turn}

    def _is_begun(self, one: Idle) -> bool:
        memory = self._jobs.get(one.job.cluster)
        if memory is None or memory.said == memory.found.key:
            return False
        return 0 < memory.checks < CHECKS[memory.found.word]

    def later(self, clusters: Iterable[int], groups: Mapping[int, list[int]], idle: Iterable[Idle]) -> None:
        """Note that there was no time to judge some of those that were asked about: they come first the next time."""
        left = {alike for cluster in clusters for alike in groups.get(cluster, ())}
        for one in idle:
            if one.job.cluster in left:
                self._asked[one.kind] = LEFT

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

    def started(self, job: Job) -> bool:
        """Note that a job has started; return whether that is to be said of it by itself: of many, `starts` tells."""
        if not self.forget(job.cluster):
            return False
        told = self._waits.get(job.rule)
        if told is None or job.cluster not in told.jobs:
            return True
        told.started[job.cluster] = job
        told.longest = max(told.longest, _waited(job) or 0.0)
        return len(told.jobs) <= SINGLY

    def starts(self) -> Iterator[str]:
        """Yield, of each rule with many jobs that were said to wait, the first start and that none is idle any more."""
        for rule, told in list(self._waits.items()):
            over = all(job.state is not State.IDLE for job in told.jobs.values())
            if over:
                del self._waits[rule]
            if not told.started or len(told.jobs) <= SINGLY:
                told.begun = bool(told.started)
                continue
            who = f"{count(len(told.jobs), 'job')} of {rule} that waited"
            if over and len(told.started) == len(told.jobs):
                yield f"all {who} have started, after up to {duration(told.longest)}"
            elif over:
                have = f"{len(told.started):,} {form(len(told.started), 'has', 'have')} started"
                yield f"none of the {who} is idle any more: {have}, after up to {duration(told.longest)}"
            elif not told.begun:
                told.begun = True
                first = next(iter(told.started.values()))
                yield f"{name(first)} {runs(first)}: the first of {who}"

    def unsure(self) -> None:
        """Begin all counts anew, as a check failed: what stands on both sides of it may not be the same."""
        for memory in self._jobs.values():
            memory.checks = 0

    def news(self, idle: Iterable[Idle], now: float) -> Iterator[News]:
        """Yield what is to be said, once in a pause for jobs of one rule with one reason: jobs may come one by one."""
        groups: dict[Group, list[Idle]] = {}
        for one in idle:
            memory = self._jobs.get(one.job.cluster)
            if memory and memory.checks >= CHECKS[memory.found.word]:
                groups.setdefault(_group(one, memory), []).append(one)
        for group, jobs in groups.items():
            joined = [one for one in jobs if self._is_news(self._jobs[one.job.cluster], now)]
            waits = group in self._told and now - self._told[group] < PAUSE
            if not joined or waits or now - min(one.since for one in joined) < self.threshold:
                continue
            self._told[group] = now
            for one in joined:
                memory = self._jobs[one.job.cluster]
                memory.said, memory.said_at = memory.found.key, now
                if one.job.state is State.IDLE:  # by the event log, which tells of its start: it hasn't done so yet
                    self._waits.setdefault(one.job.rule, _Told()).jobs[one.job.cluster] = one.job
            newest = self._jobs[joined[0].job.cluster].found
            yield News(_together(newest, [self.found(one) for one in jobs]), jobs, joined)

    def found(self, one: Idle) -> Found:
        """Return what was found of a job that was checked."""
        return self._jobs[one.job.cluster].found

    @staticmethod
    def _is_news(memory: _Memory, now: float) -> bool:
        if memory.said == memory.found.key:
            return False
        # That the next cycle will do is what a slot's old ad lets one believe, too: it holds back nothing else.
        at_once = memory.said in ("", NEXT_CYCLE) or memory.found.word is Word.NEVER
        return at_once or now - memory.said_at >= PAUSE

    def hopeless(self, idle: Iterable[Idle], now: float, seconds: float) -> Iterator[tuple[int, Found]]:
        """Yield the jobs whose verdict has been NEVER for so many seconds, at each check, and was told.

        Told of the job, or of others of its rule with the same reason. Only those that were checked just now, as `now`
        tells, and of which it is sure: it hangs on nothing that only seems to stay as it is.
        """
        for one in idle:
            memory = self._jobs.get(one.job.cluster)
            if memory is None or not memory.found.sure or memory.checks < CHECKS[Word.NEVER]:
                continue
            if memory.at == now and _group(one, memory) in self._told and now - memory.since >= seconds:
                yield one.job.cluster, memory.found


def _group(one: Idle, memory: _Memory) -> Group:
    return one.job.rule, memory.found.word, _without_amounts(memory.found.key)


@lru_cache(maxsize=1 << 14)
def _without_amounts(key: str) -> str:
    """Return a key that jobs share which differ in how much they ask for.

    >>> _without_amounts("never: Memory=102400, Cpus=8, TARGET.Arch == 5")
    'never: Memory=, Cpus=, TARGET.Arch == 5'
    """
    return AMOUNT.sub("", key)


def _together(newest: Found, all_found: Iterable[Found]) -> Found:
    """Return one verdict for jobs that differ in how much they ask for, with the least and the most."""
    by_key = {one.key: one for one in all_found}
    if len(by_key) == 1:
        return newest
    amounts = {key: [float(amount) for amount in AMOUNT.findall(key)] for key in by_key}
    least, most = min(amounts, key=amounts.__getitem__), max(amounts, key=amounts.__getitem__)
    if any(low > high for low, high in zip(amounts[least], amounts[most], strict=True)):
        return by_key[most]
    return replace(by_key[most], reason=_span(by_key[least].reason, by_key[most].reason))


def _span(low: str, high: str) -> str:
    """Return one text for two that differ in figures; the second where they differ in more.

    >>> _span("asks for 98 GB of memory, 0 of 2 match", "asks for 120 GB of memory, 0 of 2 match")
    'asks for 98 to 120 GB of memory, 0 of 2 match'
    >>> _span("asks for 900 MB", "asks for 2 GB")
    'asks for 900 MB to 2 GB'
    """
    one, other = low.split(" "), high.split(" ")
    if len(one) != len(other):
        return high
    said: list[str] = []
    for same, pairs in groupby(zip(one, other, strict=True), key=lambda pair: pair[0] == pair[1]):
        lows, highs = zip(*pairs, strict=True)
        if not same and not (lows[0][:1].isdigit() and highs[0][:1].isdigit()):
            return high
        said += lows if same else [" ".join(lows).rstrip(",;"), "to", *highs]
    return " ".join(said)


def runs(job: Job) -> str:
    """Return what is said of a job that waited and runs."""
    waited = _waited(job)
    return f"runs on {job.host} now" + (f", after {duration(waited)}" if waited is not None else "")


def _waited(job: Job) -> float | None:
    """Return how long a job waited; None where that isn't known, as it has come back already."""
    return None if job.started is None else job.started - (job.submitted or job.started)


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
