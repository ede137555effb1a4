"""HTCondor's event log: each kind of event, as HTCondor's own reader gives it from the text of a log."""

import doctest

import pytest
from event_log import BEGIN, EP1, FAILED, KILLED, REQUEUED, TEXTS, execute, text
from snakemake_logger_plugin_htcondor import events
from snakemake_logger_plugin_htcondor.events import Event, EventLog, apply, failure, host_of
from snakemake_logger_plugin_htcondor.jobs import Job, Run, State


@pytest.fixture
def told(tmp_path):
    """Return a function that writes events into a log and returns what applying them changes, and the job."""
    run = Run(BEGIN, jobs={7: Job(7, "3", "predict", {"file": "may"})})
    path = tmp_path / "run.log"
    log = EventLog(str(path))

    def tell(*written):
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(written))
        return [apply(run, event) for event in log.new()], run.jobs[7]

    return tell


def last(found):
    changes, job = found
    assert changes[-1].job is job
    return changes[-1].kind, changes[-1].text, job


def test_examples_in_docstrings():
    failed, tried = doctest.testmod(events)
    assert (failed, tried) == (0, 2)


# --- each kind ---


def test_submitted_and_running(told):
    changes, job = told(text(0, 1.25), execute("ep1", 5.5))
    assert [(change.kind, change.text) for change in changes] == [("submitted", ""), ("running", "")]
    assert (job.submitted, job.started, job.state, job.hosts) == (BEGIN + 1.25, BEGIN + 5.5, State.RUNNING, ["ep1"])


def test_a_second_start_is_news_and_says_whether_it_moved(told):
    assert last(told(execute("ep1"), execute("ep2", 9)))[:2] == (
        "running",
        "starts again, on ep2 (it was on ep1); this is start 2",
    )
    _, words, job = last(told(execute("ep2", 20)))
    assert words == "starts again, on ep2; this is start 3"
    assert (job.host, job.started, job.hosts) == ("ep2", BEGIN + 20, ["ep1", "ep2", "ep2"])


def test_memory_in_use_is_noted_at_its_peak(told):
    changes, job = told(text(6), text(6, words=TEXTS[6].replace("300  -", "40  -")))
    assert changes == [None, None], "no news for a person"
    assert job.used["memory_mb"] == 300


def test_evicted(told):
    kind, words, job = last(told(execute("ep1"), text(4)))
    assert kind == "evicted"
    assert words == "was evicted from ep1: The node's owner wants it back; it waits in the queue again"
    assert (job.state, job.started, job.host) == (State.IDLE, None, "ep1")


def test_evicted_without_a_reason_is_told_by_its_code_or_as_unknown(told):
    def evicted(**told):
        run = Run(BEGIN, jobs={7: Job(7, "3", "predict", hosts=["ep1"], state=State.RUNNING)})
        return apply(run, Event("JOB_EVICTED", 7, BEGIN, told))

    coded, plain = evicted(ReasonCode=1006, ReasonSubCode=0), evicted()
    for change in (coded, plain):
        assert change.text.startswith("was evicted from ep1: ")
        assert "None" not in change.text
    assert coded.text != plain.text


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (REQUEUED, "with exit code 3"),
        (
            REQUEUED.replace(
                "(1) Normal termination (return value 3)", "(0) Abnormal termination (signal 9)\n\t(0) No core file"
            ),
            "by signal 9",
        ),
    ],
)
def test_an_end_that_htcondor_starts_again_is_no_eviction(told, words, how):
    kind, said, job = last(told(execute("ep1"), text(4, 9, words=words)))
    assert kind == "requeued"
    assert said == (
        f"ended {how} on ep1; HTCondor starts it again, as its submit description asks (max_retries, on_exit_remove)"
    )
    assert (job.state, job.started, job.exit_code, job.signal) == (State.IDLE, None, None, None)


def test_shadow_exception(told):
    kind, words, job = last(told(execute("ep1"), text(7)))
    assert kind == "shadow exception"
    assert "while it was on ep1: Error from slot1_1@ep1: FileTransfer failed; HTCondor starts it again" in words
    assert job.state is State.IDLE


