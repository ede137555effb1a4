"""Slots that are alike are judged once: a pool has thousands of slots, and few kinds of them.

Two slots are alike to a job where they have the same values in all that judging reads, but for their names and for
figures that change, such as free disk and load: `matching` counts on no such figure. What those figures make of the
match at this moment is asked of each slot by itself, which is quick.

What judging reads is known before anything is judged: the attributes that `matching` and `diagnosis` name, and those
that Requirements and START refer to, and so on. So whoever asks the pool can ask for no more than that.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import classad2 as classad

from . import matching
from .attributes import UPDATED, Attributes, Stays, known_of
from .expressions import OTHER, OWN, TOKEN, WORDS
from .matching import Clause, Match, Pair, Slot

RESOURCES = ("Cpus", "Memory", "Disk", "GPUs")
SLOT = (
    *("Name", "Machine", "Requirements", "Start", "WithinResourceLimits", "State", "Draining", "Offline"),
    *("PartitionableSlot", "DynamicSlot", "NumDynamicSlots", "MachineResources", "Arch", "OpSys", "FileSystemDomain"),
    *RESOURCES,
    *(f"{what}Slot{resource}" for resource in RESOURCES for what in ("Total", "Broken")),
    *(f"Consumption{resource}" for resource in RESOURCES),
    *("Absent", "SlotBrokenReason", "LastHeardFrom", "LastUpdate", "LastBenchmark"),
)
JOB = (
    *("ClusterId", "ProcId", "JobUniverse", "JobStatus", "Requirements", "Owner", "User", "AcctGroup"),
    *("AccountingGroup", "FileSystemDomain", "NumJobMatches", "NumShadowStarts", "LastMatchTime"),
    *("LastRejMatchReason", "LastRejMatchTime", "RequireGPUs", *(f"Request{resource}" for resource in RESOURCES)),
    *(f"_condor_Request{resource}" for resource in RESOURCES),  # in the slots' WithinResourceLimits
)
FIXED = frozenset(name.lower() for name in (*SLOT, *JOB))
# What happened to a job so far: a verdict of NEVER has no regard to it, unless an expression reads it.
HISTORY = frozenset(("numjobmatches", "numshadowstarts", "lastmatchtime", "lastrejmatchreason", "lastrejmatchtime"))
NAMES, NUMBERS = frozenset(("name", "machine")), frozenset(("clusterid", "procid"))
# A function that reads attributes whose names stand in no expression: only whole ads will do.
READS_ANY = frozenset(("eval", "unresolved"))
NUMBER = re.compile(r"-?\d[\d.]*(?:[eE][+-]?\d+)?")
DEFINED = re.compile(r"(?P<name>(?:(?:MY|TARGET)\.)?[A-Za-z_]\w*) = ", re.IGNORECASE)


@lru_cache(maxsize=4096)
def named(text: str) -> frozenset[str]:
    """Return all that could be the name of an attribute in an expression, in lower case, and functions of `READS_ANY`.

    >>> sorted(named('TARGET.Paint == "blue" && floor(Load) < 3 && eval(Wish)'))
    ['eval', 'load', 'paint', 'wish']
    """
    found = set()
    for match in TOKEN.finditer(text):
        name = match[0].strip("'").lower()
        is_function = text[match.end() : match.end() + 1] == "("  # as the bindings write it
        if match.lastgroup in ("name", "quoted") and (not is_function or name in READS_ANY):
            found.add(name)
    return frozenset(found - WORDS - {OWN, OTHER})


def reads(ads: Iterable[classad.ClassAd], known: Iterable[str] = ()) -> frozenset[str] | None:
    """Return the attributes that judging these jobs and slots by each other may read, beside those of `SLOT` and `JOB`.

    Parameters
    ----------
    ads
        Jobs and slots, as far as they are known.
    known
        Attributes that are read anyway.

    Returns
    -------
    frozenset of str
        Names in lower case, `known` among them; None where only whole ads will do.
    """
    texts: dict[str, set[str]] = {}
    for ad in ads:
        for name in ad:
            texts.setdefault(name.lower(), set()).add(str(ad.lookup(name)))
    probes = {name for name in texts if name.endswith(UPDATED)}  # what they begin with, a probe tells: see `attributes`
    found = {*known, *(probes - FIXED), *(_of_resources(texts.get("machineresources", ())) - FIXED)}
    todo: set[str] = {*FIXED, *found}
    seen: set[str] = set()
    while todo:
        seen |= todo
        refers = {name for one in todo for text in texts.get(one, ()) if not _is_plain(text) for name in named(text)}
        if matching.FREE_GPUS.lower() in todo:  # those that jobs have aren't in that list
            refers |= {name for name in texts if name.startswith("gpus_")}
        if refers & READS_ANY or not all(map(str.isidentifier, refers)):  # the latter can't be asked for
            return None
        found |= refers
        todo = refers - seen
    return frozenset(found)


def _of_resources(texts: Iterable[str]) -> set[str]:
    """Return the attributes of the resources that slots say they have: what is left, all, a request, what one takes."""
    names = {resource for text in texts for resource in text.strip('"').lower().split()}
    return {f"{what}{name}" for name in names for what in ("", "totalslot", "brokenslot", "request", "consumption")}


def _is_plain(text: str) -> bool:
    """Tell whether a text is a number or a string, and names nothing."""
    return bool(NUMBER.fullmatch(text)) or (text[:1] == '"' and text.find('"', 1) == len(text) - 1)


def prepared(slots: Iterable[classad.ClassAd], read: frozenset[str] | None) -> list[Slot]:
    """Return slots as they are judged: with no more than is read, and with what makes them alike.

    Parameters
    ----------
    slots
        The slots' ads, at least with what `reads` said.
    read
        What `reads` said of them and of the jobs.
    """
    kept = None if read is None else read | FIXED
    return [_slot(ad, kept, NAMES - read if read is not None else frozenset()) for ad in slots]


def _slot(ad: classad.ClassAd, kept: frozenset[str] | None, unread: frozenset[str]) -> Slot:
    slot = Slot()
    for name in ad:
        if kept is None or name.lower() in kept:
            slot[name] = ad.lookup(name)
    slot.empty = matching.drained(slot)
    slot.state = matching.state_of(slot)
    texts = ((name.lower(), str(slot.lookup(name))) for name in slot)
    slot.kind = tuple(sorted((name, _lasting(name, text)) for name, text in texts if name not in unread))
    return slot


def _lasting(name: str, text: str) -> str:
    """Return what lasts of an attribute's value: not the number, where it is a figure that changes."""
    changes = known_of(name) is Stays.NO or name.endswith(UPDATED)
    return "" if changes and NUMBER.fullmatch(text) else text


