"""The console on a real pseudo-terminal: the view, what Snakemake says above it, and the terminal as it is left."""

import os
import pty
import re
import subprocess
import sys
import termios
import time

import pytest

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DEADLINE = 60

RUN = """
import logging, sys, time
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_htcondor import LogHandler, LogHandlerSettings
from snakemake_logger_plugin_htcondor.watch import Watch

Watch._ask = lambda self: None  # there is no pool
logger = logging.getLogger("snakemake.logging")
logger.setLevel(logging.INFO)
handler = LogHandler(common_settings=OutputSettings(), settings=LogHandlerSettings(records="none"))
assert handler.writes_to_stream
logger.addHandler(handler)
logger.info(None, extra={"event": LogEvent.RUN_INFO, "stats": {"predict": 2, "total": 2}})
told = {"jobid": 3, "rule_name": "predict", "wildcards": {"file": "may"}, "log": [], "resources": {}, "threads": 1}
logger.info(None, extra={"event": LogEvent.JOB_INFO, **told, "input": ["a.csv"], "output": ["b.csv"],
    "rule_msg": None, "benchmark": None, "reason": "missing output", "indent": False, "is_checkpoint": False,
    "local": False, "is_handover": False, "priority": 0, "shellcmd": None})
logger.info("Job 3 (predict, file=may) is HTCondor job 7.0.")
time.sleep(2.5)
logger.warning("a word while the view is there")
time.sleep(1.5)
END
handler.close()
print("the shell's next line", file=sys.stderr)
assert not handler._failures and not handler._watch.failures, (handler._failures, handler._watch.failures)
"""


def on_a_terminal(code):
    """Run Python code with a pseudo-terminal as standard error; return its exit code and what the terminal got."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (30, 100))
    before = termios.tcgetattr(follower)
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=follower,
        stdout=subprocess.DEVNULL,
        env=environment | {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        got = _everything(leader, child)
        return child.wait(timeout=DEADLINE), got, termios.tcgetattr(follower) == before
    finally:
        child.kill()
        os.close(follower)
        os.close(leader)


def _everything(leader, child):
    got, end = b"", time.monotonic() + DEADLINE
    os.set_blocking(leader, False)
    while time.monotonic() < end:
        ended = child.poll() is not None
        try:
            got += os.read(leader, 1 << 16)
        except BlockingIOError:
            if ended:
                break
            time.sleep(0.02)
    return got.decode()


@pytest.mark.parametrize("end", ["", "raise SystemExit(handler.close())"], ids=["returns", "exits"])
def test_the_view_is_drawn_below_snakemakes_own_words_and_the_terminal_is_whole_after_it(end):
    code, got, same = on_a_terminal(RUN.replace("END", end))
    text = CONTROL.sub("", got).replace("\r", "")
    assert code == 0, text
    assert "0 of 2 done" in text, "the view"
    assert re.search(r"predict +0/2 +1\b", text), "with its rows"
    assert HIDDEN in got
    assert got.rindex(SHOWN) > got.rindex(HIDDEN), "the cursor is back"
    assert same, "the terminal's modes are as they were"
    first, words = text.index("rule predict:"), text.index("a word while the view is there")
    assert first < text.index("0 of 2 done") < words, "Snakemake's own, before the view and above it"
    assert "input: a.csv" in text
    assert "wildcards: file=may" in text
    assert "0 of 2 done" in text[words:], "it is drawn again below"
    if not end:
        assert text.rstrip().endswith("the shell's next line")
        assert "\nthe shell's next line" in text, "on a line of its own"


def test_a_terminal_is_whole_after_ctrl_c():
    """Snakemake closes its handlers on its way out, also when it is interrupted."""
    end = "try:\n    raise KeyboardInterrupt\nfinally:\n    handler.close()\n"
    code, got, same = on_a_terminal(RUN.replace("END", end))
    assert code != 0
    assert got.rindex(SHOWN) > got.rindex(HIDDEN)
    assert same