@pytest.mark.parametrize("before", [[], [execute("ep1"), text(4)]], ids=["at first", "after another start"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (4, "came back to the queue before it began: The node's owner wants it back; it waits in the queue again"),
        (7, "could not be started: Error from slot1_1@ep1: FileTransfer failed; HTCondor tries again"),
    ],
)
def test_who_comes_back_before_it_began_was_on_no_node(told, before, number, words):
    changes, job = told(*before, text(number))
    assert (changes[-1].text, changes[-1].host, job.state) == (words, "", State.IDLE)


def test_disconnected_reconnected_and_not(told):
    kind, words, job = last(told(execute("ep1"), text(22)))
    assert (kind, job.state) == ("disconnected", State.RUNNING)
    assert "the connection to ep1 (Socket between submit and execute hosts closed unexpectedly)" in words
    assert last(told(text(23)))[:2] == ("reconnected", "is connected to ep1 again; it went on there")
    kind, words, job = last(told(text(24)))
    assert (kind, job.state, job.started) == ("reconnect failed", State.IDLE, None)
    assert words == (
        "could not be connected to ep1 again (Job not found at execution machine); it starts again elsewhere"
    )


def test_who_reconnects_runs_whatever_was_thought_before(told):
    assert last(told(text(23)))[2].state is State.RUNNING


def test_suspended_and_not_any_more(told):
    kind, words, _ = last(told(execute("ep1"), text(10)))
    assert kind == "suspended"
    assert words.startswith("is suspended on ep1")
    assert last(told(text(11)))[:2] == ("unsuspended", "goes on, on ep1")


def test_held_and_released(told):
    kind, words, job = last(told(execute("ep1"), text(12)))
    assert (kind, words) == ("held", ""), "told by whoever knows more"
    assert (job.state, job.started) == (State.HELD, None)
    assert job.reason == "memory 300 MB is above the request of 200 MB"
    assert job.hold == {"HoldReason": job.reason, "HoldReasonCode": 26, "HoldReasonSubCode": 0}
    kind, words, job = last(told(text(13)))
    assert (kind, words) == ("released", "is released: via condor_release (by user submit)")
    assert (job.state, job.reason) == (State.IDLE, "")


def test_done_with_what_it_used_of_what_it_asked_for(told):
    kind, words, job = last(told(execute("ep1"), text(5, 65)))
    assert (kind, words) == ("done", "")
    assert (job.state, job.exit_code, job.signal, job.ended) == (State.DONE, 0, None, BEGIN + 65)
    assert job.requested == {"cpus": 1, "memory_mb": 200, "disk_mb": 1}
    assert job.used == {"cpus": 0.25, "memory_mb": 150, "disk_mb": 2}


def test_failed_with_an_exit_code(told):
    kind, _, job = last(told(execute("ep1"), text(5, 65, words=FAILED)))
    assert (kind, job.state, job.exit_code) == ("failed", State.FAILED, 3)
    assert (
        failure(job) == "failed with exit code 3 on ep1 after 65 s; it used 150 MB of the 200 MB of memory it asked for"
    )


def test_failed_by_a_signal(told):
    kind, _, job = last(told(execute("ep1"), text(5, 65, words=KILLED)))
    assert (kind, job.state, job.exit_code, job.signal) == ("failed", State.FAILED, None, 9)
    assert failure(job).startswith("failed by signal 9 on ep1 after 65 s; ")


def test_removed(told):
    kind, words, job = last(told(execute("ep1"), text(9, 30)))
    assert (kind, words) == ("removed", "was removed: via condor_rm (by user submit)")
    assert (job.state, job.ended, job.reason) == (State.FAILED, BEGIN + 30, "via condor_rm (by user submit)")


def test_an_executable_that_cannot_be_run():
    run = Run(BEGIN, jobs={7: Job(7, "3", "predict")})
    change = apply(run, Event("EXECUTABLE_ERROR", 7, BEGIN, {}))
    assert change.text == "could not be started on its node: its executable can't be run there"


def test_other_jobs_and_other_kinds_change_nothing(told):
    changes, job = told(text(12, cluster=8), text(8, words="a note of the user's own"))
    assert changes == [None, None]
    assert job == Job(7, "3", "predict", {"file": "may"})


def test_every_kind_that_is_known_is_one_of_htcondors():
    import htcondor2  # noqa: PLC0415

    assert set(events._HANDLERS) <= set(htcondor2.JobEventType.__members__)


