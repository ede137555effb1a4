"""Slots that are alike are judged once, with the same verdicts and words as if each were judged by itself."""

import ast
import inspect
import time

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor import alike, diagnosis, matching, questions
from snakemake_logger_plugin_htcondor.asker import JUDGING
from snakemake_logger_plugin_htcondor.diagnosis import Pool, diagnose
from snakemake_logger_plugin_htcondor.doctor import questions as doctor_questions
from snakemake_logger_plugin_htcondor.matching import Word

from tests.truth_ads import long_form, make_jobs, make_pool
from tests.unit.test_logger_diagnosis import gpu_job, gpu_slot

LIMITS = (
    "MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus && TARGET.RequestMemory <= MY.Memory && TARGET.RequestDisk <= Disk"
)
DEFAULT = '(TARGET.Arch == "X86_64") && (TARGET.Disk >= RequestDisk) && (TARGET.Memory >= RequestMemory)'


def ad(values, **expressions):
    made = classad.ClassAd(values)
    for name, text in expressions.items():
        made[name] = classad.ExprTree(text)
    return made


def slot(number, kind=0, start='TARGET.Owner =!= "bob" && LoadAvg < 3', **values):
    """A slot as a pool has them: no two with the same name, free disk and load."""
    has = {"Cpus": 16, "Memory": 16384 << kind, "Disk": 10**8 + number}
    about = {"Name": f"slot1@ep{number}", "Machine": f"ep{number}", "MyAddress": f"<10.0.0.1:{number}>"}
    about |= {"Arch": "X86_64", "State": "Unclaimed", "PartitionableSlot": True, "MachineResources": "Cpus Memory Disk"}
    totals = {f"TotalSlot{name}": value for name, value in has.items()}
    whole = about | has | totals | {"LoadAvg": 0.001 * number, "LastHeardFrom": 10**6 + number} | values
    return ad(whole, Start=start, WithinResourceLimits=LIMITS, Requirements="START && WithinResourceLimits")


def job(number=1, requirements=DEFAULT, **values):
    given = {"ClusterId": number, "Owner": "ann", "RequestCpus": 1, "RequestMemory": 500, "RequestDisk": 1024}
    return ad(given | {"JobStatus": 1, "JobUniverse": 5} | values, Requirements=requirements)


def prepared(slots, *jobs):
    return alike.prepared(slots, alike.reads([*slots, *jobs]))


@pytest.mark.parametrize("seed", range(1000, 1060))
def test_random_jobs_and_pools_have_the_same_verdicts_and_words(seed):
    slots = list(classad.parseAds(long_form(make_pool(seed).slots), classad.ParserType.Old))
    slots += slots[:3]  # of a kind
    jobs = list(classad.parseAds(long_form([one.ad for one in make_jobs(seed, 8)]), classad.ParserType.Old))
    once = prepared(slots, *jobs)
    for one in jobs:
        assert diagnose(one, once, Pool()) == diagnose(one, slots, Pool())
        found, whole = alike.judge(one, once), matching.judge(one, slots)
        assert found.word is whole.word
        assert [(p.slot, p.fits, p.could, p.ever, p.state) for p in found.pairs] == [
            (p.slot, p.fits, p.could, p.ever, p.state) for p in whole.pairs
        ]
        assert [p for p in found.pairs if p.ever] == [p for p in whole.pairs if p.ever], "also what is so now alone"


def test_slots_that_differ_in_names_free_disk_and_load_are_one_kind():
    slots = prepared([slot(number, number % 5) for number in range(100)], job())
    assert len({one.kind for one in slots}) == 5
    assert "MyAddress" not in slots[0]


@pytest.mark.parametrize(
    "requirements", [f'TARGET.Machine == "ep3" && {DEFAULT}', "TARGET.Paint == 3", 'eval("MyAddress") == "x"']
)
def test_what_a_job_looks_at_tells_slots_apart(requirements):
    one = job(requirements=requirements)
    slots = [slot(number, Paint=number) for number in range(5)]
    assert len({slot.kind for slot in prepared(slots, one)}) == 5
    assert diagnose(one, prepared(slots, one), Pool()) == diagnose(one, slots, Pool())


def test_a_figure_that_changes_is_looked_at_on_each_slot():
    slots = [slot(number, LoadAvg=9.0 if number % 2 else 0.1) for number in range(10)]
    pairs = alike.judge(job(), prepared(slots, job())).pairs
    assert [pair.fits for pair in pairs] == [True, False] * 5
    assert [pair.ever for pair in pairs] == [True] * 10


