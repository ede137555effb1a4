"""The logger plugin as Snakemake meets it: what it hears, what it says, and that it fails aloud in tests alone."""

import io
import logging
import logging.handlers
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest
from event_log import FAILED, execute, text
from snakemake.iocontainers import ResourceList
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase
from snakemake_logger_plugin_htcondor import OURS, LogHandler, LogHandlerSettings

UPSTREAM = (
    "Job 3 submitted to HTCondor Cluster ID 7 with batch name predict-3\nThe logs of the HTCondor job are stored in {}"
)
STEADY = "Job 3 (predict, file=may) is HTCondor job 7.0."


def failures(handler):
    """Everything that a handler has failed at, which a run would be told at its end."""
    return handler._failures | handler._watch.failures


class Strict(LogHandler):
    """Swallows no error."""

    def emit(self, record):
        super().emit(record)
        assert failures(self) == {}, "it failed at an event, and kept silent"

    def handleError(self, record):  # noqa: N802 - logging's own name
        raise AssertionError(f"it could not handle {record}") from sys.exc_info()[1]


class TestOfTheInterface(TestLogHandlerBase):
    """The interface's own tests, of the handler as it is."""

    __test__ = True

    def get_log_handler_cls(self):
        return LogHandler

    def get_log_handler_settings(self):
        return LogHandlerSettings()


class TestOfTheInterfaceWithoutMercy(TestOfTheInterface):
    """The same, where no error is swallowed, and with Snakemake's way to hand over a record."""

    def get_log_handler_cls(self):
        return Strict

    def test_each_event_of_the_interface_is_heard_without_a_failure(self):
        handler = self._create_handler()
        for event in LogEvent:
            handler.handle(self._create_event_record(event, jobid=1, job_id=1, groupid="g"))
        assert failures(handler) == {}


def test_a_handler_that_swallows_its_errors_does_not_pass():
    class Careless(Strict):
        def _hear(self, record):
            raise KeyError("jobid")

    with pytest.raises(AssertionError, match="kept silent"):
        Careless(common_settings=MockOutputSettings(), settings=None).emit(record("x"))


# --- a handler, and what it says ---


