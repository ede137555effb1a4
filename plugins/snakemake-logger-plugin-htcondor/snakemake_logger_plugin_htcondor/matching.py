"""Can a job match a slot, now or ever? Pure functions on ClassAds; how HTCondor's negotiator decides, told in parts.

A match needs both sides: the job's Requirements, and the slot's, into which its startd puts START and what is left of
its resources. A partitionable slot is judged as it is when no job runs on it, too. What can change while nobody
touches the pool's configuration (time, load, state, free disk, a node's own health) never makes a NEVER: see
`attributes`.

Truth values are sets of what an expression can be: true, false, or neither (undefined, an error, not a truth value).
A set with more than one member belongs to what can change.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import classad2 as classad

# With it, ClassAds are evaluated as the negotiator does: a name without a scope that its own ad doesn't have is looked
# up in the other. Without it, such a name is undefined (seen).
import htcondor2  # noqa: F401

from .attributes import HOSTS, Attributes
from .expressions import OTHER, OWN, All, Choice, Leaf, Node, Not, Reference, conjuncts, parse, unparse


class Word(StrEnum):
    """What can be said of a job and the slots of its pool."""

    FITS = "FITS"  # a slot that is free takes it
    NEVER = "NEVER"  # no slot of this pool, as it is configured, could ever take it
    NOT_YET = "NOT YET"  # one could, but not now
    UNKNOWN = "UNKNOWN"  # there are no slots to judge by


# The key of the verdict that nothing is in a job's way but the negotiator's next cycle.
NEXT_CYCLE = "next cycle"

TRUE, FALSE, NEITHER = "true", "false", "neither"
Truth = frozenset[str]
ANY: Truth = frozenset((TRUE, FALSE, NEITHER))

# In lower case: functions whose value is that of their arguments and nothing else. Any other, of HTCondor or a plugin,
# may look at a clock, a dice, a file or who uses the pool.
PURE_FUNCTIONS = frozenset(
    (
        *("isundefined", "iserror", "isstring", "isinteger", "isreal", "islist", "isclassad", "isboolean"),
        *("isabstime", "isreltime", "int", "real", "string", "bool", "ifthenelse", "interval", "unescape"),
        *("floor", "ceil", "ceiling", "round", "pow", "quantize", "abs", "sum", "avg", "min", "max"),
        *("size", "member", "identicalmember", "anycompare", "allcompare", "countmatches", "evalineachcontext"),
        *("strcat", "join", "substr", "strcmp", "stricmp", "toupper", "tolower", "split", "splitusername"),
        *("splitslotname", "regexp", "regexpmember", "regexps", "replace", "replaceall"),
        *("versioncmp", "versiongt", "versionge", "versionlt", "versionle", "versioneq"),
        *("version_gt", "version_ge", "version_lt", "version_le", "version_eq", "version_in_range"),
        *("stringlistsize", "stringlistsum", "stringlistavg", "stringlistmin", "stringlistmax", "stringlistmember"),
        *("stringlistimember", "stringlistsintersect", "stringlistsubsetmatch", "stringlistisubsetmatch"),
        *("stringlistregexpmember", "listtoargs", "argstolist", "envv1tov2", "mergeenvironment"),
    )
)
DEPTH = 20  # of attributes that refer to each other
# An amount of a slot that must be large enough: `Memory >= RequestMemory`, `TARGET.RequestCpus < MY.Cpus`.
ENOUGH = re.compile(r"(?:(?P<side>MY|TARGET)\.)?(?P<have>[A-Za-z]\w*)\s*>=?\s*(?P<asked>.+)", re.IGNORECASE | re.DOTALL)
NO_MORE = re.compile(
    r"(?P<asked>.+?)\s*<=?\s*(?:(?P<side>MY|TARGET)\.)?(?P<have>[A-Za-z]\w*)", re.IGNORECASE | re.DOTALL
)
COMPARES = re.compile(r"[=<>?|&^]|\bis(nt)?\b", re.IGNORECASE)
FREE_GPUS = "AvailableGPUs"  # a list of those that no job has, each by the name of an ad of its own in the slot's
OF_OLD = "_condor_request"  # stands in the limits that startds before version 23.9 write


class Slot(classad.ClassAd):  # type: ignore[misc]
    """A slot's ad, with what is asked of it for each job: itself without jobs, and what makes it like others."""

    empty: classad.ClassAd | None = None
    state: str = ""
    kind: tuple[object, ...] = ()


