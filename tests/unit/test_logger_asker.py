"""The process that asks: it answers in time, or the next question has another."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from snakemake_logger_plugin_htcondor import questions
from snakemake_logger_plugin_htcondor.asker import Asker, NoAnswer


@pytest.fixture
def asker():
    """A process that asks, ended after the test; an answer takes no longer than its start on a busy machine."""
    with contextlib.closing(Asker(deadline=30.0)) as made:
        yield made


def child(asker):
    return asker._child


def test_the_child_answers_and_stays(asker):
    assert asker.ask("hello") == "hello"
    pid = child(asker).pid
    assert [asker.ask("hello") for _ in range(3)] == ["hello"] * 3
    assert child(asker).pid == pid


def test_what_it_does_not_know_is_no_answer_and_it_goes_on(asker):
    with pytest.raises(NoAnswer, match="weather"):
        asker.ask("weather")
    pid = child(asker).pid
    with pytest.raises(NoAnswer, match="unexpected keyword argument 'loud'"):
        asker.ask("hello", loud=True)
    assert asker.ask("hello") == "hello"
    assert child(asker).pid == pid


def test_a_child_that_hangs_is_given_up_in_time_and_another_one_is_asked(asker):
    asker.ask("hello")
    hanging = child(asker)
    hanging.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="no answer within 0 s"):
        asker.ask("hello", 0.2)
    assert time.monotonic() - began < 5
    assert hanging.returncode == -signal.SIGKILL
    assert asker.ask("hello") == "hello"
    assert child(asker).pid != hanging.pid


def test_who_keeps_it_waiting_is_told(asker, tmp_path, monkeypatch):
    script = tmp_path / "stub.py"
    script.write_text(
        "import json, sys, time\n"
        "for line in sys.stdin:\n"
        "    question = json.loads(line)['question']\n"
        "    print(json.dumps({'turns_to': question}), flush=True)\n"
        "    time.sleep(60 if question == 'the schedd' else 0)\n"
        "    print(json.dumps({'error': 'refused'} if question == 'the negotiator' else {'answer': 1}), flush=True)\n"
    )
    monkeypatch.setattr("snakemake_logger_plugin_htcondor.asker.start", lambda _: stub(script))
    assert asker.ask("the collector") == 1
    with pytest.raises(NoAnswer, match="refused") as refused:
        asker.ask("the negotiator")
    assert refused.value.who == "the negotiator"
    with pytest.raises(NoAnswer, match="no answer within 1 s") as silent:
        asker.ask("the schedd", 1.0)
    assert silent.value.who == "the schedd"


def stub(script):
    return subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_late_answer_is_not_taken_for_that_of_the_next_question(asker):
    asker.ask("hello")
    child(asker).send_signal(signal.SIGSTOP)
    with pytest.raises(NoAnswer, match="no answer"):
        asker.ask("weather", 0.2)
    assert asker.ask("hello") == "hello"


def test_a_child_that_is_killed_is_noticed_at_once(asker):
    asker.ask("hello")
    dying = child(asker)
    dying.send_signal(signal.SIGSTOP)  # so that it can't answer first
    killer = threading.Timer(0.1, dying.kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="the process that asks ended"):
        asker.ask("hello", 20.0)
    assert time.monotonic() - began < 10
    killer.join()
    assert asker.ask("hello") == "hello"


def test_a_child_that_died_between_two_questions_is_replaced(asker):
    asker.ask("hello")
    dead = child(asker)
    pipes = (dead.stdin, dead.stdout)
    dead.kill()
    dead.wait()
    assert asker.ask("hello") == "hello"
    assert all(pipe.closed for pipe in pipes)


def test_close_ends_the_child_and_no_other_is_started(asker):
    asker.ask("hello")
    ended = child(asker)
    asker.close()
    assert ended.returncode == -signal.SIGKILL
    with pytest.raises(NoAnswer, match="the run is over"):
        asker.ask("hello")
    asker.close()


def test_close_while_it_is_asked_ends_the_waiting(asker):
    asker.ask("hello")
    child(asker).send_signal(signal.SIGSTOP)
    closer = threading.Timer(0.1, asker.close)
    closer.start()
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        asker.ask("hello", 20.0)
    assert time.monotonic() - began < 10
    closer.join()


def test_nothing_is_started_before_the_first_question():
    asker = Asker()
    assert asker._child is None
    asker.close()


def test_ctrl_c_of_the_terminal_is_not_for_the_child(asker):
    asker.ask("hello")
    pid = child(asker).pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)


# --- the child's own side ---


def test_an_answer_is_a_line_and_so_is_an_error():
    lines = [json.dumps({"question": "hello", "about": {}}), json.dumps({"question": "slots", "about": {"x": 1}})]
    said = io.StringIO()
    questions.answer(lines, said.write)
    first, second = map(json.loads, said.getvalue().splitlines())
    assert first == {"answer": "hello"}
    assert list(second) == ["error"]
    assert "'x'" in second["error"]


def test_an_error_of_more_lines_is_one(monkeypatch):
    def slots():
        raise RuntimeError("no\n  collector")

    monkeypatch.setitem(questions.QUESTIONS, "slots", slots)
    said = io.StringIO()
    questions.answer([json.dumps({"question": "slots", "about": {}})], said.write)
    assert said.getvalue() == '{"error": "no collector"}\n'


def test_a_module_in_the_working_folder_takes_no_ones_place(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('not the one of Python')")
    monkeypatch.chdir(tmp_path)
    asker = Asker()
    try:
        assert asker.ask("hello", 20.0) == "hello"
    finally:
        asker.close()
