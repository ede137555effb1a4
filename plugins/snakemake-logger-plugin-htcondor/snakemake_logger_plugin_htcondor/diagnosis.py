"""Why a job waits, in one sentence with figures, and what to do: pure functions on what pool and job tell."""

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import classad2 as classad

from .alike import judge
from .expressions import OTHER, OWN, Leaf, conjuncts, parse
from .matching import FALSE, FREE_GPUS, NEITHER, NEXT_CYCLE, Clause, Match, Pair, Word, drained, gpus_of, names_hosts
from .words import count, duration, form, listed, megabytes, setting

# What a job asks for, from either side: `TARGET.Memory >= RequestMemory`, `TARGET.RequestMemory <= MY.Memory`.
ASKS = re.compile(r"(?:TARGET\.)?(?P<have>\w+)\s*>=\s*(?:MY\.)?Request(?P=have)$", re.IGNORECASE)
GIVES = re.compile(r"(?:TARGET\.)?Request(?P<have>\w+)\s*<=\s*(?:MY\.)?(?P=have)$", re.IGNORECASE)
GIVES_GPUS = re.compile(r"TARGET\.Request(?P<have>GPUs)\b.*\bMY\.GPUs", re.IGNORECASE)
SNAKEMAKE_NAMES = {"memory": "mem_mb", "disk": "disk_mb", "cpus": "threads", "gpus": "request_gpus"}
CLASSAD_FLOAT = re.compile(r"\d\.\d+E[+-]\d+")  # how the bindings write every number with a fraction
MATCHED = (5, 10, 11, 13)  # the universes whose jobs run on slots: vanilla, java, parallel, vm
MOST_SHOWN = 90


@dataclass(frozen=True)
class Pool:
    """What a pool tells of itself at one moment, beside its slots.

    Attributes
    ----------
    accounting
        The collector's ads of type Accounting: users and groups, with priorities, quotas and use.
    schedd
        The access point's own ad.
    negotiator
        What is wrong with the negotiator, in words; empty where it answers.
    gone
        Names of slots that were there before and are not now.
    submitters
        The collector's ads of type Submitter: how many idle jobs each user has.
    ahead
        Idle jobs of the same run that come before the job.
    idle
        All idle jobs of the same run.
    flocks
        Other pools to which the access point may send jobs; empty where there are none.
    age
        Seconds that the collector has been up, at least; None where it doesn't tell.
    settled
        Seconds after which a collector has heard of each node that there is: it forgets who is silent for longer.
    """

    accounting: Sequence[classad.ClassAd] = ()
    schedd: Mapping[str, Any] = field(default_factory=dict)
    negotiator: str = ""
    gone: Sequence[str] = ()
    submitters: Sequence[classad.ClassAd] = ()
    ahead: int = 0
    idle: int = 0
    flocks: str = ""
    age: float | None = math.inf
    settled: float = 900.0


@dataclass(frozen=True)
class Diagnosis:
    """Why a job waits.

    Attributes
    ----------
    word
        NEVER, NOT YET or UNKNOWN.
    key
        Stays the same for as long as the reason does, whatever the figures.
    reason, remedy
        A part of a sentence each.
    sure
        It is NEVER by what surely stays as it is, so that the job may be removed where the user asked for that.
    """

    word: Word
    key: str
    reason: str
    remedy: str
    sure: bool = False

    @property
    def sentence(self) -> str:
        """Everything in one line."""
        return f"{self.word}: {self.reason}. {self.remedy}."


def diagnose(job: classad.ClassAd, slots: Sequence[classad.ClassAd], pool: Pool, made_up: bool = False) -> Diagnosis:
    """Say why a job waits.

    Parameters
    ----------
    job
        The whole ad of an idle job, or one that is made up from a submit description.
    slots
        The whole ads of all slots.
    pool
        What else the pool tells.
    made_up
        The job's ad is made up, so it lacks what HTCondor will add.
    """
    universe = int(_number(job, "JobUniverse"))
    if universe and universe not in MATCHED:
        return Diagnosis(
            Word.UNKNOWN,
            "universe",
            f"it is a job of universe {universe}, which runs on the access point or elsewhere and never on a slot",
            "The access point's SchedLog tells why it doesn't start",
        )
    match = judge(job, slots, made_up)
    if match.word is Word.UNKNOWN:
        return Diagnosis(
            Word.UNKNOWN,
            "no slots",
            "the collector knows of no execute node, so no job can start",
            "Nodes may be starting, switched off, or unable to reach the collector: condor_status, and on a node "
            "condor_who and its StartLog, tell more",
        )
    if match.word is Word.NEVER:
        pinned = any(names_hosts(clause.text, job) for clause in _culprits(match.pairs))
        found = _never_or_unknown(_never(job, slots, match), pool, pinned)
        return replace(found, sure=found.word is Word.NEVER and match.sure and pool.age is not None)
    if match.word is Word.FITS:
        return _fits(job, match, pool)
    return _besides(_not_yet(job, slots, match, pool), job, pool)