@dataclass(frozen=True)
class Clause:
    """A part of someone's requirements, and what it is for one pair of job and slot.

    Attributes
    ----------
    text
        The part as it stands there.
    truth
        What it can be.
    now
        What it is.
    own
        It looks at nothing but the ad that it stands in: for a slot's, the node's own condition.
    """

    text: str
    truth: Truth
    now: str
    own: bool = False

    @property
    def possible(self) -> bool:
        """Whether it can hold."""
        return TRUE in self.truth


@dataclass(frozen=True)
class Pair:
    """What a job and one slot say to each other, the slot taken as when no job runs on it.

    Attributes
    ----------
    slot
        The slot's name.
    machine
        Its host.
    fits
        It takes the job now.
    could
        It could take the job when it is free, by both sides as they stand.
    ever
        It could take the job once what changes has changed.
    state
        "free", "busy", "draining", "offline", "absent" or "broken".
    job_clauses, slot_clauses
        What each side demands, empty where `could`.
    """

    slot: str
    machine: str
    fits: bool
    could: bool
    ever: bool
    state: str
    job_clauses: tuple[Clause, ...] = ()
    slot_clauses: tuple[Clause, ...] = ()

    @property
    def job_agrees(self) -> bool:
        """Whether the job's side can hold."""
        return all(clause.possible for clause in self.job_clauses)


@dataclass(frozen=True)
class Match:
    """A job against all slots of its pool.

    Attributes
    ----------
    word
        What can be said.
    pairs
        One for each slot that is no part of a partitionable one.
    sure
        It is NEVER by what surely stays as it is: see `attributes`.
    """

    word: Word
    pairs: tuple[Pair, ...]
    sure: bool = False


def judge(
    job: classad.ClassAd,
    slots: Sequence[classad.ClassAd],
    pair: "Callable[[classad.ClassAd, classad.ClassAd, classad.ClassAd, Attributes], Pair] | None" = None,
    made_up: bool = False,
) -> Match:
    """Tell whether a job could match one of the slots.

    Parameters
    ----------
    job
        The job's whole ad.
    slots
        The collector's whole ads of type Machine. Dynamic slots are left out, as parts of another.
    pair
        Looks at one slot; see `alike`.
    made_up
        The job's ad is made up from a submit description, and lacks what HTCondor will add.
    """
    look = pair or _pair
    whole = [slot for slot in slots if not _is(slot, "DynamicSlot")]
    known = Attributes(job, whole, made_up=made_up)
    empty = [drained(slot) for slot in whole]
    pairs = tuple(look(job, slot, of_slot, known) for slot, of_slot in zip(whole, empty, strict=True))
    if not pairs:
        return Match(Word.UNKNOWN, ())
    if any(pair.fits for pair in pairs):
        return Match(Word.FITS, pairs)
    if any(pair.ever for pair in pairs):
        return Match(Word.NOT_YET, pairs)
    strict = known.strictly()
    return Match(
        Word.NEVER, pairs, sure=not any(look(job, *both, strict).ever for both in zip(whole, empty, strict=True))
    )


def _pair(job: classad.ClassAd, slot: classad.ClassAd, empty: classad.ClassAd, known: Attributes) -> Pair:
    name, machine, state = str(slot.get("Name", "?")), str(slot.get("Machine", "?")), state_of(slot)
    if "SlotBrokenReason" in slot:  # it tells of no resources, and takes no job, before its node is well again
        return Pair(name, machine, fits=False, could=False, ever=True, state="broken")
    matches = _match(job, slot)
    if state == "free" and matches:
        return Pair(name, machine, fits=True, could=True, ever=True, state=state)
    if matches or _match(job, empty):
        if state == "free":
            state = "busy"  # it has less left than the job asks for
        return Pair(name, machine, fits=False, could=True, ever=True, state=state)
    asks, known = _as_consumed(job, empty, known)
    wants, takes = tuple(clauses(asks, empty, known)), tuple(clauses(empty, asks, known))
    if state == "draining":  # it takes no job at all now, and says so in its START
        takes = ()
    agreed = all(clause.possible or clause.own for clause in takes)
    ever = agreed and all(clause.possible for clause in wants)
    return Pair(name, machine, False, False, ever, state, wants, takes)


