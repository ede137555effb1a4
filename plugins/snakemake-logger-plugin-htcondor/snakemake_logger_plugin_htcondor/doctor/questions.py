"""What is asked of HTCondor: a process of its own for each question (`asking.py` says why).

A question comes as JSON on standard input, and the answer, or the error, leaves as the last line of standard output.
All jobs that are submitted here carry `ATTRIBUTE` and the doctor's nonce, and leave the queue by themselves after
`LIFE` seconds where nobody could remove them.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import classad2 as classad
import htcondor2 as htcondor

from .. import alike
from ..diagnosis import Diagnosis
from ..matching import NEXT_CYCLE, Word, judge, state_of
from ..questions import Judged, matches_lately, pool_and_jobs, pool_of, reached
from ..waiting import CHECKS
from .nodes import ENOUGH_SHARE, MOST_STARTS

ATTRIBUTE = "SnakemakeDoctor"
NONCE = "SnakemakeDoctorNonce"
LIFE = 900
NOT_DYNAMIC = "DynamicSlot =!= true"  # without absent nodes: the collector leaves them out, and none is in the pool
USUAL_PLACES = ("/etc/condor/condor_config", "/usr/local/etc/condor_config", "~condor/condor_config")
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 1.0  # before slots are asked for again, to be sure of a NEVER
PROBE_MEMORY = 512  # MB; what the imports of a scientific environment take
IMPORT_MEMORY, IMPORT_SHARE = 448, 0.5  # what imports may take: MB, and of the deadline
SHOWN = ("Name", "Machine", "MyAddress", "CondorVersion")


def bindings() -> dict[str, str]:
    """Return the version of the bindings, and where HTCondor's configuration is."""
    chosen = os.environ.get("CONDOR_CONFIG")
    places = [chosen] if chosen else list(USUAL_PLACES)
    found = [place for place in places if place == "ONLY_ENV" or Path(place).expanduser().exists()]
    return {
        "version": str(htcondor.version()),
        "configuration": found[0] if found else "",
        "looked": ", ".join(places),
        "collector": str(htcondor.param.get("COLLECTOR_HOST") or ""),
    }


def collector() -> dict[str, Any]:
    """Return what the collector tells of the pool: itself, its daemons, and its slots."""
    asked = htcondor.Collector()
    located = asked.locate(htcondor.DaemonType.Collector)
    names = ("Machine", "TotalSlotCpus", "TotalSlotMemory", "Cpus", "Memory", "State", "Offline", "Draining")
    slots = asked.query(
        htcondor.AdType.Startd, constraint=NOT_DYNAMIC, projection=[*names, *SHOWN, "SlotType", "PartitionableSlot"]
    )
    return {
        "collector": _shown(located),
        "negotiators": [_shown(ad) for ad in asked.query(htcondor.AdType.Negotiator)],
        "slots": [
            {
                "name": str(ad.get("Name")),
                "machine": str(ad.get("Machine")),
                "cores": _number(ad, "TotalSlotCpus") or _number(ad, "Cpus"),
                "memory": _number(ad, "TotalSlotMemory") or _number(ad, "Memory"),
                "state": "busy" if state_of(ad) == "free" and _is_full(ad) else state_of(ad),
                "version": str(ad.get("CondorVersion", "")),
            }
            for ad in slots
        ],
    }


def _is_full(slot: classad.ClassAd) -> bool:
    """Whether a partitionable slot has less left than a probe asks for."""
    return _number(slot, "Cpus") < 1 or _number(slot, "Memory") < PROBE_MEMORY


def schedd() -> dict[str, Any]:
    """Return who the schedd of this host is, and whom it takes us for, at the level that a submission needs."""
    located = htcondor.Collector().locate(htcondor.DaemonType.Schedd)
    answer: dict[str, Any] = {"schedd": _shown(located)}
    try:
        said = htcondor.ping(located, "WRITE")
        answer |= {
            "user": str(said.get("MyRemoteUserName", "")),
            "methods": str(said.get("AuthMethods", "")),
            "may_write": said.get("AuthorizationSucceeded") is True,
        }
    except Exception as error:
        answer["refused"] = _words(error)
        htcondor.ping(located)  # where this fails, too, the schedd doesn't answer at all
    return answer


