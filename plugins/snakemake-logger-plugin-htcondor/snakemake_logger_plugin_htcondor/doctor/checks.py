"""The checks, in their order: what is asked, and what the answers mean."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..asker import SPARE
from ..words import count, listed, megabytes
from .asking import NoAnswer, ask, ask_all
from .compatible import apart, locked_names, shown
from .nodes import (
    NO_JOBS,
    Finding,
    Here,
    broken_modules,
    findings,
    mount_finding,
    not_probed,
    parse,
    space_finding,
    together,
)
from .plan import EXECUTORS, Plan, PlanError, Request, dry_run, requests
from .report import Check, Result
from .versions import versions

DAEMON_SECONDS = 10.0  # for a daemon of the pool; HTCondor's own timeouts are 20 s and more
QUICK_SECONDS = 15.0  # a run doesn't wait for it, and a machine that is busy is no daemon that is silent
PLAN_SECONDS = 300.0
MATCH_SECONDS = 60.0
IMPORT_SECONDS = 30.0
LATER = "Try again when this host, the schedd and the collector have less to do; the run itself tells of jobs that wait"
PASS, WARN, FAIL, NOT_RUN = Result.PASS, Result.WARN, Result.FAIL, Result.NOT_RUN

Answers = Mapping[str, Any]


def quick(folder: Path, seconds: float = QUICK_SECONDS) -> list[Check]:
    """Check the pool, and the folder on this host: no job is submitted; about a second where all is well.

    Nodes that drain or are switched off are told where no other is left: on a large pool, some always are. That a
    negotiator at work doesn't talk to a user is no matter to a run.
    """
    answers = ask_all(_daemons(seconds) | {"space": (seconds, _places(folder))})
    found = [*pool_checks(answers), *place_checks(folder, answers["space"])]
    return [check for check in found if not (check.result is WARN and _is_no_matter(check, answers))]


def _is_no_matter(check: Check, answers: Answers) -> bool:
    return check.id == "pool.negotiator" or (check.id == "pool.nodes" and _takes_jobs(answers))


def _takes_jobs(answers: Answers) -> bool:
    """Whether a node takes jobs, now or when those on it end."""
    return any(state in ("free", "busy") for state in states_of(answers["collector"]["slots"]).values())


def ask_pool(seconds: float) -> dict[str, Any]:
    """Ask the daemons of the pool, all at once."""
    return ask_all(_daemons(seconds))


def _daemons(seconds: float) -> dict[str, tuple[float, dict[str, Any]]]:
    return {name: (seconds, {}) for name in ("bindings", "collector", "schedd", "negotiator")}


def _places(folder: Path) -> dict[str, str]:
    return {"folder": str(folder), "scratch": tempfile.gettempdir()}


# --- the pool ---


def pool_checks(answers: Answers) -> list[Check]:
    """Return what the answers of the pool's daemons mean."""
    if isinstance(answers["bindings"], NoAnswer):
        return [
            Check(
                "pool.bindings",
                FAIL,
                f"HTCondor's Python bindings can't be loaded: {answers['bindings']}",
                "Install the package htcondor, 24.5 or newer, into the environment of Snakemake",
            )
        ]
    bindings = answers["bindings"]
    checks = [Check("pool.bindings", PASS, f"HTCondor's Python bindings are {shown(bindings['version'])}")]
    checks.append(_configuration(bindings))
    if checks[-1].result is FAIL:
        return checks
    checks += [_collector(answers), _schedd(answers), _negotiator(answers), _versions(answers)]
    checks += [_authentication(answers), *_nodes(answers)]
    return checks


def _configuration(bindings: Answers) -> Check:
    if not bindings["collector"]:
        where = f"in {bindings['configuration']}" if bindings["configuration"] else f"(looked in {bindings['looked']})"
        return Check(
            "pool.configuration",
            FAIL,
            f"no HTCondor configuration that names a collector was found {where}",
            "Run this on the pool's access point, or set CONDOR_CONFIG to the path of its configuration",
        )
    place = bindings["configuration"] or "the environment"
    return Check("pool.configuration", PASS, f"{place} names the collector {bindings['collector']}")


