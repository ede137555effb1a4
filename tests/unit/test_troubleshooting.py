"""docs/troubleshooting.md shows the very messages that the logger plugin says: each is made here by its own code."""

import re
import time
from pathlib import Path

import classad2 as classad
import pytest
from snakemake_executor_plugin_htcondor_steady import holds
from snakemake_logger_plugin_htcondor import events, lines, summary, watch
from snakemake_logger_plugin_htcondor.diagnosis import Pool, diagnose
from snakemake_logger_plugin_htcondor.jobs import Job, Run
from snakemake_logger_plugin_htcondor.waiting import Found, Idle, Waiting, line

from tests.unit.test_logger_diagnosis import DEFAULT, job, slot

PAGE = Path("docs/troubleshooting.md")
NOW = 1_795_600_000.0


def waits(ad, *slots, rule="train_lr", jobs=1, **pool):
    found = diagnose(ad, list(slots), Pool(**pool))
    idle = [Idle(Job(21 + n, str(n), rule), NOW - 60, "") for n in range(jobs)]
    return line(Found(found.word, found.key, found.reason, found.remedy), idle, NOW)


def happens(kind, state=watch.State.RUNNING, **attributes):
    run = Run(NOW, jobs={21: Job(21, "1", "train_lr", hosts=["ep1"], state=state, started=NOW)})
    change = events.apply(run, events.Event(kind, 21, NOW + 75, attributes))
    return f"train_lr (job 21.0) {change.text}"


DOES = {"fail": "it is not retried, as it would be held again", "wait": "Snakemake waits for that"}


def held(**attributes):
    hold = holds.judge(attributes)
    does = DOES.get(hold.action) or f"it is {hold.again}"
    return f"train_lr (job 21.0) {watch._held(Job(21, '1', 'train_lr', hosts=['ep1']), attributes, does)}"


def failed():
    ended = Job(21, "1", "train_lr", hosts=["ep1"], started=NOW, ended=NOW + 75, exit_code=1)
    ended.used["memory_mb"], ended.requested["memory_mb"] = 480.0, 500.0
    return f"train_lr (job 21.0) {events.failure(ended)}"


def complaints(tmp_path):
    """What is said by the watch itself, whose pool doesn't answer or whose executor is deaf."""
    said = []
    observed = watch.Watch(watch.Options(records=None), lambda level, text: said.append(text))
    for who, then in (
        ("the access point's schedd", ""),
        ("the pool's collector", "Why jobs wait can't be told until it does"),
    ):
        for _ in range(2):
            observed._complain(who, watch.NoAnswer("no answer within 25 s"), then)
    for _ in range(2):
        observed._complain_of_verdicts(watch.NoAnswer("no answer within 25 s", watch.JUDGING))
    observed.run.jobs[21] = Job(21, "1", "train_lr", state=watch.State.DONE, ended=time.time() - 200)
    observed._check_unnoticed()
    silent = Job(22, "2", "train_dt", state=watch.State.IDLE)
    observed._logs["results/logs/htcondor/RUN.log"] = events.EventLog(str(tmp_path / "none"))
    for _ in range(6):
        observed._compare({22: silent}, {})
    return said


def many(number, text, **more):
    """What is said of so many jobs of a rule to which the same happens on one node."""
    jobs = [Job(21 + n, str(n), "preprocess", {"file": f"f{n}"}, hosts=["ep1"]) for n in range(number)]
    return [words for _, words in lines.in_words(lines.Line("error", one, text, "ep1", **more) for one in jobs)]


def starts():
    """What is said of the first and of the last start of many jobs of which it was said that they wait."""
    jobs = [Job(21 + n, str(n), "preprocess", {"file": f"f{n}"}, submitted=NOW) for n in range(214)]
    idle, waiting, said = [Idle(one, NOW, "1") for one in jobs], Waiting(60.0, 10.0), []
    for one in jobs:
        for _ in range(2):
            waiting.note(one.cluster, Found("NOT YET", "busy", "", ""), NOW)
    assert len(list(waiting.news(idle, NOW + 60))) == 1
    for one in jobs:
        one.state, one.started, one.hosts = watch.State.RUNNING, NOW + 150 + one.cluster, ["ep1"]
        waiting.started(one)
        said += waiting.starts()
    return said


GROUP = classad.ClassAd(
    {
        "Name": "group_credit",
        "IsAccountingGroup": True,
        "EffectiveQuota": 4.0,
        "WeightedResourcesUsed": 4.0,
        "SurplusPolicy": "no",
    }
)
USERS = [
    classad.ClassAd({"Name": "ann@pool", "Priority": 900.0, "WeightedResourcesUsed": 1.0}),
    classad.ClassAd({"Name": "bob@pool", "Priority": 500.0, "WeightedResourcesUsed": 2.0}),
]
POLICY = {"HoldReasonCode": 26, "HoldReasonSubCode": 0, "RequestMemory": 250}


ADVICE = (
    "htcondor: train_lr: 4 jobs used at most 310 of 2,000 MB of memory; mem_mb=400 "
    "(request_memory with executor htcondor) would do."
)


