"""Where a step meets the outside world: its command line, threads, logs, exit codes, and its end with its parent."""

import errno
import logging
import os
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import psutil
import pytest

from scripts import (
    check,
    check_and_split,
    divide,
    evaluate,
    join,
    predict,
    preprocess,
    report,
    score,
    select_model,
    split,
    step,
    train,
)
from scripts.shared.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

HOST = f"host: {os.uname().nodename}\n"  # the first line of each log


@pytest.fixture(autouse=True)
def _logging_is_restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def made(monkeypatch):
    """Return a function that makes a function the `main` of a step called `made`."""

    def make(main):
        module = types.ModuleType("scripts.made")
        module.main = main
        monkeypatch.setitem(sys.modules, "scripts.made", module)

    return make


def raiser(error):
    def main() -> None:
        raise error

    return main


# --- command line -------------------------------------------------------------------------------------------------


def every_kind(one: Path, many: list[Path], names: list[str], two_words: str, number: int = 3) -> None:
    """Do something."""


def test_the_command_line_follows_from_the_signature():
    arguments = ["--one", "a b", "--many", "x", "y", "--names", "--two-words", "", "--number", "7"]
    assert vars(step.build_parser(every_kind).parse_args(arguments)) == {
        "one": Path("a b"),
        "many": [Path("x"), Path("y")],
        "names": [],
        "two_words": "",
        "number": 7,
    }


def test_what_has_a_default_may_be_left_out():
    arguments = ["--one", "a", "--many", "--names", "n", "--two-words", "w"]
    assert step.build_parser(every_kind).parse_args(arguments).number == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --one, --many, --names, --two-words"),
        (["--one", "a", "--many", "--names", "--two", "w"], "the following arguments are required: --two-words"),
        (["--one", "a", "--many", "--names", "--two-words", "w", "--number", "x"], "invalid int value: 'x'"),
        (["--one", "a", "--many", "--names", "--two-words", "w", "--more", "x"], "unrecognized arguments: --more x"),
    ],
)
def test_a_wrong_command_line_ends_with_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        step.build_parser(every_kind).parse_args(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "module",
    [divide, preprocess, check, split, check_and_split, train, score, evaluate, select_model, predict, join, report],
)
def test_every_step_has_a_command_line(module):
    parser = step.build_parser(module.main)
    assert {action.dest for action in parser._actions} - {"help"} == set(module.main.__annotations__) - {"return"}


# --- exit codes and messages --------------------------------------------------------------------------------------


def test_success_is_code_0_and_the_log_holds_what_was_said(made, tmp_path, capfd):
    def main(out: Path, number: int) -> None:
        logging.info("wrote %s, größer als %d", out, number)

    made(main)
    log = tmp_path / "logs" / "deep" / "made.log"
    assert step.run("made", ["--out", "o", "--number", "3"], log) == 0
    assert log.read_text(encoding="utf-8") == f"{HOST}wrote o, größer als 3\n"
    assert capfd.readouterr().err == "wrote o, größer als 3\n"


def test_the_log_is_of_the_last_run_alone(made, tmp_path):
    made(lambda: logging.info("once"))
    for _ in range(2):
        assert step.run("made", [], tmp_path / "log") == 0
    assert (tmp_path / "log").read_text() == f"{HOST}once\n"


def test_without_a_log_file_standard_error_has_it(made, capfd):
    made(raiser(UserError("the column 'x' is missing")))
    assert step.run("made", []) == 1
    assert capfd.readouterr() == ("", "error: the column 'x' is missing\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a.csv, line 3: 100% wrong"), "error: a.csv, line 3: 100% wrong"),
        (OSError(errno.ENOSPC, "No space left on device", "out.csv"), "error: out.csv: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "error: made: Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "error: x: Permission denied"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_without_a_traceback(made, tmp_path, error, line):
    made(raiser(error))
    assert step.run("made", [], tmp_path / "log") == 1
    assert (tmp_path / "log").read_text() == f"{HOST}{line}\n"


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (ValueError("oops"), "unexpected error in made (a defect: please report it)"),
        (AssertionError("oops"), "unexpected error in made (a defect: please report it)"),
        (FileNotFoundError(errno.ENOENT, "oops"), "unexpected error in made"),
        (OSError("oops"), "unexpected error in made"),
    ],
)
def test_a_defect_has_a_traceback(made, tmp_path, error, first):
    made(raiser(error))
    assert step.run("made", [], tmp_path / "log") == 1
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[1:3] == [first, "Traceback (most recent call last):"]
    assert "oops" in lines[-1]
    assert not any(line.startswith("error: ") for line in lines)


def test_a_step_that_does_not_exist_is_a_defect(tmp_path):
    assert step.run("no_such_step", [], tmp_path / "log") == 1
    assert "No module named 'scripts.no_such_step'" in (tmp_path / "log").read_text()


def test_warnings_of_libraries_go_to_the_log(made, tmp_path):
    def main() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("mind the gap", UserWarning, stacklevel=1)

    made(main)
    assert step.run("made", [], tmp_path / "log") == 0
    assert "mind the gap" in (tmp_path / "log").read_text()


# --- threads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_all_numeric_libraries_are_told_how_many_threads_they_have(monkeypatch, threads):
    monkeypatch.setattr(os, "environ", {"OTHER": "x", "OMP_NUM_THREADS": "64"})
    step.limit_threads(threads)
    assert os.environ == {"OTHER": "x"} | dict.fromkeys(step.THREAD_VARIABLES, str(threads))
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"} <= set(os.environ)


# --- as a process -------------------------------------------------------------------------------------------------


def test_the_module_runs_a_step_as_a_program(tmp_path):
    config = tmp_path / "config.json"
    command = [sys.executable, "-m", "scripts.step", "compare", "--log", tmp_path / "log", "--threads", "2"]
    arguments = ["--metrics", config, "--comparison", tmp_path / "c.csv"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {config} does not exist\n")
    config.write_text('{"model": "lr", "auc": 0.5}')
    assert subprocess.run([*command, *arguments], cwd=ROOT, check=False).returncode == 0
    assert (tmp_path / "c.csv").read_text() == "model,auc\nlr,0.5\n"


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's own")
def test_a_step_ends_when_the_process_that_started_it_is_killed(tmp_path):
    ready = tmp_path / "ready"
    grandchild = (
        "import os, pathlib, time; from scripts.step import die_with_parent; die_with_parent(); "
        f"pathlib.Path({str(tmp_path / 'part')!r}).write_text(str(os.getpid())); "
        f"os.rename({str(tmp_path / 'part')!r}, {str(ready)!r}); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT) as process:
        wait_until(ready.exists)
        pid = int(ready.read_text())
        assert not gone(pid)
        process.kill()
    wait_until(lambda: gone(pid))


def test_a_step_whose_parent_lives_goes_on():
    code = "from scripts.step import die_with_parent; die_with_parent(); print('on')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "on\n")
