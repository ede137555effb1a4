"""When a verdict on a job that waits is said: late enough, sure enough, once, and for all whom it concerns."""

import doctest
from dataclasses import replace
from itertools import pairwise

import pytest
from snakemake_logger_plugin_htcondor import waiting as module
from snakemake_logger_plugin_htcondor.jobs import Job
from snakemake_logger_plugin_htcondor.matching import NEXT_CYCLE, Word
from snakemake_logger_plugin_htcondor.waiting import (
    CHECKS,
    MOST_ASKED,
    PAUSE,
    Found,
    Idle,
    Waiting,
    found_of,
    line,
    sentence,
)

THRESHOLD, PERIOD = 60.0, 10.0
NEVER = Found(Word.NEVER, "memory", "it asks for 900 GB, and the largest slot has 8 GB", "Ask for less", sure=True)
NOT_YET = Found(Word.NOT_YET, "busy", "all slots that fit are busy", "It starts when one is free")
QUOTA = Found(Word.NOT_YET, "quota", "its group has what it may have", "It starts when a job of it ends")
UNKNOWN = Found(Word.UNKNOWN, "empty", "the pool has no slots", "Ask who runs it")


def idle(cluster=7, since=0.0, rule="predict", kind="1"):
    return Idle(Job(cluster, str(cluster), rule, {"file": f"f{cluster}"}), since, kind)


@pytest.fixture
def waiting():
    return Waiting(THRESHOLD, PERIOD)


def check(waiting, found, times, jobs=(7,), now=100.0):
    for _ in range(times):
        for cluster in jobs:
            waiting.note(cluster, found, now)


def said(waiting, jobs, now):
    return [(one.found, [idle.job.cluster for idle in one.jobs]) for one in waiting.news(jobs, now)]


# --- when ---


def test_nothing_is_said_before_the_threshold_however_sure_it_is(waiting):
    check(waiting, NEVER, 9)
    assert said(waiting, [idle()], THRESHOLD - 1) == []
    assert said(waiting, [idle()], THRESHOLD) == [(NEVER, [7])]


@pytest.mark.parametrize(("found", "checks"), [(NEVER, 3), (NOT_YET, 2), (UNKNOWN, 2)])
def test_a_verdict_is_said_after_so_many_equal_checks_in_a_row(waiting, found, checks):
    for _ in range(checks - 1):
        check(waiting, found, 1)
        assert said(waiting, [idle()], 100.0) == []
    check(waiting, found, 1)
    assert said(waiting, [idle()], 100.0) == [(found, [7])]


def test_the_checks_begin_so_early_that_a_verdict_is_sure_at_the_threshold(waiting):
    first = THRESHOLD - PERIOD * (CHECKS[Word.NEVER] - 1)
    assert waiting.to_ask([idle()], first - 1) == {}
    for number in range(CHECKS[Word.NEVER]):
        assert waiting.to_ask([idle()], first + number * PERIOD) == {7: [7]}
        check(waiting, NEVER, 1, now=first + number * PERIOD)
    assert said(waiting, [idle()], THRESHOLD) == [(NEVER, [7])]


@pytest.mark.parametrize("found", [NEVER, NOT_YET])
def test_a_failed_check_begins_the_count_anew(waiting, found):
    check(waiting, found, CHECKS[found.word] - 1)
    waiting.unsure()
    check(waiting, found, CHECKS[found.word] - 1)
    assert said(waiting, [idle()], 200.0) == []
    check(waiting, found, 1)
    assert said(waiting, [idle()], 200.0) == [(found, [7])]


@pytest.mark.parametrize("other", [NOT_YET, Found(Word.NEVER, "disk", "it asks for too much disk", "Ask for less")])
def test_another_verdict_in_between_begins_the_count_anew(waiting, other):
    check(waiting, NEVER, 2)
    check(waiting, other, 1)
    check(waiting, NEVER, 2)
    assert said(waiting, [idle()], 200.0) == []


def test_the_figures_may_change_while_the_reason_stays(waiting):
    newer = Found(Word.NOT_YET, "busy", "all 3 slots that fit are busy", "It starts when one is free")
    check(waiting, NOT_YET, 1)
    check(waiting, newer, 1)
    assert said(waiting, [idle()], 100.0) == [(newer, [7])]


# --- once ---


def test_it_is_said_once_as_long_as_it_stands(waiting):
    check(waiting, NEVER, 3)
    assert said(waiting, [idle()], 100.0) == [(NEVER, [7])]
    check(waiting, NEVER, 50)
    assert said(waiting, [idle()], 100.0 + 10 * PAUSE) == []