# --- no slot could ever take it ---


def _never_or_unknown(found: Diagnosis, pool: Pool, pinned: bool) -> Diagnosis:
    """Return a NEVER, or what it comes to where there may be other slots than those that were judged.

    A job that is `pinned` wants a host by its name, and no node that is in the pool has such a name.
    """
    why = f"it {found.reason}" if found.reason.startswith("asks ") else found.reason
    if pool.gone:
        reason = (
            f"{count(len(pool.gone), 'slot')} that the pool had before {form(len(pool.gone), 'is', 'are')} "
            f"gone ({listed(list(pool.gone))}), and no other can take it: {why}"
        )
        return Diagnosis(Word.UNKNOWN, f"gone, {found.key}", reason, found.remedy)
    if pool.age is not None and pool.age < pool.settled:
        reason = (
            f"the pool's collector has been up for {duration(pool.age)} only, so it may not know all nodes yet, and "
            f"none that it knows can take it: {why}"
        )
        return Diagnosis(Word.UNKNOWN, f"young, {found.key}", reason, found.remedy)
    if pool.flocks:
        reason = (
            f"no slot of this pool can take it: {why}; jobs may also go to {pool.flocks}, of which nothing "
            "is known here"
        )
        return Diagnosis(Word.UNKNOWN, f"flocks, {found.key}", reason, found.remedy)
    if pinned:
        return Diagnosis(
            Word.UNKNOWN,
            f"pinned, {found.key}",
            f"no node with such a name is in the pool now: it is down, or the name is misspelt; {why}",
            f"Look whether the node is up (condor_status). {found.remedy}",
        )
    return found


def _never(job: classad.ClassAd, slots: Sequence[classad.ClassAd], match: Match) -> Diagnosis:
    pairs = match.pairs
    culprits = _culprits(pairs)
    if culprits:
        return _culprits_words(job, slots, pairs, culprits)
    agreeing = [pair for pair in pairs if pair.job_agrees and not _lacks(job, pair)]
    if not agreeing:
        return _together(job, slots, pairs)
    return _refused(job, agreeing, len(pairs))


def _culprits(pairs: Sequence[Pair]) -> list[Clause]:
    """Return the job's clauses that hold on no slot, the amounts that slots refuse included; amounts first."""
    found: dict[str, Clause] = {}
    for text, clauses in _by_text(pair.job_clauses for pair in pairs).items():
        if len(clauses) == len(pairs) and not any(clause.possible for clause in clauses):
            found[text] = clauses[0]
    refused = _by_text(
        [clause for clause in pair.slot_clauses if _resource(clause.text) and not clause.possible] for pair in pairs
    )
    for text, clauses in refused.items():
        if len(clauses) == len(pairs) and not any(_resource(text) == _resource(other) for other in found):
            found[text] = clauses[0]
    return sorted(found.values(), key=lambda clause: not _resource(clause.text))


def _by_text(rows: Iterable[Sequence[Clause]]) -> dict[str, list[Clause]]:
    found: dict[str, list[Clause]] = {}
    for row in rows:
        for text, clause in {clause.text: clause for clause in row}.items():
            found.setdefault(text, []).append(clause)
    return found


def _resource(text: str) -> str | None:
    """Return the resource that a clause compares with the request, such as "Memory"."""
    found = ASKS.match(text) or GIVES.match(text) or GIVES_GPUS.search(text)
    return found["have"] if found else None