def _collector(answers: Answers) -> Check:
    name = answers["bindings"]["collector"]
    told = answers["collector"]
    if isinstance(told, NoAnswer):
        remedy = (
            "See that condor_collector runs on that host and that port 9618 is open to this one; COLLECTOR_HOST in "
        )
        remedy += "the configuration names it"
        return Check("pool.collector", FAIL, f"the collector {name} does not answer: {told}", remedy)
    return Check("pool.collector", PASS, f"the collector answers: {_place(told['collector'])}")


def _place(daemon: Mapping[str, str]) -> str:
    address = daemon["address"].strip("<>").partition("?")[0]
    host = daemon["machine"] or daemon["name"]
    return f"{host} ({address})" if host and address else host or address


def _schedd(answers: Answers) -> Check:
    told = answers["schedd"]
    if isinstance(told, NoAnswer):
        remedy = "Run this on the access point; see there that condor_schedd runs (condor_who -daemons, its SchedLog)"
        return Check("pool.schedd", FAIL, f"the schedd of this host does not answer: {told}", remedy)
    return Check("pool.schedd", PASS, f"the schedd answers: {_place(told['schedd'])}")


def _negotiator(answers: Answers) -> Check:
    told = answers["negotiator"]
    remedy = "Tell the pool's admin: condor_negotiator on the central manager has to run and answer (its NegotiatorLog)"
    if isinstance(answers["collector"], NoAnswer):
        return Check("pool.negotiator", NOT_RUN, "the collector, which knows where it is, does not answer")
    if isinstance(told, NoAnswer):
        known = answers["collector"]["negotiators"]
        where = f" on {_place(known[0])}" if known else ""
        sentence = f"the negotiator{where} does not answer: {told}; so no job is matched"
        return Check("pool.negotiator", FAIL, sentence, remedy)
    if not told:
        sentence = "the collector knows of no negotiator, so no job is matched"
        return Check("pool.negotiator", FAIL, sentence, remedy)
    if refused := told.get("refused"):
        sentence = (
            f"the negotiator on {_place(told)} is at work but doesn't talk to you ({refused}), so it is not checked"
        )
        return Check("pool.negotiator", WARN, sentence, "Where no job starts, ask the pool's admin what its log says")
    return Check("pool.negotiator", PASS, f"the negotiator answers: {_place(told)}")


def _versions(answers: Answers) -> Check:
    if isinstance(answers["collector"], NoAnswer):
        return Check("pool.versions", NOT_RUN, "the collector does not answer")
    found = {
        "the bindings": answers["bindings"]["version"],
        "the collector": answers["collector"]["collector"]["version"],
    }
    if not isinstance(answers["schedd"], NoAnswer):
        found["the schedd"] = answers["schedd"]["schedd"]["version"]
    for daemon in answers["collector"]["negotiators"]:
        found["the negotiator"] = daemon["version"]
    for slot in answers["collector"]["slots"]:
        found[slot["machine"]] = slot["version"]
    if pair := apart(found):
        old, new = pair
        sentence = (
            f"more than one series of HTCondor lies between {old} ({shown(found[old])}) and {new} ({shown(found[new])})"
        )
        remedy = (
            "Versions so far apart may not understand each other: update the older one, or install bindings of the "
            "schedd's "
        )
        return Check("pool.versions", WARN, sentence, f"{remedy}series")
    numbers = sorted({shown(version) for version in found.values()} - {"unknown"})
    return Check("pool.versions", PASS, f"bindings and daemons are of versions that go together: {', '.join(numbers)}")


