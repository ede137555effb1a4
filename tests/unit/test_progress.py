"""One line now and then from a long step, none from a short one."""

import threading
import time
from types import SimpleNamespace

import pytest

from scripts.shared import progress as module
from scripts.shared.progress import Progress, heartbeat


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn."""
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def start(what, every=5.0):
    progress = Progress(what, every)
    progress._start = progress._last = 100.0
    return progress


def test_a_short_step_says_nothing(clock, caplog):
    caplog.set_level("INFO")
    progress = start("predict a.csv")
    for second in range(5):
        clock.at = 100 + second
        progress.at(1000 * second, 0.1 * second)
    assert caplog.messages == []


def test_a_long_step_says_at_most_every_few_seconds_how_far_it_is(clock, caplog):
    caplog.set_level("INFO")
    progress = start("predict a.csv", every=5)
    for second in range(1, 13):
        clock.at = 100 + second
        progress.at(1000 * second, second / 20)
    assert caplog.messages == [
        "predict a.csv: 25% done, 5,000 rows, 1,000 rows/s",
        "predict a.csv: 50% done, 10,000 rows, 1,000 rows/s",
    ]


def test_where_the_share_is_not_known_the_rows_must_do(clock, caplog):
    caplog.set_level("INFO")
    progress = start("preprocess b.csv.gz", every=2)
    clock.at = 104
    progress.at(1_234_567, 0.0)
    assert caplog.messages == ["preprocess b.csv.gz: 1,234,567 rows, 308,642 rows/s"]


# --- what can't tell how far it is --------------------------------------------------------------------------------


def test_what_goes_on_for_long_says_that_it_lives_and_is_silent_afterwards(caplog):
    caplog.set_level("INFO")
    threads = threading.active_count()
    with heartbeat("lr: fitting", every=0.01):
        end = time.monotonic() + 10
        while len(caplog.messages) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
    said = len(caplog.messages)
    assert all(message.startswith("lr: fitting: going on for ") for message in caplog.messages)
    assert threading.active_count() == threads
    time.sleep(0.05)
    assert len(caplog.messages) == said


def test_what_is_soon_over_says_nothing_and_an_error_ends_the_heartbeat(caplog):
    caplog.set_level("INFO")
    threads = threading.active_count()
    with pytest.raises(ValueError, match="oops"), heartbeat("lr: fitting"):
        raise ValueError("oops")
    assert caplog.messages == []
    assert threading.active_count() == threads