def state_of(slot: classad.ClassAd) -> str:
    """Return what a slot is at: "free", "busy", "draining", "offline", or "absent" where its node has gone silent."""
    if _is(slot, "Absent"):
        return "absent"
    if _is(slot, "Offline"):
        return "offline"
    state = str(_value(slot, "State") or "Unclaimed")
    if _is(slot, "Draining") or state == "Drained":
        return "draining"
    return "busy" if state in ("Claimed", "Matched", "Preempting") else "free"


def drained(slot: classad.ClassAd) -> classad.ClassAd:
    """Return a slot as it is when no job runs on it: a partitionable one's ad tells what is left, and what there is."""
    if isinstance(slot, Slot) and slot.empty is not None:
        return slot.empty
    if not _is(slot, "PartitionableSlot"):
        return slot
    totals = {name: total for name in _resources(slot).split() if (total := _total(slot, name)) != _value(slot, name)}
    totals = {name: total for name, total in totals.items() if total is not None}
    if FREE_GPUS in slot and (names := gpus_of(slot)):
        totals[FREE_GPUS] = classad.ExprTree(f"{{ {', '.join(names)} }}")
    if not totals:
        return slot
    empty = classad.ClassAd()
    empty.update(slot)
    empty.update(totals)
    return empty


def _total(slot: classad.ClassAd, resource: str) -> Any:
    """Return what a slot has of a resource, with what is out of order for now."""
    total, broken = _value(slot, f"TotalSlot{resource}"), _value(slot, f"BrokenSlot{resource}")
    return total + broken if isinstance(total, int | float) and isinstance(broken, int | float) else total


def gpus_of(slot: classad.ClassAd) -> list[str]:
    """Return the names of the ads, within a slot's, that tell of a GPU each, whether a job has it or not."""
    names = sorted(name for name in slot if name.lower().startswith("gpus_") and name.isidentifier())
    return [name for name in names if isinstance(_value(slot, name), classad.ClassAd)]


def _tells_all_gpus(slot: classad.ClassAd) -> bool:
    """Tell whether a slot without jobs tells of each of its GPUs, if it has any: what they are stays as it is."""
    amounts = [value for value in (_total(slot, "GPUs"), _value(slot, "GPUs")) if isinstance(value, int | float)]
    told = _value(slot, FREE_GPUS)
    return (len(told) if isinstance(told, list) else 0) >= max(amounts, default=0)


def _resources(slot: classad.ClassAd) -> str:
    return str(_value(slot, "MachineResources") or "Cpus Memory Disk GPUs")


def consumed(job: classad.ClassAd, slot: classad.ClassAd) -> classad.ClassAd:
    """Return a job as a slot sees it: with what the slot's consumption policy, if it has one, makes of each request.

    The negotiator does the same before it matches the two (HTCondor's sources, `consumption_policy.cpp`).
    """
    if not (resources := _consumed(slot)):
        return job
    asks = classad.ClassAd()
    asks.update(job)
    for name in resources:
        value = _amount_consumed(job, slot, name)
        if value is not None and f"Request{name}" in job:
            asks[f"Request{name}"] = value
    return asks


def _consumed(slot: classad.ClassAd) -> list[str]:
    """Return the resources of which a slot says how much a job takes; none, unless it says so of all but swap."""
    if "ConsumptionCpus" not in slot or not _is(slot, "PartitionableSlot"):
        return []
    names = [name for name in _resources(slot).split() if name.lower() != "swap"]
    return names if all(f"Consumption{name}" in slot for name in names) else []


def _amount_consumed(job: classad.ClassAd, slot: classad.ClassAd, resource: str) -> float | None:
    try:
        value = _tree(f"Consumption{resource}").eval(slot, job)
    except classad.ClassAdException:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool | classad.Value)
    return value if is_number and value >= 0 else None


def _as_consumed(job: classad.ClassAd, empty: classad.ClassAd, known: Attributes) -> tuple[classad.ClassAd, Attributes]:
    """Return a job as a slot without jobs sees it, and what is known of its requests then."""
    if (asks := consumed(job, empty)) is job:
        return job, known
    unsure = {
        f"request{name}".lower()
        for name in _consumed(empty)
        if _amount_consumed(job, empty, name) is None
        or any(_changes(leaf, empty, job, known, 0) for leaf in _leaves(parse(_text(empty, f"Consumption{name}"))))
    }
    return asks, replace(known, job=asks, unsure=frozenset(unsure))