def test_each_kind_is_judged_once(monkeypatch):
    looked, real = [], matching._pair
    monkeypatch.setattr(matching, "_pair", lambda *about: looked.append(about) or real(*about))
    slots = prepared([slot(number, number % 5) for number in range(2000)], job())
    found = diagnose(job(RequestMemory=1 << 24), slots, Pool())
    assert found.word is Word.NEVER
    assert found.reason.endswith("the largest slot has 256 GB (ep4); 0 of 2,000 slots match")
    assert len(looked) == 10, "and once more, by what surely stays"


@pytest.mark.parametrize("module", [matching, diagnosis])
def test_each_attribute_that_judging_names_is_asked_for(module):
    """Otherwise, what the pool has would look as if it were missing."""
    known = {name.lower() for name in (*alike.SLOT, *alike.JOB)}
    accounting = {"name", "priority", "idlejobs", "isaccountinggroup", "effectivequota", "configquota"}
    accounting |= {"surpluspolicy", "weightedresourcesused", "requested", "totalrunningjobs", "maxjobsrunning"}
    named = set()
    for call in (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if called in ("get", "lookup", "eval", "_value", "_is", "_number", "_text"):
            named |= {
                arg.value.lower() for arg in call.args if isinstance(arg, ast.Constant) and str(arg.value)[:1].isalpha()
            }
    assert len(named) > 3
    assert named - accounting - {"?", "no"} <= known


# --- the process that asks ---


class Fake:
    """A collector and a schedd that keep to projections, and tell what they were asked."""

    def __init__(self, slots, jobs):
        self.slots, self.jobs, self.asked, self.removed = slots, jobs, [], []

    def query(self, kind=None, constraint="true", projection=()):
        who = {None: "jobs", questions.htcondor.AdType.Startd: "Startd"}.get(kind, "other")
        self.asked.append((who, constraint, list(projection)))
        if kind == questions.htcondor.AdType.Collector:
            return [ad({"Name": "collector", "DaemonStartTime": 0})]
        ads = {"jobs": self.jobs, "Startd": self.slots}.get(who, [])
        chosen = [one for one in ads if kind is not None or classad.ExprTree(constraint).eval(one) is True]
        return [self._projected(one, {name.lower() for name in projection}) for one in chosen]

    @staticmethod
    def _projected(one, names):
        return ad({}, **{name: one.lookup(name) for name in one if not names or name.lower() in names})

    def locate(self, _):
        raise RuntimeError("none here")

    def act(self, action, constraint, reason):
        gone = [one for one in self.jobs if classad.ExprTree(constraint).eval(one) is True]
        self.jobs = [one for one in self.jobs if one not in gone]
        self.removed.append((constraint, reason[0]))
        return {"TotalSuccess": len(gone)}

    def of(self, who):
        return [projection for asked, _, projection in self.asked if asked == who]


@pytest.fixture
def pool(monkeypatch):
    def make(slots, jobs):
        fake = Fake(slots, jobs)
        monkeypatch.setattr(questions.htcondor, "Collector", lambda: fake)
        monkeypatch.setattr(questions.htcondor, "Schedd", lambda: fake)
        monkeypatch.setattr(questions._Kept, "names", frozenset())
        monkeypatch.setattr(questions._Kept, "jobs", {})
        monkeypatch.setattr(questions._Kept, "idle", 0)
        monkeypatch.setattr(questions._Kept, "whole_at", time.monotonic())
        return fake

    return make


def ask(*clusters, seconds=20.0, described=(), kinds=None):
    return questions.diagnoses({str(c): 0 for c in clusters}, list(described), [], "", seconds, kinds)


def test_only_what_judging_reads_is_asked_for_and_the_rest_is_learnt_once(pool):
    jobs = [job(1, f"TARGET.Paint == 3 && {DEFAULT}", Args="x" * 1000)]
    fake = pool([slot(number, Paint=number % 2, start="NodeIsGreen", NodeIsGreen=False) for number in range(4)], jobs)
    found = ask(1)["jobs"][1]
    assert found["reason"] == diagnose(jobs[0], fake.slots, Pool()).reason
    assert {"Paint", "NodeIsGreen"} <= {spelled(name) for name in fake.of("Startd")[-1]}
    assert "MyAddress" not in fake.of("Startd")[-1]
    assert "Args" not in fake.of("jobs")[-1]
    fake.asked.clear()
    assert ask(1)["jobs"][1] == found
    assert len(fake.of("Startd")) == 1
    assert fake.of("jobs") == [], "its ad is known"


def spelled(name):
    return {"paint": "Paint", "nodeisgreen": "NodeIsGreen"}.get(name, name)


def test_where_nothing_is_to_be_learnt_one_query_each_is_enough_from_the_first_on(pool):
    fake = pool([slot(1, start="true")], [job(1)])
    ask(1)
    assert (len(fake.of("Startd")), len(fake.of("jobs"))) == (1, 1)


def test_slots_that_look_at_their_own_name_are_told_apart(pool):
    slots = [slot(number, start='Machine == "ep1"') for number in (1, 2, 3)]
    pool(slots, [job(1)])
    reason = ask(1)["jobs"][1]["reason"]
    assert reason.startswith("1 of 3 slots ")
    assert reason == diagnose(job(1), slots, Pool()).reason


def test_a_job_that_has_become_another_kind_or_was_known_for_long_is_asked_for_again(pool, monkeypatch):
    fake = pool([slot(1)], [job(1, RequestMemory=1 << 20)])
    for kind in ("1", "1", "2"):
        ask(1, kinds={"1": kind})
    before = len(fake.of("jobs"))
    ask(1, kinds={"1": "2"})
    assert len(fake.of("jobs")) == before
    ask(1, kinds={"1": "3"})
    assert len(fake.of("jobs")) == before + 1
    monkeypatch.setattr(questions, "JOB_SECONDS", -1.0)
    ask(1, kinds={"1": "3"})
    assert len(fake.of("jobs")) == before + 2


def test_what_the_negotiator_says_of_a_job_is_asked_for_anew_after_its_next_cycle(pool):
    """As it was: for a minute, it was what the job's ad said before."""
    one = job(1)
    fake = pool([slot(1)], [one])
    for _ in range(4):
        ask(1)
    before = len(fake.of("jobs"))
    ask(1)
    assert len(fake.of("jobs")) == before + 1
    one["LastRejMatchReason"] = "concurrency limit reached"
    assert "a concurrency limit that the job names is used up" in ask(1)["jobs"][1]["reason"]


def test_an_expression_that_reads_any_attribute_has_whole_ads_asked_for(pool):
    fake = pool([slot(1)], [job(1, 'eval("MyAddress") == "<10.0.0.1:1>"')])
    assert ask(1)["jobs"][1]["word"] == Word.NOT_YET
    assert fake.of("Startd")[-1] == fake.of("jobs")[-1] == []


def test_what_was_judged_in_time_is_told_and_the_rest_is_left(pool):
    pool([slot(1)], [job(number, RequestMemory=number) for number in (1, 2, 3)])
    found = ask(1, 2, 3, seconds=0.0)
    assert (list(found["jobs"]), found["left"]) == ([1], [2, 3])
    assert ask(1, 2, 3)["left"] == []


def test_jobs_to_come_that_are_alike_are_judged_once(pool, monkeypatch):
    pool([slot(1)], [])
    seen = []
    monkeypatch.setattr(questions, "diagnose", lambda *about: seen.append(about) or diagnose(*about))
    found = ask(described=[str(job(0, Args=f"{number}")) for number in range(100)] + ["no ad"])
    assert len(seen) == 1
    assert [one and one["word"] for one in found["described"]] == [Word.NOT_YET] * 100 + [None]


def test_absent_nodes_are_asked_for_and_are_not_in_the_pool_now(pool):
    fake = pool([slot(1), slot(2, 3, Absent=True)], [job(1, RequestMemory=65536)])
    found = ask(1)
    assert found["jobs"][1]["key"] == "absent"
    assert found["slots"] == ["slot1@ep1"]
    assert found["slots"] != questions.slots(), "one that the run has seen and that is absent now isn't gone"
    for constraint in {asked for who, asked, _ in fake.asked if who == "Startd"}:
        tree = classad.ExprTree(constraint)
        assert "Absent" in ad({}).externalRefs(tree), "else the collector leaves them out"
        assert all(tree.eval(ad(one)) is True for one in ({}, {"Absent": True}, {"Absent": False}))
        assert tree.eval(ad({"DynamicSlot": True, "Absent": True})) is False
    assert "Absent" not in ad({}).externalRefs(classad.ExprTree(doctor_questions.NOT_DYNAMIC))


def test_which_gpus_there_are_is_learnt_when_a_job_wants_a_kind_of_them(pool):
    fake = pool([gpu_slot("ep1", free=0)], [job(1), gpu_job()])
    fake.jobs[1]["ClusterId"], fake.jobs[1]["JobStatus"] = 2, 1
    ask(1)
    assert "gpus_gpu_1_ep1" not in fake.of("Startd")[-1]
    found = ask(2)["jobs"][2]
    assert found["key"] == "busy"
    ask(2)
    assert {"gpus_gpu_1_ep1", "gpus_gpu_2_ep1"} <= set(fake.of("Startd")[-1])


def test_a_job_to_come_may_get_what_a_job_in_the_queue_lacks_for_good(pool):
    alone = job(1)
    pool([slot(1, start='TARGET.Queue == "short"')], [alone])
    found = ask(1, described=[str(alone)])
    assert (found["jobs"][1]["word"], found["described"][0]["word"]) == (Word.NEVER, Word.NOT_YET)


def test_how_many_idle_jobs_the_run_has_is_known_from_its_queue(pool, monkeypatch):
    pool([slot(1)], [job(1), job(2), job(3, JobStatus=2), job(9)])
    seen = []
    monkeypatch.setattr(questions, "diagnose", lambda *about: seen.append(about[2].idle) or diagnose(*about))
    questions.queue("ClusterId < 9")
    ask(1)
    assert seen == [2]


def test_who_is_asked_is_told_before(pool, monkeypatch):
    pool([slot(1)], [job(1)])
    told = []
    monkeypatch.setattr(questions, "_turn_to", told.append)
    ask(1)
    assert list(dict.fromkeys(told)) == [questions.COLLECTOR, questions.SCHEDD, JUDGING]


def test_why_jobs_are_held_is_asked_of_all_at_once_and_told_of_those_that_still_are(pool):
    held = {"JobStatus": 5, "HoldReasonCode": 26}
    fake = pool([], [job(1, **held), job(2), job(3, **held), job(4, **held)])
    found = questions.held([1, 2, 3])
    assert {cluster: one["HoldReasonCode"] for cluster, one in found.items()} == {"1": 26, "3": 26}
    assert len(fake.asked) == 1


def test_all_that_can_never_start_are_removed_at_once_and_no_other(pool, monkeypatch):
    never = diagnose(job(RequestMemory=1 << 24), [slot(1)], Pool())
    jobs = [job(number, RequestMemory=1 << 24, LastRejMatchTime=number) for number in range(1, 201)] + [
        job(201),
        job(202, JobStatus=2),
    ]
    fake = pool([slot(1)], jobs)
    about = {str(number): {"key": never.key, "reason": "never"} for number in range(1, 203)}
    seen = []
    monkeypatch.setattr(questions, "diagnose", lambda *about: seen.append(about) or diagnose(*about))
    assert questions.remove(about, [], 20.0) == {"removed": list(range(1, 201)), "left": []}
    assert len(seen) == 2, "those that are alike are judged once"
    assert fake.removed == [("(ClusterId >= 1 && ClusterId <= 200) && JobStatus == 1", "never")]
    assert (len(fake.of("Startd")), len(fake.of("jobs"))) == (1, 1)
    assert fake.of("Startd") == [[]], "it is judged by whole ads"


def test_a_job_that_starts_while_others_are_removed_is_not_told_to_be_removed(pool, monkeypatch):
    never = diagnose(job(RequestMemory=1 << 24), [slot(1)], Pool())
    fake = pool([slot(1)], [job(number, RequestMemory=1 << 24) for number in (1, 2)])
    real = fake.act

    def act(action, constraint, reason):
        fake.jobs[0]["JobStatus"] = 2
        return real(action, constraint, reason)

    monkeypatch.setattr(fake, "act", act)
    about = {str(number): {"key": never.key, "reason": "never"} for number in (1, 2)}
    assert questions.remove(about, [], 20.0)["removed"] == [2]


def test_a_job_is_removed_only_where_the_last_look_is_sure_too(pool):
    """A label may be set by an admin, and may be a probe's."""
    jobs = [job(1, f"TARGET.Paint == 3 && {DEFAULT}"), job(2, RequestMemory=1 << 24)]
    slots = [slot(1, Paint=1)]
    fake = pool(slots, jobs)
    found = [diagnose(one, slots, Pool()) for one in jobs]
    assert [(one.word, one.sure) for one in found] == [(Word.NEVER, False), (Word.NEVER, True)]
    about = {str(number): {"key": one.key, "reason": "never"} for number, one in zip((1, 2), found, strict=True)}
    assert questions.remove(about, [], 20.0)["removed"] == [2]
    assert len(fake.removed) == 1


def test_what_probes_there_are_is_learnt_from_whole_ads_now_and_then(pool, monkeypatch):
    fake = pool([slot(number, CheckLastUpdate=number, CheckedScratch=7) for number in (1, 2)], [])
    fake.jobs = [job(1, f"TARGET.CheckScratch == 3 && {DEFAULT}"), job(2, f"TARGET.CheckedScratch == 3 && {DEFAULT}")]
    monkeypatch.setattr(questions._Kept, "whole_at", -1e9)
    for _ in range(2):
        assert {one["word"] for one in ask(1, 2)["jobs"].values()} == {Word.NOT_YET}
    assert fake.of("Startd")[0] == []
    assert "checklastupdate" in fake.of("Startd")[-1]
    assert len({one.kind for one in prepared(fake.slots, *fake.jobs)}) == 1
