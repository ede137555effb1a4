"""The run as it goes: on a terminal a view that is drawn again and again, elsewhere a line for each change."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .figures import Count, counts, done_of_all, last_attempts, shortened, some
from .jobs import Job, Run, State

ROWS = 20
SHORTEST_BAR = 8
LONGEST_BAR = 40
HOSTS = 12  # the least width that is worth a column of hosts
NARROW = 60
SHORT = {"running": "run", "failed": "fail"}  # heads of columns on a narrow terminal
LISTED = 3  # rules of one state in a plain line

# Each state has a sign, too: not every terminal has colours, nor every eye.
SIGNS = {"failed": "✗", "held": "!", "running": "●", "idle": "○", "to come": "·", "done": "✓"}
PLAIN_SIGNS = {"failed": "x", "held": "!", "running": "*", "idle": "o", "to come": ".", "done": "+"}
STYLES = {"failed": "bold red", "held": "bold yellow", "running": "cyan", "idle": "", "done": "green", "to come": "dim"}


# --- what is drawn ---


def render(run: Run, now: float, width: int, rows: int = ROWS, ascii_only: bool = False) -> RenderableType:
    """Return the view of a run.

    Parameters
    ----------
    run
        The run so far.
    now
        The time, in seconds since the epoch.
    width
        The terminal's width.
    rows
        Most rows of rules; the others are counted in a row of their own.
    ascii_only
        For terminals that know no other signs.
    """
    last = last_attempts(run)
    rules = counts(run, last)
    shown, hidden = choose(rules, rows)
    done, total = done_of_all(rules)
    left = _left_words(_time_left(run, rules, last, now)) if done < total else ""
    text = _fitting(done, total, f"{_clock(now - run.began)} so far", left, width)
    style = "failed" if any(count.failed for count in rules) else "done" if done == total else "running"
    parts: list[RenderableType] = [_bar_line(done, total, text, width, STYLES[style], ascii_only)]
    if shown:
        parts.append(_rows(shown, width, ascii_only))
    if hidden:
        finished = sum(count.is_done for count in hidden)
        which = f", {finished:,} of them done" if finished else ""
        word = "rule" if len(hidden) == 1 else "rules"
        dots = "..." if ascii_only else "…"
        line = f"{dots} and {len(hidden):,} more {word}{which}"
        parts.append(Text(shortened(line, width, _mark(ascii_only)), style="dim", no_wrap=True))
    return Group(*parts)


def choose(rules: Sequence[Count], rows: int) -> tuple[list[Count], list[Count]]:
    """Divide the rules into those that are shown and those that are hidden, both in their order.

    Those that need a look come first, then those that run, and last those that are done.
    """
    if len(rules) <= rows:
        return list(rules), []
    order = list(SIGNS)
    # A row is needed to count the hidden rules.
    best = sorted(range(len(rules)), key=lambda n: (order.index(_state(rules[n])), n))[: max(0, rows - 1)]
    kept = set(best)
    return [rules[n] for n in sorted(kept)], [rule for n, rule in enumerate(rules) if n not in kept]


def _state(count: Count) -> str:
    """Return the state of a rule that matters most: also the order in which rules are worth a look."""
    if count.is_done and not (count.running or count.held or count.failed):
        return "done"
    for name in ("failed", "held", "running", "idle"):
        if getattr(count, name):
            return name
    return "to come"


def _mark(ascii_only: bool) -> str:
    return "~" if ascii_only else "…"


def _bar_line(done: int, total: int, text: str, width: int, style: str, ascii_only: bool) -> Text:
    """Return a bar, whose part to come can be told without colour too, and the text behind it."""
    bar = min(LONGEST_BAR, width - cell_len(text) - 2)
    if bar < SHORTEST_BAR:
        return Text(shortened(text, width, _mark(ascii_only)), no_wrap=True)
    filled = bar * done // total if total else 0
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    return Text.assemble((full * filled, style), (empty * (bar - filled), "dim"), f"  {text}", no_wrap=True)


def _fitting(done: int, total: int, elapsed: str, left: str, width: int) -> str:
    """Return as much as leaves room for a bar."""
    first = f"{done:,} of {total:,} done"
    percent = f"{100 * done // total} %" if total else ""
    for parts in ((first, percent, elapsed, left), (first, elapsed, left), (first, left), (first,)):
        text = ", ".join(part for part in parts if part)
        if cell_len(text) + 2 + SHORTEST_BAR <= width:
            return text
    return first


def _rows(rules: Sequence[Count], width: int, ascii_only: bool) -> Table:
    """Return a table that is never wider than the terminal: the hosts go first, then the ends of the names."""
    columns = [name for name in ("running", "idle", "held", "failed") if any(getattr(count, name) for count in rules)]
    done = [f"{count.done:,}/{count.total:,}" for count in rules]
    cells = {name: [f"{number:,}" if (number := getattr(c, name)) else "" for c in rules] for name in columns}
    done_width = max(len("done"), *map(len, done))
    heads = {name: SHORT.get(name, name) if width < NARROW else name for name in columns}
    widths = {name: max(len(heads[name]), *map(len, cells[name])) for name in columns}
    fixed = 1 + 1 + 2 + done_width + sum(2 + number for number in widths.values())
    longest = max(len("rule"), *(cell_len(count.rule) for count in rules))
    name_width = max(4, min(longest, width - fixed, max(16, width // 3)))
    hosts_width = width - fixed - name_width - 2
    with_hosts = hosts_width >= HOSTS and any(count.hosts for count in rules)
    if not with_hosts:
        name_width = max(4, min(longest, width - fixed))

    table = Table(box=None, padding=0, show_edge=False, pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("", width=2)
    table.add_column("rule", width=name_width, no_wrap=True)
    table.add_column("done", width=done_width + 2, justify="right", no_wrap=True)
    for name in columns:
        table.add_column(
            heads[name], width=widths[name] + 2, justify="right", no_wrap=True, header_style=STYLES[name] or "dim"
        )
    if with_hosts:
        table.add_column("  on", width=hosts_width + 2, no_wrap=True)
    signs = PLAIN_SIGNS if ascii_only else SIGNS
    for number, count in enumerate(rules):
        state = _state(count)
        faint = "dim" if state in ("done", "to come") else ""
        row = [
            Text(signs[state], style=STYLES[state]),
            Text(shortened(count.rule, name_width, _mark(ascii_only)), style=faint),
            Text(done[number], style=faint),
            *(Text(cells[name][number], style=STYLES[name]) for name in columns),
        ]
        if with_hosts:
            row.append(Text(f"  {some(count.hosts, hosts_width, _mark(ascii_only))}", style="dim"))
        table.add_row(*row)
    return table


def _clock(seconds: float) -> str:
    """Write the time that has passed, as m:ss or h:mm:ss."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _left_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 50:
        return "less than 1 min left"
    if seconds < 90 * 60:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {round(seconds / 3600)} h left"