def _authentication(answers: Answers) -> Check:
    told = answers["schedd"]
    if isinstance(told, NoAnswer):
        return Check("pool.authentication", NOT_RUN, "the schedd does not answer")
    remedy = "You need credentials for this pool, such as a token in ~/.condor/tokens.d (condor_token_list tells), "
    remedy += "and the schedd's ALLOW_WRITE has to name you"
    if not told.get("may_write"):
        who = f" as {told['user']}" if told.get("user") else ""
        why = f": {told['refused']}" if told.get("refused") else ""
        return Check("pool.authentication", FAIL, f"the schedd does not let you submit{who}{why}", remedy)
    how = f" (by {told['methods']})" if told["methods"] else ""
    return Check("pool.authentication", PASS, f"the schedd knows you as {told['user']}{how} and lets you submit")


def _nodes(answers: Answers) -> Iterator[Check]:
    if isinstance(answers["collector"], NoAnswer):
        yield Check("pool.nodes", NOT_RUN, "the collector does not answer")
        return
    slots = answers["collector"]["slots"]
    if not slots:
        remedy = "Nodes may be starting, switched off, or unable to reach the collector: look at condor_status, and on "
        remedy += "a node at condor_who and its StartLog"
        yield Check("pool.nodes", FAIL, "the collector knows of no execute node, so no job can start", remedy)
        return
    states = states_of(slots)
    cores, memory = sum(slot["cores"] for slot in slots), sum(slot["memory"] for slot in slots)
    nodes = f"{count(len(states), 'execute node')} with {count(len(slots), 'slot')}, {count(int(cores), 'core')} and "
    nodes += f"{megabytes(memory)} of memory"
    yield Check("pool.nodes", PASS, nodes)
    for state, remedy in {
        "draining": "They take no new jobs until the admin has ended that: condor_drain -cancel",
        "offline": "They are switched off; ask the pool's admin whether the pool wakes them by itself",
    }.items():
        if hosts := [host for host, its in states.items() if its == state]:
            one = "is" if len(hosts) == 1 else "are"
            sentence = f"{count(len(hosts), 'execute node')} {one} {state}: {listed(hosts)}"
            yield Check("pool.nodes", WARN, sentence, remedy)