class Said(logging.Handler):
    """What reaches Snakemake's logger, as its console and log file get it."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def texts(self):
        return [(record.levelname, record.getMessage()) for record in self.records]


@pytest.fixture
def said():
    logger = logging.getLogger("snakemake.logging")
    handler, level, propagate = Said(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture
def handler_of(said):
    """Return a function that makes handlers; they are closed after the test."""
    made = []

    def make(cls=Strict, dryrun=False, **settings):
        common = MockOutputSettings()
        common.dryrun = dryrun
        made.append(cls(common_settings=common, settings=LogHandlerSettings(**settings)))
        return made[-1]

    yield make
    for handler in made:
        handler.close()


def record(message, **more):
    made = logging.LogRecord("snakemake.logging", logging.INFO, "x.py", 1, message, (), None)
    made.__dict__.update(more)
    return made


def jobs(handler):
    return handler._watch.run.jobs


# --- what it hears ---


def test_the_submission_by_htcondors_own_executor(handler_of, tmp_path):
    handler, log = handler_of(), tmp_path / "my logs" / "run.log"
    handler.emit(record(UPSTREAM.format(log)))
    job = jobs(handler)[7]
    assert (job.cluster, job.jobid, job.rule, job.attempt) == (7, "3", "predict-3", 1)
    assert list(handler._watch._logs) == [str(log)]


def test_the_submission_in_our_executors_words(handler_of):
    handler = handler_of()
    handler.emit(record(STEADY))
    assert (jobs(handler)[7].jobid, jobs(handler)[7].rule) == ("3", "predict, file=may")
    assert handler._watch._logs == {}, "the queue tells where it is"


def test_the_submission_in_a_record_of_our_executor(handler_of, tmp_path):
    handler = handler_of()
    told = {"jobid": "3", "cluster": 7, "event_log": str(tmp_path / "run.log"), "title": "predict, file=may"}
    handler.emit(record(STEADY, htcondor_job=told | {"output": "a.out", "error": "a.err"}))
    job = jobs(handler)[7]
    assert (job.output, job.error) == ("a.out", "a.err")
    assert list(handler._watch._logs) == [str(tmp_path / "run.log")]


@pytest.mark.parametrize(
    "message",
    [
        f"He said: {STEADY}",
        "Job 3 submitted to HTCondor Cluster ID seven with batch name predict-3",
        "Job 3 (predict) is HTCondor job 7.0, isn't it?",
        "Submitted job 3 with external jobid '7'.",
        "",
        ValueError("no text"),
    ],
)
def test_other_texts_are_no_submission(handler_of, message):
    handler = handler_of()
    handler.emit(record(message))
    assert jobs(handler) == {}


def test_what_a_job_is_comes_from_snakemakes_own_record(handler_of):
    handler = handler_of()
    handler.emit(
        record(
            "rule predict",
            event=LogEvent.JOB_INFO,
            jobid=3,
            rule_name="predict",
            wildcards={"file": "may", "n": 2},
            log=["logs/may.log", "logs/more.log (retrieve from storage)"],
            threads=2,
            resources={"mem_mb": 200, "disk_mb": "<TBD>", "tmpdir": "/tmp"},
        )
    )
    handler.emit(record(STEADY))
    job = jobs(handler)[7]
    assert job.title == "predict, file=may, n=2"
    assert job.logs == ("logs/may.log", "logs/more.log")
    assert job.requested == {"memory_mb": 200.0, "cpus": 2.0}


def test_what_jobs_ask_for_is_the_same_where_snakemake_asks_for_the_same(handler_of):
    handler = handler_of()
    asks = [({"mem_mb": 5, "gpus": 1}, 1), ({"gpus": 1, "mem_mb": 5}, 1), ({"mem_mb": 5, "gpus": 2}, 1), ({}, 2)]
    for number, (resources, threads) in enumerate(asks):
        told = {"rule_name": "predict", "resources": ResourceList(fromdict=resources), "threads": threads}
        handler.emit(record("", event=LogEvent.JOB_INFO, jobid=number, **told))
    first, second, *others = handler._watch._asks.values()
    assert first == second
    assert len({first, *others}) == 3


def test_a_rule_without_wildcards_or_log_and_a_second_attempt(handler_of):
    handler = handler_of()
    handler.emit(record("", event=LogEvent.JOB_INFO, jobid=3, rule_name="select", wildcards=None, log=None))
    handler.emit(record(STEADY))
    handler.emit(record("", event=LogEvent.JOB_ERROR, jobid=3, rule_name="select"))
    handler.emit(record(STEADY.replace("7.0", "8.0")))
    assert [(job.cluster, job.title, job.attempt) for job in jobs(handler).values()] == [
        (7, "select", 1),
        (8, "select", 2),
    ]
    assert handler._watch._reported == {7}


def test_the_counts_of_the_run_and_what_is_finished(handler_of):
    handler = handler_of()
    handler.emit(record("Job stats", event=LogEvent.RUN_INFO, stats={"predict": 2, "all": 1, "total": 3}))
    handler.emit(record("", event=LogEvent.JOB_INFO, jobid=3, rule_name="predict"))
    handler.emit(record(STEADY))
    handler.emit(record("", event=LogEvent.JOB_FINISHED, job_id=3))
    run = handler._watch.run
    assert (run.planned, run.finished) == ({"predict": 2, "all": 1}, {"predict": 1})
    assert handler._watch._reported == {7}


def member(number):
    return SimpleNamespace(jobid=number, uuid=lambda: f"uuid-{number}")


@pytest.mark.parametrize(
    "end", [{"event": LogEvent.JOB_FINISHED, "job_id": 4}, {"event": LogEvent.JOB_ERROR, "jobid": 4}]
)
def test_a_group_ends_when_its_members_are_said_to_end(handler_of, end):
    """Snakemake names the group's UUID, which is that of its last member, nowhere in its records."""
    handler = handler_of()
    handler.emit(record("", event=LogEvent.GROUP_INFO, group_id="chunk", jobs=[member(3), member(4)]))
    handler.emit(record("Job uuid-4 (chunk) is HTCondor job 7.0."))
    assert handler._watch._reported == set()
    handler.emit(record("", event=LogEvent.GROUP_ERROR, groupid="chunk", job_error_info=[], aux_logs=[]))
    handler.emit(record("", **end))
    assert handler._watch._reported == {7}


