"""A run that is watched: what is said of its jobs, by what the event log, the queue and the executor tell."""

import getpass
import json
import os
import threading
import time
from dataclasses import asdict, replace

import pytest
from event_log import BEGIN, FAILED, REQUEUED, TEXTS, execute, text
from snakemake_logger_plugin_htcondor import waiting
from snakemake_logger_plugin_htcondor import watch as module
from snakemake_logger_plugin_htcondor.asker import JUDGING, NoAnswer
from snakemake_logger_plugin_htcondor.jobs import State
from snakemake_logger_plugin_htcondor.matching import Word
from snakemake_logger_plugin_htcondor.records import read
from snakemake_logger_plugin_htcondor.waiting import Found, sentence
from snakemake_logger_plugin_htcondor.watch import Options, Watch, tail

NEVER = Found(Word.NEVER, "memory", "it asks for 900 GB, and the largest slot has 8 GB", "Ask for less", sure=True)
NOT_YET = Found(Word.NOT_YET, "busy", "all slots that fit are busy", "It starts when one is free")
SILENT = NoAnswer("no answer within 25 s", "the pool's collector")

REMOVED_BY_SNAKEMAKE = "Job was aborted.\n\tPython-initiated action. (by user submit)"


class FakeAsker:
    """Answers as it is told; an answer that is an error is raised."""

    def __init__(self):
        self.answers = {"queue": [], "negotiator": "", "held": {}, "users": [], "slots": {}}
        self.answers["remove"] = lambda jobs, **_: {"removed": list(map(int, jobs)), "left": []}
        self.asked = []
        self.closed = False

    def ask(self, question, deadline=None, **about):
        if question != "slots":  # asked once a minute beside the others
            self.asked.append((question, about))
        answer = self.answers[question]
        if isinstance(answer, Exception):
            raise type(answer)(*answer.args)
        return answer(**about) if callable(answer) else answer

    def time_to_judge(self, deadline=None):
        return 20.0

    def questions(self):
        return [question for question, _ in self.asked]

    def close(self):
        self.closed = True


class Recorded:
    """The jobs of the records that would be written."""

    def __init__(self):
        self.jobs = []

    def write(self, job, kind, at, **more):
        self.jobs.append(job)

    def close(self):
        pass