def _asked(job: classad.ClassAd, text: str) -> str | None:
    """Return the resource of which a job says how much it needs, where a clause is about that."""
    resource = _resource(text)
    return resource if resource and _number(job, f"Request{resource}") > 0 else None


def _culprits_words(
    job: classad.ClassAd, slots: Sequence[classad.ClassAd], pairs: Sequence[Pair], culprits: Sequence[Clause]
) -> Diagnosis:
    asked = {clause: _asked(job, clause.text) for clause in culprits}
    amounts = [(resource, clause) for clause, resource in asked.items() if resource]
    others = [clause for clause, resource in asked.items() if not resource]
    parts = [_amount(job, slots, resource) for resource, _ in amounts]
    demands = len(pairs[0].job_clauses)
    if others:
        lead = (
            "its requirement"
            if len(others) == 1 == demands
            else f"{len(others)} of its {count(demands, 'requirement')} "
            f"{'matches' if len(others) == 1 else 'match'} no slot, the culprit{'s are' if len(others) > 1 else ' is'}"
        )
        said = ", ".join(f"{shown(clause.text)} ({_why_not(clause, job, slots)})" for clause in others)
        parts.append(f"{lead} {said}" if demands > 1 else f"{lead} {said} matches no slot")
    reason = "; ".join(parts) + f"; 0 of {count(len(pairs), 'slot')} {'matches' if len(pairs) == 1 else 'match'}"
    key = "never: " + ", ".join(
        [*(f"{resource}={_number(job, f'Request{resource}'):g}" for resource, _ in amounts), *(c.text for c in others)]
    )
    return Diagnosis(Word.NEVER, key, reason, _remedy(job, slots, amounts, others))


def _remedy(
    job: classad.ClassAd,
    slots: Sequence[classad.ClassAd],
    amounts: Sequence[tuple[str, Clause]],
    others: Sequence[Clause],
) -> str:
    todo = []
    for resource, _ in amounts:
        largest, _ = _largest(slots, resource)
        todo.append(
            f"lower {_at_most(resource, largest)}, or ask the pool's admin for a larger slot"
            if largest
            else f"ask the pool's admin for a node with {resource}"
        )
    folder = [clause for clause in others if "filesystemdomain" in clause.text.lower()]
    if folder:
        todo.append(
            "these nodes say that they don't share this host's folders; where they do, ask the pool's admin to set "
            "FILESYSTEM_DOMAIN to the same on all hosts"
        )
    if len(others) > len(folder):
        todo.append("correct the requirements of the rule or the profile, or ask the pool's admin for such a node")
    words = "; ".join(todo)
    return words[0].upper() + words[1:]


def _at_most(resource: str, most: float) -> str:
    """Return which resource of a rule is to be lowered, and to what."""
    name = SNAKEMAKE_NAMES.get(resource.lower(), f"request_{resource.lower()}")
    return f"{setting(name, f'{name} of the rule')} to at most {most / 1024 if name == 'disk_mb' else most:.0f}"


def _amount(
    job: classad.ClassAd, slots: Sequence[classad.ClassAd], resource: str, what: str = "largest slot has"
) -> str:
    asked, (most, slot) = _number(job, f"Request{resource}"), _largest(slots, resource)
    machine = f" ({slot.get('Machine', '?')})" if slot is not None and most else ""
    return f"asks for {_unit(asked, resource)}, the {what} {_unit(most, resource, short=True)}{machine}"


def _unit(value: float, resource: str, short: bool = False) -> str:
    lower = resource.lower()
    if lower == "memory":
        return megabytes(value) + ("" if short else " of memory")
    if lower == "disk":
        return megabytes(value / 1024) + ("" if short else " of disk")
    if lower == "cpus":
        return count(int(value), "core")
    return f"{value:g} {resource.removesuffix('s') if value == 1 else resource}"


def _largest(slots: Sequence[classad.ClassAd], resource: str) -> tuple[float, classad.ClassAd | None]:
    """Return the most that an empty slot has of a resource, and the slot."""
    best: tuple[float, classad.ClassAd | None] = (0.0, None)
    for slot in slots:
        value = _number(drained(slot), resource)
        if value > best[0]:
            best = (value, slot)
    return best