def test_what_it_says_does_not_come_back(handler_of, said):
    handler = handler_of()
    handler._say("warning", STEADY.removesuffix("."))
    (own,) = said.records
    assert own.getMessage() == f"htcondor: {STEADY.removesuffix('.')}"
    assert getattr(own, OURS) is True
    handler.emit(record(STEADY, **{OURS: True}))
    assert jobs(handler) == {}


# --- a run from its beginning to its end ---


def test_a_run_is_summed_up_and_a_failure_explained(handler_of, said, tmp_path):
    handler, log = handler_of(), tmp_path / "run.log"
    handler.emit(record("", event=LogEvent.JOB_INFO, jobid=3, rule_name="predict", wildcards={"file": "may"}))
    handler.emit(record(UPSTREAM.format(log)))
    log.write_text(text(0) + execute("ep1", 5) + text(5, 65, words=FAILED))
    handler.close()
    (level, failure), (_, table), *advice = said.texts()
    assert level == "ERROR"
    assert failure.startswith("htcondor: predict, file=may (job 7.0) failed with exit code 3 on ep1 after 60 s; ")
    assert "predict" in table
    assert "\n" in table
    assert not any("this plugin failed" in line for _, line in advice)
    count = len(said.records)
    handler.close()
    assert len(said.records) == count, "closed once"


def test_no_summary_where_none_is_wanted(handler_of, said, tmp_path):
    handler, log = handler_of(summary=False), tmp_path / "run.log"
    handler.emit(record(UPSTREAM.format(log)))
    log.write_text(text(0) + execute("ep1", 5) + text(5, 65))
    handler.close()
    assert said.texts() == []


def test_a_run_without_jobs_in_htcondor_is_silent(handler_of, said, capsys):
    handler = handler_of()
    for event in LogEvent:
        handler.handle(record("", event=event, jobid=1, job_id=1, groupid="g", stats={"all": 1, "total": 1}))
    handler.close()
    assert said.texts() == []
    assert capsys.readouterr() == ("", "")
    assert handler._watch._thread is None, "nothing was started, either"
    assert handler._watch._asker._child is None


def test_a_dry_run_hears_and_does_nothing(handler_of, said, tmp_path, capsys):
    handler = handler_of(dryrun=True, live=True)
    handler.emit(record("", event=LogEvent.RUN_INFO, stats={"predict": 2}))
    handler.emit(record("", event=LogEvent.JOB_INFO, jobid=3, rule_name="predict"))
    handler.emit(record(UPSTREAM.format(tmp_path / "run.log")))
    handler.before_submission({"predict": "RequestMemory = 1"})
    handler.close()
    assert jobs(handler) == {}
    assert handler._watch.run.planned == {}
    assert (handler._watch._thread, handler._watch._asker._child) == (None, None)
    assert not handler.writes_to_stream
    assert said.texts() == []
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


class Look:
    """Stands in for the look at the pool as a run begins."""

    made: ClassVar[list] = []

    def __init__(self, say, fails, looked):
        self.looked, self.over = looked, False
        self.made.append(self)

    def close(self):
        self.over = True