def negotiator() -> dict[str, Any]:
    """Return who the negotiator is, once it has answered; nobody, where the collector knows of none.

    With "refused", in words, where one is at work that doesn't talk to us.
    """
    collector = htcondor.Collector()
    found = collector.query(htcondor.AdType.Negotiator)
    if not found:
        return {}
    try:
        ad, refused = reached(found)
    except Exception as error:  # the bindings' own: none can be connected to
        if not matches_lately(collector):
            raise
        ad, refused = found[0], _words(error)
    return _shown(ad) | ({"refused": refused} if refused else {})


def space(folder: str, scratch: str) -> dict[str, Any]:
    """Return free and total bytes of two folders on this host, and its table of mounts."""
    found: dict[str, Any] = {"mountinfo": Path("/proc/self/mountinfo").read_text().splitlines()}
    for name, path in (("folder", folder), ("scratch", scratch)):
        usage = shutil.disk_usage(path)
        found[name] = [usage.free, usage.total]
    return found


# --- could the jobs of a run match ---


def match(
    descriptions: Sequence[Mapping[str, str]], nonce: str, shared: bool, seconds: float
) -> list[dict[str, str] | None]:
    """Judge jobs as they would really be: submitted, held from the start, read back whole, and removed.

    So what the access point's configuration makes of a job counts, too: SUBMIT_ATTRS, job transforms, requirements that
    condor_submit adds. A description that HTCondor refuses has the word REFUSED; one that there was no time for within
    so many seconds is None, and half of them may be used to submit.
    """
    began = time.monotonic()
    answers: list[dict[str, str] | None] = [None] * len(descriptions)
    jobs: dict[int, classad.ClassAd] = {}
    schedd = htcondor.Schedd()
    try:
        for number, description in enumerate(descriptions):
            if jobs and time.monotonic() > began + seconds / 2:
                break
            try:
                cluster = schedd.submit(htcondor.Submit(_to_look_at(description, nonce, shared))).cluster()
            except Exception as error:
                answers[number] = {"word": "REFUSED", "key": "", "reason": _words(error), "remedy": ""}
                continue
            (jobs[number],) = schedd.query(constraint=f"ClusterId == {cluster}")
    finally:
        remove(nonce)
    for number, found in _verdicts(jobs, began + seconds).items():
        answers[number] = _told(found)
    return answers


def _to_look_at(description: Mapping[str, str], nonce: str, shared: bool) -> dict[str, str]:
    own = {**_own(nonce), "executable": "/bin/true", "hold": "true", "batch_name": "doctor"}
    transfer = {} if shared else {"should_transfer_files": "YES", "when_to_transfer_output": "ON_EXIT"}
    return {**transfer, **description, **own}


def _verdicts(jobs: Mapping[int, classad.ClassAd], until: float) -> dict[int, Diagnosis]:
    """Judge jobs as a run does, NEVER by as many looks at the pool; what there is no time to judge is left out.

    A NEVER that there is no time to look at again stays one: a pool that large, and so many rules that it can't take.
    """
    found: dict[int, Diagnosis] = {}
    doubtful, seen = dict(jobs), set[str]()
    for look in range(CHECKS[Word.NEVER]):
        if not doubtful or (look and time.monotonic() > until):
            break
        if look:
            time.sleep(AGAIN_SECONDS)
        slots, _, read = pool_and_jobs({}, list(doubtful.values()))
        pool = pool_of(slots, sorted(seen), "")
        seen |= {str(slot.get("Name")) for slot in slots}
        prepared, judged = alike.prepared(slots, read), Judged(read, until)
        looked = {number: judged.of(job, prepared, pool) for number, job in doubtful.items()}
        found |= {number: one for number, one in looked.items() if one is not None}
        doubtful = {number: job for number, job in doubtful.items() if _is_never(found.get(number))}
    return found


def _is_never(found: Diagnosis | None) -> bool:
    return found is not None and found.word is Word.NEVER


def _told(found: Diagnosis) -> dict[str, str]:
    if found.key == NEXT_CYCLE:  # nothing, such as a quota, is in its way; that it is held is our own doing
        return {"word": Word.FITS.value, "key": "", "reason": found.reason.partition(";")[0], "remedy": ""}
    return {"word": found.word.value, "key": found.key, "reason": found.reason, "remedy": found.remedy}