def _why_not(clause: Clause, job: classad.ClassAd, slots: Sequence[classad.ClassAd]) -> str:
    """Say what slots without jobs have instead of what a clause wants; false and undefined are told apart."""
    node = parse(clause.text)
    leaves = [node] if isinstance(node, Leaf) else []
    wanted = [
        reference.name
        for leaf in leaves
        for reference in sorted(leaf.references, key=lambda reference: reference.name)
        if reference.scope == OTHER or (reference.scope != OWN and reference.name not in job)
    ]
    empty = [drained(slot) for slot in slots]  # as they were judged
    if FREE_GPUS.lower() in wanted and "RequireGPUs" in job:
        return _why_no_gpu(job, empty)
    said = [_have(name, _spelling(name, clause.text), empty) for name in wanted]
    if said:
        return ", ".join(said)
    return "it is undefined there" if clause.now == NEITHER else "it is false there"


def _why_no_gpu(job: classad.ClassAd, slots: Sequence[classad.ClassAd]) -> str:
    """Say what the pool's GPUs are instead of what a job wants of its own."""
    devices = [slot.eval(name) for slot in slots for name in gpus_of(slot)]
    text = str(job.lookup("RequireGPUs"))
    leaves = [leaf for clause in conjuncts(parse(text)) if isinstance(leaf := clause, Leaf)]
    names = sorted(
        {one.name for leaf in leaves for one in leaf.references if one.scope != OTHER and one.name not in job}
    )
    said = [_have(name, _spelling(name, text), devices, "GPU") for name in names] if devices else ["no slot has a GPU"]
    return "; ".join([f"it wants {_unit(_number(job, 'RequestGPUs'), 'GPUs')} with {shown(text)}", *said])


def _have(name: str, spelled: str, ads: Sequence[classad.ClassAd], what: str = "slot") -> str:
    """Say which values an attribute has."""
    values = Counter(_short(str(ad.lookup(name))) for ad in ads if name in ad)
    missing = len(ads) - sum(values.values())
    if not values:
        return f"no {what} defines {spelled}"
    if len(values) == 1 and not missing:
        of_all = f" on all {len(ads)}" if len(ads) > 1 else ""
        return f"{spelled} is {next(iter(values))}{of_all}"
    listed_values = [f"{value} on {number}" for value, number in sorted(values.items())]
    return f"{spelled} is {listed(listed_values)}" + (f", undefined on {missing}" if missing else "")


def _spelling(name: str, text: str) -> str:
    """Return a name as a text spells it."""
    found = re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)
    return found[0] if found else name


def _lacks(job: classad.ClassAd, pair: Pair) -> frozenset[str]:
    """Return the resources of which a slot has less than the job asks for, as either side says."""
    clauses = (*pair.job_clauses, *pair.slot_clauses)
    asked = (_asked(job, clause.text) for clause in clauses if not clause.possible)
    return frozenset(resource for resource in asked if resource)


def _lacks_no_more(job: classad.ClassAd, pair: Pair) -> bool:
    """Tell whether nothing but what a slot has too little of is in the job's way."""
    clauses = (*pair.job_clauses, *(clause for clause in pair.slot_clauses if not clause.own))
    return all(clause.possible or _asked(job, clause.text) for clause in clauses)


