"""What `make run` does around Snakemake: the lock, the sentences of failed jobs, the table at the end."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from builders import config_dict, write

from scripts.shared.config import METRICS
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.ownership import Owner
from scripts.tools import run

OWNER = Owner("here", 42, 1.0, "anna")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def commands(monkeypatch):
    """The commands that were run, and the exit code that they get."""
    made = SimpleNamespace(calls=[], code=0, checked=[])

    def fake(command, check):
        made.calls.append(command)
        made.checked.append(check)
        if isinstance(made.code, BaseException):
            raise made.code
        return SimpleNamespace(returncode=made.code)

    monkeypatch.setattr(subprocess, "run", fake)
    return made


def lock_is(monkeypatch, state, owner=OWNER):
    monkeypatch.setattr(run, "lock_state", lambda: (state, owner))


def call(monkeypatch, *arguments):
    write(run.Path("raw.csv"), "")
    for name in ("config/config.yaml", "my.yaml"):
        write_json(run.Path(name), config_dict())
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    return run.main()


# --- the lock -----------------------------------------------------------------------------------------------------


def test_a_free_folder_needs_nothing(monkeypatch, commands, capsys):
    lock_is(monkeypatch, "free", None)
    run.release_stale_lock(["snakemake"])
    assert (commands.calls, capsys.readouterr().out) == ([], "")


def test_the_lock_of_a_killed_run_is_removed(monkeypatch, commands, capsys):
    lock_is(monkeypatch, "stale")
    run.release_stale_lock(["snakemake", "--profile", "p"])
    assert commands.calls == [["snakemake", "--profile", "p", "--unlock", "--quiet", "all"]]
    assert commands.checked == [True]
    assert capsys.readouterr().out.startswith(
        "process 42 of anna on here was ended before it was done; its lock is rem"
    )


@pytest.mark.parametrize(
    ("state", "owner", "message"),
    [
        ("held", OWNER, r"^process 42 of anna on here is running the workflow in this folder; wait for it, or end it"),
        ("unknown", OWNER, r"locked by process 42 of anna on here, which can't be checked from here; .* --unlock$"),
        ("unknown", None, r"locked by a run that left no note, which can't be checked from here; .* --unlock$"),
    ],
)
def test_a_lock_that_may_be_in_use_is_left(monkeypatch, commands, state, owner, message):
    lock_is(monkeypatch, state, owner)
    with pytest.raises(UserError, match=message):
        run.release_stale_lock(["snakemake"])
    assert commands.calls == []


# --- why jobs failed ----------------------------------------------------------------------------------------------


def log(name, text, age=0):
    path = write(run.RESULTS / "logs" / name, text)
    os.utime(path, (1000 - age, 1000 - age))


def test_the_sentences_of_failed_jobs_are_found_each_once():
    log("split/split.log", "a line\nerror: too many rows\nerror: and more\n")
    log("preprocess/deep/er/a.log", "error: too many rows\nTraceback\n  error: indented\nnot an error: no\n")
    log("old.log", "error: of an earlier run\n", age=500)
    log("notes.txt", "error: no log\n")
    assert run.failures(900) == ["error: too many rows", "error: and more"]


def test_a_log_in_another_encoding_is_no_obstacle():
    log("a.log", b"\xff\xfe\nerror: gr\xfc\xdfe\n")
    assert run.failures(0) == ["error: gr��e"]


def test_without_logs_there_is_nothing_to_say():
    assert run.failures(0) == []


# --- the table ----------------------------------------------------------------------------------------------------


def lay_out(applications=True):
    for n, name in enumerate(("dt", "lr")):
        values = {metric: 0.5 + n / 10 for metric in METRICS}
        write_json(run.RESULTS / "metrics" / f"{name}.json", {"model": name, "threshold": 0.25} | values)
    write_json(
        run.RESULTS / "selection.json", {"winner": "lr", "reason": "it is better", "candidates": {"dt": 0, "lr": 0}}
    )
    split = {"train": {"rows": 7900}, "test": {"rows": 2000}}
    write_json(run.SUMMARY, {"rows_in": 10000, "rows_rejected": 100, "split": split})
    write_json(run.RESULTS / "config.json", {"deploy": {"folder": "/shared/models"}})
    if applications:
        for name, rows in (("a", 30), ("deep/b", 12), ("gone", 1000)):
            given = write(run.Path("apps") / f"{name}.csv", "") if name != "gone" else "apps/gone.csv"
            counts = {"file": str(given), "rows_in": rows, "rows_rejected": 2, "rows_predicted": rows - 2}
            write_json(run.RESULTS / "predictions" / f"{name}.summary.json", counts)


def cells(text, first):
    line = next(line for line in text.splitlines() if line.startswith(first))
    return re.split(r" {2,}", line.strip())


def test_the_table_shows_models_rows_and_places():
    lay_out()
    text = run.summary()
    assert cells(text, "model") == ["model", *METRICS, "threshold"]
    assert cells(text, "lr *") == ["lr *", *["0.6000"] * len(METRICS), "0.2500"]
    assert cells(text, "dt") == ["dt", *["0.5000"] * len(METRICS), "0.2500"]
    assert "* lr wins: it is better" in text
    assert cells(text, "loans") == ["loans", "10,000", "100", "7,900", "2,000", "-"]
    assert cells(text, "applications") == ["applications", "42", "4", "-", "-", "38"]  # what is gone doesn't count
    assert cells(text, "live model") == ["live model", "/shared/models/current/model.joblib"]
    assert cells(text, "predictions") == ["predictions", "results/predictions/"]


def test_without_applications_the_table_says_so():
    lay_out(applications=False)
    text = run.summary()
    assert cells(text, "applications") == ["applications", "0", "0", "-", "-", "0"]
    assert cells(text, "predictions") == ["predictions", "none: data.applications matches no file"]


# --- the whole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "target", "rest"),
    [
        ([], "all", []),
        (["--config", "my.yaml"], "all", ["--configfile", "my.yaml"]),
        (["--target", "report", "--config", ""], "report", []),
    ],
)
def test_snakemake_is_run_with_the_local_profile(monkeypatch, commands, capsys, arguments, target, rest):
    lay_out()
    lock_is(monkeypatch, "free", None)
    assert call(monkeypatch, *arguments) == 0
    assert commands.calls == [[sys.executable, "-m", "snakemake", target, "--profile", "profiles/local", *rest]]
    out = capsys.readouterr().out
    assert ("lr wins" in out) if target == "all" else (out == "results/report.html is there\n")


def test_a_failed_run_gives_its_code_and_its_sentences(monkeypatch, commands, capsys):
    lock_is(monkeypatch, "free", None)
    log("a.log", "error: the column 'x' is missing\n")
    monkeypatch.setattr(run, "time", SimpleNamespace(time=lambda: 900))
    commands.code = 3
    assert call(monkeypatch) == 3
    assert capsys.readouterr() == ("", "error: the column 'x' is missing\n")


def test_a_held_folder_is_said_and_nothing_is_run(monkeypatch, commands, capsys):
    lock_is(monkeypatch, "held")
    assert call(monkeypatch) == 1
    assert commands.calls == []
    assert capsys.readouterr().err.startswith("error: process 42 of anna on here is running")


def test_a_config_that_is_not_there_is_said_and_nothing_is_run(monkeypatch, commands, capsys):
    lock_is(monkeypatch, "free", None)
    assert call(monkeypatch, "--config", "none.yaml") == 1
    assert commands.calls == []
    assert capsys.readouterr().err == "error: the config file 'none.yaml' does not exist\n"


def test_an_interrupt_is_no_traceback(monkeypatch, commands):
    lock_is(monkeypatch, "free", None)
    commands.code = KeyboardInterrupt()
    assert call(monkeypatch) == 130
