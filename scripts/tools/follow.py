"""Show the progress of this folder's driver on the access point until it ends: `make follow`, from any login."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from scripts.shared.driver_job import (
    ATTRIBUTES,
    Ad,
    Outcome,
    counts,
    drivers_of,
    jobs_of,
    log_of,
    look,
    look_back,
    outcome,
    waiting,
)
from scripts.shared.errors import UserError

LOG_SECONDS = 1.0
QUEUE_SECONDS = 5.0  # between two questions to the schedd
PATIENCE_SECONDS = 600.0  # for a schedd that doesn't answer: its host restarts, perhaps
LOST_SECONDS = 60.0  # for a driver on its way from the queue to the history
LAST_LINES = 200


def main() -> int:
    """Follow the driver; return 0 where it succeeded, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=LAST_LINES, help="how many lines of its log to begin with")
    options = parser.parse_args()
    folder = Path.cwd()
    try:
        driver = find(folder)
        say(f"the driver of {folder} is job {driver['ClusterId']}.0; its log is {log_of(driver)}")
        try:
            result = follow(driver, folder, Tail(log_of(driver), options.lines))
        except KeyboardInterrupt:
            number = driver["ClusterId"]
            say(f"job {number}.0 goes on; make follow shows it again, condor_rm {number} ends it")
            return 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    say(f"job {driver['ClusterId']}.0: {result.sentence}")
    return result.code


def say(text: str) -> None:
    """Print a line of this tool's own."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} follow: {text}", flush=True)


def find(folder: Path) -> Ad:
    """Return the newest driver of a folder, in the queue or else in the history.

    Raises
    ------
    UserError
        Where there is none.
    """
    queued = look(drivers_of(folder), ATTRIBUTES)
    found = max(queued, key=lambda ad: int(ad["ClusterId"])) if queued else look_back(drivers_of(folder), time.time())
    if found is None:
        raise UserError(f"no driver of {folder} is known to this access point; start one by: make submit")
    return found


def follow(driver: Ad, folder: Path, tail: "Tail") -> Outcome:
    """Print the log, the queue's counts and why the driver waits, as they change; return how it ended.

    Raises
    ------
    UserError
        Where the schedd doesn't answer for long, or has long known nothing of the driver any more.
    """
    own = f"ClusterId == {driver['ClusterId']}"
    told = Changes(say)
    answered, asked = time.monotonic(), float("-inf")
    lost: float | None = None
    while True:
        tail.print_new()
        if time.monotonic() - asked >= QUEUE_SECONDS:
            asked = time.monotonic()
            try:
                ads = look(f"({own}) || ({jobs_of(folder)})", [*ATTRIBUTES, "SnakemakeRule"])
                ended = None if any(_is(ad, driver) for ad in ads) else look_back(own, time.time())
            except UserError as error:
                if time.monotonic() - answered > PATIENCE_SECONDS:
                    raise
                told.tell("schedd", f"{error}; waiting for it")
                lost = None  # it may have to find its history, too
                continue
            answered = time.monotonic()
            told.forget("schedd")
            if ended:
                tail.print_new()
                return outcome(ended)
            lost = None if any(_is(ad, driver) for ad in ads) else lost or answered
            if lost and answered - lost > LOST_SECONDS:
                raise UserError(
                    f"job {driver['ClusterId']}.0 is neither in the queue nor in the history of this access point, so "
                    f"how it ended is not known; the end of its log says it: {log_of(driver)}; make submit resumes"
                )
            told.tell("driver", next((waiting(ad) for ad in ads if _is(ad, driver)), None))
            told.tell("queue", _queue(ad for ad in ads if not _is(ad, driver)))
        time.sleep(LOG_SECONDS)


def _is(ad: Ad, driver: Ad) -> bool:
    return bool(ad["ClusterId"] == driver["ClusterId"])


def _queue(jobs: Iterable[Ad]) -> str | None:
    text = counts(jobs)
    return f"jobs in the queue: {text}" if text else None


class Changes:
    """Says things when they change, and not again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: dict[str, str | None] = {}

    def tell(self, topic: str, text: str | None) -> None:
        """Say a text about a topic where it is another one than before; None says nothing."""
        if text and text != self._last.get(topic):
            self._say(text)
        self._last[topic] = text

    def forget(self, topic: str) -> None:
        """Let the next text about a topic count as new."""
        self._last.pop(topic, None)


class Tail:
    """A log that grows: its last lines, then what is added."""

    def __init__(self, path: Path, lines: int, out: TextIO | None = None) -> None:
        self._path = path
        self._lines = lines
        self._out = out or sys.stdout
        self._position: int | None = None

    def print_new(self) -> None:
        """Print what has been added since the last time; at first, the last lines."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if self._position is None or self._path.stat().st_size < self._position:  # begun anew
                self._position = self._skip(file.readlines())
            file.seek(self._position)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]  # the rest of a line comes later
        self._position += len(text)
        print(text.decode(errors="replace"), end="", file=self._out, flush=True)

    def _skip(self, lines: list[bytes]) -> int:
        """Return where the last lines begin."""
        skipped = max(0, len(lines) - self._lines)
        if skipped:
            print(f"… {skipped:,} lines before these: {self._path}", file=self._out)
        return sum(len(line) for line in lines[:skipped])


if __name__ == "__main__":
    sys.exit(main())