def _together(job: classad.ClassAd, slots: Sequence[classad.ClassAd], pairs: Sequence[Pair]) -> Diagnosis:
    """Each clause matches some slot, and no slot matches all."""
    lacks = [_lacks(job, pair) for pair in pairs]
    amounts = {one: _unit(_number(job, f"Request{one}"), one) for one in sorted(frozenset().union(*lacks))}
    texts = {
        text: number
        for text, clauses in _by_text(pair.job_clauses for pair in pairs).items()
        if not _asked(job, text) and (number := sum(clause.possible for clause in clauses)) < len(pairs)
    }
    counts = {shown(text): number for text, number in texts.items()}
    counts |= {amount: sum(resource not in lacking for lacking in lacks) for resource, amount in amounts.items()}
    near, lower = [], []
    for resource in amounts:
        both = zip(pairs, lacks, strict=True)
        names = {pair.slot for pair, lacking in both if lacking == {resource} and _lacks_no_more(job, pair)}
        most, slot = _largest([slot for slot in slots if str(slot.get("Name", "?")) in names], resource)
        if slot is None:
            continue
        others = [amount for other, amount in amounts.items() if other != resource]
        where = "where all else matches " if texts else f"with {listed(others)} " if others else ""
        near.append(f"{where}at most {_unit(most, resource)} ({slot.get('Machine', '?')})")
        lower.append(_at_most(resource, most))
    if texts:
        said = (f"{what} {number} of {len(pairs)}" for what, number in sorted(counts.items(), key=lambda item: item[1]))
        reason = "each of its requirements matches some slot, but no slot matches all of them: " + ", ".join(said)
        reason += "; " + ", ".join(near) if near else ""
        todo = ["Loosen one of these requirements in the rule or the profile", *(f"lower {one}" for one in lower)]
    else:
        they = ("it", "both", "all of it")[min(len(amounts), 3) - 1]
        reason = f"asks for {listed(list(amounts.values()), len(amounts))}, and no slot has {they}"
        reason += ": " + ", ".join(near) if near else ""
        todo = [f"Lower {', or '.join(lower)}" if lower else "Ask for less"]
    requests = [f"{resource}={_number(job, f'Request{resource}'):g}" for resource in amounts]
    return Diagnosis(
        Word.NEVER,
        "never together: " + ", ".join([*requests, *sorted(texts)]),
        f"{reason}; 0 of {count(len(pairs), 'slot')} match",
        f"{', '.join(todo)}, or ask the pool's admin for such a node",
    )


def _refused(job: classad.ClassAd, agreeing: Sequence[Pair], total: int) -> Diagnosis:
    refusals = _by_text([clause for clause in pair.slot_clauses if not clause.possible] for pair in agreeing)
    texts = sorted(refusals, key=lambda text: (-len(refusals[text]), text))
    said = []
    for text in texts[:3]:
        where = sorted({pair.machine for pair in agreeing if any(clause.text == text for clause in pair.slot_clauses)})
        said.append(f"{shown(text)} on {listed(where)}")
    owner = job.get("Owner", "?")
    return Diagnosis(
        Word.NEVER,
        "never refused: " + ", ".join(texts),
        f"{len(agreeing)} of {count(total, 'slot')} would suit its requirements, but by START "
        f"{form(len(agreeing), 'refuses', 'refuse')} the job (user {owner}): {', '.join(said)}",
        "Ask the pool's admin whether you may use these nodes, or what a job must carry to be let in, such as an "
        "accounting group or an attribute of its own",
    )


# --- one could, but not now ---


def _not_yet(job: classad.ClassAd, slots: Sequence[classad.ClassAd], match: Match, pool: Pool) -> Diagnosis:
    could = [pair for pair in match.pairs if pair.could]
    free_of = {
        state: [pair for pair in match.pairs if pair.ever and pair.state == state]
        for state in ("busy", "draining", "offline")
    }
    if could and (busy := [pair for pair in could if pair.state == "busy"]):
        return _busy(job, slots, busy, len(match.pairs), pool)
    if draining := free_of["draining"]:
        hosts = sorted({pair.machine for pair in draining})
        return Diagnosis(
            Word.NOT_YET,
            "draining",
            f"{_share(draining, match)} could take it and {form(len(draining), 'is', 'are')} draining, that is, "
            f"take no new jobs: {listed(hosts)}",
            "It starts when the admin has ended that (condor_drain -cancel)",
        )
    offline = [pair for pair in could if pair.state == "offline"]
    if offline and all(pair.state in ("offline", "absent") for pair in could):
        hosts, verb = sorted({pair.machine for pair in offline}), form(len(offline), "is", "are")
        return Diagnosis(
            Word.NOT_YET,
            "offline",
            f"{_share(offline, match)} could take it and {verb} switched off: {listed(hosts)}",
            "It starts when the pool has woken one of them; ask the admin whether it does so by itself",
        )
    if all(pair.state == "broken" for pair in match.pairs if pair.ever):
        return _broken(slots, match)
    if all(pair.state == "absent" for pair in match.pairs if pair.ever):
        return _absent(match)
    return _not_now(job, slots, match)