# --- words ---


@pytest.mark.parametrize(
    ("attributes", "host"),
    [
        ({"SlotName": "slot1_2@ep2", "ExecuteHost": EP1}, "ep2"),
        ({"SlotName": "ep3"}, "ep3"),
        ({"ExecuteHost": EP1}, "ep1"),
        ({"ExecuteHost": "<10.0.0.4:9618>"}, "10.0.0.4"),
        ({"ExecuteHost": "elsewhere"}, "elsewhere"),
        ({}, ""),
    ],
)
def test_the_host_of_an_event(attributes, host):
    assert host_of(attributes) == host


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "failed with exit code 1 on no host; its memory was not measured"),
        ({"hosts": ["ep1"], "used": {"memory_mb": 5.0}}, "failed with exit code 1 on ep1; it used 5 MB of memory"),
        (
            {"hosts": ["ep1"], "started": 10.0, "ended": 190.0, "used": {"memory_mb": 0.0}},
            "failed with exit code 1 on ep1 after 3.0 min; it used 0 MB of memory",
        ),
    ],
)
def test_what_is_said_of_a_failure_where_less_is_known(facts, words):
    assert failure(Job(7, "3", "predict", exit_code=1, **facts)) == words


# --- the file ---


def test_a_log_that_appears_later(tmp_path):
    path = tmp_path / "later.log"
    log = EventLog(str(path))
    assert list(log.new()) == []
    path.write_text(text(0) + text(12, cluster=8))
    assert [(event.kind, event.cluster) for event in log.new()] == [("SUBMIT", 7), ("JOB_HELD", 8)]
    assert list(log.new()) == [], "each event once"


@pytest.mark.parametrize("cut", [60, 669])
def test_half_an_event_waits_for_its_other_half(tmp_path, cut):
    path = tmp_path / "run.log"
    whole = text(5, 65)
    path.write_text(text(0) + whole[:cut])
    log = EventLog(str(path))
    assert [event.kind for event in log.new()] == ["SUBMIT"]  # HTCondor's reader looks again after a second
    with path.open("a") as file:
        file.write(whole[cut:] + text(12, 70))
    assert [event.kind for event in log.new()] == ["JOB_TERMINATED", "JOB_HELD"]


def test_an_event_that_is_not_utf_8_is_read_with_what_it_carries_and_so_is_what_follows(tmp_path):
    """A file name of another age, in the reason of a hold."""
    path = tmp_path / "run.log"
    held = "Job was held.\n\tcan't open caf\xe9.csv\n\tCode 14 Subcode 2"
    path.write_bytes((text(0) + text(12, 5, words=held) + text(12, 6, 8, held) + text(9, 7)).encode("latin-1"))
    log = EventLog(str(path))
    found = list(log.new())
    kinds = [
        ("SUBMIT", 7, BEGIN),
        ("JOB_HELD", 7, BEGIN + 5),
        ("JOB_HELD", 8, BEGIN + 6),
        ("JOB_ABORTED", 7, BEGIN + 7),
    ]
    assert [(event.kind, event.cluster, event.time) for event in found] == kinds
    told = found[1].attributes
    assert (told["HoldReasonCode"], told["HoldReasonSubCode"]) == (14, 2)
    assert told["HoldReason"] == "can't open caf\ufffd.csv"
    assert list(log.new()) == [], "each event once"


def test_fractions_of_a_second_are_kept(tmp_path):
    path = tmp_path / "run.log"
    path.write_text(text(0, 1.25) + text(0, 2, words=TEXTS[0]).replace(".000Z", "Z"))
    assert [event.time for event in EventLog(str(path)).new()] == [BEGIN + 1.25, BEGIN + 2]


def test_an_event_that_cannot_be_read_is_an_error_and_reading_goes_on_behind_it(tmp_path):
    path = tmp_path / "run.log"
    path.write_text(text(0) + text(22, 1, words=TEXTS[22].replace("    ", "\t")) + text(9, 2))
    log, found = EventLog(str(path)), []
    with pytest.raises(OSError, match=r"run\.log can't be read: "):
        found.extend(event.kind for event in log.new())
    assert found == ["SUBMIT"]
    assert [event.kind for event in log.new()] == ["JOB_ABORTED"]