# --- how long it may take ---


def time_left(run: Run, now: float) -> float | None:
    """Return the seconds that the run may still take; None until there is ground for a guess.

    A job is taken to need what its rule's finished jobs needed on average, and as many jobs to run at a time as did so
    far. There is ground once most of the jobs that are left belong to rules of which one has finished.
    """
    last = last_attempts(run)
    return _time_left(run, counts(run, last), last, now)


def _time_left(run: Run, rules: Iterable[Count], last: Sequence[Job], now: float) -> float | None:
    left = {count.rule: count.total - count.done for count in rules if count.planned or not run.planned}
    remaining = sum(left.values())
    if remaining <= 0:
        return 0.0
    means = _means(last)
    known = sum(number for rule, number in left.items() if rule in means)
    if not means or 2 * known < remaining:
        return None
    usual = sum(means.values()) / len(means)  # for the rules of which none has finished
    running = [(means.get(job.rule, usual), max(0.0, now - job.started)) for job in last if _runs(job) and job.started]
    work = sum(number * means.get(rule, usual) for rule, number in left.items())
    work -= sum(min(mean, elapsed) for mean, elapsed in running)
    longest = max((mean - elapsed for mean, elapsed in running), default=0.0)
    return max(work / min(_at_a_time(run, now), remaining), longest, 0.0)


def _runs(job: Job) -> bool:
    return job.state == State.RUNNING


def _means(jobs: Iterable[Job]) -> dict[str, float]:
    """Return how long the finished jobs of each rule took on average."""
    sums: dict[str, tuple[float, int]] = {}
    for job in jobs:
        if job.state == State.DONE and job.started is not None and job.ended is not None:
            seconds, number = sums.get(job.rule, (0.0, 0))
            sums[job.rule] = seconds + max(0.0, job.ended - job.started), number + 1
    return {rule: seconds / number for rule, (seconds, number) in sums.items()}