@pytest.fixture
def looks(monkeypatch):
    monkeypatch.setattr("snakemake_logger_plugin_htcondor.doctor.early.EarlyLook", Look)
    monkeypatch.setattr(Look, "made", [])
    return Look.made


def test_the_pool_is_looked_at_once_as_a_run_of_any_remote_executor_begins(handler_of, looks):
    handler = handler_of()
    for _ in range(2):
        handler.emit(record("Provided remote nodes: 8", event=LogEvent.RESOURCES_INFO, nodes=8))
    (look,) = looks
    assert not look.looked and not look.over
    handler.close()
    assert look.over


def test_the_look_knows_what_the_executor_has_had_told(handler_of, looks, monkeypatch):
    handler = handler_of()
    monkeypatch.setattr(handler._watch, "before_submission", lambda described: None)
    handler.before_submission({"predict": "RequestMemory = 1"})
    handler.emit(record("Provided remote nodes: 8", event=LogEvent.RESOURCES_INFO, nodes=8))
    assert looks[0].looked


def test_a_dry_run_and_a_run_without_a_pool_look_at_none(handler_of, looks):
    handler_of(dryrun=True).emit(record("x", event=LogEvent.RESOURCES_INFO, nodes=8))
    handler_of().emit(record("Provided cores: 4", event=LogEvent.RESOURCES_INFO, cores=4))
    assert looks == []


def test_what_the_executor_tells_is_handed_on(handler_of, monkeypatch):
    handler, heard = handler_of(), []
    monkeypatch.setattr(handler._watch, "before_submission", heard.append)
    handler.before_submission({"predict": "RequestMemory = 1"})
    handler.hold(7, {"HoldReasonCode": 26}, "it is retried with more")
    assert heard == [{"predict": "RequestMemory = 1"}]
    assert [(cluster, *told) for cluster, _, *told in handler._watch._told_of] == [
        (7, {"HoldReasonCode": 26}, "it is retried with more")
    ]


def test_an_error_inside_is_caught_counted_and_said_once_at_the_end(handler_of, said, monkeypatch):
    handler = handler_of(LogHandler)

    def broken(*_):
        raise RuntimeError("oh")

    monkeypatch.setattr(handler._watch, "plan", broken)
    for _ in range(3):
        handler.emit(record("", event=LogEvent.RUN_INFO, stats={}))
    handler.emit(record("", event=LogEvent.JOB_INFO, jobid=1, rule_name="x", resources={"mem_mb": 5}))
    assert said.texts() == [], "a run is not disturbed"
    assert handler._watch._known["1"].rule == "x", "what comes after is heard"
    handler.close()
    assert said.texts() == [
        (
            "WARNING",
            "htcondor: this plugin failed 3 times, which harmed no job; what it had to say may be missing. "
            "First: hearing Snakemake: RuntimeError: oh",
        )
    ]


def test_an_error_in_the_watch_is_said_at_the_end_too(handler_of, said):
    handler = handler_of(LogHandler)
    handler._watch.failures["drawing: OSError: no"] = 2
    handler.close()
    ((_, words),) = said.texts()
    assert "failed 2 times" in words
    assert words.endswith("First: drawing: OSError: no")


# --- settings ---


def options(handler):
    return handler._watch._options


def test_settings_by_default(handler_of):
    for handler in (handler_of(), Strict(common_settings=MockOutputSettings(), settings=None)):
        found = options(handler)
        assert (found.idle_after, found.period, found.never_after, found.unnoticed_after) == (60.0, 10.0, None, 180.0)
        assert found.records == "", "beside the event log"
        handler.close()