def messages(tmp_path):
    """Return every message that the page has to show."""
    two = slot("ep1"), slot("ep2")
    yield waits(job(RequestMemory=102400), *two)
    yield waits(job(RequestCpus=16), *two)
    yield waits(job(f'(TARGET.Arch == "ppc64le") && {DEFAULT}'), *two, rule="preprocess", jobs=214)
    yield waits(
        job(f'(TARGET.Machine == "ep1") && (TARGET.Paint == 2) && {DEFAULT}'),
        slot("ep1", Paint=1),
        slot("ep2", Paint=2),
    )
    yield waits(job(), slot("ep1", 'TARGET.Owner == "bob"'), slot("ep2", 'TARGET.Owner == "bob"'))
    yield waits(job(f'(TARGET.Machine == "ep9") && {DEFAULT}'), *two)
    yield waits(job(RequestMemory=102400), slot("ep1"), gone=["slot1@big"])
    yield waits(job(RequestMemory=102400), slot("ep1"), age=120.0)
    yield waits(job())
    yield waits(
        job(RequestCpus=2),
        slot("ep1", Cpus=1, NumDynamicSlots=1),
        slot("ep2", Cpus=0, NumDynamicSlots=2),
        accounting=USERS,
        ahead=12,
    )
    yield waits(job(), slot("ep1", "LoadAvg < 0.3"))
    yield waits(job(f"TARGET.HasCVMFS && {DEFAULT}"), slot("ep1", HasCVMFS=False))
    yield waits(job(RequestDisk=200 << 20), *two)
    broken = {"SlotBrokenReason": "Could not clean up after job", "Cpus": 0, "TotalSlotCpus": 0}
    yield waits(job(), slot("ep1", "false", **broken))
    yield waits(job(), slot("ep1", "false", Draining=True))
    yield waits(job(), slot("ep1", Offline=True))
    yield waits(job(), slot("ep1", Absent=True))
    yield waits(job(), *two, negotiator="the negotiator doesn't answer (no answer within 25 s)")
    yield waits(job(AcctGroup="group_credit"), *two, accounting=[GROUP])
    yield waits(job(AcctGroup="group_credit", RequestCpus=8), slot(Cpus=8, TotalSlotCpus=8), accounting=[GROUP])
    yield waits(job(LastRejMatchReason="concurrency limit license reached", LastRejMatchTime=10), *two)
    yield waits(job(), *two, schedd={"TotalRunningJobs": 200, "MaxJobsRunning": 200})
    yield waits(job(NumJobMatches=5), *two)
    yield waits(job(ClusterId=21), *two)
    yield held(**POLICY, MemoryUsage=367, HoldReason="memory 366 MB is above the request of 250 MB")
    yield held(HoldReasonCode=34, HoldReasonSubCode=104, DiskUsage=3 << 20, RequestDisk=2 << 20)
    yield held(
        HoldReasonCode=14,
        HoldReasonSubCode=2,
        Iwd="/shared/loans",
        HoldReason="Cannot access initial working directory /shared/loans: No such file or directory",
    )
    yield held(
        HoldReasonCode=7,
        HoldReasonSubCode=13,
        HoldReason="Failed to open '/shared/loans/results/logs/a.out' as standard output: Permission denied (errno 13)",
    )
    yield held(
        HoldReasonCode=6,
        HoldReasonSubCode=2,
        HoldReason="Failed to execute '/shared/environment/bin/python': No such file or directory",
    )
    yield held(HoldReasonCode=26, HoldReasonSubCode=0, HoldReason="no jobs of more than a day")
    yield from starts()
    yield from many(64, "lost the connection to ep1 (no reason is given); HTCondor tries to reconnect")
    yield many(214, "", failure="failed with exit code 1")[-1]
    yield happens("JOB_EVICTED") + ". ep1 runs jobs of boss@pool now"
    yield happens("JOB_EVICTED", watch.State.IDLE, Reason="the node did not accept the job")
    yield happens("JOB_EVICTED", TerminatedAndRequeued=True, TerminatedNormally=True, ReturnValue=3)
    yield happens("SHADOW_EXCEPTION", Message="Failed to receive remote ad")
    yield happens("SHADOW_EXCEPTION", watch.State.IDLE, Message="FileTransfer failed")
    yield happens("JOB_DISCONNECTED", DisconnectReason="Socket between submit and execute hosts closed unexpectedly")
    yield happens("JOB_RECONNECTED")
    yield happens("JOB_RECONNECT_FAILED", Reason="Job not found at execution machine")
    yield happens("EXECUTE", SlotName="slot1_1@ep2")
    yield happens("JOB_ABORTED", Reason="via condor_rm (by user ann)")
    yield failed()
    yield from complaints(tmp_path)


def shown():
    return [block.strip() for block in re.findall(r"^```\n(.*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)]


def test_the_page_shows_each_message_as_it_is_said(tmp_path):
    found = shown()
    missing = [text for text in (f"htcondor: {message}" for message in messages(tmp_path)) if text not in found]
    assert not missing, "\n\n".join(missing)


def test_the_page_shows_no_other_message(tmp_path):
    known = [f"htcondor: {message}" for message in messages(tmp_path)]
    assert [text for text in shown() if text not in known] == [ADVICE]


def test_advice_is_said_as_the_page_shows_it():
    jobs = {n: Job(n, str(n), "train_lr", state=watch.State.DONE, started=NOW, ended=NOW + 100) for n in range(4)}
    for one in jobs.values():
        one.used["memory_mb"], one.requested["memory_mb"] = 310.0, 2000.0
    (advice,) = summary.advice(Run(NOW, jobs=jobs))
    assert f"htcondor: {advice}" == ADVICE


@pytest.mark.parametrize("word", ["NEVER", "NOT YET", "UNKNOWN"])
def test_the_words_are_explained(word):
    assert f"| `{word}` |" in PAGE.read_text()