def clauses(ad: classad.ClassAd, other: classad.ClassAd, known: Attributes) -> list[Clause]:
    """Return what an ad's Requirements demand of another ad, clause by clause.

    An attribute that a clause consists of is replaced by its own clauses, as START is in a slot's Requirements.
    """
    return list(_clauses(ad, other, parse(_text(ad, "Requirements")), known, 0)) if "Requirements" in ad else []


def _clauses(
    ad: classad.ClassAd, other: classad.ClassAd, node: Node, known: Attributes, depth: int
) -> Iterator[Clause]:
    for part in conjuncts(node):
        alone = part.alone if isinstance(part, Leaf) else None
        found = _definition(alone, ad, other) if alone and depth < DEPTH else None
        if found and found[0] is ad and not isinstance(inner := parse(found[2]), Leaf):
            yield from _clauses(ad, other, inner, known, depth + 1)
            continue
        text = unparse(part) if not found or found[0] is not ad else f"{unparse(part)} = {found[2]}"
        truth = truth_of(part, ad, other, known)
        yield Clause(text, truth, _now(unparse(part), ad, other), own=not _looks_at(part, ad, other))


def truth_of(node: Node, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes, depth: int = 0) -> Truth:
    """Return what a part of an ad's expression can be, evaluated against another ad."""
    if isinstance(node, Leaf):
        return _truth_of_leaf(node, ad, other, known, depth)
    if isinstance(node, Not):
        swapped = {TRUE: FALSE, FALSE: TRUE, NEITHER: NEITHER}
        return frozenset(swapped[value] for value in truth_of(node.part, ad, other, known, depth))
    if isinstance(node, Choice):
        return _truth_of_choice(node, ad, other, known, depth)
    parts = [truth_of(part, ad, other, known, depth) for part in node.parts]
    # One that decides, and all that don't: "true" decides ||, "false" decides &&.
    decides, lets = (FALSE, TRUE) if isinstance(node, All) else (TRUE, FALSE)
    found = {value for part in parts for value in part if value in (decides, NEITHER)}
    if all(lets in part for part in parts):
        found.add(lets)
    return frozenset(found)


def _truth_of_choice(node: Choice, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes, depth: int) -> Truth:
    yes, no = (truth_of(part, ad, other, known, depth) for part in (node.yes, node.no))
    if node.condition is None:
        return yes | no if NEITHER in yes else yes
    condition = truth_of(node.condition, ad, other, known, depth)
    found = (yes if TRUE in condition else frozenset()) | (no if FALSE in condition else frozenset())
    return found | {NEITHER} if NEITHER in condition else found


def _truth_of_leaf(leaf: Leaf, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes, depth: int) -> Truth:
    if leaf.alone and depth < DEPTH and (found := _definition(leaf.alone, ad, other)):
        owner, against, text = found
        if not isinstance(inner := parse(text), Leaf) or inner.alone:
            return truth_of(inner, owner, against, known, depth + 1)
    if _is_limit(leaf, ad, other, known, depth):
        now = _now(leaf.text, ad, other)
        return frozenset((TRUE, FALSE)) if now == TRUE else frozenset((now,))  # with jobs on it, a slot has less
    if _changes(leaf, ad, other, known, depth):
        return ANY
    return frozenset((_now(leaf.text, ad, other),))


def _is_limit(leaf: Leaf, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes, depth: int) -> bool:
    """Tell whether a leaf says no more than that a partitionable slot must have so much, or more, of a resource."""
    if any(reference.name.startswith(OF_OLD) for reference in leaf.references):
        return not _changes(leaf, ad, other, known, depth, amounts=False)
    found = ENOUGH.fullmatch(leaf.text) or NO_MORE.fullmatch(leaf.text)
    if not found or COMPARES.search(found["asked"]):
        return False
    have = _definition(Reference(found["have"].lower(), (found["side"] or "").lower()), ad, other)
    if not have or not _is_divided(found["have"].lower(), have[0]) or known.changes(found["have"].lower(), have[0]):
        return False
    return not any(_changes(inner, ad, other, known, depth) for inner in _leaves(parse(found["asked"])))


def _definition(
    reference: Reference, ad: classad.ClassAd, other: classad.ClassAd
) -> tuple[classad.ClassAd, classad.ClassAd, str] | None:
    """Return where an attribute is defined, the ad that it is evaluated against there, and its expression."""
    places = {OWN: [(ad, other)], OTHER: [(other, ad)]}.get(reference.scope, [(ad, other), (other, ad)])
    for owner, against in places:
        if reference.name in owner:
            return owner, against, _text(owner, reference.name)
    return None


