"""How progress is shown: a log that grows, and things that are said once; and `make submit` where there is no pool."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import config_dict, write

from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.tools import follow, submit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "driver.out"


def tail(log, lines=3):
    out = io.StringIO()
    return follow.Tail(log, lines, out), out


def printed(out):
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


def test_the_last_lines_come_first_and_then_what_is_added(log):
    shown, out = tail(log)
    shown.print_new()
    assert printed(out) == "", "no log yet"
    log.write_text("".join(f"{n}\n" for n in range(1200)))
    shown.print_new()
    assert printed(out) == f"… 1,197 lines before these: {log}\n1197\n1198\n1199\n"
    shown.print_new()
    assert printed(out) == ""
    with log.open("ab") as file:
        file.write("gr\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()[:-1])
        file.flush()
        shown.print_new()
        assert printed(out) == "", "half a line, and half a letter"
        file.write(b"\xb6\xc3\n")
    shown.print_new()
    assert printed(out) == "grö\N{REPLACEMENT CHARACTER}\n"


def test_a_log_that_is_begun_anew_is_shown_anew(log):
    shown, out = tail(log)
    log.write_text("a\nb\n")
    shown.print_new()
    log.write_text("c\n")
    shown.print_new()
    assert printed(out) == "a\nb\nc\n"


def test_a_thing_is_said_when_it_changes():
    said = []
    told = follow.Changes(said.append)
    for text in ("one", "one", None, "one", "two"):
        told.tell("queue", text)
    told.tell("driver", "two")
    told.forget("driver")
    told.tell("driver", "two")
    assert said == ["one", "one", "two", "two", "two"]


def test_no_jobs_in_the_queue_are_no_line():
    assert follow._queue([]) is None
    assert follow._queue([{"SnakemakeRule": "split", "JobStatus": 1}]) == "jobs in the queue: split 1 idle"


@pytest.mark.parametrize("tool", ["submit", "follow"])
def test_where_there_is_no_schedd_one_sentence_says_so(tmp_path, tool):
    """In a process of its own, where HTCondor isn't configured, whatever this host is."""
    write(tmp_path / "raw.csv", "")
    write_json(tmp_path / "config/config.yaml", config_dict())
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.tools.{tool}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CONDOR_CONFIG": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: this host is no access point of an HTCondor pool, or its schedd is down \(.*\); log in to an access "
        r"point, or run on this machine by: make run\n",
        done.stderr,
    )


def test_a_mistake_in_the_config_comes_before_the_pool(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["submit", "--config", "none.yaml"])
    assert submit.main() == 1
    assert capsys.readouterr().err == "error: the config file 'none.yaml' does not exist\n"


def test_a_second_driver_is_refused():
    submit.refuse_second([])
    with pytest.raises(UserError, match=r"in the queue already, as job 12\.0; see it by: make follow; .*condor_rm 12$"):
        submit.refuse_second([{"ClusterId": 12}])


def test_the_announcement_says_how_to_follow_and_remove():
    lines = submit.announcement(12).splitlines()
    assert [line.split()[0] for line in lines] == ["submitted", "follow", "remove", "log"]
    assert lines[3].endswith("results/logs/driver/snakemake-mgmt-12.out")


DRIVER = {"ClusterId": 12, "JobStatus": 2, "Iwd": "/shared/loans", "Err": "err", "SnakemakeDriverLog": "driver.out"}


class Clock:
    """A time that passes only where someone sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        assert self.now < 5000, "it waits for ever"

    def strftime(self, form):
        return form


@pytest.fixture
def seen(monkeypatch):
    """Follow a driver in no time, by what queue and history tell at each second; return also when that ended."""

    def run(queue, history, folder):
        clock = Clock()
        monkeypatch.setattr(follow, "time", clock)
        monkeypatch.setattr(follow, "look", lambda *_: queue(clock.now - 1000))
        monkeypatch.setattr(follow, "look_back", lambda *_: history(clock.now - 1000))
        try:
            return follow.follow(DRIVER, folder, follow.Tail(folder / "none", 3)), clock.now - 1000
        except UserError as error:
            return str(error), clock.now - 1000

    return run


def test_a_driver_that_neither_queue_nor_history_knows_is_not_waited_for_for_ever(seen, tmp_path):
    said, after = seen(lambda now: [DRIVER] if now < 100 else [], lambda now: None, tmp_path)
    assert said == (
        "job 12.0 is neither in the queue nor in the history of this access point, so how it ended is not known; "
        "the end of its log says it: /shared/loans/driver.out; make submit resumes"
    )
    assert 160 <= after <= 180


def test_a_driver_that_reaches_the_history_late_is_waited_for(seen, tmp_path):
    ended = DRIVER | {"JobStatus": 4, "ExitCode": 0}
    result, _ = seen(lambda now: [], lambda now: ended if now > 50 else None, tmp_path)
    assert (result.code, result.sentence) == (0, "done")


def test_a_schedd_that_was_away_has_its_minute_to_find_the_driver(seen, tmp_path):
    def queue(now):
        if 10 < now < 200:
            raise UserError("the schedd does not answer")
        return []

    ended = DRIVER | {"JobStatus": 4, "ExitCode": 0}
    result, _ = seen(queue, lambda now: ended if now > 230 else None, tmp_path)
    assert result.code == 0