def _besides(found: Diagnosis, job: classad.ClassAd, pool: Pool) -> Diagnosis:
    """Add what would keep the job from starting on a slot that is free, too; its remedy comes first."""
    others = [other for other in (_no_negotiator(pool), _quota(job, pool)) if other]
    if not others:
        return found
    return replace(
        found,
        key=", ".join([found.key, *(other.key for other in others)]),
        reason="; besides, ".join([found.reason, *(other.reason for other in others)]),
        remedy=". ".join(other.remedy for other in others),
    )


def _broken(slots: Sequence[classad.ClassAd], match: Match) -> Diagnosis:
    """No slot could take it but those that their nodes have found to be out of order."""
    pairs = [pair for pair in match.pairs if pair.ever]
    why = "; ".join(sorted({str(slot["SlotBrokenReason"]) for slot in slots if "SlotBrokenReason" in slot}))
    hosts = listed(sorted({pair.machine for pair in pairs}))
    verb, they = form(len(pairs), "is", "are"), form(len(pairs), "it", "they")
    return Diagnosis(
        Word.NOT_YET,
        "broken",
        f"{_share(pairs, match)} {verb} out of order, so what {they} could take isn't known: {hosts} ({why}); no other "
        "can take it",
        "Tell the pool's admin: the node's StartLog says more, and a restart of its condor_startd repairs most",
    )


def _absent(match: Match) -> Diagnosis:
    """No slot could take it but those of nodes that the collector has on record and doesn't hear of any more."""
    pairs = [pair for pair in match.pairs if pair.ever]
    hosts, verb = sorted({pair.machine for pair in pairs}), form(len(pairs), "is", "are")
    return Diagnosis(
        Word.NOT_YET,
        "absent",
        f"{_share(pairs, match)} could take it and {verb} absent, that is, not heard of any more: {listed(hosts)}",
        "It starts when such a node is back; ask the pool's admin (condor_status -absent)",
    )


def _share(pairs: Sequence[Pair], match: Match) -> str:
    return f"{len(pairs)} of {count(len(match.pairs), 'slot')}"


def _busy(
    job: classad.ClassAd, slots: Sequence[classad.ClassAd], busy: Sequence[Pair], total: int, pool: Pool
) -> Diagnosis:
    names = {pair.slot for pair in busy}
    chosen = [slot for slot in slots if slot.get("Name") in names]
    running = sum(_jobs_on(slot) for slot in chosen)
    parts = [slot for slot in chosen if slot.get("PartitionableSlot") is True]
    left = [words for resource in ("Cpus", "Memory", "GPUs") if parts and (words := _left(job, parts, resource))]
    reason = f"{len(busy)} of {count(total, 'slot')} could take it, and all are busy with {count(running, 'job')}"
    reason += f" ({'; '.join(left)})" if left else ""
    if turn := _turn(job, pool):
        reason += f"; {turn}"
    return Diagnosis(
        Word.NOT_YET, "busy", reason, "It starts when one of them is free; a smaller request may fit sooner"
    )


def _left(job: classad.ClassAd, slots: Sequence[classad.ClassAd], resource: str) -> str:
    """Say how much of a resource is left, where that is less than the job asks for."""
    asked, most = _number(job, f"Request{resource}"), max(_number(slot, resource) for slot in slots)
    if most >= asked:
        return ""
    return f"at most {_unit(most, resource)} free, it asks for {_unit(asked, resource, short=True)}"


def _jobs_on(slot: classad.ClassAd) -> int:
    return int(_number(slot, "NumDynamicSlots")) if slot.get("PartitionableSlot") is True else 1


def _turn(job: classad.ClassAd, pool: Pool) -> str:
    """Say whose turn it is: the user's effective priority, who has a better one, and how many idle jobs come before."""
    user = str(job.get("User") or "")
    if group := str(job.get("AccountingGroup") or ""):
        user = f"{group}@{user.partition('@')[2]}"
    users = {str(ad.get("Name")): ad for ad in pool.accounting if ad.get("IsAccountingGroup") is not True}
    if user not in users:
        return ""
    own = _number(users[user], "Priority")
    better = {name for name, ad in users.items() if name != user and _number(ad, "Priority") < own}
    active = sum(
        _number(users[name], "WeightedResourcesUsed") > 0 or _number(users[name], "Requested") > 0 for name in better
    )
    others = f"{count(active, 'active user')} {form(active, 'has', 'have')} a better one"
    turn = _before(pool.ahead + _idle_jobs(pool, better), max(0, _idle_jobs(pool, {user}) - pool.idle))
    return f"your priority is {own:,.1f} (lower is better), {others}; {turn}"