def states_of(slots: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what each node is at: as its slot that is nearest to taking a job."""
    order = ("free", "busy", "draining", "offline")
    found: dict[str, str] = {}
    for slot in slots:
        known = found.get(slot["machine"], "offline")
        found[slot["machine"]] = min(known, slot["state"], key=order.index)
    return dict(sorted(found.items()))


# --- the run ---


def plan_run(arguments: Sequence[str]) -> Plan | PlanError:
    """Return what a run would submit, or why that can't be told."""
    try:
        return dry_run(arguments, PLAN_SECONDS)
    except PlanError as error:
        return error


def run_checks(plan: Plan | PlanError, answers: Answers) -> Iterator[Check]:
    """Check whether a slot can ever take each rule's jobs, as they would be submitted."""
    if isinstance(plan, PlanError):
        yield Check("run.plan", FAIL, str(plan), "Run `snakemake --dry-run` with the same arguments, and correct that")
        yield Check("run.match", NOT_RUN, "the run can't be planned")
        return
    jobs = [job for job in plan.jobs if job.works]
    yield Check("run.plan", PASS, f"{count(len(jobs), 'job')} to run by executor {plan.executor or '(unknown)'}")
    if not plan.executor:
        yield Check("run.match", NOT_RUN, "this Snakemake doesn't tell which executor the run would use")
        return
    if plan.executor not in EXECUTORS:
        yield Check("run.match", NOT_RUN, f"executor {plan.executor} submits no HTCondor jobs")
        return
    asked = requests(plan)
    yield from _matches(asked.known, plan, answers)
    for rule, names in sorted(asked.later.items()):
        yield Check(
            "run.match",
            NOT_RUN,
            f"what it asks for is not known before its inputs exist ({names})",
            subject=f"rule {rule}",
        )
    for rule in asked.groups:
        yield Check("run.match", NOT_RUN, "its jobs run in groups, whose requests are sums", subject=f"rule {rule}")
    if asked.dropped:
        yield Check("run.match", NOT_RUN, f"{count(asked.dropped, 'more request')} beyond the largest ones")


def _matches(known: Sequence[Request], plan: Plan, answers: Answers) -> Iterator[Check]:
    silent = [name for name in ("schedd", "collector") if isinstance(answers[name], NoAnswer)]
    if silent:
        yield Check("run.match", NOT_RUN, f"the {silent[0]} does not answer")
        return
    if not known:
        return
    with own_jobs() as nonce:
        try:
            told = ask(
                "match",
                MATCH_SECONDS,
                descriptions=[dict(request.description) for request in known],
                nonce=nonce,
                shared=plan.shared,
                seconds=MATCH_SECONDS * SPARE,
            )
        except NoAnswer as problem:
            yield Check("run.match", WARN, f"whether slots can take the jobs could not be found out: {problem}", LATER)
            return
    yield from (verdict_check(request, verdict) for request, verdict in zip(known, told, strict=True) if verdict)
    for rule in sorted({request.rule for request, verdict in zip(known, told, strict=True) if not verdict}):
        sentence = f"there was no time, within {MATCH_SECONDS:.0f} s, to judge all that it asks for"
        yield Check("run.match", WARN, sentence, LATER, f"rule {rule}")


def verdict_check(request: Request, verdict: Mapping[str, str]) -> Check:
    """Return what a verdict on a request means."""
    subject, word, reason = f"rule {request.rule}", verdict["word"], verdict["reason"].rstrip(".")
    if word == "REFUSED":
        remedy = "Correct the resources of the rule or the profile that this submit command comes from"
        return Check("run.match", FAIL, f"HTCondor refuses its submit description: {reason}", remedy, subject)
    waits_its_turn = word == "NOT YET" and verdict["key"] == "busy"  # the pool works as it should
    if word == "FITS" or waits_its_turn:
        return Check("run.match", PASS, reason, "", subject)
    result = FAIL if word == "NEVER" else WARN
    return Check("run.match", result, f"{word}: {reason}", verdict["remedy"].rstrip("."), subject)


class own_jobs:  # noqa: N801 - used as a function
    """Gives a nonce for jobs, and sees to it that none of them stays in the queue."""

    def __enter__(self) -> str:
        """Return the nonce."""
        self._nonce = uuid.uuid4().hex
        return self._nonce

    def __exit__(self, kind: object, *_: object) -> None:
        """Remove the jobs, where the process that submitted them may not have done so."""
        for _attempt in range(3):
            try:
                if ask("remove", DAEMON_SECONDS, nonce=self._nonce):
                    return
            except NoAnswer:
                continue


# --- folders ---


def ask_places(folder: Path) -> Any:
    """Ask for space and mounts of the working folder and the scratch folder; a NoAnswer where there is none."""
    return ask_all({"space": (DAEMON_SECONDS, _places(folder))})["space"]


def place_checks(folder: Path, told: Any) -> Iterator[Check]:
    """Check space and mount options of the working folder and the scratch folder on this host."""
    if isinstance(told, NoAnswer):
        remedy = "Look at the mounts of this host: its file server may be away"
        yield Check("folder.space", FAIL, f"{folder} can't be looked at on this host: {told}", remedy)
        return
    scratch = _places(folder)["scratch"]
    mb = 1 << 20
    spaces = [
        (str(path), told[key][0] / mb, told[key][1] / mb) for path, key in ((folder, "folder"), (scratch, "scratch"))
    ]
    for finding in (
        space_finding("folder.space", spaces),
        mount_finding("folder.mount", str(folder), told["mountinfo"]),
    ):
        yield Check(finding.id, finding.result, finding.sentence, finding.remedy)


def node_checks(
    folder: Path, answers: Answers, seconds: float, names: Sequence[str], like: Mapping[str, str]
) -> list[Check]:
    """Run a small job on each node, all at once, and say what it found there; `like` is what `plan.in_common` tells."""
    silent = [name for name in ("collector", "schedd", "negotiator") if isinstance(answers[name], NoAnswer)]
    if not answers["negotiator"]:
        silent.append("negotiator")
    if silent:
        return [Check("node.probe", NOT_RUN, f"the {silent[0]} does not answer")]
    states = states_of(answers["collector"]["slots"])
    if not states:
        return [Check("node.probe", NOT_RUN, "there is no execute node")]
    found: dict[str, list[Finding]] = {node: [not_probed(its)] for node, its in states.items() if its in NO_JOBS}
    if len(found) == len(states):
        return together(found)
    parent = folder / ".snakemake" / "htcondor-doctor"
    with own_jobs() as nonce, _shared_folder(parent, nonce) as problem:
        if problem:
            remedy = "Start the run in a folder where you may write, with space left"
            return [Check("node.folder", FAIL, f"{folder} can't be written on this host: {problem}", remedy)]
        here = Here(
            str(folder), nonce, os.getuid(), sys.executable, sys.version.split()[0], dict(versions(list(names)))
        )
        try:
            rows = ask(
                "probe",
                seconds + 30,
                nodes=[node for node in states if node not in found],
                folder=str(folder),
                nonce=nonce,
                python=sys.executable,
                names=list(names),
                seconds=seconds,
                like=dict(like),
            )
        except NoAnswer as problem_there:
            remedy = "Look at: condor_q, and the schedd's SchedLog"
            return [Check("node.probe", FAIL, f"small jobs can't be run on the nodes: {problem_there}", remedy)]
    if any(not row["output"] for row in rows):
        states |= _states_now()  # a node that was free has its jobs by now, perhaps
    here = replace(here, broken=_broken_here(rows))
    return together(found | {row["node"]: list(findings(row, here, states[row["node"]], seconds)) for row in rows})


def _broken_here(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return which of the modules that a node could not import can't be imported on this host, either."""
    packages = {package for row in rows for package, _ in broken_modules(parse(row["output"])).values()}
    if not packages:
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="htcondor-doctor-") as place:
        names = Path(place) / "names.txt"
        names.write_text("\n".join(sorted(packages)) + "\n", encoding="utf-8")
        script = Path(__file__).with_name("imports.py")
        command = [sys.executable, str(script), str(names), str(IMPORT_SECONDS), "inf"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=2 * IMPORT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return frozenset()
    return frozenset(broken_modules(parse(done.stdout)))


def _states_now() -> dict[str, str]:
    try:
        return states_of(ask("collector", DAEMON_SECONDS)["slots"])
    except NoAnswer:
        return {}


class _shared_folder:  # noqa: N801 - used as a function
    """The doctor's own folder within the working folder; it goes again with all that the nodes wrote into it."""

    def __init__(self, parent: Path, nonce: str) -> None:
        self._parent, self._own, self._nonce = parent, parent / nonce, nonce

    def __enter__(self) -> str:
        """Make it; return what went wrong."""
        try:
            self._own.mkdir(parents=True)
            (self._own / "from-access-point").write_text(self._nonce + "\n", encoding="utf-8")
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def __exit__(self, *_: object) -> None:
        """Remove it, and its parents where nothing else is in them."""
        for path in [*self._own.glob("*")]:
            path.unlink(missing_ok=True)
        for folder in (self._own, self._parent, self._parent.parent):
            try:
                folder.rmdir()
            except OSError:
                break  # something else is in it


def lock_names(lock: Path | None) -> list[str]:
    """Return the packages that a lock file pins; none where there is no such file.

    Raises
    ------
    OSError
        Where it can't be read.
    """
    return locked_names(lock.read_text(encoding="utf-8")) if lock else []