def _changes(
    leaf: Leaf, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes, depth: int, amounts: bool = True
) -> bool:
    """Tell whether a leaf's value can change, also by way of what it names; `amounts` where what jobs take counts."""
    if leaf.functions - PURE_FUNCTIONS or depth >= DEPTH:
        return True
    for reference in leaf.references:
        found = _definition(reference, ad, other)
        if reference.name == FREE_GPUS.lower() and _tells_all_gpus(other if ad is known.job else ad):
            if known.strict:
                return True
            continue
        if _attribute_changes(reference, found[0] if found else None, ad, other, known):
            return True
        if not found:
            continue
        if amounts and _is_divided(reference.name, found[0]):
            return True
        inner = _leaves(parse(found[2]))
        if any(_changes(part, found[0], found[1], known, depth + 1, amounts) for part in inner):
            return True
    return False


def _attribute_changes(
    reference: Reference, owner: classad.ClassAd | None, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes
) -> bool:
    """Tell whether an attribute can change by itself; the `owner` is the ad that has it, None where neither has."""
    if owner is None and known.made_up and _may_be_the_jobs(reference, ad, other, known):
        return True
    if known.strict and ad is known.job and owner is not ad and reference.name in HOSTS:
        return True
    return known.changes(reference.name, _meant(reference, ad, other, known) if owner is None else owner)


def _meant(
    reference: Reference, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes
) -> classad.ClassAd | None:
    """Return the job's ad where an attribute that is missing is meant to be in it, else None."""
    sides = {OWN: ad, OTHER: other}
    return known.job if sides.get(reference.scope) is known.job else None


def _may_be_the_jobs(reference: Reference, ad: classad.ClassAd, other: classad.ClassAd, known: Attributes) -> bool:
    """Tell whether an attribute that is missing could be in the job's ad; those `OF_OLD` are a startd's own."""
    if reference.name.startswith(OF_OLD):
        return False
    return not reference.scope or _meant(reference, ad, other, known) is known.job


def _is_divided(name: str, ad: classad.ClassAd) -> bool:
    """Tell whether an attribute is an amount of which jobs take their parts."""
    return _is(ad, "PartitionableSlot") and name in _resources(ad).lower().split()


def _looks_at(node: Node, ad: classad.ClassAd, other: classad.ClassAd, depth: int = 0) -> bool:
    """Tell whether a part's value depends on the other ad."""
    for leaf in _leaves(node):
        for reference in leaf.references:
            if reference.scope == OTHER:
                return True
            if reference.name not in ad:
                return True
            if depth < DEPTH and _looks_at(parse(_text(ad, reference.name)), ad, other, depth + 1):
                return True
    return False


def names_hosts(text: str, job: classad.ClassAd) -> bool:
    """Tell whether a clause of a job's is about the names of hosts."""
    references = (reference for leaf in _leaves(parse(text)) for reference in leaf.references)
    return any(
        one.name in HOSTS and (one.scope == OTHER or (one.scope != OWN and one.name not in job)) for one in references
    )


def _leaves(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Not):
        yield from _leaves(node.part)
    else:
        parts = [p for p in (node.condition, node.yes, node.no) if p] if isinstance(node, Choice) else node.parts
        for part in parts:
            yield from _leaves(part)


def _match(job: classad.ClassAd, slot: classad.ClassAd) -> bool:
    try:
        return bool(consumed(job, slot).symmetricMatch(slot))
    except classad.ClassAdException:  # attributes that refer to each other in a circle; no match to HTCondor
        return False


@lru_cache(maxsize=4096)
def _tree(text: str) -> classad.ExprTree:
    return classad.ExprTree(text)


def _now(text: str, ad: classad.ClassAd, other: classad.ClassAd) -> str:
    try:
        value = _tree(text).eval(ad, other) if text else None
    except classad.ClassAdException:
        return NEITHER
    if isinstance(value, classad.Value) or not isinstance(value, bool | int | float):
        return NEITHER
    return TRUE if value else FALSE


def _text(ad: classad.ClassAd, name: str) -> str:
    return str(ad.lookup(name))


def _value(ad: classad.ClassAd, name: str) -> Any:
    """Return an attribute's value, or None where it is missing or undefined."""
    if name not in ad:
        return None
    try:
        value = ad.eval(name)
    except classad.ClassAdException:
        return None
    return None if isinstance(value, classad.Value) else value


def _is(ad: classad.ClassAd, name: str) -> bool:
    return _value(ad, name) is True