def _idle_jobs(pool: Pool, users: Container[str]) -> int:
    """Return how many idle jobs users have on all access points, as the collector has heard some time ago."""
    return sum(int(_number(ad, "IdleJobs")) for ad in pool.submitters if str(ad.get("Name")) in users)


def _before(ahead: int, more: int) -> str:
    """Say how many idle jobs come before a job, and how many more of the same user, of other runs, may."""
    jobs = f"{count(ahead, 'idle job')} {form(ahead, 'is', 'are')} ahead of it"
    if not more:
        return jobs if ahead else "no idle job is ahead"
    if ahead:
        return f"{jobs}, and up to {more:,} more of yours may be"
    return f"up to {count(more, 'more idle job')} of yours may be ahead of it"


def _not_now(job: classad.ClassAd, slots: Sequence[classad.ClassAd], match: Match) -> Diagnosis:
    """What keeps the job from starting is bound to change: load, time, free disk, a node's own condition."""
    pairs = [pair for pair in match.pairs if pair.ever]
    wants = _by_text([c for c in pair.job_clauses if c.now in (FALSE, NEITHER)] for pair in pairs)
    takes = _by_text([c for c in pair.slot_clauses if c.now in (FALSE, NEITHER)] for pair in pairs)
    asked = {text: _resource(text) for text in [*wants, *takes]}
    lacking = {one for one in asked.values() if one and _number(job, f"Request{one}") > _largest(slots, one)[0]}
    others = [text for text, resource in asked.items() if resource not in lacking]
    parts = [_amount(job, slots, resource, what="most that is free is") for resource in sorted(lacking)]
    for text in others[:3]:
        clauses = {*wants.get(text, ()), *takes.get(text, ())}  # by what they are now, too
        hosts = sorted({pair.machine for pair in pairs if clauses & {*pair.job_clauses, *pair.slot_clauses}})
        side = "START of" if text in takes else "not so on"
        parts.append(f"{shown(text)} ({side} {listed(hosts)})")
    if others and not lacking:
        parts[0] = f"{_share(pairs, match)} could take it, but not as things are now: {parts[0]}"
    todo = (
        f"It starts when there is more free disk on a node; lower {setting('disk_mb', 'disk_mb of the rule')} "
        "where it asks for too much"
        if lacking and not others
        else "It starts when that changes; where it never does, ask the pool's admin what these nodes wait for"
    )
    return Diagnosis(Word.NOT_YET, "not now: " + ", ".join([*sorted(lacking), *others]), "; ".join(parts), todo)


# --- slots that are free would take it ---


def _fits(job: classad.ClassAd, match: Match, pool: Pool) -> Diagnosis:
    fitting = [pair for pair in match.pairs if pair.fits]
    verb = form(len(fitting), "is", "are")
    share = f"{len(fitting)} of {count(len(match.pairs), 'slot')} {verb} free and would take it"
    if found := _no_negotiator(pool):
        return replace(found, reason=f"{share}, but {found.reason}")
    if found := _quota(job, pool):
        return found
    if found := _rejection(job, share):
        return found
    if found := _access_point_full(pool, share):
        return found
    matched, started = _number(job, "NumJobMatches"), _number(job, "NumShadowStarts")
    if matched >= 3 and matched > started:
        return Diagnosis(
            Word.NOT_YET,
            "matched, not started",
            f"{share}; it was matched {matched:.0f} times and never started: the slots turned it down, or the access "
            "point could not reach them",
            "The access point's SchedLog and ShadowLog, and StartLog on the node, say which",
        )
    return Diagnosis(
        Word.NOT_YET,
        NEXT_CYCLE,
        f"{share}; the negotiator has not come to it yet",
        "It starts within a few negotiation cycles; where it doesn't, look at: condor_q -better-analyze "
        f"{job.get('ClusterId', '')}".rstrip(),
    )


def _no_negotiator(pool: Pool) -> Diagnosis | None:
    if not pool.negotiator:
        return None
    return Diagnosis(
        Word.NOT_YET,
        "negotiator",
        f"{pool.negotiator}, so no job is matched",
        "Tell the pool's admin: condor_negotiator on the central manager has to run and answer (its NegotiatorLog)",
    )


