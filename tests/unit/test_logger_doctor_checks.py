"""What the pool's answers mean, how it is told, and the exit code."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor import matching
from snakemake_logger_plugin_htcondor import questions as of_a_run
from snakemake_logger_plugin_htcondor.diagnosis import Pool, diagnose
from snakemake_logger_plugin_htcondor.doctor import asking, checks, cli, compatible, early, questions, report
from snakemake_logger_plugin_htcondor.doctor.asking import NoAnswer
from snakemake_logger_plugin_htcondor.doctor.plan import Plan, PlanError, PlannedJob, Request
from snakemake_logger_plugin_htcondor.doctor.report import Check, Result

from tests.unit.test_logger_alike import Fake
from tests.unit.test_logger_diagnosis import job
from tests.unit.test_logger_diagnosis import slot as machine

ROOT = Path(__file__).resolve().parents[2]
SILENT = NoAnswer("no answer within 5 s")


def daemon(name, version="23.9.6"):
    return {
        "name": name,
        "machine": name,
        "address": "<10.0.0.1:9618?alias=x>",
        "version": f"$CondorVersion: {version} 2024-08-08 $",
    }


def slot(machine, state="free", cores=2.0, version="23.9.6"):
    return {
        "name": f"slot1@{machine}",
        "machine": machine,
        "cores": cores,
        "memory": 8192.0,
        "state": state,
        "version": f"$CondorVersion: {version} 2024-08-08 $",
    }


def answers(**changes):
    return {
        "bindings": {
            "version": "$CondorVersion: 24.12.24 2026-09-24 $",
            "configuration": "/etc/condor/condor_config",
            "looked": "/etc/condor/condor_config",
            "collector": "cm",
        },
        "collector": {"collector": daemon("cm"), "negotiators": [daemon("cm")], "slots": [slot("ep1"), slot("ep2")]},
        "schedd": {"schedd": daemon("ap"), "user": "ada@pool", "methods": "IDTOKENS", "may_write": True},
        "negotiator": daemon("cm"),
    } | changes


def by_id(found):
    return {check.id: check for check in found}


def with_slots(*slots):
    return answers(collector={"collector": daemon("cm"), "negotiators": [], "slots": list(slots)})


class Negotiators:
    """A collector that knows of negotiators, by their address, with the error that a call of each ends in, or None.

    `matches` tells whether one has ended a cycle lately.
    """

    def __init__(self, monkeypatch, told, matches):
        self.told, self.matches, self.pinged = told, matches, []
        monkeypatch.setattr(questions.htcondor, "Collector", lambda: self)
        monkeypatch.setattr(questions.htcondor, "ping", self.ping)

    def query(self, kind, constraint="true", projection=()):
        if kind == questions.htcondor.AdType.Accounting:
            user = classad.ClassAd(
                {"Name": "ada@pool", "LastHeardFrom": int(time.time()) - (60 if self.matches else 300)}
            )
            return [user] if classad.ExprTree(constraint).eval(user) is True else []
        assert kind == questions.htcondor.AdType.Negotiator
        return [
            classad.ClassAd({"Name": "cm", "Machine": "cm", "MyAddress": address, "LastHeardFrom": 1000 - number})
            for number, address in enumerate(self.told)
        ]

    def ping(self, ad, authz=None):
        self.pinged.append(ad["MyAddress"])
        if words := self.told[ad["MyAddress"]]:
            raise RuntimeError(words)


# --- the pool ---


GONE = "Unable to connect to the remote daemon."


@pytest.mark.parametrize(
    "words", ["Failed to start command.", "AUTHENTICATE:1003:Failed to authenticate with any method"]
)
@pytest.mark.parametrize("others", [{}, {"<10.0.0.2:9618>": GONE}])
def test_a_negotiator_that_refuses_us_is_no_dead_one(monkeypatch, words, others):
    Negotiators(monkeypatch, {"<10.0.0.1:9618>": words} | others, matches=False)
    assert of_a_run.negotiator() == ""


def test_of_many_negotiators_one_that_answers_is_enough(monkeypatch):
    asked = Negotiators(monkeypatch, {"<10.0.0.1:9618>": GONE, "<10.0.0.2:9618>": None, "<10.0.0.3:9618>": GONE}, False)
    assert of_a_run.negotiator() == ""
    assert asked.pinged == ["<10.0.0.1:9618>", "<10.0.0.2:9618>"]


def test_a_negotiator_that_cannot_be_connected_to_is_dead_unless_it_was_at_work_lately(monkeypatch):
    Negotiators(monkeypatch, {"<10.0.0.1:9618>": GONE}, matches=False)
    assert of_a_run.negotiator() == f"the negotiator doesn't answer ({GONE})"
    Negotiators(monkeypatch, {"<10.0.0.1:9618>": GONE}, matches=True)
    assert of_a_run.negotiator() == "", "a firewall keeps it from us"


def test_no_negotiator_that_the_collector_knows_is_none_unless_it_was_at_work_lately(monkeypatch):
    Negotiators(monkeypatch, {}, matches=False)
    assert of_a_run.negotiator() == "no negotiator is known to the collector"
    Negotiators(monkeypatch, {}, matches=True)
    assert of_a_run.negotiator() == ""


def test_a_healthy_pool():
    found = checks.pool_checks(answers())
    assert {check.result for check in found} == {Result.PASS}
    assert [check.id for check in found] == [name for name in report.CHECKS if name.startswith("pool.")]
    assert by_id(found)["pool.collector"].sentence == "the collector answers: cm (10.0.0.1:9618)"
    assert by_id(found)["pool.nodes"].sentence == "2 execute nodes with 2 slots, 4 cores and 16 GB of memory"


def test_no_bindings_and_no_configuration_end_it_early():
    (only,) = checks.pool_checks(answers(bindings=NoAnswer("No module named 'htcondor2'")))
    assert only.result is Result.FAIL and "No module named" in only.sentence
    nowhere = answers()["bindings"] | {"configuration": "", "collector": ""}
    last = checks.pool_checks(answers(bindings=nowhere))[-1]
    assert (last.id, last.result) == ("pool.configuration", Result.FAIL)
    assert "(looked in /etc/condor/condor_config)" in last.sentence


def test_a_silent_collector_is_told_and_what_depends_on_it_is_not_run():
    found = by_id(checks.pool_checks(answers(collector=SILENT, negotiator=SILENT)))
    assert found["pool.collector"].sentence == "the collector cm does not answer: no answer within 5 s"
    for name in ("pool.negotiator", "pool.versions", "pool.nodes"):
        assert found[name].result is Result.NOT_RUN, name
    assert found["pool.schedd"].result is Result.PASS


def test_a_silent_schedd():
    found = by_id(checks.pool_checks(answers(schedd=SILENT)))
    assert found["pool.schedd"].result is Result.FAIL
    assert found["pool.authentication"].result is Result.NOT_RUN
    assert found["pool.versions"].result is Result.PASS


def test_a_silent_negotiator_and_none_at_all():
    silent = by_id(checks.pool_checks(answers(negotiator=SILENT)))["pool.negotiator"]
    assert silent.sentence.startswith("the negotiator on cm (10.0.0.1:9618) does not answer: ")
    none = by_id(checks.pool_checks(answers(negotiator={})))["pool.negotiator"]
    assert none.result is Result.FAIL and "knows of no negotiator" in none.sentence


REFUSING = daemon("cm") | {"refused": "Failed to start command."}


def test_a_negotiator_that_is_at_work_and_refuses_to_talk_is_a_warning():
    found = by_id(checks.pool_checks(answers(negotiator=REFUSING)))["pool.negotiator"]
    assert found.result is Result.WARN
    assert found.sentence == (
        "the negotiator on cm (10.0.0.1:9618) is at work but doesn't talk to you (Failed to start command.), so it is "
        "not checked"
    )


@pytest.mark.parametrize(
    ("pings", "matches", "refused"),
    [(None, False, None), ("Failed to start command.", False, "Failed to start command."), (GONE, True, GONE)],
)
def test_the_doctor_tells_a_negotiator_that_refuses_it_from_one_that_is_dead(monkeypatch, pings, matches, refused):
    asked = Negotiators(monkeypatch, {"<10.0.0.1:9618>": pings}, matches)
    found = questions.negotiator()
    assert found.get("refused") == refused
    assert found["machine"] == "cm"
    assert asked.pinged == ["<10.0.0.1:9618>"]


def test_the_doctor_says_of_a_negotiator_that_cannot_be_connected_to_what_the_bindings_say(monkeypatch):
    Negotiators(monkeypatch, {"<10.0.0.1:9618>": GONE}, matches=False)
    with pytest.raises(RuntimeError, match="Unable to connect"):
        questions.negotiator()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"user": "x@pool", "methods": "FS", "may_write": False}, "does not let you submit as x@pool"),
        ({"refused": "Failed to start command."}, "does not let you submit: Failed to start command."),
    ],
)
def test_who_may_not_submit_is_told(told, words):
    found = by_id(checks.pool_checks(answers(schedd={"schedd": daemon("ap"), **told})))["pool.authentication"]
    assert found.result is Result.FAIL and words in found.sentence


def test_nodes_that_drain_or_are_switched_off_are_a_warning():
    found = checks.pool_checks(with_slots(slot("ep1"), slot("ep2", "draining"), slot("ep3", "offline")))
    warned = [check.sentence for check in found if check.result is Result.WARN]
    assert warned == ["1 execute node is draining: ep2", "1 execute node is offline: ep3"]


def test_no_node_at_all_is_a_failure():
    assert by_id(checks.pool_checks(with_slots()))["pool.nodes"].result is Result.FAIL


def test_a_node_is_at_what_its_best_slot_is_at():
    slots = [slot("b", "busy"), slot("b", "draining"), slot("a", "offline"), slot("b", "free")]
    assert checks.states_of(slots) == {"a": "offline", "b": "free"}


def test_versions_more_than_a_series_apart_are_a_warning():
    found = by_id(checks.pool_checks(with_slots(slot("ep1"), slot("old", version="9.0.1"))))["pool.versions"]
    assert found.result is Result.WARN
    assert found.sentence == "more than one series of HTCondor lies between old (9.0.1) and the bindings (24.12.24)"


@pytest.mark.parametrize(
    ("old", "new", "together"),
    [
        ("23.0.1", "24.12.4", True),
        ("23.9.6", "25.0.1", False),
        ("10.9.0", "23.0.1", True),
        ("9.0.1", "23.0.1", False),
        ("8.8.1", "9.1.0", True),
        ("7.0.1", "8.0.1", True),
        ("", "25.0.1", True),  # unknown
    ],
)
def test_neighbouring_series_go_together(old, new, together):
    assert (compatible.apart({"a": old, "b": new}) is None) is together


# --- the run ---


def planned(rule, **about):
    return PlannedJob(rule, 1, {}, 1, about.pop("resources", {}), about.pop("group", False), works=True)


def run_checks(plan, told=None):
    return list(checks.run_checks(PlanError(plan) if isinstance(plan, str) else plan, told or answers()))


def test_a_run_without_a_plan():
    first, second = run_checks("Snakemake's dry run fails: x")
    assert (first.id, first.result) == ("run.plan", Result.FAIL)
    assert (second.id, second.result) == ("run.match", Result.NOT_RUN)


def test_an_executor_that_submits_nothing():
    last = run_checks(Plan("local", jobs=(planned("a"),)))[-1]
    assert last.sentence == "executor local submits no HTCondor jobs"


def test_an_executor_that_is_not_told():
    last = run_checks(Plan("", jobs=(planned("a"),)))[-1]
    assert (last.id, last.result) == ("run.match", Result.NOT_RUN)


def test_no_match_is_looked_for_without_a_schedd():
    found = run_checks(Plan("htcondor", jobs=(planned("a"),)), answers(schedd=SILENT))
    assert found[-1].sentence == "the schedd does not answer"


def test_groups_and_unknown_requests_are_not_run():
    jobs = (planned("g", group=True), planned("b", resources={"request_memory": "<TBD>"}))
    found = [check.line for check in run_checks(Plan("htcondor", jobs=jobs)) if check.result is Result.NOT_RUN]
    assert found == [
        "rule b: what it asks for is not known before its inputs exist (request_memory)",
        "rule g: its jobs run in groups, whose requests are sums",
    ]


@pytest.mark.parametrize(
    ("word", "key", "result"),
    [
        ("FITS", "", Result.PASS),
        ("NOT YET", "busy", Result.PASS),
        ("NOT YET", "not now: Disk", Result.WARN),
        ("NOT YET", "draining", Result.WARN),
        ("NOT YET", "offline", Result.WARN),
        ("NOT YET", "quota group_x", Result.WARN),
        ("UNKNOWN", "no slots", Result.WARN),
        ("NEVER", "never Memory", Result.FAIL),
        ("REFUSED", "", Result.FAIL),
    ],
)
def test_a_verdict_decides(word, key, result):
    verdict = {"word": word, "key": key, "reason": "because.", "remedy": "Do it."}
    check = checks.verdict_check(Request("fit", 1, {}), verdict)
    assert check.result is result
    assert check.line.startswith("rule fit: ") and "because" in check.line
    assert bool(check.remedy) is (result is not Result.PASS)


def verdict_of(ad, *slots, **pool):
    """Return the check that the doctor makes of a job and its pool."""
    return checks.verdict_check(Request("fit", 1, {}), questions._told(diagnose(ad, list(slots), Pool(**pool))))


def test_a_disk_that_no_node_has_free_is_a_warning_with_the_remedy():
    found = verdict_of(job(RequestDisk=200 * 1024**3), machine(), machine("ep2"))
    assert found.result is Result.WARN
    assert found.sentence.startswith("NOT YET: asks for 200 TB of disk, the most that is free is ")
    assert found.remedy.startswith("It starts when there is more free disk on a node; lower disk_mb")


def test_nodes_that_take_no_job_as_things_are_now_are_a_warning():
    for start in ("false", "LoadAvg < 0.3"):
        found = verdict_of(job(), machine("ep1", start), machine("ep2", start))
        assert found.result is Result.WARN and found.remedy
        assert found.sentence.startswith("NOT YET: 2 of 2 slots could take it, but not as things are now: ")


def test_a_quota_that_is_reached_is_a_warning_though_slots_are_free():
    group = {"Name": "group_x", "IsAccountingGroup": True, "EffectiveQuota": 2.0, "WeightedResourcesUsed": 2.0}
    found = verdict_of(job(AcctGroup="group_x"), machine(), accounting=[group])
    assert found.result is Result.WARN
    assert found.sentence.startswith("NOT YET: the quota of accounting group group_x is reached: ")


def test_slots_that_are_all_busy_pass_and_free_ones_are_counted():
    full = machine(State="Claimed", PartitionableSlot=False)
    assert verdict_of(job(), full).result is Result.PASS
    assert verdict_of(job(), full, machine("ep2")).sentence == "1 of 2 slots is free and would take it"


def test_where_jobs_may_go_to_other_pools_no_slot_here_is_no_failure():
    far = verdict_of(job(RequestMemory=102400), machine(), flocks="cm.example.org")
    assert far.result is Result.WARN and far.sentence.startswith("UNKNOWN: no slot of this pool can take it: ")
    assert verdict_of(job(RequestMemory=102400), machine()).result is Result.FAIL


class Site(Fake):
    """A pool and its schedd: what is submitted asks for so much memory, and is looked at where it is held."""

    began, most, slow = 0, 1000, 0.0

    def submit(self, description):
        if self.slow:
            time.sleep(self.slow)
        if description["request_memory"] == "refused":
            raise RuntimeError("no such unit")
        self.jobs.append(job(ClusterId=len(self.jobs) + 1, RequestMemory=int(description["request_memory"])))
        return SimpleNamespace(cluster=lambda: len(self.jobs))

    def locate(self, _):
        return {"Name": "ap"}

    def query(self, kind=None, constraint="true", projection=()):
        found = super().query(kind, constraint, projection)
        if kind == questions.htcondor.AdType.Collector:
            return [{"DaemonStartTime": self.began}]
        if kind == questions.htcondor.AdType.Schedd:
            return [classad.ClassAd({"Name": "ap", "TotalRunningJobs": 1000, "MaxJobsRunning": self.most})]
        return found


@pytest.fixture
def site(monkeypatch):
    """Return a function that makes a pool of slots, with what is to be otherwise there."""

    def make(*slots, **about):
        made = Site(list(slots), [])
        made.__dict__.update({"most": 10_000} | about)
        monkeypatch.setattr(questions.htcondor, "Collector", lambda: made)
        monkeypatch.setattr(questions.htcondor, "Schedd", lambda: made)
        monkeypatch.setattr(questions, "remove", lambda nonce: True)
        monkeypatch.setattr(questions, "AGAIN_SECONDS", 0.0)
        monkeypatch.setattr(of_a_run._Kept, "names", frozenset())
        monkeypatch.setattr(of_a_run._Kept, "jobs", {})
        return made

    return make


def matched(*megabytes, seconds=20.0):
    """Return the verdicts on requests for so much memory."""
    return questions.match([{"request_memory": str(mb)} for mb in megabytes], "nonce", True, seconds)


def words(verdicts):
    return [verdict and verdict["word"] for verdict in verdicts]


def test_a_collector_that_is_young_lets_nothing_be_said_to_be_never(site):
    site(machine(LastHeardFrom=1000), began=900)
    (verdict,) = matched(102400)
    found = checks.verdict_check(Request("fit", 1, {}), verdict)
    assert found.result is Result.WARN
    assert found.sentence.startswith("UNKNOWN: the pool's collector has been up for 1.7 min only")
    site(machine(LastHeardFrom=1000), began=10)
    assert words(matched(102400)) == ["NEVER"]


def test_never_takes_three_looks_and_all_else_one(site, monkeypatch):
    site(machine())
    waits = []
    monkeypatch.setattr(questions.time, "sleep", waits.append)
    assert words(matched(500)) == ["FITS"] and len(waits) == 0
    assert words(matched(102400, 500)) == ["NEVER", "FITS"] and len(waits) == 2


def test_a_never_that_there_is_no_time_to_look_at_again_is_told(site, monkeypatch):
    site(machine())
    judged, real, clock = [], of_a_run.diagnose, [time.monotonic()]

    def slow(*about):
        judged.append(about)
        clock[0] += 0.1
        return real(*about)

    monkeypatch.setattr(of_a_run, "diagnose", slow)
    monkeypatch.setattr(questions.time, "monotonic", lambda: clock[0])
    assert words(matched(102400, 204800, 409600, seconds=0.5)) == ["NEVER"] * 3
    assert 3 < len(judged) < 9


def test_a_slot_that_goes_or_comes_between_two_looks_makes_it_no_never(site, monkeypatch):
    pool = site(machine(), machine("ep2"))
    monkeypatch.setattr(questions.time, "sleep", lambda _: pool.slots.pop() if len(pool.slots) > 1 else None)
    (gone,) = matched(102400)
    assert (gone["word"], gone["reason"][:47]) == ("UNKNOWN", "1 slot that the pool had before is gone (slot1@")
    large = machine("ep3", Memory=204800, TotalSlotMemory=204800)
    monkeypatch.setattr(questions.time, "sleep", lambda _: pool.slots.append(large))
    assert words(matched(102400)) == ["FITS"]


def test_an_access_point_that_may_run_no_more_jobs_is_a_warning(site):
    site(machine(), most=1000)
    (verdict,) = matched(500)
    assert (verdict["word"], verdict["key"]) == ("NOT YET", "access point full")


def test_the_pool_that_is_judged_knows_where_jobs_may_go(site, monkeypatch):
    monkeypatch.setattr(questions.htcondor, "param", {"FLOCK_TO": "cm.example.org"})
    site(machine())
    assert words(matched(102400)) == ["UNKNOWN"]


def test_each_kind_of_slot_is_judged_once_as_in_a_run(site, monkeypatch):
    looked, real = [], matching._pair
    monkeypatch.setattr(matching, "_pair", lambda *about: looked.append(about) or real(*about))
    site(*[machine(f"ep{number}", MyAddress=f"{number}") for number in range(200)])
    assert words(matched(500)) == ["FITS"]
    assert len(looked) == 1


def test_what_was_judged_in_time_is_told_and_the_rest_is_not_judged(site):
    site(machine())
    assert words(matched("refused", 500, 600, 700, seconds=0.0)) == ["REFUSED", "FITS", None, None]
    assert words(matched(102400, 500, seconds=0.0)) == ["NEVER", None], "one look is better than none"
    pool = site(machine(), slow=0.2)
    assert words(matched(500, 600, 700, seconds=0.3)) == ["FITS", None, None]
    assert len(pool.jobs) == 1


def test_what_was_not_judged_in_time_is_a_warning_for_each_rule(monkeypatch):
    plan = Plan("htcondor-steady", jobs=tuple(planned(rule, resources={"mem_mb": 1}) for rule in ("a", "b", "c")))
    fits = {"word": "FITS", "key": "", "reason": "1 of 2 slots is free and would take it", "remedy": ""}
    told = {"match": [fits, None, None], "remove": True}
    monkeypatch.setattr(checks, "ask", lambda question, seconds, /, **_: told[question])
    found = [(check.result, check.line) for check in run_checks(plan) if check.id == "run.match"]
    late = "there was no time, within 60 s, to judge all that it asks for"
    assert found == [
        (Result.PASS, "rule a: 1 of 2 slots is free and would take it"),
        (Result.WARN, f"rule b: {late}"),
        (Result.WARN, f"rule c: {late}"),
    ]


def test_no_verdict_at_all_is_a_warning_and_says_nothing_of_submitting(monkeypatch):
    def silent(question, seconds, /, **_):
        raise NoAnswer("no answer within 60 s")

    monkeypatch.setattr(checks, "ask", silent)
    last = run_checks(Plan("htcondor", jobs=(planned("a"),)))[-1]
    assert last.result is Result.WARN
    assert last.sentence == "whether slots can take the jobs could not be found out: no answer within 60 s"


# --- as a run begins ---


def test_a_healthy_pool_is_not_worth_a_line():
    healthy = [asdict(check) for check in checks.pool_checks(answers())]
    assert early.lines(healthy, looked=False) == []


def test_what_is_wrong_as_a_run_begins_is_said_with_the_remedy_and_not_what_depends_on_it():
    found = [asdict(check) for check in checks.pool_checks(answers(collector=SILENT, negotiator=SILENT))]
    (only,) = early.lines(json.loads(json.dumps(found)), looked=False)
    assert only.startswith("the collector cm does not answer: no answer within 5 s. See that condor_collector runs")
    assert only.endswith("in the configuration names it.")


def test_what_the_executor_has_had_told_is_not_said_again():
    found = [asdict(check) for check in checks.pool_checks(with_slots() | {"negotiator": SILENT})]
    told = early.lines(found, looked=False)
    assert len(told) == 2 and "negotiator does not answer" in told[0] and "no execute node" in told[1]
    assert early.lines(found, looked=True) == []


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["free", "draining", "offline"], []),
        (["busy", "draining"], []),
        (["draining", "draining"], ["2 execute nodes are draining: ep1 and ep2"]),
        (["offline", "draining"], ["1 execute node is draining: ep2", "1 execute node is offline: ep1"]),
    ],
)
def test_as_a_run_begins_nodes_that_take_no_job_are_said_where_no_other_is_left(monkeypatch, states, said):
    nodes = with_slots(*[slot(f"ep{number}", state) for number, state in enumerate(states, 1)])
    root = {
        "folder": [1 << 40, 1 << 41],
        "scratch": [1 << 40, 1 << 41],
        "mountinfo": ["21 1 8:1 / / rw - ext4 /dev/a rw"],
    }
    monkeypatch.setattr(checks, "ask_all", lambda questions: nodes | {"space": root})
    found = [asdict(check) for check in checks.quick(Path("/folder"))]
    assert [line.partition(". ")[0] for line in early.lines(found, looked=True)] == said


def test_as_a_run_begins_a_negotiator_that_does_not_talk_to_us_is_not_worth_a_line(monkeypatch):
    told = answers(negotiator=REFUSING, space=NoAnswer("not asked"))
    monkeypatch.setattr(checks, "ask_all", lambda questions: told)
    assert "pool.negotiator" not in [check.id for check in checks.quick(Path("/folder"))]


def test_the_look_is_taken_in_a_process_of_its_own_where_there_is_no_pool(monkeypatch):
    monkeypatch.setenv("CONDOR_CONFIG", "ONLY_ENV")
    monkeypatch.delenv("_condor_COLLECTOR_HOST", raising=False)
    said, failed = [], []
    began = time.monotonic()
    look = early.EarlyLook(lambda level, text: said.append((level, text)), failed.append)
    assert time.monotonic() - began < 1, "the run goes on"
    look.join(20)
    assert failed == []
    assert [text.partition(". ")[0] for level, text in said if "HTCondor configuration" in text] == [
        "no HTCondor configuration that names a collector was found in ONLY_ENV"
    ]


def test_a_run_that_is_over_is_told_nothing_more(monkeypatch):
    monkeypatch.setenv("CONDOR_CONFIG", "ONLY_ENV")
    said, failed = [], []
    look = early.EarlyLook(lambda *line: said.append(line), failed.append)
    look.close()
    look.join(20)
    assert (said, failed) == ([], [])


def test_a_look_that_fails_is_counted(monkeypatch):
    def broken(module):
        raise OSError("no process")

    monkeypatch.setattr(early, "start", broken)
    failed = []
    early.EarlyLook(print, failed.append).join(20)
    assert [str(error) for error in failed] == ["no process"]


# --- how it is told ---

FOUND = [
    Check("pool.schedd", Result.PASS, "the schedd answers"),
    Check("run.match", Result.FAIL, "NEVER: asks for 100 GB", "Lower it", "rule fit"),
    Check("node.probe", Result.NOT_RUN, "no node"),
    Check("node.clock", Result.WARN, "off by 9 s", "Set it", "ep1"),
]


def test_plain_text_where_there_is_no_terminal():
    file = io.StringIO()
    report.write(FOUND, file)
    assert file.getvalue() == (
        "PASS    pool.schedd: the schedd answers.\n"
        "FAIL    run.match: rule fit: NEVER: asks for 100 GB.\n"
        "        -> Lower it.\n"
        "NOT RUN node.probe: no node.\n"
        "WARN    node.clock: ep1: off by 9 s.\n"
        "        -> Set it.\n"
        "1 check failed, 1 warning, 1 passed, 1 not run.\n"
    )


def test_a_terminal_gets_marks_and_all_of_the_words(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    file = Terminal()
    report.write(FOUND, file)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    for check in FOUND:
        assert check.id in shown
    assert "✗" in shown and "→ Lower it." in shown and "\x1b[" in file.getvalue()


def test_json_holds_everything():
    document = json.loads(report.as_json(FOUND))
    assert document["result"] == "fail"
    assert document["counts"] == {"pass": 1, "warn": 1, "fail": 1, "not run": 1}
    assert document["checks"][1] == {
        "id": "run.match",
        "result": "fail",
        "sentence": "NEVER: asks for 100 GB",
        "remedy": "Lower it",
        "subject": "rule fit",
    }
    assert json.loads(report.as_json([FOUND[3]]))["result"] == "warn"


def test_the_exit_code_tells_a_failure_from_a_warning():
    assert report.exit_code(FOUND) == 1
    assert report.exit_code([FOUND[0], FOUND[2], FOUND[3]]) == 0


def test_a_check_needs_a_known_id_and_a_remedy():
    with pytest.raises(ValueError, match="is no check"):
        Check("pool.weather", Result.PASS, "fine")
    with pytest.raises(ValueError, match="no remedy"):
        Check("pool.schedd", Result.FAIL, "silent")


def test_the_page_lists_every_check_and_no_other():
    text = (ROOT / "docs" / "doctor.md").read_text()
    listed = re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", text, re.MULTILINE)
    assert listed == list(report.CHECKS)


# --- the command line ---


def alone(*arguments, cwd, **environment):
    """Run the doctor where there is no pool."""
    paths = os.pathsep.join(path for path in sys.path if path)
    variables = os.environ | {"PYTHONPATH": paths, "CONDOR_CONFIG": "ONLY_ENV"} | environment
    return subprocess.run(
        [sys.executable, "-m", "snakemake_logger_plugin_htcondor.doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=variables,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [["--deadline", "0"], ["--deadline", "x"], ["--nonsense"], ["x"], ["--lock", "gone"]]
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments, tmp_path):
    done = alone(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_without_a_pool_it_says_so_as_json_alone(tmp_path):
    done = alone("--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 1 and document["result"] == "fail"
    results = {check["id"]: check["result"] for check in document["checks"]}
    assert results["pool.configuration"] == "fail"
    assert results["run.match"] == results["node.probe"] == "not run"
    assert list(tmp_path.iterdir()) == []


def test_a_collector_that_nobody_hears_is_told_in_time(tmp_path):
    settings = {"_CONDOR_COLLECTOR_HOST": "127.0.0.1:9", "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}
    began = time.monotonic()
    done = alone("--json", "--no-probe", "--", "--cores", "1", cwd=tmp_path, **settings)
    document = json.loads(done.stdout)
    told = {check["id"]: check["sentence"] for check in document["checks"] if check["result"] == "fail"}
    assert "the collector 127.0.0.1:9 does not answer" in told["pool.collector"]
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_what_the_terminal_has_no_letters_for_is_written_all_the_same(monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setattr(cli, "run", lambda *_: [Check("pool.nodes", Result.PASS, "caf\u00e9 \udcff\u2026")])
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding="ascii", write_through=True))
    assert cli.main(arguments) == 0
    text = said.getvalue().decode("ascii")
    if arguments:
        assert json.loads(text)["checks"][0]["sentence"] == "caf\u00e9 \udcff\u2026"
    else:
        assert text.startswith(r"PASS    pool.nodes: caf\xe9 \udcff\u2026.")


# --- lock files ---


def test_a_lock_file_is_read_with_its_markers(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text(
        "# made by a tool\n"
        "a==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n    # via b\n"
        "b[extra]==2.0 ; python_version >= '3' \\\n    --hash=sha256:22\n"
        "c==3.0 ; sys_platform == 'no such platform'\n"
        "--extra-index-url somewhere\n"
        "a==1.0 ; python_version >= '3'\n"
    )
    assert checks.lock_names(lock) == ["a", "b"]
    assert checks.lock_names(None) == []


def test_the_lock_of_this_project_is_read_whole():
    names = checks.lock_names(ROOT / "requirements.lock")
    assert {"snakemake", "rich", "polars"} <= set(names) and len(names) > 80


# --- processes ---


def test_a_question_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr("snakemake_logger_plugin_htcondor.asker.PYTHON", ("/bin/sleep",))  # it never reads the question
    monkeypatch.setattr(asking.subprocess, "Popen", _sleeping(asking.subprocess.Popen))
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="no answer within 1 s"):
        asking.ask("bindings", 1.0)
    assert time.monotonic() - began < 5


def _sleeping(popen):
    return lambda command, **options: popen(["/bin/sleep", "60"], **options)


def test_a_process_that_dies_is_told(monkeypatch):
    popen = asking.subprocess.Popen
    monkeypatch.setattr(asking.subprocess, "Popen", lambda command, **options: popen(["/bin/false"], **options))
    with pytest.raises(NoAnswer, match="ended with exit code 1"):
        asking.ask("bindings", 10.0)


def test_an_error_of_the_process_is_the_answer():
    with pytest.raises(NoAnswer, match="No such file"):
        asking.ask("space", 20.0, folder="/no/such/folder", scratch="/")


def test_a_signal_ends_it_in_order(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in cli.SIGNALS}
    undone = []

    def runs(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            undone.append(True)

    monkeypatch.setattr(cli, "run", runs)
    try:
        assert cli.main([]) == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert undone == [True]
    assert capsys.readouterr().err == "htcondor-doctor: interrupted; its jobs and files are removed\n"