def test_another_reason_of_a_job_that_can_start_is_said_after_a_pause(waiting):
    check(waiting, NOT_YET, 2)
    assert said(waiting, [idle()], 100.0) == [(NOT_YET, [7])]
    check(waiting, QUOTA, 2)
    assert said(waiting, [idle()], 100.0 + PAUSE - 1) == []
    assert said(waiting, [idle()], 100.0 + PAUSE) == [(QUOTA, [7])]
    check(waiting, NOT_YET, 2)
    assert said(waiting, [idle()], 100.0 + PAUSE + 1) == [], "the pause begins anew with each line"


def test_that_the_negotiator_was_to_come_soon_holds_back_no_other_reason(waiting):
    """As it was: a slot's ad was some seconds old, so it seemed free, and that all are busy came five minutes later."""
    soon = Found(Word.NOT_YET, NEXT_CYCLE, "1 of 2 slots is free", "It starts soon")
    check(waiting, soon, 2)
    assert said(waiting, [idle()], 100.0) == [(soon, [7])]
    check(waiting, NOT_YET, 2)
    assert said(waiting, [idle()], 102.0) == [(NOT_YET, [7])]
    check(waiting, soon, 2)
    assert said(waiting, [idle()], 104.0) == []
    check(waiting, NOT_YET, 2)
    assert said(waiting, [idle()], 106.0) == [], "each is said once in a pause"


def test_that_it_can_never_start_waits_for_no_pause(waiting):
    check(waiting, NOT_YET, 2)
    assert said(waiting, [idle()], 100.0) == [(NOT_YET, [7])]
    check(waiting, NEVER, 3)
    assert said(waiting, [idle()], 101.0) == [(NEVER, [7])]


# --- to whom it applies ---


def test_jobs_of_one_rule_and_reason_are_one_line(waiting):
    jobs = [idle(n, since=float(n)) for n in range(1, 41)] + [idle(50, rule="train")]
    check(waiting, NEVER, 3, [one.job.cluster for one in jobs])
    news = list(waiting.news(jobs, 200.0))
    assert [(one.found, len(one.jobs), one.jobs[0].job.rule) for one in news] == [
        (NEVER, 40, "predict"),
        (NEVER, 1, "train"),
    ]
    text = line(news[0].found, news[0].jobs, 200.0)
    assert text == f"40 jobs of predict have been idle for up to 3.3 min. {sentence(NEVER)}"
    assert said(waiting, jobs, 300.0) == []


def test_jobs_that_come_one_by_one_are_one_line_in_each_pause_with_all_of_them(waiting):
    """A job each ten seconds, for twenty minutes, of one rule and reason."""
    jobs, lines, told = [], [], []
    for number in range(120):
        now = 100.0 + 10 * number
        jobs.append(idle(number, since=now))
        check(waiting, NEVER, 1, [one.job.cluster for one in jobs], now)
        for news in waiting.news(jobs, now):
            lines.append((now, line(news.found, news.jobs, now)))
            told += [one.job.cluster for one in news.joined]
    assert [at for at, _ in lines] == [160.0, 160.0 + PAUSE, 160.0 + 2 * PAUSE, 160.0 + 3 * PAUSE]
    assert lines[1][1].startswith("35 jobs of predict have been idle for up to 6.0 min. NEVER")
    assert len(told) == len(set(told)), "each job is in the records once"


def test_a_line_is_said_again_for_newcomers_alone(waiting):
    check(waiting, NEVER, 3, [1, 2])
    jobs = [idle(1), idle(2), idle(3, since=50.0)]
    assert said(waiting, jobs, 100.0) == [(NEVER, [1, 2])]
    assert said(waiting, jobs, 100.0 + PAUSE) == []
    check(waiting, NEVER, 3, [3])
    assert said(waiting, jobs, 99.0 + PAUSE) == []
    (news,) = waiting.news(jobs, 100.0 + PAUSE)
    assert [one.job.cluster for one in news.jobs] == [1, 2, 3]
    assert [one.job.cluster for one in news.joined] == [3]


def asks_for(gigabytes):
    """What is found of a job that asks for so much memory, as the diagnosis says it."""
    reason = f"asks for {gigabytes:,} GB of memory, the largest slot has 16 GB (ep1); 0 of 2 slots match"
    return replace(NEVER, key=f"never: Memory={gigabytes * 1024:g}", reason=reason)