def _at_a_time(run: Run, now: float) -> float:
    """Return how many jobs ran at a time on average, since the first began."""
    times = [
        (job.started, job.ended if job.ended is not None else now)
        for job in run.jobs.values()
        if job.started is not None and (job.ended is not None or _runs(job))
    ]
    if not times:
        return 1.0
    span = now - min(start for start, _ in times)
    busy = sum(max(0.0, end - start) for start, end in times)
    return busy / span if span > 0 and busy > 0 else 1.0


# --- where there is no terminal ---


def plain_line(run: Run) -> str:
    """Return the state of a run in a line that stays the same while nothing changes."""
    rules = counts(run)
    done, total = done_of_all(rules)
    parts = [f"{done:,} of {total:,} done"]
    for name in ("failed", "held", "running", "idle"):
        found = [count for count in rules if getattr(count, name)]
        if not found:
            continue
        words = [_of_rule(count, name) for count in found[:LISTED]]
        if len(found) > LISTED:
            rest = sum(getattr(count, name) for count in found[LISTED:])
            words.append(f"{rest:,} of other rules")
        parts.append(f"{name}: {', '.join(words)}")
    return "; ".join(parts)


def _of_rule(count: Count, name: str) -> str:
    number = getattr(count, name)
    if name != "running":
        return f"{number:,} {count.rule}"
    words = count.rule if number == 1 else f"{number:,} {count.rule}"
    if len(count.hosts) > 2:
        return f"{words} on {len(count.hosts):,} hosts"
    return f"{words} on {' and '.join(sorted(count.hosts))}" if count.hosts else words


# --- the terminal ---


def _is_terminal(file: TextIO | None) -> bool:
    try:
        return file is not None and file.isatty()
    except ValueError:  # it is closed
        return False


class _Console(Console):
    """A console that falls silent where nobody listens any more; rich's own would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class LiveView:
    """Draws the view at the bottom of a terminal, and lines above it.

    A terminal that is closed or fails must not end the run: from then on, nothing is drawn.

    Parameters
    ----------
    file
        Where to; standard error by default.
    clock
        Returns the time, in seconds since the epoch.
    """

    def __init__(self, file: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self._console = _Console(file=file) if file else _Console(stderr=True)
        self._clock = clock
        self._live: Live | None = None
        self._gone = False

    @property
    def can_draw(self) -> bool:
        """Whether there is a terminal on which lines can be drawn again."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def start(self) -> None:
        """Begin to draw; without a terminal, only lines are printed."""
        if self._live is not None or not self.can_draw:
            return
        self._live = Live(
            console=self._console,
            # The run changes in another thread: it is drawn in `update` alone, where the caller sees to that.
            auto_refresh=False,
            redirect_stderr=True,
            # What goes into a file or a pipe must go on to do so.
            redirect_stdout=_is_terminal(sys.stdout),
            vertical_overflow="crop",
        )
        self._safely(self._live.start)

    def update(self, run: Run) -> None:
        """Draw a run as it stands now; it must not change meanwhile."""
        self.drawing(run)()

    def drawing(self, run: Run) -> Callable[[], None]:
        """Return what draws a run as it stands now, whatever has become of it by then: the terminal may be slow."""
        size = self._console.size
        # The bar, the head of the table, and a line for the cursor stay free.
        rows = max(1, size.height - 3)
        view = render(run, self._clock(), size.width, rows, self._console.options.ascii_only)

        def draw() -> None:
            if (live := self._live) is not None:
                self._safely(lambda: live.update(view, refresh=True))

        return draw

    def print(self, text: str) -> None:
        """Print lines above the view, or just print them."""
        words = Text.from_ansi(text) if "\x1b" in text else Text(text)
        self._safely(lambda: self._console.print(words, soft_wrap=True))

    def stop(self) -> None:
        """Leave the last view where it is, and give the terminal back."""
        live, self._live = self._live, None
        if live is not None:
            self._safely(live.stop, always=True)

    def _safely(self, draw: Callable[[], object], always: bool = False) -> None:
        """Draw; where the terminal is gone, note that and go on."""
        if self._gone and not always:
            return
        try:
            draw()
        except (OSError, ValueError):  # ValueError: the file is closed
            self._gone = True