class Watched:
    """A watch without its thread, its event log, and what it has said."""

    def __init__(self, folder, **options):
        self.said = []
        self.log = folder / "run.log"
        self.watch = Watch(Options(**options), lambda level, words: self.said.append((level, words)))
        self.asker = self.watch._asker

    def submit(self, *clusters, rule="predict", error=""):
        for cluster in clusters:
            self.watch.know(str(cluster), rule, {"file": f"f{cluster}"}, [], {"memory_mb": 200.0})
            self.watch.submitted(str(cluster), cluster, str(self.log), rule, "", error)
        return [self.watch.run.jobs[cluster] for cluster in clusters]

    def happens(self, *events):
        """Write events into the log, look once, and return what was said."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write("".join(events))
        return self.look()

    def look(self):
        self.watch._look()
        return self.take()

    def check(self):
        """Ask once, and return what was said."""
        self.watch._ask()
        return self.take()

    def take(self):
        found, self.said[:] = list(self.said), []
        return found

    def queue(self, *clusters, status=1, since=100.0, kind=1, **more):
        """Have the schedd tell of jobs that have been in a status for so many seconds."""
        began = time.time() - since
        about = {"JobStatus": status, "EnteredCurrentStatus": began, "AutoClusterId": kind} | more
        self.asker.answers["queue"] = [{"ClusterId": cluster} | about for cluster in clusters]

    def diagnosis(self, found, slots=("slot1@ep1",)):
        self.asker.answers["diagnoses"] = lambda clusters, described, **_: {
            "jobs": {str(cluster): asdict(found) for cluster in clusters},
            "left": [],
            "described": [asdict(found) for _ in described],
            "slots": list(slots),
        }


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Return a function that makes a watch; none may have failed inside at the end of the test."""
    made = []
    monkeypatch.setattr(module, "Asker", FakeAsker)
    monkeypatch.setattr(Watch, "_begin", lambda self: None)

    def make(**options):
        made.append(Watched(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.watch.close()
        assert one.watch.failures == {}


# --- why jobs wait ---


def test_a_job_that_waits_is_explained_from_the_queue_to_the_line(watched):
    run = watched(period=10.0)
    run.submit(7)
    run.queue(7, since=100.0)
    run.diagnosis(NEVER)
    assert run.check() == []
    assert run.check() == []
    ((level, words),) = run.check()
    assert level == "warning"
    assert words == f"predict, file=f7 (job 7.0) has been idle for 1.7 min. {sentence(NEVER)}"
    assert run.check() == []
    assert run.watch.failures == {}


def test_the_schedd_is_asked_for_the_jobs_of_the_run_alone(watched):
    run = watched()
    run.submit(7, 9, 12)
    run.happens(text(5, cluster=12))
    run.watch.finished("12")
    run.check()
    assert run.asker.asked[0][0] == "queue"
    assert run.asker.asked[0][1]["constraint"] == "ClusterId == 7 || ClusterId == 9"


def test_whom_the_schedd_calls_the_owner_of_the_jobs_is_learnt_from_it(watched, monkeypatch):
    """A token may stand for another name than the user has here, and a uid may have none."""
    monkeypatch.setattr(getpass, "getuser", lambda: pytest.fail("the name here means nothing to the schedd"))
    run = watched()
    run.submit(7)
    run.queue(7, status=1, since=1.0, Owner='the "token"')
    assert run.check() == []
    assert run.check() == []
    run.queue()
    run.check()
    run.check()
    asked = [about["constraint"] for question, about in run.asker.asked if question == "queue"]
    assert asked == ["ClusterId == 7", *['(ClusterId == 7) && Owner == "the \\"token\\""'] * 2, "ClusterId == 7"]


def test_jobs_of_others_between_those_of_the_run_do_not_count(watched):
    run = watched()
    run.submit(7, 9)
    run.queue(7, 8, 9, since=100.0)
    run.diagnosis(NOT_YET)
    run.check()
    (asked,) = [about["clusters"] for question, about in run.asker.asked if question == "diagnoses"]
    assert asked == {"7": 0}
    assert [one.job.cluster for one in run.watch._idle] == [7, 9]


def test_a_question_about_thousands_of_jobs_is_short(watched):
    run = watched()
    run.submit(*range(1, 6000, 2))
    run.check()
    constraint = run.asker.asked[0][1]["constraint"]
    assert constraint.count("ClusterId") <= 2 * module.MOST_RANGES
    assert constraint.endswith("ClusterId <= 5999")


def test_no_one_is_asked_where_no_job_is_in_the_queue(watched):
    run = watched()
    assert run.check() == []
    run.submit(7)
    run.happens(text(5))
    run.watch.finished("7")
    assert run.check() == []
    assert run.asker.asked == []


def test_jobs_that_have_not_waited_long_cost_one_question(watched):
    run = watched()
    run.submit(7)
    run.queue(7, since=5.0)
    run.check()
    assert run.asker.questions() == ["queue"]


def test_of_alike_jobs_one_is_asked_about_and_all_are_told(watched):
    run = watched()
    run.submit(*range(1, 301))
    run.queue(*range(1, 301))
    run.diagnosis(NEVER)
    said = run.check() + run.check() + run.check()
    assert [about["clusters"] for question, about in run.asker.asked if question == "diagnoses"] == [{"1": 0}] * 3
    assert [words for _, words in said] == [f"300 jobs of predict have been idle for up to 1.7 min. {sentence(NEVER)}"]


def nameless(run, *clusters, since=100.0):
    """Have the schedd tell of jobs of which it doesn't know yet what makes them alike, as no negotiator has told it."""
    run.queue(*clusters, since=since)
    for one in run.asker.answers["queue"]:
        del one["AutoClusterId"]


def asked_about(run):
    return [list(about["clusters"]) for question, about in run.asker.asked if question == "diagnoses"]


def test_without_a_negotiator_jobs_of_a_rule_that_ask_for_the_same_are_alike(watched):
    run = watched()
    run.submit(*range(1, 215))
    nameless(run, *range(1, 215))
    run.diagnosis(NOT_YET)
    assert run.check() == []
    ((_, words),) = run.check()
    assert words.startswith("214 jobs of predict have been idle for up to 1.7 min. NOT YET")
    assert asked_about(run) == [["1"], ["1"]]


def test_without_a_negotiator_jobs_that_differ_in_rule_request_or_attempt_are_judged_each(watched):
    run = watched()
    run.submit(1)
    run.submit(2, rule="train")
    for jobid, cluster, asks in (("3", 3, "gpus=1"), ("4", 4, "gpus=2"), ("4", 5, "gpus=2"), ("6", 6, "gpus=2")):
        run.watch.know(jobid, "predict", {}, [], {"memory_mb": 200.0}, asks)
        run.watch.submitted(jobid, cluster, str(run.log), "predict")
    nameless(run, *range(1, 7))
    run.diagnosis(NOT_YET)
    run.check()
    assert asked_about(run) == [["1", "2", "3", "4", "5"]], "6 is like 4; 5 is another attempt of it"


def test_without_a_negotiator_a_job_of_which_snakemake_told_nothing_is_like_no_other(watched):
    run = watched()
    for cluster in (7, 8):
        run.watch.submitted(f"uuid-{cluster}", cluster, str(run.log), "chunk")
    nameless(run, 7, 8)
    run.diagnosis(NOT_YET)
    run.check()
    assert asked_about(run) == [["7", "8"]]


def test_a_job_that_can_start_is_not_removed_with_those_it_was_taken_to_be_like(watched):
    """What is removed is judged once more, each by its own ad: see `questions.remove`."""
    run = watched(never_after=0.0)
    run.submit(1, 2)
    nameless(run, 1, 2)
    run.diagnosis(NEVER)
    run.asker.answers["remove"] = {"removed": [1], "left": []}
    said = run.check() + run.check() + run.check()
    (removal,) = [about for question, about in run.asker.asked if question == "remove"]
    assert list(removal["jobs"]) == ["1", "2"]
    assert [words.partition(" (")[0] for level, words in said if level == "error"] == ["predict, file=f1"]


def test_a_job_that_was_explained_is_told_to_run(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET)
    run.happens(text(0))
    assert len(run.check() + run.check()) == 1
    ((level, words),) = run.happens(execute("ep1", 150))
    assert (level, words) == ("info", "predict, file=f7 (job 7.0) runs on ep1 now, after 2.5 min")
    run.submit(8)
    assert run.happens(text(0, cluster=8), execute("ep1").replace("(007.", "(008.")) == [], "a start like any other"


def test_a_start_is_told_also_where_the_schedd_knew_it_before_the_event_log(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET)
    assert len(run.check() + run.check()) == 1
    run.queue(7, status=2)
    assert run.check() == []
    assert [level for level, _ in run.happens(execute("ep1"))] == ["info"]


def test_a_job_that_was_explained_and_starts_a_second_time_is_told_that(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET)
    run.happens(execute("ep1"), text(4))
    assert len(run.look() + run.check() + run.check()) == 2
    ((_, words),) = run.happens(execute("ep1", 9))
    assert words == "predict, file=f7 (job 7.0) starts again, on ep1; this is start 2"


def waits(watched, *clusters):
    """Return a run of which it was said that these jobs wait."""
    run = watched()
    run.submit(*clusters)
    run.queue(*clusters)
    run.diagnosis(NOT_YET)
    run.happens(*(text(0, cluster=cluster) for cluster in clusters))
    assert len(run.check() + run.check()) == 1
    return run


def start(*clusters, at=150):
    return [text(1, at, cluster=cluster) for cluster in clusters]


def test_of_many_jobs_that_were_explained_the_first_start_is_told_and_that_none_waits_any_more(watched):
    run = waits(watched, *range(1, 901))
    first = "predict, file=f1 (job 1.0) runs on ep1 now, after 2.5 min: the first of 900 jobs of predict that waited"
    assert run.happens(*start(1, 2)) == [("info", first)]
    assert run.happens(*start(*range(3, 900))) == []
    last = "all 900 jobs of predict that waited have started, after up to 3.3 min"
    assert run.happens(*start(900, at=200)) == [("info", last)]
    run.submit(901)
    assert run.happens(text(0, cluster=901), *start(901)) == []


def test_many_jobs_that_were_explained_and_start_at_once_are_one_line(watched):
    run = waits(watched, *range(1, 41))
    assert run.happens(*start(*range(1, 41))) == [
        ("info", "all 40 jobs of predict that waited have started, after up to 2.5 min")
    ]


def test_few_jobs_that_were_explained_are_each_told_to_run(watched):
    run = waits(watched, 7, 8, 9)
    said = run.happens(*start(7, 8)) + run.happens(*start(9))
    assert [words.partition(" runs on ep1 now, after ")[0] for _, words in said] == [
        f"predict, file=f{number} (job {number}.0)" for number in (7, 8, 9)
    ]


def test_of_jobs_that_were_explained_those_that_never_start_are_not_said_to(watched):
    run = waits(watched, *range(1, 11))
    removed = [text(9, cluster=cluster, words=REMOVED_BY_SNAKEMAKE) for cluster in (9, 10)]
    assert len(run.happens(*start(*range(1, 8)))) == 1
    assert run.happens(*removed) == []
    assert run.happens(*start(8)) == [
        ("info", "none of the 10 jobs of predict that waited is idle any more: 8 have started, after up to 2.5 min")
    ]


def test_of_jobs_that_were_explained_and_all_removed_no_start_is_told(watched):
    run = waits(watched, *range(1, 11))
    assert run.happens(*(text(9, cluster=cluster, words=REMOVED_BY_SNAKEMAKE) for cluster in range(1, 11))) == []
    assert run.look() == []


def test_a_job_that_starts_and_comes_back_within_a_look_is_told_without_how_long_it_waited(watched):
    run = waits(watched, 7)
    said = run.happens(*start(7), text(7)) + run.look()
    assert said[0] == ("info", "predict, file=f7 (job 7.0) runs on ep1 now")


def test_a_job_that_was_held_in_the_meantime_is_explained_anew_after_a_pause(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.diagnosis(NOT_YET)
    run.queue(7)
    assert len(run.check() + run.check()) == 1
    run.queue(7, status=5)
    assert run.check() == []
    run.queue(7)
    assert run.check() + run.check() == []
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    assert len(run.check()) == 1


def test_jobs_that_come_one_by_one_are_one_line_and_each_is_in_the_records_once(watched, monkeypatch):
    run = watched(records="jobs.jsonl")
    run.watch._recorder = Recorded()
    run.diagnosis(NOT_YET)
    lines = []
    for number in range(1, 20):
        run.submit(number)
        run.queue(*range(1, number + 1))
        lines += run.check()
    assert [words.partition(".")[0] for _, words in lines] == ["predict, file=f1 (job 1"]
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    ((_, words),) = run.check()
    assert words.startswith("19 jobs of predict have been idle for up to ")
    assert [job.cluster for job in run.watch._recorder.jobs] == list(range(1, 20))


def test_what_was_not_judged_in_time_comes_first_the_next_time(watched):
    run = watched()
    run.submit(*range(1, 24))
    run.queue(*range(1, 24))
    for one in run.asker.answers["queue"]:
        one["AutoClusterId"] = one["ClusterId"]

    def one_at_a_time(clusters, **_):
        first, *left = list(clusters)
        return {"jobs": {first: asdict(NOT_YET)}, "left": left, "slots": ["slot1@ep1"]}

    run.asker.answers["diagnoses"] = one_at_a_time
    run.check()
    run.check()
    first, second = [
        list(map(int, about["clusters"])) for question, about in run.asker.asked if question == "diagnoses"
    ]
    assert first == list(range(1, 21))
    assert second == list(range(2, 22))


def test_slots_that_the_pool_had_are_told_to_the_next_diagnosis(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET, slots=["slot1@ep2", "slot1@ep1"])
    run.check()
    run.check()
    seen = [about["seen"] for question, about in run.asker.asked if question == "diagnoses"]
    assert seen == [[], ["slot1@ep1", "slot1@ep2"]]


def test_a_slot_that_was_away_for_an_hour_is_still_missed(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET, slots=["slot1@ep1", "slot1@big"])
    run.check()
    run.diagnosis(NOT_YET, slots=["slot1@ep1"])
    later = time.time() + 3600
    monkeypatch.setattr(module.time, "time", lambda: later)
    run.check()
    run.check()
    assert run.asker.asked[-1][1]["seen"] == ["slot1@big", "slot1@ep1"]


def test_slots_that_were_there_before_the_first_submission_are_missed_too(watched):
    run = watched()
    run.diagnosis(NOT_YET, slots=["slot1@big"])
    run.watch.before_submission({"a": ""})
    run.submit(7)
    run.queue(7)
    run.check()
    seen = [about["seen"] for question, about in run.asker.asked if question == "diagnoses"]
    assert seen == [[], ["slot1@big"]]


def test_a_negotiator_that_is_well_is_asked_once_a_minute_and_a_sick_one_each_time(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NOT_YET)
    run.check()
    run.check()
    assert run.asker.questions().count("negotiator") == 1
    run.watch._negotiator = ("", time.monotonic() - module.NEGOTIATOR_SECONDS - 1)
    run.asker.answers["negotiator"] = SILENT
    run.check()
    run.check()
    assert run.asker.questions().count("negotiator") == 3
    told = [about["negotiator"] for question, about in run.asker.asked if question == "diagnoses"]
    assert told == ["", "", *["the negotiator doesn't answer (no answer within 25 s)"] * 2]


def test_where_output_and_event_log_are_is_learnt_from_the_queue(watched, tmp_path):
    run = watched()
    run.watch.submitted("7", 7, "", "predict")
    run.log.write_text(text(0) + execute("ep1"))
    run.queue(7, status=2, UserLog="run.log", Iwd=str(tmp_path), Out="a.out", Err="a.err")
    run.check()
    run.look()
    job = run.watch.run.jobs[7]
    assert (job.output, job.error) == (str(tmp_path / "a.out"), str(tmp_path / "a.err"))
    assert (job.state, job.host) == (State.RUNNING, "ep1")


def test_what_the_executor_told_is_kept(watched, tmp_path):
    run = watched()
    run.submit(7, error="logs/mine.err")
    run.queue(7, since=1.0, UserLog="other.log", Iwd=str(tmp_path), Out="a.out", Err="a.err")
    run.check()
    job = run.watch.run.jobs[7]
    assert (job.output, job.error) == (str(tmp_path / "a.out"), "logs/mine.err")
    assert list(run.watch._logs) == [str(run.log)]


# --- before the first submission ---


def test_before_the_first_submission_only_what_can_never_start_is_said(watched, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    run = watched()
    found = {"RequestMemory = 1": NEVER, "RequestMemory = 2": NOT_YET}
    run.asker.answers["diagnoses"] = lambda described, **_: {
        "jobs": {},
        "described": [asdict(found[ad]) for ad in described],
        "slots": ["slot1@ep1"],
    }
    run.watch.before_submission({"predict, file=a": "RequestMemory = 1", "train": "RequestMemory = 2"})
    assert run.take() == [("warning", f"predict, file=a can't start on this pool as it is. {sentence(NEVER)}")]
    asked = [about["described"] for question, about in run.asker.asked if question == "diagnoses"]
    assert asked == [["RequestMemory = 1", "RequestMemory = 2"], *[["RequestMemory = 1"]] * 2]


@pytest.mark.parametrize("looks", [[NEVER, NOT_YET], [NEVER, NEVER, NOT_YET], [NOT_YET]])
def test_before_the_first_submission_one_look_that_differs_makes_it_no_never(watched, monkeypatch, looks):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    run = watched()
    found = iter(looks)
    run.asker.answers["diagnoses"] = lambda **_: {
        "jobs": {},
        "described": [asdict(next(found))],
        "slots": ["slot1@ep1"],
    }
    run.watch.before_submission({"a": ""})
    assert run.take() == [] and list(found) == []
    assert run.asker.questions()[-1] == "negotiator"


def test_an_empty_pool_is_said_once_and_not_for_each_job(watched):
    run = watched()
    unknown = Found(Word.UNKNOWN, "empty", "the pool has no slots", "Ask who runs it")
    run.diagnosis(unknown, slots=[])
    run.watch.before_submission({"a": "", "b": "", "c": ""})
    assert run.take() == [("warning", sentence(unknown))]


def test_a_silent_negotiator_is_said_before_the_first_submission(watched):
    run = watched()
    run.diagnosis(NOT_YET)
    run.asker.answers["negotiator"] = SILENT
    run.watch.before_submission({"a": ""})
    words = "the negotiator doesn't answer (no answer within 25 s), so no job is matched until it does"
    assert run.take() == [("warning", words)]


def test_a_pool_that_does_not_answer_before_the_first_submission_is_said(watched):
    run = watched()
    run.asker.answers["diagnoses"] = SILENT
    run.watch.before_submission({"a": ""})
    assert run.take() == [("warning", "the pool can't be looked at before the first submission: no answer within 25 s")]


# --- who doesn't answer ---


def test_a_schedd_that_does_not_answer_is_said_once_and_so_is_its_return(watched):
    run = watched()
    run.submit(7)
    run.asker.answers["queue"] = SILENT
    assert run.check() == [], "it may be for a moment only"
    assert run.check() == [("warning", "the access point's schedd doesn't answer (no answer within 25 s)")]
    assert run.check() + run.check() == []
    run.queue(7, since=1.0)
    assert run.check() == [("info", "the access point's schedd answers again")]
    assert run.check() == []


def test_one_failure_alone_is_not_worth_a_word(watched):
    run = watched()
    run.submit(7)
    for _ in range(3):
        run.asker.answers["queue"] = SILENT
        assert run.check() == []
        run.queue(7, since=1.0)
        assert run.check() == []


def test_a_collector_that_does_not_answer_is_said_once_and_verdicts_start_anew(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NEVER)
    run.check()
    run.check()
    run.asker.answers["diagnoses"] = SILENT
    assert run.check() == []
    assert [words for _, words in run.check()] == [
        "the pool's collector doesn't answer (no answer within 25 s). Why jobs wait can't be told until it does"
    ]
    run.diagnosis(NEVER)
    assert run.check() == [("info", "the pool's collector answers again")]
    assert run.check() == []
    ((_, words),) = run.check()
    assert words.endswith(sentence(NEVER))


def test_a_schedd_that_answers_one_question_and_not_the_other_is_named(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.asker.answers["diagnoses"] = NoAnswer("no answer within 25 s", module.SCHEDD)
    assert run.check() == []
    assert [words for _, words in run.check()] == [
        "the access point's schedd doesn't answer (no answer within 25 s). Why jobs wait can't be told until it does"
    ]
    assert run.check() == []
    run.diagnosis(NOT_YET)
    assert run.check() == [("info", "the access point's schedd answers again")]


def test_where_judging_takes_too_long_no_daemon_is_blamed(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.asker.answers["diagnoses"] = NoAnswer("no answer within 25 s", JUDGING)
    assert run.check() == []
    assert [words for _, words in run.check()] == [
        "why jobs wait can't be told: to judge them takes too long (no answer within 25 s)"
    ]
    assert run.check() == []


# --- an event log or an executor that fell silent ---


def executing(ago=60.0, after=1.0):
    """What the schedd tells of a job that was begun on its node so many seconds after the node was claimed for it."""
    began = int(time.time() - ago)
    return {"JobCurrentStartDate": int(began - after), "JobCurrentStartExecutingDate": began}


def test_an_event_log_that_no_longer_grows_is_said_once_and_again_after_it_went_on(watched):
    run = watched()
    run.submit(7, 8)
    run.queue(7, 8, status=2, **executing())
    assert [run.check() for _ in range(5)] == [[]] * 5
    ((level, words),) = run.check()
    assert level == "warning"
    assert f"{run.log} no longer tells what happens: by the schedd, 2 jobs (7 and 8) went on for 60 s" in words
    assert run.check() == []
    run.happens(execute("ep1"), execute("ep1").replace("(007.", "(008."))
    assert run.check() == []
    run.queue()
    assert [run.check() for _ in range(5)] == [[]] * 5
    assert "no longer tells" in run.check()[0][1]


def test_events_that_come_before_snakemake_told_of_their_job_are_not_lost(watched):
    run = watched()
    run.submit(8)
    run.happens(execute("ep1"))
    run.submit(7)
    run.look()
    assert run.watch.run.jobs[7].host == "ep1"


@pytest.mark.parametrize(
    "since",
    [{}, {"JobCurrentStartDate": 1}, executing(after=-300.0)],
    ids=["no date", "no date of execution", "that of an earlier start"],
)
def test_a_job_whose_node_makes_ready_for_it_is_running_without_an_event(watched, since):
    """Its input or its image comes, or a hook works: by the schedd it runs from the start of its shadow."""
    run = watched()
    run.submit(7)
    run.queue(7, status=2, **since)
    assert [run.check() for _ in range(10)] == [[]] * 10
    run.queue(7, status=2, **executing())
    assert "no longer tells" in "".join(words for _ in range(6) for _, words in run.check())


def test_a_held_job_that_runs_without_the_event_of_its_release_tells_of_a_silent_log(watched):
    run = watched()
    run.submit(7)
    run.happens(text(12))
    run.queue(7, status=2)
    assert "no longer tells" in "".join(words for _ in range(6) for _, words in run.check())


def test_an_event_that_is_late_is_no_matter(watched):
    run = watched()
    run.submit(7)
    run.queue(7, status=2, **executing())
    assert run.check() + run.check() == []
    run.happens(execute("ep1"))
    assert run.check() + run.check() + run.check() + run.check() == []


@pytest.mark.parametrize("status", [3, 4, 6, 7])
def test_states_between_two_events_are_no_disagreement(watched, status):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"))
    run.queue(7, status=status)
    assert [run.check() for _ in range(5)] == [[]] * 5


def test_an_end_that_snakemake_does_not_notice_is_said_once(watched):
    run = watched(unnoticed_after=180.0)
    late, noticed, recent = run.submit(7, 8, 9)
    for job, ago in ((late, 200), (noticed, 200), (recent, 100)):
        job.state, job.ended = State.DONE, time.time() - ago
    run.watch.finished("8")
    assert run.check() == [], "it is busy with the ends of jobs"
    run.watch._heard -= 200
    ((level, words),) = run.check()
    assert level == "error"
    assert words.startswith("Snakemake has not noticed for 3.0 min that predict, file=f7 (job 7.0) ended. ")
    assert run.check() == []


def test_an_error_of_a_job_counts_as_noticed(watched):
    run = watched()
    (job,) = run.submit(7)
    job.state, job.ended = State.FAILED, time.time() - 1000
    run.watch.failed("7")
    assert run.check() == []


def test_the_end_of_a_group_is_noticed_by_its_members(watched):
    run = watched()
    run.watch.group(["3", "4"], ["uuid-of-3", "uuid-of-4"])
    run.watch.submitted("uuid-of-4", 7, str(run.log), "chunk")
    run.watch.run.jobs[7].state, run.watch.run.jobs[7].ended = State.DONE, time.time() - 1000
    run.watch.finished("3")
    assert run.check() == []


# --- holds ---

HELD_AD = {"HoldReasonCode": 26, "HoldReason": "memory 300 MB is above the request of 200 MB", "MemoryUsage": 300}


def test_a_hold_is_said_in_one_line_with_what_the_executor_does(watched):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"))
    assert run.happens(text(12)) == [], "the executor has a moment to say what it does"
    run.watch.hold(7, HELD_AD | {"RequestMemory": 200}, "it is retried with more")
    ((level, words),) = run.look()
    assert level == "error"
    assert words.startswith("predict, file=f7 (job 7.0) is held on ep1. ")
    assert words.endswith(" It is retried with more.")
    assert "300 MB" in words
    assert run.look() == []
    assert "held" not in run.asker.questions()


def test_a_hold_without_an_executors_words_is_asked_for_and_said(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"), text(12))
    run.asker.answers["held"] = {"7": HELD_AD}
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    ((level, words),) = run.look()
    assert level == "error"
    assert words.endswith(" Snakemake waits for it as long as its held-timeout says.")
    assert run.asker.asked == [("held", {"clusters": [7]})]
    assert run.look() == []


def test_a_hold_is_said_from_its_event_where_no_one_answers(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.asker.answers["held"] = SILENT
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    ((_, words),) = run.happens(text(12))
    assert "300 MB" in words


def test_an_executor_that_is_faster_than_the_look_at_the_event_log_makes_no_second_line(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"))
    run.watch.hold(7, HELD_AD, "it is retried with more")
    said = run.look() + run.happens(text(12))
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    said += run.look()
    assert [words.endswith(" It is retried with more.") for _, words in said] == [True]


def test_the_executors_words_are_said_even_if_the_event_never_comes(watched, monkeypatch):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"))
    run.watch.hold(7, HELD_AD, "it is not retried")
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    ((_, words),) = run.look()
    assert words.endswith(" It is not retried.")


def test_a_second_hold_of_a_job_is_said_like_the_first(watched):
    run = watched()
    run.submit(7)
    for _ in range(2):
        run.happens(text(12))
        run.watch.hold(7, HELD_AD, "Snakemake waits for that")
        assert len(run.look()) == 1
        ((level, words),) = run.happens(text(13))
        assert (level, words) == (
            "warning",
            "predict, file=f7 (job 7.0) is released: via condor_release (by user submit)",
        )


def test_many_jobs_held_for_one_reason_are_one_line_and_one_question(watched, monkeypatch):
    run = watched()
    run.submit(*range(1, 901))
    run.happens(*start(*range(1, 901)))
    ads = {str(number): HELD_AD | {"MemoryUsage": 300 + number} for number in range(1, 901)}
    run.asker.answers["held"] = lambda clusters: {number: ads[number] for number in map(str, clusters)}
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    ((level, words),) = run.happens(*(text(12, cluster=cluster) for cluster in range(1, 901)))
    assert level == "error"
    assert words.startswith(
        "900 jobs of predict on ep1 (1, 2, 3 and 897 more), alike: predict, file=f1 (job 1.0) is held on ep1. "
    )
    assert "301 MB" in words
    assert run.asker.asked == [("held", {"clusters": list(range(1, 901))})]


def test_jobs_held_one_by_one_are_asked_for_once_in_a_period_and_none_is_left_out(watched, monkeypatch):
    run = watched()
    run.submit(*range(1, 11))
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    said = [line for number in range(1, 11) for line in run.happens(text(12, cluster=number))]
    assert [about for _, about in run.asker.asked] == [{"clusters": [1]}]
    run.watch._explain_at = time.monotonic()
    said += run.look()
    assert [about for _, about in run.asker.asked] == [{"clusters": [1]}, {"clusters": list(range(2, 11))}]
    assert [words.partition(" is held")[0].partition(",")[0] for _, words in said] == [
        "predict",
        "9 jobs of predict (2",
    ]


def test_a_schedd_that_is_silent_is_not_asked_of_each_held_job(watched, monkeypatch):
    run = watched()
    run.submit(7, 8)
    run.asker.answers["held"] = SILENT
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    said = run.happens(text(12))
    run.watch._explain_at = time.monotonic()
    said += run.happens(text(12, cluster=8))
    assert len(said) == 2
    assert run.asker.questions() == ["held"]


def test_holds_that_nobody_was_asked_of_yet_are_said_at_the_end(watched, monkeypatch):
    run = watched()
    run.submit(7, 8)
    monkeypatch.setattr(module, "RETRY_WORDS_SECONDS", -1.0)
    run.happens(text(12))
    assert run.happens(text(12, cluster=8)) == []
    run.watch._stop.set()
    assert len(run.look()) == 1


# --- evictions and what follows ---


def test_an_eviction_alone_is_said_a_look_later(watched):
    run = watched()
    run.submit(7)
    assert run.happens(execute("ep1"), text(4)) == []
    ((level, words),) = run.look()
    assert level == "warning"
    assert words == (
        "predict, file=f7 (job 7.0) was evicted from ep1: The node's owner wants it back; it waits in the queue again"
    )
    assert run.look() == []


@pytest.mark.parametrize("at_once", [True, False])
def test_an_eviction_that_a_hold_follows_is_one_line_that_of_the_hold(watched, at_once):
    run = watched()
    run.submit(7)
    run.happens(execute("ep1"))
    said = run.happens(text(4), text(12)) if at_once else run.happens(text(4)) + run.happens(text(12))
    run.watch.hold(7, HELD_AD, "it is retried with more")
    said += run.look() + run.look()
    assert [" is held on ep1. " in words for _, words in said] == [True]


def test_an_end_that_htcondor_starts_again_is_said_at_once_with_the_end_of_its_error_file(watched, tmp_path):
    error = tmp_path / "job.err"
    error.write_text("no such column: age\n")
    run = watched()
    run.submit(7, error=str(error))
    ((level, words),) = run.happens(execute("ep1"), text(4, 9, words=REQUEUED))
    assert level == "warning"
    assert words.startswith("predict, file=f7 (job 7.0) ended with exit code 3 on ep1; HTCondor starts it again, as ")
    assert words.endswith("    no such column: age")
    assert run.look() == []
    assert run.asker.asked == [], "who is on the node now is no matter"


def test_an_eviction_that_a_removal_follows_is_the_removals_line(watched):
    run = watched()
    run.submit(7)
    said = run.happens(execute("ep1"), text(4), text(9)) + run.look()
    assert said == [("error", "predict, file=f7 (job 7.0) was removed: via condor_rm (by user submit)")]


def test_an_eviction_and_the_next_start_are_said_in_that_order(watched):
    run = watched()
    run.submit(7)
    said = run.happens(execute("ep1"), text(4), execute("ep2", 9)) + run.look()
    assert [words.partition(") ")[2].partition(" ")[0] for _, words in said] == ["was", "starts"]


def test_who_took_the_place_of_an_evicted_job_is_said(watched):
    run = watched()
    run.submit(7)
    run.asker.answers["users"] = [f"{getpass.getuser()}@pool", "alice@pool"]
    run.happens(execute("ep1"), text(4))
    ((_, words),) = run.look()
    assert words.endswith("; it waits in the queue again. ep1 runs jobs of alice@pool now")
    assert run.asker.asked == [("users", {"machine": "ep1"})]


def test_who_takes_a_place_may_be_told_to_the_collector_a_moment_after_the_eviction(watched, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    run = watched()
    run.submit(7)
    answers = [[], ["alice@pool"]]
    run.asker.answers["users"] = lambda **_: answers.pop(0)
    run.happens(execute("ep1"), text(4))
    ((_, words),) = run.look()
    assert words.endswith("; it waits in the queue again. ep1 runs jobs of alice@pool now")


@pytest.mark.parametrize("users", [SILENT, [f"{getpass.getuser()}@pool"], []])
def test_where_no_one_else_is_known_to_be_on_the_node_nothing_is_said_of_it(watched, users, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    run = watched()
    run.submit(7)
    run.asker.answers["users"] = users
    run.happens(execute("ep1"), text(4))
    ((_, words),) = run.look()
    assert words.endswith("; it waits in the queue again")


def test_a_node_that_dies_with_many_jobs_is_a_line_for_each_thing_that_happens(watched):
    run = watched()
    run.submit(*range(1, 65))
    run.asker.answers["users"] = ["alice@pool"]
    run.happens(*start(*range(1, 65)))
    assert [words.partition(" (")[0] for _, words in run.happens(*(text(22, cluster=n) for n in range(1, 65)))] == [
        "64 jobs of predict on ep1"
    ]
    run.happens(*(text(4, cluster=n) for n in range(1, 65)))
    ((level, words),) = run.look()
    assert level == "warning"
    assert words == (
        "64 jobs of predict on ep1 (1, 2, 3 and 61 more), alike: predict, file=f1 (job 1.0) was evicted from ep1: The "
        "node's owner wants it back; it waits in the queue again. ep1 runs jobs of alice@pool now"
    )
    assert run.asker.questions() == ["users"]


def test_a_few_evictions_from_one_node_are_a_line_each_and_one_question(watched):
    run = watched()
    run.submit(1, 2, 3)
    run.asker.answers["users"] = ["alice@pool"]
    run.happens(*start(1, 2, 3), *(text(4, cluster=n) for n in (1, 2, 3)))
    assert len(run.look()) == 3
    assert run.asker.questions() == ["users"]


def test_of_a_job_that_came_back_before_it_began_no_node_is_looked_at(watched):
    run = watched()
    run.submit(7)
    run.happens(text(4))
    ((_, words),) = run.look()
    assert words.startswith("predict, file=f7 (job 7.0) came back to the queue before it began: ")
    assert run.asker.asked == []


def test_a_user_without_a_name_on_this_host_is_no_failure(watched, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid not found"])
    run = watched()
    run.submit(7)
    run.asker.answers["users"] = ["alice@pool"]
    run.happens(execute("ep1"), text(4))
    ((_, words),) = run.look()
    assert words.endswith("ep1 runs jobs of alice@pool now")


@pytest.mark.parametrize("at_once", [True, False])
def test_the_node_that_a_job_was_evicted_from_is_looked_at_not_the_one_it_is_on_now(watched, at_once):
    run = watched()
    run.submit(7)
    run.asker.answers["users"] = ["alice@pool"]
    run.happens(execute("ep1"))
    said = run.happens(text(4), execute("ep2", 9)) if at_once else run.happens(text(4)) + run.happens(execute("ep2", 9))
    assert len(said) == 2
    assert run.asker.asked == [("users", {"machine": "ep1"})]


def test_what_snakemake_itself_removes_is_no_news(watched):
    run = watched()
    run.submit(7, 8)
    assert run.happens(text(9, words=REMOVED_BY_SNAKEMAKE)) == []
    assert run.watch.run.jobs[7].state is State.FAILED


def test_a_connection_that_comes_back_is_an_information_and_its_loss_a_warning(watched):
    run = watched()
    run.submit(7)
    assert [level for level, _ in run.happens(execute("ep1"), text(22), text(23))] == ["warning", "info"]


# --- failures ---


def test_a_failed_job_is_said_with_the_ends_of_its_files(watched, tmp_path):
    run = watched()
    log, error = tmp_path / "job.log", tmp_path / "job.err"
    log.write_text("".join(f"line {n}\n" for n in range(50)) + "\n  \nValueError: no rows\n")
    error.write_text("RuleException: \N{LATIN SMALL LETTER E WITH ACUTE}\n", encoding="latin-1")
    run.watch.know("3", "predict", {}, [str(log), str(tmp_path / "gone.log")], {})
    run.watch.submitted("3", 7, str(run.log), "predict", "", str(error))
    ((level, words),) = run.happens(execute("ep1"), text(5, 65, words=FAILED))
    assert level == "error"
    lines = words.splitlines()
    assert lines[0].startswith("predict (job 7.0) failed with exit code 3 on ep1 after 65 s; it used 150 MB")
    assert lines[1] == f"  the end of {log}:"
    assert lines[2:12] == [*(f"    line {n}" for n in range(41, 50)), "    ValueError: no rows"]
    assert lines[12] == f"  {tmp_path / 'gone.log'}: No such file or directory"
    assert lines[13:] == [f"  the end of {error}:", "    RuleException: \N{REPLACEMENT CHARACTER}"]


def test_of_many_jobs_that_fail_at_once_a_few_are_said_in_full_and_the_others_named(watched, tmp_path):
    run = watched()
    error = tmp_path / "job.err"
    error.write_text("ValueError: no rows\n")
    run.submit(*range(1, 215), error=str(error))
    run.submit(300, rule="train")
    failed = [text(5, 65, words=FAILED, cluster=n) for n in (*range(1, 215), 300)]
    said = run.happens(*start(*range(1, 215), 300), *failed)
    assert [level for level, _ in said] == ["error"] * 5
    for number, (_, words) in enumerate(said[:3], start=1):
        assert words.startswith(f"predict, file=f{number} (job {number}.0) failed with exit code 3 on ep1 after ")
        assert words.endswith("    ValueError: no rows")
    assert said[3][1] == "and 211 more jobs of predict failed with exit code 3 on ep1: 4, 5, 6 and 208 more"
    assert said[4][1].startswith("train, file=f300 (job 300.0) failed with exit code 3")


def test_the_end_of_an_empty_file(tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    assert tail(str(tmp_path / "empty"), 5) == [f"  {tmp_path / 'empty'} is empty"]


def test_each_attempt_of_a_job_counts(watched):
    run = watched()
    run.watch.know("3", "predict", {}, [], {"memory_mb": 200.0})
    for cluster in (7, 8):
        run.watch.submitted("3", cluster, str(run.log), "predict")
        run.happens(text(5, words=FAILED, cluster=cluster))
        run.watch.failed("3")
    assert [(job.cluster, job.attempt) for job in run.watch.run.jobs.values()] == [(7, 1), (8, 2)]


def test_the_counts_of_a_run(watched):
    run = watched()
    run.watch.plan({"predict": 2, "all": 1, "total": 3})
    run.submit(7, 8)
    run.watch.finished("7")
    run.watch.finished("unknown")
    assert run.watch.run.planned == {"predict": 2, "all": 1}
    assert run.watch.run.finished == {"predict": 1}


# --- jobs that can never start, removed where the user asked for it ---


def gives_up(watched, **options):
    run = watched(**options)
    run.submit(7)
    run.queue(7, since=1000.0)
    run.diagnosis(NEVER)
    return run


def test_without_being_asked_to_nothing_is_removed(watched):
    run = gives_up(watched)
    for _ in range(9):
        run.check()
    assert "remove" not in run.asker.questions()


def test_a_job_that_can_never_start_is_said_and_then_removed_with_the_reason(watched):
    run = gives_up(watched, never_after=0.0)
    assert run.check() + run.check() == []
    said = run.check()
    assert [level for level, _ in said] == ["warning", "error"]
    assert said[1][1] == f"predict, file=f7 (job 7.0) is removed, as it can never start. {sentence(NEVER)}"
    (removal,) = [about for question, about in run.asker.asked if question == "remove"]
    assert removal["jobs"]["7"]["key"] == NEVER.key
    assert "as it can never start" in removal["jobs"]["7"]["reason"], "the executor looks for these words"


def test_a_never_that_hangs_on_what_may_change_after_all_is_said_and_removes_nothing(watched):
    run = gives_up(watched, never_after=0.0)
    run.diagnosis(replace(NEVER, sure=False))
    said = [words for _ in range(9) for words in run.check()]
    assert [level for level, _ in said] == ["warning"]
    assert "remove" not in run.asker.questions()


def test_a_job_that_has_started_in_the_meantime_is_not_said_to_be_removed(watched):
    run = gives_up(watched, never_after=0.0)
    run.asker.answers["remove"] = {"removed": [], "left": []}
    said = run.check() + run.check() + run.check()
    assert [level for level, _ in said] == ["warning"]


def test_a_schedd_that_is_silent_at_a_removal_is_asked_again_and_that_is_no_failure_of_ours(watched):
    run = gives_up(watched, never_after=0.0)
    run.asker.answers["remove"] = SILENT
    said = run.check() + run.check() + run.check() + run.check()
    assert [words.partition(" (")[0] for _, words in said] == [
        "predict, file=f7",
        "the pool's collector doesn't answer",
    ]
    run.asker.answers["remove"] = {"removed": [7], "left": []}
    assert [level for level, _ in run.check()] == ["error"]


def test_all_jobs_that_can_never_start_are_removed_by_one_question(watched):
    run = gives_up(watched, never_after=0.0)
    run.submit(*range(8, 221))
    run.queue(*range(7, 221), since=1000.0)
    said = run.check() + run.check() + run.check()
    (removal,) = [about for question, about in run.asker.asked if question == "remove"]
    assert len(removal["jobs"]) == 214
    assert [level for level, _ in said] == ["warning", "error"]
    assert said[1][1] == (
        "214 jobs of predict (7, 8, 9 and 211 more), alike: predict, file=f7 (job 7.0) is removed, as it can never "
        f"start. {sentence(NEVER)}"
    )


def test_those_for_whose_removal_there_was_no_time_are_removed_at_the_next_check(watched):
    run = gives_up(watched, never_after=0.0)
    run.submit(8)
    run.queue(7, 8, since=1000.0)
    run.asker.answers["remove"] = lambda jobs, **_: {"removed": [int(min(jobs))], "left": [int(max(jobs))]}
    assert len(run.check() + run.check() + run.check()) == 2
    run.queue(8, since=1000.0)
    run.asker.answers["remove"] = {"removed": [8], "left": []}
    ((_, words),) = run.check()
    assert words.startswith("predict, file=f8 (job 8.0) is removed")


# --- records ---


def test_records_are_written_beside_the_event_log(watched):
    run = watched()
    run.submit(7)
    run.queue(7)
    run.diagnosis(NEVER)
    for _ in range(3):
        run.check()
    run.happens(text(0), execute("ep1", 5), text(5, 65))
    run.watch.close()
    found = list(read(run.log.with_suffix(".jsonl")))
    assert [one["change"] for one in found] == ["diagnosis", "submitted", "running", "done"]
    assert (found[0]["word"], found[0]["reason"]) == ("NEVER", sentence(NEVER))
    assert found[3]["time"] == "2026-11-25T08:01:05.000Z"
    assert BEGIN == 1795593600.0


def test_records_go_where_the_user_says_or_nowhere(watched, tmp_path):
    for records in (str(tmp_path / "mine.jsonl"), None):
        run = watched(records=records)
        run.submit(7)
        run.happens(text(0))
        run.watch.close()
        run.log.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    assert json.loads((tmp_path / "mine.jsonl").read_text())["cluster"] == 7


# --- what fails inside ---


def test_what_was_read_before_an_event_that_cannot_be_read_is_said(watched):
    run = watched()
    run.submit(7)
    unreadable = text(22, words=TEXTS[22].replace("    ", "\t"))
    said = run.happens(text(9), unreadable)
    assert [words for _, words in said] == ["predict, file=f7 (job 7.0) was removed: via condor_rm (by user submit)"]
    ((what, times),) = run.watch.failures.items()
    assert what.startswith("reading the event log: OSError: ")
    assert times == 1
    run.watch.failures.clear()


def failing(*_):
    raise RuntimeError("no screen")


@pytest.mark.filterwarnings("error")
def test_the_thread_goes_on_whatever_fails_in_it_and_each_failure_is_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Asker", FakeAsker)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    said = []
    watch = Watch(Options(period=0.01), lambda level, words: said.append(words), failing)
    watch._asker.answers["queue"] = RuntimeError("no queue")
    watch.submitted("7", 7, str(tmp_path / "run.log"), "predict")
    failures = {"drawing: RuntimeError: no screen", "asking the pool: RuntimeError: no queue"}
    end = time.monotonic() + 20
    while time.monotonic() < end and not (set(watch.failures) == failures and min(watch.failures.values()) > 2):
        time.sleep(0.01)
    assert watch._thread.is_alive()
    watch.failed("7")
    (tmp_path / "run.log").write_text(execute("ep1") + text(9))
    watch.close()
    assert said == ["predict (job 7.0) was removed: via condor_rm (by user submit)"], (
        "the events were heard all the same"
    )
    assert set(watch.failures) == failures
    assert watch._asker.closed
    assert not watch._thread.is_alive()


def test_the_thread_draws_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Asker", FakeAsker)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    drawn = []
    watch = Watch(Options(), lambda level, words: None, drawn.append)
    assert watch._thread is None, "nothing runs before there is a job"
    watch.submitted("7", 7, str(tmp_path / "run.log"), "predict")
    end = time.monotonic() + 20
    while time.monotonic() < end and not drawn:
        time.sleep(0.01)
    watch.close()
    assert drawn[0] is watch.run
    assert watch.failures == {}
    watch.submitted("8", 8, str(tmp_path / "run.log"), "predict")
    assert not watch._thread.is_alive(), "what is closed stays closed"


def in_time(ask):
    """Tell whether a call, in a thread of its own as the executor's is, returns soon."""
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=5)
    return not thread.is_alive()


def test_a_terminal_that_takes_nothing_more_keeps_neither_executor_nor_snakemake_waiting(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Asker", FakeAsker)
    monkeypatch.setattr(Watch, "_begin", lambda self: None)
    draws, goes_on = threading.Event(), threading.Event()

    def terminal():
        draws.set()
        goes_on.wait(30)

    watch = Watch(Options(), lambda level, words: None, lambda run: terminal)
    drawing = threading.Thread(target=watch._redraw)
    drawing.start()
    assert draws.wait(5)
    try:
        assert in_time(lambda: watch.hold(7, {}, "it is retried"))
        assert in_time(lambda: watch.submitted("7", 7, str(tmp_path / "run.log")))
        assert in_time(lambda: watch.finished("7"))
    finally:
        goes_on.set()
        drawing.join(timeout=5)


def test_a_file_of_records_that_takes_nothing_more_keeps_no_one_waiting(watched):
    run = watched()
    (job,) = run.submit(7)
    writes, goes_on = threading.Event(), threading.Event()

    class Stuck(Recorded):
        def write(self, job, kind, at, **more):
            writes.set()
            goes_on.wait(30)

    run.watch._recorder = Stuck()
    writing = threading.Thread(target=run.watch._record, args=("running", job))
    writing.start()
    assert writes.wait(5)
    try:
        assert in_time(lambda: run.watch.finished("7"))
    finally:
        goes_on.set()
        writing.join(timeout=5)


def test_an_executor_that_tells_of_a_hold_waits_for_nobody(watched):
    run = watched()
    run.submit(7)
    run.happens(text(12))
    with run.watch.lock:  # however long a view of 100,000 jobs takes
        assert in_time(lambda: run.watch.hold(7, HELD_AD, "it is retried with more"))
    assert len(run.look()) == 1


def test_of_a_huge_log_the_end_is_read_and_of_a_pipe_nothing(tmp_path):
    huge = tmp_path / "huge.log"
    with huge.open("w") as file:
        file.write("x" * (1 << 22) + "\n" + "the last line\n")
    shown = tail(str(huge), 1)
    assert shown[-1].strip() == "the last line"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert tail(str(pipe), 1) == [f"  {pipe}: not a regular file"]