@pytest.mark.parametrize(
    ("setting", "value", "becomes"),
    [
        ("idle_after", 0, 0.0),
        ("idle_after", None, 60.0),
        ("period", 0, 10.0),
        ("period", -5, 1.0),
        ("period", 30, 30.0),
        ("never_after", 0, None),
        ("never_after", 3, 300.0),
        ("never_after", 600, 600.0),
        ("unnoticed_after", 0, 180.0),
        ("records", "none", None),
        ("records", "jobs.jsonl", "jobs.jsonl"),
        ("records", None, ""),
    ],
)
def test_settings_that_a_profile_may_have(handler_of, setting, value, becomes):
    assert getattr(options(handler_of(**{setting: value})), setting) == becomes


@pytest.mark.parametrize(("asked", "lines"), [(None, 0), (0, 0), (3, 1), (300, 0)])
def test_a_removal_that_is_asked_for_too_soon_is_said_to_come_later(handler_of, said, asked, lines):
    handler = handler_of(never_after=asked)
    handler.emit(record("Job stats", event=LogEvent.RUN_INFO, stats={"predict": 2}))
    assert len(said.texts()) == lines
    for level, words in said.texts():
        assert level == "WARNING"
        assert words == (
            "htcondor: never-after is 3 s, which is too soon to give a job up: nodes come and go. A job that can NEVER "
            "start is removed after 300 s"
        )


def test_each_setting_has_a_help_and_snakemakes_registry_takes_the_plugin():
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry  # noqa: PLC0415

    plugin = LoggerPluginRegistry().get_plugin("htcondor")
    assert plugin.log_handler is LogHandler
    assert plugin.settings_cls is LogHandlerSettings
    for name, field in LogHandlerSettings.__dataclass_fields__.items():
        assert field.metadata.get("help", "").endswith("."), name


def test_on_a_terminal_it_is_the_console_and_elsewhere_it_is_not(handler_of, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert not handler_of().writes_to_stream
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert handler_of().writes_to_stream
    assert not handler_of(live=False).writes_to_stream


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_live_view_that_cannot_be_set_up_leaves_snakemakes_console_and_is_told_at_the_end(
    handler_of, said, monkeypatch
):
    """It builds on classes of Snakemake that are no interface: another version may have changed them."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("snakemake.logging.DefaultFilter.__init__", lambda self, settings: None)
    handler = handler_of(LogHandler)
    assert not handler.writes_to_stream
    handler.emit(record(STEADY))
    assert list(jobs(handler)) == [7], "it watches all the same"
    jobs(handler).clear()
    handler.close()
    ((level, words),) = said.texts()
    assert level == "WARNING"
    assert "First: the live view: TypeError: " in words


def test_what_cannot_be_shown_as_snakemake_does_is_shown_plainly(handler_of, said, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = handler_of(LogHandler)

    def broken(_):
        raise RuntimeError("no formatter")

    monkeypatch.setattr(handler._console, "show", broken)
    handler.emit(record("rule predict:"))
    assert terminal.getvalue() == "rule predict:\n"
    handler.close()
    assert "First: showing Snakemake's log: RuntimeError: no formatter" in terminal.getvalue()


# --- what it costs those who don't use it ---


def test_importing_it_loads_neither_rich_nor_htcondor():
    """Snakemake imports each plugin that is installed, also within each job."""
    code = "import sys, snakemake_logger_plugin_htcondor; print({'rich', 'htcondor2', 'classad2'} & set(sys.modules))"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=True
    )
    assert done.stdout == "set()\n"


def test_its_last_words_need_nothing_that_snakemake_happens_to_import():
    code = """
import logging
logging.getLogger("snakemake.logging").addHandler(logging.StreamHandler())
from snakemake_interface_logger_plugins.tests import MockOutputSettings
from snakemake_logger_plugin_htcondor import LogHandler
handler = LogHandler(common_settings=MockOutputSettings(), settings=None)
handler._watch.failures["x"] = 1
handler.close()
print(handler._failures)
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        check=True,
    )
    assert done.stdout == "{}\n"
    assert done.stderr.startswith("htcondor: this plugin failed 1 times")