@pytest.mark.parametrize("number", [20, 200, 2000])
def test_jobs_that_each_ask_for_another_amount_are_told_soon_and_in_one_line_a_pause(waiting, number):
    """A rule with `mem_mb=lambda wildcards, input: …`: to HTCondor, each job is of a kind of its own."""
    jobs = [idle(n, kind=str(n)) for n in range(number)]
    lines, asked = [], set()
    for now in range(0, 1500, int(PERIOD)):
        groups = waiting.to_ask(jobs, float(now))
        asked |= groups.keys()
        for cluster in groups:
            waiting.note(cluster, asks_for(100 + cluster), float(now))
        lines += [(now, line(news.found, news.jobs, float(now))) for news in waiting.news(jobs, float(now))]
    assert lines[0][0] <= 80
    times = [at for at, _ in lines]
    assert all(later - earlier >= PAUSE for earlier, later in pairwise(times))
    assert "NEVER: asks for 100 to 1" in lines[0][1]
    assert " GB of memory, the largest slot has 16 GB (ep1); 0 of 2 slots match. " in lines[0][1]
    assert len(asked) >= min(number, 1400), "those whose verdict isn't sure yet don't take all the turns"


def test_a_rule_with_many_amounts_leaves_others_their_turn_while_verdicts_change_each_time(waiting):
    jobs = [idle(n, kind=str(n)) for n in range(100)]
    asked = set()
    for turn in range(20):
        groups = waiting.to_ask(jobs, 1000.0 + turn)
        asked |= groups.keys()
        for cluster in groups:
            waiting.note(cluster, replace(NOT_YET, key=f"{turn}"), 1000.0 + turn)
    assert asked == set(range(100))


def test_jobs_with_other_amounts_are_hopeless_by_their_own_reason_once_their_rule_was_told(waiting):
    jobs = [idle(1), idle(2)]
    for job, gigabytes in zip(jobs, (100, 200), strict=True):
        check(waiting, asks_for(gigabytes), 3, [job.job.cluster], now=100.0)
    ((found, told),) = said(waiting, jobs, 100.0)
    assert (found.reason.partition(",")[0], told) == ("asks for 100 to 200 GB of memory", [1, 2])
    assert list(waiting.hopeless(jobs, 100.0, 0.0)) == [(1, asks_for(100)), (2, asks_for(200))]


@pytest.mark.parametrize(
    ("least", "most", "reason"),
    [
        (("Memory=1, Cpus=8", "asks for 1 GB, 8 cores"), ("Memory=2, Cpus=4", "asks for 2 GB, 4 cores"), None),
        (("Memory=1", "asks for 1 GB (ep1)"), ("Memory=2", "asks for 2 GB (ep2)"), None),
        (("Cpus=1", "asks for 1 core and more"), ("Cpus=2", "asks for 2 cores"), None),
        (("Memory=900", "asks for 900 MB, no more"), ("Memory=2048", "asks for 2 GB, no more"), "900 MB to 2 GB,"),
    ],
)
def test_amounts_that_make_no_range_are_told_by_the_most(waiting, least, most, reason):
    jobs = [idle(1), idle(2)]
    for job, (key, words) in zip(jobs, (least, most), strict=True):
        check(waiting, replace(NEVER, key=f"never: {key}", reason=words), 3, [job.job.cluster])
    ((found, _),) = said(waiting, jobs, 100.0)
    assert found.reason == (most[1] if reason is None else f"asks for {reason} no more")


def test_examples_in_docstrings():
    failed, tried = doctest.testmod(module)
    assert (failed, tried) == (0, 3)


def test_those_for_whom_there_was_no_time_come_first_the_next_time(waiting):
    jobs = [idle(number, kind=str(number)) for number in range(MOST_ASKED + 2)]
    first = waiting.to_ask(jobs, 1000.0)
    waiting.later([5, 6], first, jobs)
    assert list(waiting.to_ask(jobs, 1010.0))[:4] == [5, 6, MOST_ASKED, MOST_ASKED + 1]


def test_alike_jobs_are_asked_about_once_the_longest_waiting_first(waiting):
    jobs = [idle(1, 30.0, kind="a"), idle(2, 10.0, kind="b"), idle(3, 20.0, kind="a"), idle(4, 195.0, kind="c")]
    assert waiting.to_ask(jobs, 200.0) == {2: [2], 3: [3, 1]}


def test_no_more_kinds_than_so_many_are_asked_about_at_once(waiting):
    jobs = [idle(n, float(n), kind=str(n)) for n in range(100)]
    assert list(waiting.to_ask(jobs, 1000.0)) == list(range(MOST_ASKED))


