"""The schedd benchmark reports what it measured, and counts the CPU of a process with that of its children."""

import doctest
import os
import subprocess
import sys
import time

from benchmarks import schedd_cost, schedd_within


def test_examples_in_docstrings():
    failed, tried = doctest.testmod(schedd_cost)
    assert (failed, tried) == (0, 5)


def test_cpu_of_a_process_and_of_its_children_that_have_ended():
    before = schedd_within.cpu_seconds(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    alone = schedd_within.cpu_seconds(os.getpid())
    assert alone - before >= 0.05
    code = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert schedd_within.cpu_seconds(os.getpid()) - alone >= 0.15


def test_a_turn_asks_once_a_period(monkeypatch):
    monkeypatch.setattr(schedd_within, "PERIOD", 0.02)
    monkeypatch.setattr(schedd_within, "TURN", 0.06)
    asked = []
    began = time.monotonic()
    schedd_within.turn(os.getpid(), lambda: asked.append(time.monotonic() - began))
    assert time.monotonic() - began >= 0.06
    assert len(asked) == 3
    assert asked[2] >= 0.04