def _quota(job: classad.ClassAd, pool: Pool) -> Diagnosis | None:
    group = str(job.get("AcctGroup") or "")
    if not group:
        return None
    for ad in pool.accounting:
        if ad.get("IsAccountingGroup") is not True or str(ad.get("Name")).lower() != group.lower():
            continue
        quota, used, asks = _cores(ad), _number(ad, "WeightedResourcesUsed"), _number(job, "RequestCpus")
        if quota is None or str(ad.get("SurplusPolicy", "no")).lower() != "no" or used + asks <= quota:
            return None
        if asks > quota:
            most = f"lower {_at_most('Cpus', math.floor(quota))}, " if quota >= 1 else ""
            todo = f"{most}ask the pool's admin for a larger quota, or use another group"
            return Diagnosis(
                Word.NOT_YET,
                f"larger than quota {group}",
                f"it asks for {count(int(asks), 'core')}, and the whole quota of accounting group {group} is {quota:g}",
                todo[0].upper() + todo[1:],
            )
        return Diagnosis(
            Word.NOT_YET,
            f"quota {group}",
            f"the quota of accounting group {group} is reached: it uses {used:g} of {quota:g} cores, and the job "
            f"asks for {asks:g}",
            "It starts when jobs of the group end; ask the pool's admin for a larger quota, or use another group",
        )
    return None


def _cores(group: classad.ClassAd) -> float | None:
    """Return a group's quota in cores; None where it isn't known.

    Before the negotiator's first cycle there is but what was configured, and that may be a share of the pool.
    """
    effective, configured = _number(group, "EffectiveQuota"), _number(group, "ConfigQuota")
    return effective or (configured if configured > 1 else None)


def _rejection(job: classad.ClassAd, share: str) -> Diagnosis | None:
    """What the negotiator itself says of its last look at the job, where that is more than that nothing matched."""
    reason = " ".join(str(job.get("LastRejMatchReason") or "").split())
    if (
        not reason
        or "no match found" in reason.lower()
        or _number(job, "LastMatchTime") > _number(job, "LastRejMatchTime")
    ):
        return None
    limit = re.search(r"concurrency limit (?:\S+ )?(\S+) reached|concurrency limit (\S+)", reason, re.IGNORECASE)
    if limit or "concurrency" in reason.lower():
        return Diagnosis(
            Word.NOT_YET,
            f"concurrency: {reason}",
            f"a concurrency limit that the job names is used up (the negotiator: {reason})",
            "It starts when jobs under the same limit end; condor_userprio -l and the admin tell its size",
        )
    return Diagnosis(
        Word.NOT_YET,
        f"rejected: {reason}",
        f"{share}, but the negotiator passed over the job: {reason}",
        "Your share of the pool, or your group's, is used up for now; it starts when jobs end",
    )


def _access_point_full(pool: Pool, share: str) -> Diagnosis | None:
    running, most = pool.schedd.get("TotalRunningJobs"), pool.schedd.get("MaxJobsRunning")
    if not isinstance(running, int) or not isinstance(most, int) or running < most:
        return None
    return Diagnosis(
        Word.NOT_YET,
        "access point full",
        f"{share}, but this access point runs {running:,} jobs, as many as it may (MAX_JOBS_RUNNING)",
        "It starts when jobs end; ask the pool's admin to raise MAX_JOBS_RUNNING",
    )


def _number(ad: Any, name: str) -> float:
    if name not in ad:
        return 0.0
    try:
        value = ad.eval(name) if isinstance(ad, classad.ClassAd) else ad[name]
    except classad.ClassAdException:  # attributes that refer to each other in a circle
        return 0.0
    return float(value) if isinstance(value, int | float) and not isinstance(value, classad.Value) else 0.0


def shown(text: str) -> str:
    """Return an expression as it is quoted in a sentence, no longer than a line.

    >>> shown("LoadAvg < 3.000000000000000E-01")
    '`LoadAvg < 0.3`'
    """
    return f"`{_short(text)}`"


def _short(text: str) -> str:
    text = CLASSAD_FLOAT.sub(lambda found: f"{float(found[0]):g}", text)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