def _own(nonce: str) -> dict[str, str]:
    return {
        f"+{ATTRIBUTE}": "true",
        f"+{NONCE}": f'"{nonce}"',
        "periodic_remove": f"time() - QDate > {LIFE}",
    }


def remove(nonce: str) -> bool:
    """Remove all jobs of this doctor; return whether none is left in the queue."""
    constraint = f'{ATTRIBUTE} =?= true && {NONCE} == "{nonce}"'
    schedd = htcondor.Schedd()
    for _ in range(20):
        jobs = schedd.query(constraint=constraint, projection=["JobStatus"])
        if not jobs:
            return True
        if any(job.get("JobStatus") != 3 for job in jobs):
            schedd.act(htcondor.JobAction.Remove, constraint, reason="the doctor is done")
        time.sleep(0.25)
    return False


# --- a probe on each node ---


def probe(
    nodes: Sequence[str],
    folder: str,
    nonce: str,
    python: str,
    names: Sequence[str],
    seconds: float,
    like: Mapping[str, str],
) -> Any:
    """Run the probe on each node, all at once; return what each has said, and when this host's clock saw it.

    What the jobs take along, and what they say, lies in a folder on this host's own disk: the working folder may be the
    one thing that is wrong.

    Returns
    -------
    list
        For each node: "node"; "output", what it said, empty where it didn't end; "began" and "seen", between which its
        clock was read; "held", why HTCondor holds the job; "started"; "late", it runs still, and hasn't done so for
        long; "refused", the node takes other jobs only; "given_back", why it came back, each time.
    """
    own = Path(folder) / ".snakemake" / "htcondor-doctor" / nonce
    with tempfile.TemporaryDirectory(prefix="htcondor-doctor-") as place:
        for name in ("probe.sh", "versions.py", "imports.py"):
            shutil.copy(Path(__file__).with_name(name), place)
        (Path(place) / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        watch = _Watch(place, own, nodes)
        try:
            description = {**like, **_probe_job(place, folder, nonce, python, seconds)}
            items = iter([{"Number": str(n), "Node": node} for n, node in enumerate(nodes)])
            htcondor.Schedd().submit(htcondor.Submit(description), itemdata=items)
            with contextlib.suppress(htcondor.HTCondorException):  # then they are waited for
                watch.refused = _refusing(nodes, nonce)
            watch.until_done(seconds)
            return watch.found(seconds)
        finally:
            remove(nonce)


def _refusing(nodes: Sequence[str], nonce: str) -> set[int]:
    """Return the numbers of the nodes of which no slot could ever take the probe, such as those for GPU jobs alone."""
    slots: dict[str, list[classad.ClassAd]] = {}
    for slot in htcondor.Collector().query(htcondor.AdType.Startd, constraint=NOT_DYNAMIC):
        slots.setdefault(str(slot.get("Machine")), []).append(slot)
    probes = {int(job["ProcId"]): job for job in htcondor.Schedd().query(constraint=f'{NONCE} == "{nonce}"')}
    return {n for n, job in probes.items() if judge(job, slots.get(nodes[n], [])).word is Word.NEVER}


def verbatim(text: str) -> str:
    """Return a text so that HTCondor finds no macro in it.

    >>> verbatim("100$ $HOME $(x) $ENV(y)")
    '100$ $HOME $(DOLLAR)(x) $(DOLLAR)ENV(y)'
    """
    return re.sub(r"\$(?=\w*\()", "$(DOLLAR)", text)


def _probe_job(place: str, folder: str, nonce: str, python: str, seconds: float) -> dict[str, str]:
    place, folder, python = verbatim(place), verbatim(folder), verbatim(python)
    words = [folder, nonce, "node-$(Number)", python, f"{seconds * IMPORT_SHARE:.1f}", str(IMPORT_MEMORY)]
    quoted = " ".join("'" + word.replace("'", "''").replace('"', '""') + "'" for word in words)
    return {
        **_own(nonce),
        "executable": f"{place}/probe.sh",
        "arguments": f'"{quoted}"',
        "initialdir": place,
        "transfer_input_files": "versions.py,imports.py,names.txt",
        "transfer_output_files": '""',
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "output": "node-$(Number).out",
        "error": "node-$(Number).err",
        "log": f"{place}/events.log",
        "requirements": 'TARGET.Machine == "$(Node)"',
        "request_cpus": "1",
        "request_memory": str(PROBE_MEMORY),
        "request_disk": "10240",
        "getenv": "false",
        "batch_name": "doctor",
    }


class _Watch:
    """What has become of the probes so far; those that are `refused` by their nodes aren't waited for."""

    def __init__(self, place: str, own: Path, nodes: Sequence[str]) -> None:
        self.refused: set[int] = set()
        self._place, self._own, self._nodes = Path(place), own, nodes
        self._events: Iterator[Any] | None = None
        self._looked = time.time()
        self._began: dict[int, float] = {}
        self._seen: dict[int, float] = {}
        self._held: dict[int, str] = {}
        self._given_back: dict[int, list[str]] = {}
        self._done: set[int] = set()

    def until_done(self, seconds: float) -> None:
        """Wait until each probe has ended, is held, or came back too often; at most so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self._settled()) < len(self._nodes):
            self._look()
            time.sleep(LOOK_SECONDS)

    def _settled(self) -> set[int]:
        hopeless = {number for number, reasons in self._given_back.items() if len(reasons) >= MOST_STARTS}
        return self._done | set(self._held) | hopeless | self.refused

    def _look(self) -> None:
        before, self._looked = self._looked, time.time()
        for event in self._new_events():
            if event.type is htcondor.JobEventType.EXECUTE:
                self._began.setdefault(event.proc, before)
            elif event.type is htcondor.JobEventType.JOB_HELD:
                self._held[event.proc] = str(event.get("HoldReason", "held"))
            elif event.type in (htcondor.JobEventType.JOB_EVICTED, htcondor.JobEventType.SHADOW_EXCEPTION):
                reason = str(event.get("Reason") or event.get("Message") or "no reason is told")
                self._given_back.setdefault(event.proc, []).append(reason)
            elif event.type in (htcondor.JobEventType.JOB_TERMINATED, htcondor.JobEventType.JOB_ABORTED):
                self._done.add(event.proc)
                self._seen.setdefault(event.proc, time.time())
        for number in range(len(self._nodes)):
            if number not in self._seen and (self._own / f"node-{number}.seen").exists():
                self._seen[number] = time.time()

    def _new_events(self) -> Iterator[Any]:
        log = self._place / "events.log"
        if self._events is None and log.exists():
            self._events = htcondor.JobEventLog(str(log)).events(0)
        return self._events or iter(())

    def _late(self, seconds: float) -> set[int]:
        now = time.time()
        return {number for number, began in self._began.items() if now - began < seconds} - self._done

    def found(self, seconds: float) -> list[dict[str, Any]]:
        """Return what each node has said within so many seconds."""
        rows = []
        for number, node in enumerate(self._nodes):
            file = self._own / f"node-{number}.seen"
            said = self._place / f"node-{number}.out"
            row = {
                "node": node,
                "output": said.read_text(errors="replace") if number in self._done and said.exists() else "",
                "began": self._began.get(number),
                "seen": self._seen.get(number),
                "held": self._held.get(number, ""),
                "started": number in self._began,
                "late": number in self._late(ENOUGH_SHARE * seconds),
                "refused": number in self.refused,
                "given_back": self._given_back.get(number, []),
                "content": "",
                "owner": None,
            }
            with contextlib.suppress(OSError):
                row |= {"content": file.read_text().strip(), "owner": file.stat().st_uid}
            rows.append(row)
        return rows


def _shown(ad: Any) -> dict[str, str]:
    return {
        "name": str(ad.get("Name", "")),
        "machine": str(ad.get("Machine", "")),
        "address": str(ad.get("MyAddress", "")),
        "version": str(ad.get("CondorVersion", "")),
    }


def _number(ad: Any, name: str) -> float:
    value = ad.eval(name) if name in ad else 0
    return float(value) if isinstance(value, int | float) and not isinstance(value, classad.Value) else 0.0


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


QUESTIONS: dict[str, Callable[..., Any]] = {
    question.__name__: question for question in (bindings, collector, schedd, negotiator, space, match, remove, probe)
}


def _told_to_end(*_: object) -> None:
    raise SystemExit(1)  # through each `finally`, which removes the jobs


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _told_to_end)
    asked = json.load(sys.stdin)
    try:
        answer = {"answer": QUESTIONS[asked["question"]](**asked["about"])}
    except Exception as error:
        answer = {"error": _words(error)}
    print(json.dumps(answer, default=str))