def kind_of(
    job: classad.ClassAd, read: frozenset[str] | None, ignored: frozenset[str] = frozenset()
) -> tuple[object, ...]:
    """Return what makes jobs alike to all slots: equal where the same is to be said of them.

    Parameters
    ----------
    job
        Its ad.
    read
        What `reads` said.
    ignored
        Attributes that are of no regard, unless an expression reads them.
    """
    kept = None if read is None else read | FIXED
    unread = (NUMBERS | ignored) - (read or frozenset())
    names = (name for name in job if (kept is None or name.lower() in kept) and name.lower() not in unread)
    return tuple(sorted((name.lower(), str(job.lookup(name))) for name in names))


def judge(job: classad.ClassAd, slots: Sequence[classad.ClassAd], made_up: bool = False) -> Match:
    """Tell whether a job could match one of the slots: `matching.judge`, once for slots that are alike."""
    return matching.judge(job, slots, _Pairs().of, made_up)


class _Pairs:
    """What a job and slots say to each other, each kind of slot looked at once."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], Pair] = {}

    def of(self, job: classad.ClassAd, slot: classad.ClassAd, empty: classad.ClassAd, known: Attributes) -> Pair:
        if not isinstance(slot, Slot):
            return matching._pair(job, slot, empty, known)
        now = matching._match(job, slot)
        could = now or matching._match(job, empty)
        kind = (slot.kind, slot.state, now, could, known.strict)
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = matching._pair(job, slot, empty, known)
            return found
        named = replace(found, slot=str(slot.get("Name", "?")), machine=str(slot.get("Machine", "?")))
        if not found.ever or not (found.job_clauses or found.slot_clauses):
            return named  # what its clauses are at this moment makes no difference
        asks = matching.consumed(job, empty)
        return replace(
            named,
            job_clauses=tuple(_at_this_moment(found.job_clauses, asks, empty)),
            slot_clauses=tuple(_at_this_moment(found.slot_clauses, empty, asks)),
        )


def _at_this_moment(clauses: Iterable[Clause], ad: classad.ClassAd, other: classad.ClassAd) -> Iterator[Clause]:
    """Yield clauses with what they are now, where that can change and so need not be the same on slots of a kind."""
    for clause in clauses:
        if len(clause.truth) == 1:
            yield clause
            continue
        defined = DEFINED.match(clause.text)
        yield replace(clause, now=matching._now(defined["name"] if defined else clause.text, ad, other))
