"""The process that asks the pool: reads a question a line, answers a line (`asker.py` says why).

Each question is one query, or a few, with no more attributes than are needed.
"""

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import classad2 as classad
import htcondor2 as htcondor

from . import alike, codes, matching
from .asker import JUDGING
from .diagnosis import Diagnosis, Pool, diagnose
from .jobs import within
from .matching import NEXT_CYCLE, Slot, state_of

STATUS = (
    "ClusterId",
    "JobStatus",
    "EnteredCurrentStatus",
    "JobCurrentStartDate",
    "JobCurrentStartExecutingDate",
    "QDate",
    "JobPrio",
    "AutoClusterId",
    "UserLog",
    "Iwd",
    "Out",
    "Err",
    "Owner",
)
COLLECTOR, SCHEDD = "the pool's collector", "the access point's schedd"
NO_CONNECTION = re.compile("(unable|failed) to connect", re.IGNORECASE)  # as the bindings say it
CYCLE_SECONDS = 120  # in which a negotiator at work has ended a cycle: NEGOTIATOR_INTERVAL is 60 s
JOB_SECONDS = 60.0  # for which a job's ad is taken to be as it was; that its request is changed, its kind tells
WHOLE_SECONDS = 600.0  # after which all attributes of the slots are asked for
MOST_LEARNT = 5  # times that more attributes are asked for at once
SETTLED = 900.0  # seconds: HTCondor's own CLASSAD_LIFETIME
COLLECTORS = ("Name", "DaemonStartTime", "StatsLastUpdateTime", "StatsLifetime")
# Where ABSENT_REQUIREMENTS is set, the collector knows nodes that it doesn't hear of any more, and leaves them out of
# answers to constraints that don't name `Absent`. A job that such a node can take is no NEVER.
NOT_DYNAMIC = "DynamicSlot =!= true && (Absent =?= true || Absent =!= true)"
ACCOUNTING = (
    *("Name", "Priority", "IsAccountingGroup", "ConfigQuota", "EffectiveQuota", "SurplusPolicy"),
    *("WeightedResourcesUsed", "Requested", "LastHeardFrom", "AccountingGroup"),
)


def hello() -> str:
    """Answer, to show that the process runs."""
    return "hello"


def queue(constraint: str) -> list[dict[str, Any]]:
    """Return the status of jobs: the one question of each period."""
    _turn_to(SCHEDD)
    found = [_values(ad) for ad in htcondor.Schedd().query(constraint=constraint, projection=list(STATUS))]
    _Kept.idle = sum(ad.get("JobStatus") == 1 for ad in found)
    return found


def held(clusters: list[int]) -> dict[str, dict[str, Any]]:
    """Return what tells why jobs are held, by cluster; without those that aren't held any more."""
    _turn_to(SCHEDD)
    ads = htcondor.Schedd().query(
        constraint=f"({within(clusters)}) && JobStatus == 5", projection=list(codes.ATTRIBUTES)
    )
    return {str(ad["ClusterId"]): _values(ad) for ad in ads}


def slots() -> dict[str, int]:
    """Return the names of the slots that the pool has, and how many of each word: a quick look."""
    _turn_to(COLLECTOR)
    ads = htcondor.Collector().query(
        htcondor.AdType.Startd,
        constraint=NOT_DYNAMIC,
        projection=["Name", "Machine", "TotalSlotCpus", "TotalSlotMemory"],
    )
    return {str(ad.get("Name")): int(ad.get("TotalSlotCpus", 0)) for ad in ads}


def negotiator() -> str:
    """Say why no job is matched: no negotiator is there, or none can be reached; empty where one is at work."""
    _turn_to(COLLECTOR)
    collector = htcondor.Collector()
    found = collector.query(htcondor.AdType.Negotiator)
    problem = "no negotiator is known to the collector"
    if found:
        try:
            reached(found)
        except Exception as error:  # the bindings' own: none can be connected to
            problem = f"the negotiator doesn't answer ({_words(error)})"
        else:
            return ""
    return "" if matches_lately(collector) else problem


