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
