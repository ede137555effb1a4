"""The process that asks the pool: reads a question a line, answers a line (`asker.py` says why).

Each question is one query, or a few, with no more attributes than are needed.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import classad2 as classad
import htcondor2 as htcondor

from . import codes
from .diagnosis import Pool, diagnose
from .matching import Word

STATUS = (
    "ClusterId",
    "JobStatus",
    "EnteredCurrentStatus",
    "QDate",
    "JobPrio",
    "AutoClusterId",
    "UserLog",
    "Iwd",
    "Out",
    "Err",
)
SETTLED = 900.0  # seconds: HTCondor's own CLASSAD_LIFETIME
NOT_DYNAMIC = "DynamicSlot =!= true"
ACCOUNTING = (
    *("Name", "Priority", "IsAccountingGroup", "ConfigQuota", "EffectiveQuota", "SurplusPolicy"),
    *("WeightedResourcesUsed", "Requested", "LastHeardFrom", "AccountingGroup"),
)


def hello() -> str:
    """Answer, to show that the process runs."""
    return "hello"


def queue(constraint: str) -> list[dict[str, Any]]:
    """Return the status of jobs: the one question of each period."""
    return [_values(ad) for ad in htcondor.Schedd().query(constraint=constraint, projection=list(STATUS))]


def held(cluster: int) -> dict[str, Any]:
    """Return what tells why a job is held; empty where it isn't held any more."""
    ads = htcondor.Schedd().query(
        constraint=f"ClusterId == {cluster} && JobStatus == 5", projection=list(codes.ATTRIBUTES)
    )
    return _values(ads[0]) if ads else {}


def slots() -> dict[str, int]:
    """Return the names of the slots that the pool has, and how many of each word: a quick look."""
    ads = htcondor.Collector().query(
        htcondor.AdType.Startd,
        constraint=NOT_DYNAMIC,
        projection=["Name", "Machine", "TotalSlotCpus", "TotalSlotMemory"],
    )
    return {str(ad.get("Name")): int(ad.get("TotalSlotCpus", 0)) for ad in ads}


def negotiator() -> str:
    """Say what is wrong with the negotiator; empty where it answers."""
    ads = htcondor.Collector().query(htcondor.AdType.Negotiator)
    if not ads:
        told = htcondor.Collector().query(htcondor.AdType.Accounting, projection=["LastHeardFrom", "Name"])
        now = max((int(ad.get("LastHeardFrom", 0)) for ad in told), default=0)
        fresh = (
            now and int(htcondor.Collector().query(htcondor.AdType.Collector)[0].get("LastHeardFrom", 0)) - now < 120
        )
        return "" if fresh else "no negotiator is known to the collector"
    try:
        htcondor.ping(ads[0], "READ")
    except Exception as error:
        return f"the negotiator doesn't answer ({_words(error)})"
    return ""


def diagnoses(clusters: dict[str, int], described: list[str], seen: list[str], negotiator: str) -> dict[str, Any]:
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

    Returns
    -------
    dict
        "jobs" (diagnoses by cluster), "described" (a list of them, with None where an ad can't be read), and "slots",
        the names of the slots now.
    """
    collector = htcondor.Collector()
    ads = collector.query(htcondor.AdType.Startd, constraint=NOT_DYNAMIC)
    names = sorted(str(ad.get("Name")) for ad in ads)
    pool = Pool(
        collector.query(htcondor.AdType.Accounting, projection=list(ACCOUNTING)),
        _schedd(collector),
        negotiator,
        sorted(set(seen) - set(names)),
        collector.query(htcondor.AdType.Submitter, projection=["Name", "IdleJobs"]),
        flocks=str(htcondor.param.get("FLOCK_TO") or htcondor.param.get("FLOCK_COLLECTOR_HOSTS") or ""),
        age=_age(collector.query(htcondor.AdType.Collector, projection=["Name", "DaemonStartTime"]), ads),
        settled=_settled(htcondor.param.get("CLASSAD_LIFETIME")),
    )
    jobs = []
    if clusters:
        constraint = " || ".join(f"ClusterId == {cluster}" for cluster in clusters)
        jobs = [
            (int(ad["ClusterId"]), ad) for ad in htcondor.Schedd().query(constraint=f"({constraint}) && JobStatus == 1")
        ]
    return {
        "jobs": {
            cluster: asdict(diagnose(ad, ads, replace(pool, ahead=clusters[str(cluster)]))) for cluster, ad in jobs
        },
        "described": [_described(text, ads, pool) for text in described],
        "slots": names,
    }


def _age(collectors: Iterable[Any], slots: Iterable[Any]) -> float | None:
    """Return how long the youngest collector has been up, at least and by its own clock; None where it isn't told."""
    begun = [began for ad in collectors if isinstance(began := ad.get("DaemonStartTime"), int)]
    heard = [at for ad in slots if isinstance(at := ad.get("LastHeardFrom"), int)]
    return float(max(heard) - max(begun)) if begun and heard else None


def _settled(lifetime: object) -> float:
    """Return the seconds after which a collector forgets who is silent, and so knows of everyone, once it is up."""
    try:
        return float(str(lifetime))
    except ValueError:  # not set, or an expression
        return SETTLED


def _described(text: str, slots: list[Any], pool: Pool) -> dict[str, Any] | None:
    """Return the diagnosis of a job that isn't submitted yet; None where its ad can't be read, or has macros in it."""
    try:
        ad = classad.parseOne(text)
    except Exception:
        return None
    return asdict(diagnose(ad, slots, pool)) if "Requirements" in ad and "$(" not in text else None


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
    quoted = machine.replace("\\", "\\\\").replace('"', '\\"')
    ads = htcondor.Collector().query(
        htcondor.AdType.Startd,
        constraint=f'Machine == "{quoted}" && RemoteUser =!= undefined',
        projection=["RemoteUser"],
    )
    return sorted({str(ad["RemoteUser"]) for ad in ads})


def remove(cluster: int, key: str, reason: str, seen: list[str]) -> bool:
    """Remove a job that still waits and, looked at once more by itself, can still never start; return whether it did.

    Parameters
    ----------
    key
        The reason why, as `Diagnosis.key`.
    seen
        As in `diagnoses`.
    """
    found = diagnoses({str(cluster): 0}, [], seen, "")["jobs"].get(cluster)
    if found is None or found["word"] != Word.NEVER or not found["sure"] or found["key"] != key:
        return False
    # A reason alone is dropped by the bindings (24.12): it has to come with a code.
    done = htcondor.Schedd().act(
        htcondor.JobAction.Remove, f"ClusterId == {cluster} && JobStatus == 1", reason=(reason, 0)
    )
    return bool(done.get("TotalSuccess", 0))


QUESTIONS: dict[str, Callable[..., Any]] = {
    question.__name__: question for question in (hello, queue, held, slots, negotiator, diagnoses, users, remove)
}


def _values(ad: Any) -> dict[str, Any]:
    values = {name: ad.eval(name) for name in ad}
    return {name: value for name, value in values.items() if not isinstance(value, classad.Value)}


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def answer(lines: Iterable[str], say: Callable[[str], object]) -> None:
    """Answer each question; an error is an answer, too."""
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