def reached(negotiators: Sequence[Any]) -> tuple[Any, str]:
    """Call the negotiators, whoever was heard of last first.

    Returns
    -------
    tuple
        The first that answers, and ""; or one that takes the call and refuses us, and how: it is at work, and has no
        need to talk to a user.

    Raises
    ------
    Exception
        The bindings' own, where none can be connected to.
    """
    refused: list[tuple[Any, str]] = []
    failed: list[Exception] = []
    for ad in sorted(negotiators, key=lambda ad: -int(ad.get("LastHeardFrom", 0))):
        try:
            htcondor.ping(ad, "READ")
        except Exception as error:  # only its words tell what it is
            if NO_CONNECTION.search(str(error)):
                failed.append(error)
            else:
                refused.append((ad, _words(error)))
        else:
            return ad, ""
    if not refused:
        raise failed[0]
    return refused[0]


def matches_lately(collector: Any) -> bool:
    """Return whether the collector, by its own clock, has lately heard what each cycle of negotiation sends.

    So a negotiator is at work that only a firewall keeps from us, or that stays away from the collector.
    """
    lately = f"time() - LastHeardFrom < {CYCLE_SECONDS}"
    return bool(collector.query(htcondor.AdType.Accounting, constraint=lately, projection=["Name"]))


def diagnoses(
    clusters: dict[str, int],
    described: list[str],
    seen: list[str],
    negotiator: str,
    seconds: float,
    kinds: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Say why jobs wait.

    Parameters
    ----------
    clusters
        Jobs in the queue, and how many idle jobs of the run come before each; of those that HTCondor counts as alike,
        one is enough.
    described
        Jobs that are not yet in the queue, as ClassAds in text.
    seen
        Names of slots that were in the pool before.
    negotiator
        What is wrong with it.
    seconds
        How long it may take. What isn't judged by then is left; one job is judged in any case.
    kinds
        What kind of job each cluster is: of one that has become another kind, what was known holds no more.

    Returns
    -------
    dict
        "jobs" (diagnoses by cluster), "left" (clusters that were not judged), "described" (a list of diagnoses, with
        None where an ad can't be read or was not judged), and "slots", the names of the slots now, without absent ones.
    """
    until = time.monotonic() + seconds
    made = [_parsed(text) for text in described]
    wanted = {int(cluster): (kinds or {}).get(cluster, "") for cluster in clusters}
    ads, jobs, read = pool_and_jobs(wanted, [ad for ad in made if ad is not None])
    names = sorted(str(ad.get("Name")) for ad in ads if state_of(ad) != "absent")
    pool = pool_of(ads, seen, negotiator)
    _turn_to(JUDGING)
    slots, judged = alike.prepared(ads, read), Judged(read, until)
    found = {
        cluster: judged.of(job, slots, replace(pool, ahead=clusters[str(cluster)])) for cluster, job in jobs.items()
    }
    for cluster, one in found.items():
        if one is not None and one.key == NEXT_CYCLE:  # what the negotiator says of it comes with its next cycle
            _Kept.jobs.pop(cluster, None)
    return {
        "jobs": {cluster: asdict(one) for cluster, one in found.items() if one is not None},
        "left": [cluster for cluster, one in found.items() if one is None],
        "described": [_as_dict(judged.of(ad, slots, pool, True)) if ad is not None else None for ad in made],
        "slots": names,
    }


class Judged:
    """Diagnoses, one for jobs that are alike, for as long as there is time."""

    def __init__(self, read: frozenset[str] | None, until: float, ignored: frozenset[str] = frozenset()) -> None:
        self._read, self._until, self._ignored = read, until, ignored
        self._known: dict[tuple[object, ...], Diagnosis] = {}

    def of(self, job: Any, slots: list[Slot], pool: Pool, made_up: bool = False) -> Diagnosis | None:
        """Return why a job waits, or one will whose ad is made up; None where there is no time left to judge it."""
        kind = (alike.kind_of(job, self._read, self._ignored), pool.ahead, made_up)
        if kind not in self._known:
            if self._known and time.monotonic() > self._until:
                return None
            self._known[kind] = diagnose(job, slots, pool, made_up)
        return self._known[kind]


def _as_dict(found: Diagnosis | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _age(collectors: Iterable[Any], slots: Iterable[Any]) -> float | None:
    """Return how long the youngest collector has been up, at least and by its own clock; None where it isn't told."""
    begun = [began for ad in collectors if (began := _begun(ad)) is not None]
    heard = [at for ad in slots if isinstance(at := ad.get("LastHeardFrom"), int)]
    return float(max(heard) - max(begun)) if begun and heard else None


def _begun(collector: Any) -> int | None:
    """Return when a collector began: 23.9 tells it by the age of its statistics alone."""
    if isinstance(told := collector.get("DaemonStartTime"), int):
        return told
    at, age = (collector.get(name) for name in COLLECTORS[-2:])
    return at - age if isinstance(at, int) and isinstance(age, int) else None


def _settled(lifetime: object) -> float:
    """Return the seconds after which a collector forgets who is silent, and so knows of everyone, once it is up."""
    try:
        return float(str(lifetime))
    except ValueError:  # not set, or an expression
        return SETTLED


def _parsed(text: str) -> Any:
    """Return the ad of a job that isn't submitted yet; None where it can't be read, or has macros in it."""
    try:
        ad = classad.parseOne(text)
    except Exception:
        return None
    return ad if "Requirements" in ad and "$(" not in text else None


def pool_and_jobs(clusters: dict[int, str], made: list[Any]) -> tuple[list[Any], dict[int, Any], frozenset[str] | None]:
    """Return the slots, the idle jobs of these clusters, and the attributes that judging them reads.

    Slots and jobs are asked for what is known to be read. What they refer to beside that is learnt from the answers,
    and asked for at once; from then on it is known.
    """
    for _ in range(MOST_LEARNT):
        known = _Kept.names
        if known is None:
            break
        slots, jobs = _slots(known), _jobs(clusters, known)
        read = alike.reads([*slots, *jobs.values(), *made], known)
        if read is not None and read <= known | alike.FIXED:
            return slots, jobs, read
        if matching.FREE_GPUS.lower() in (read or known) - known:
            _Kept.whole_at = -math.inf  # what GPUs there are, whole ads tell
        _Kept.names = read
        _Kept.jobs.clear()
    return _slots(None), _jobs(clusters, None), None


class _Kept:
    """What the process keeps from one question to the next."""

    names: frozenset[str] | None = frozenset()  # that judging reads; None: only whole ads will do
    whole_at = -math.inf  # when all attributes of the slots were asked for
    jobs: ClassVar[dict[int, tuple[float, str, Any]]] = {}  # when each was asked for, its kind, and its ad
    idle = 0  # idle jobs of the run, when its queue was asked for
    say: Callable[[str], object] = staticmethod(lambda _: None)  # to whoever waits for the answer


def _projection(names: frozenset[str] | None) -> list[str]:
    return [] if names is None else sorted(alike.FIXED | names)


def _slots(names: frozenset[str] | None) -> list[Any]:
    """Return the slots with what is read; now and then all of it, as it shows what probes there are."""
    _turn_to(COLLECTOR)
    now = time.monotonic()
    whole = names is None or now - _Kept.whole_at > WHOLE_SECONDS
    _Kept.whole_at = now if whole else _Kept.whole_at
    projection = [] if whole else _projection(names)
    found: list[Any] = htcondor.Collector().query(htcondor.AdType.Startd, constraint=NOT_DYNAMIC, projection=projection)
    return found


def _jobs(clusters: dict[int, str], names: frozenset[str] | None) -> dict[int, Any]:
    """Return the idle jobs among these; a job's ad changes little, so it is asked for once in a while only."""
    now = time.monotonic()
    for cluster in [c for c, (at, kind, _) in _Kept.jobs.items() if now - at > JOB_SECONDS or clusters.get(c) != kind]:
        del _Kept.jobs[cluster]
    if unknown := [cluster for cluster in clusters if cluster not in _Kept.jobs]:
        for cluster, ad in _idle(unknown, _projection(names)).items():
            _Kept.jobs[cluster] = now, clusters[cluster], ad
    return {cluster: _Kept.jobs[cluster][2] for cluster in clusters if cluster in _Kept.jobs}


def _idle(clusters: list[int], projection: list[str]) -> dict[int, Any]:
    _turn_to(SCHEDD)
    constraint = f"({within(clusters)}) && JobStatus == 1"
    return {int(ad["ClusterId"]): ad for ad in htcondor.Schedd().query(constraint=constraint, projection=projection)}


def pool_of(slots: list[Any], seen: list[str], negotiator: str) -> Pool:
    _turn_to(COLLECTOR)
    collector = htcondor.Collector()
    return Pool(
        collector.query(htcondor.AdType.Accounting, projection=list(ACCOUNTING)),
        _schedd(collector),
        negotiator,
        sorted(set(seen) - {str(ad.get("Name")) for ad in slots}),
        collector.query(htcondor.AdType.Submitter, projection=["Name", "IdleJobs"]),
        idle=_Kept.idle,
        flocks=str(htcondor.param.get("FLOCK_TO") or htcondor.param.get("FLOCK_COLLECTOR_HOSTS") or ""),
        age=_age(collector.query(htcondor.AdType.Collector, projection=list(COLLECTORS)), slots),
        settled=_settled(htcondor.param.get("CLASSAD_LIFETIME")),
    )


def _schedd(collector: Any) -> Mapping[str, Any]:
    try:
        located = collector.locate(htcondor.DaemonType.Schedd)
    except Exception:  # none on this host: whoever submits will say so
        return {}
    name = str(located.get("Name")).replace('"', '\\"')
    found = collector.query(
        htcondor.AdType.Schedd,
        constraint=f'Name == "{name}"',
        projection=["Name", "TotalRunningJobs", "MaxJobsRunning"],
    )
    return _values(found[0]) if found else {}


def users(machine: str) -> list[str]:
    """Return whose jobs are on a node."""
    _turn_to(COLLECTOR)
    quoted = machine.replace("\\", "\\\\").replace('"', '\\"')
    ads = htcondor.Collector().query(
        htcondor.AdType.Startd,
        constraint=f'Machine == "{quoted}" && RemoteUser =!= undefined',
        projection=["RemoteUser"],
    )
    return sorted({str(ad["RemoteUser"]) for ad in ads})


def remove(jobs: dict[str, dict[str, str]], seen: list[str], seconds: float) -> dict[str, list[int]]:
    """Remove jobs that still wait and, looked at once more, all of their ads and of the slots', can still never start.

    Parameters
    ----------
    jobs
        By cluster, the "key" of the reason why, as `Diagnosis.key`, and the "reason" in words.
    seen, seconds
        As in `diagnoses`.

    Returns
    -------
    dict
        "removed", and "left": those that there was no time to look at.
    """
    until = time.monotonic() + seconds
    idle = _idle([int(cluster) for cluster in jobs], [])
    slots = _slots(None)
    pool = pool_of(slots, seen, "")
    _turn_to(JUDGING)
    read = alike.reads([*slots, *idle.values()])
    prepared, judged = alike.prepared(slots, read), Judged(read, until, alike.HISTORY)
    found = {cluster: judged.of(ad, prepared, pool) for cluster, ad in idle.items()}
    doomed: dict[str, list[int]] = {}
    for cluster, one in found.items():
        if one is not None and one.sure and one.key == jobs[str(cluster)]["key"]:
            doomed.setdefault(jobs[str(cluster)]["reason"], []).append(cluster)
    return {
        "removed": [cluster for reason, clusters in doomed.items() for cluster in _removed(clusters, reason)],
        "left": [cluster for cluster, one in found.items() if one is None],
    }


def _removed(clusters: list[int], reason: str) -> list[int]:
    """Remove those of the jobs that are idle, and return which that were."""
    _turn_to(SCHEDD)
    schedd, chosen = htcondor.Schedd(), within(clusters)
    # A reason alone is dropped by the bindings (24.12): it has to come with a code.
    done = schedd.act(htcondor.JobAction.Remove, f"({chosen}) && JobStatus == 1", reason=(reason, 0))
    if int(done.get("TotalSuccess", 0)) >= len(clusters):
        return clusters
    there = schedd.query(constraint=f"({chosen}) && JobStatus =!= 3", projection=["ClusterId"])
    return sorted(set(clusters) - {int(ad["ClusterId"]) for ad in there})


QUESTIONS: dict[str, Callable[..., Any]] = {
    question.__name__: question for question in (hello, queue, held, slots, negotiator, diagnoses, users, remove)
}


def _turn_to(who: str) -> None:
    """Tell whoever waits for the answer on whom it depends from here on."""
    _Kept.say(json.dumps({"turns_to": who}) + "\n")


def _values(ad: Any) -> dict[str, Any]:
    values = {name: ad.eval(name) for name in ad}
    return {name: value for name, value in values.items() if not isinstance(value, classad.Value)}


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def answer(lines: Iterable[str], say: Callable[[str], object]) -> None:
    """Answer each question; an error is an answer, too."""
    _Kept.say = staticmethod(say)
    for line in lines:
        asked = json.loads(line)
        try:
            found = {"answer": QUESTIONS[asked["question"]](**asked["about"])}
        except Exception as error:
            found = {"error": _words(error)}
        say(json.dumps(found, default=str) + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    answer(sys.stdin, _say)