def test_one_job_is_named_with_its_wildcards_and_number():
    assert line(NOT_YET, [idle()], 75.0) == (
        "predict, file=f7 (job 7.0) has been idle for 75 s. "
        "NOT YET: all slots that fit are busy. It starts when one is free."
    )


def test_a_verdict_comes_back_as_it_was_sent():
    sent = {"word": str(NEVER.word), "key": NEVER.key, "reason": NEVER.reason, "remedy": NEVER.remedy, "sure": True}
    assert found_of(sent) == NEVER
    with pytest.raises(ValueError, match="PERHAPS"):
        found_of(sent | {"word": "PERHAPS"})


# --- forgetting, and giving up ---


def test_a_job_that_waits_no_more_is_forgotten_and_it_is_known_whether_it_was_talked_about(waiting):
    assert waiting.forget(7) is False
    check(waiting, NEVER, 3)
    assert waiting.forget(7) is False, "nothing had been said"
    assert said(waiting, [idle()], 100.0) == []
    check(waiting, NEVER, 3)
    assert said(waiting, [idle()], 100.0) == [(NEVER, [7])]
    assert waiting.forget(7) is True
    check(waiting, NEVER, 3)
    assert said(waiting, [idle()], 99.0 + PAUSE) == []
    assert said(waiting, [idle()], 100.0 + PAUSE) == [(NEVER, [7])], "it waits again: that is news after a pause"


def never_since(waiting, began):
    check(waiting, NEVER, 3, now=began)
    assert said(waiting, [idle()], began + 60) == [(NEVER, [7])]


def hopeless(waiting, now, seconds):
    """Check once more, and return who has no hope."""
    check(waiting, NEVER, 1, now=now)
    return list(waiting.hopeless([idle()], now, seconds))


def test_hopeless_is_who_was_never_for_so_long_and_was_told_so(waiting):
    check(waiting, NEVER, 3, now=100.0)
    assert hopeless(waiting, 100.0, 0.0) == [], "it was not said yet"
    assert said(waiting, [idle()], 160.0) == [(NEVER, [7])]
    assert hopeless(waiting, 399.0, 300.0) == []
    assert hopeless(waiting, 400.0, 300.0) == [(7, NEVER)]
    assert list(waiting.hopeless([idle()], 401.0, 300.0)) == [], "it was not checked in this round"


def test_a_newcomer_has_no_hope_either_where_its_rule_was_told_the_reason(waiting):
    never_since(waiting, 100.0)
    check(waiting, NEVER, 3, [8], now=170.0)
    jobs = [idle(), idle(8, since=110.0)]
    assert said(waiting, jobs, 170.0) == []
    assert list(waiting.hopeless(jobs, 170.0, 0.0)) == [(8, NEVER)]
    assert list(waiting.hopeless([idle(8, rule="train")], 170.0, 0.0)) == [], "of that rule nothing was said"


@pytest.mark.parametrize("found", [NOT_YET, UNKNOWN, replace(NEVER, sure=False)])
def test_no_job_that_may_start_is_hopeless(waiting, found):
    check(waiting, found, 9, now=100.0)
    assert said(waiting, [idle()], 200.0) == [(found, [7])]
    assert list(waiting.hopeless([idle()], 9999.0, 300.0)) == []


def test_another_verdict_in_between_begins_the_time_anew(waiting):
    never_since(waiting, 100.0)
    check(waiting, NOT_YET, 1, now=390.0)
    assert list(waiting.hopeless([idle()], 500.0, 300.0)) == []
    check(waiting, NEVER, 3, now=400.0)
    assert hopeless(waiting, 699.0, 300.0) == []
    assert hopeless(waiting, 700.0, 300.0) == [(7, NEVER)]


def test_a_failed_check_in_between_begins_the_time_anew(waiting):
    never_since(waiting, 100.0)
    waiting.unsure()
    assert list(waiting.hopeless([idle()], 500.0, 300.0)) == []
    check(waiting, NEVER, 3, now=500.0)
    assert hopeless(waiting, 799.0, 300.0) == []
    assert hopeless(waiting, 800.0, 300.0) == [(7, NEVER)]


def test_more_kinds_than_are_asked_about_at_once_take_turns(waiting):
    kinds = [Idle(Job(number, str(number), "train"), 0.0, f"kind {number}") for number in range(50)]
    asked = set()
    for turn in range(3):
        asked |= set(waiting.to_ask(kinds, 1000.0 + turn))
    assert asked == set(range(50))
