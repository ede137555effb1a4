"""The view of a run: what is drawn on a terminal of any width, how long it may take, and lines where there is none."""

import contextlib
import io
import os
import pty
import re
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console
from snakemake_logger_plugin_htcondor import figures, view
from snakemake_logger_plugin_htcondor.jobs import Job, Run, State
from snakemake_logger_plugin_htcondor.plain import PlainLines

BEGAN = 1_000_000.0


def run_of(planned, *jobs, finished=()):
    """Return a run; each job is (rule, jobid, state, values)."""
    run = Run(began=BEGAN, planned=dict(planned), finished=dict(finished))
    for cluster, (rule, jobid, state, more) in enumerate(jobs, start=1):
        run.jobs[cluster] = Job(cluster=cluster, jobid=jobid, rule=rule, state=state, **more)
    return run


def drawn(run, now=BEGAN + 125, width=80, **more):
    """Return the lines of a view, without colour."""
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_terminal=False)
    console.print(view.render(run, now, width, **more))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def on(*hosts, started=BEGAN, ended=None):
    return {"hosts": list(hosts), "started": started, "ended": ended}


MIXED = run_of(
    {"preprocess": 2, "train": 5, "predict": 4, "all": 1},
    ("preprocess", "1", State.DONE, on("ep1")),
    ("preprocess", "2", State.DONE, on("ep1")),
    ("train", "3", State.RUNNING, on("slot1_1@ep1.pool")),
    ("train", "4", State.RUNNING, on("slot1_2@ep2.pool")),
    ("train", "5", State.HELD, {}),
    ("train", "6", State.IDLE, {}),
    ("train", "7", State.FAILED, {}),
)


# --- what is drawn ---


def test_the_view_as_a_whole():
    assert drawn(MIXED) == [
        "━━━━━━────────────────────────────────── 2 of 12 done, 16 %, 2:05 so far".replace("─ 2", "─  2"),
        "  rule        done  running  idle  held  failed  on",
        "✓ preprocess   2/2",
        "✗ train        0/5        2     1     1       1  ep1, ep2",
        "· predict      0/4",
        "· all          0/1",
    ]


def test_without_signs_that_a_terminal_may_lack():
    text = "\n".join(drawn(MIXED, ascii_only=True, rows=3, width=40))
    assert "  rule     done  run  idle  held  fail" in text
    assert text.isascii()
    assert "x train" in text
    assert "+ preprocess" not in text
    assert "... and 2 more rules, 1 of them done" in text
    assert "#" in text


def test_an_attempt_that_was_retried_is_no_failed_job():
    run = run_of(
        {"train": 2},
        ("train", "1", State.FAILED, {"attempt": 1}),
        ("train", "1", State.RUNNING, {"attempt": 2, **on("ep7")}),
        ("train", "2", State.DONE, {"attempt": 2}),
        ("train", "2", State.FAILED, {"attempt": 1}),  # told late
    )
    (count,) = figures.counts(run)
    assert (count.done, count.running, count.failed, count.total) == (1, 1, 0, 2)
    assert drawn(run)[1:] == ["  rule   done  running  on", "● train   1/2        1  ep7"]


def test_jobs_on_the_access_point_count_as_snakemake_tells():
    run = run_of({"all": 1, "train": 1}, ("train", "1", State.DONE, {}), finished={"all": 1})
    assert "2 of 2 done, 100 %" in drawn(run)[0]
    assert "✓ all" in "\n".join(drawn(run))


def test_a_group_has_a_row_and_its_members_are_counted_once():
    run = run_of({"a": 2, "b": 2}, ("group1", "uuid", State.DONE, {}), finished={"a": 1, "b": 1})
    lines = drawn(run)
    assert "2 of 4 done" in lines[0]
    assert lines[-1] == "✓ group1   1/1"


def test_jobs_that_a_checkpoint_adds_are_more_than_planned():
    run = run_of({"share": 1}, *(("share", str(n), State.IDLE, {}) for n in range(5)))
    assert "0 of 5 done" in drawn(run)[0]


def test_a_run_without_jobs():
    assert drawn(run_of({})) == ["─" * 40 + "  0 of 0 done, 2:05 so far"]
    assert drawn(run_of({"all": 0}))[1:] == ["  rule  done", "✓ all    0/0"]
    assert view.plain_line(run_of({})) == "0 of 0 done"


def test_done_rules_are_dim_and_colours_have_meaning():
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="standard", no_color=False).print(
        view.render(MIXED, BEGAN, 80)
    )
    lines = file.getvalue().splitlines()
    (done,) = [line for line in lines if "preprocess" in line]
    (train,) = [line for line in lines if "train" in line]
    assert "\x1b[32m✓" in done
    assert "\x1b[2mpreprocess" in done
    assert "\x1b[1;31m✗" in train
    assert "\x1b[1;31m━" in lines[0], "the bar is red once a job has failed"
    assert "\x1b[2mtrain" not in train


@pytest.mark.parametrize("width", [120, 80, 40, 20, 8, 1])
@pytest.mark.parametrize("name", ["all", "train_" * 30, "模型训练" * 10, "naïve_é́_" * 9])
def test_no_line_is_wider_than_the_terminal(width, name):
    hosts = [f"{'long-host-name' * 3}{n}" for n in range(40)]
    jobs = [(name, str(n), State.RUNNING, on(host)) for n, host in enumerate(hosts)]
    run = run_of({name: 1_234_567, "b": 3}, *jobs, ("b", "x", State.HELD, {}), ("b", "y", State.FAILED, {}))
    for ascii_only in (False, True):
        lines = drawn(run, width=width, ascii_only=ascii_only)
        assert max(cell_len(line) for line in lines) <= width
        assert len(lines) == 4, "a line of the view is one of the terminal"
    if width >= 40:
        assert "0 of 1,234,570 done" in lines[0]
        assert "  40" in lines[2]
    if width >= 80:
        assert re.search(r"  long-host.* \+39$", lines[2])


def test_hosts_are_shortened_to_the_width():
    jobs = [("train", str(n), State.RUNNING, on(f"slot1@ep{n}.pool")) for n in range(1, 31)]
    assert drawn(run_of({"train": 30}, *jobs), width=50)[2].endswith("30  ep1, ep2, ep3, ep4, ep5 +25")
    assert "ep" not in "".join(drawn(run_of({"train": 30}, *jobs), width=30))


@pytest.mark.parametrize("rows", [1, 2, 5, 39, 40, 41])
def test_no_more_rows_than_fit_and_none_that_matters_is_hidden(rows):
    planned = {f"rule{n:02}": 1 for n in range(40)}
    jobs = [(f"rule{n:02}", str(n), State.DONE, {}) for n in range(30)]
    jobs += [("rule39", "39", State.HELD, {}), ("rule35", "35", State.RUNNING, {}), ("rule32", "32", State.IDLE, {})]
    lines = drawn(run_of(planned, *jobs), rows=rows)
    shown = [line.split()[1] for line in lines if "rule" in line.partition("/")[0] and "/" in line]
    assert len(lines) <= 2 + rows
    if rows >= 40:
        assert shown == list(planned)
        return
    assert lines[-1].startswith(f"… and {40 - (rows - 1)} more rules, ")
    assert shown == sorted(shown), "in the order of the plan"
    assert set(["rule39", "rule35", "rule32"][: rows - 1]) <= set(shown)


def test_ten_thousand_jobs():
    jobs = [(f"rule{n % 10}", str(n), list(State)[n % 5], on(f"ep{n % 700}")) for n in range(10_000)]
    lines = drawn(run_of({f"rule{n}": 1000 for n in range(10)}, *jobs), width=100)
    assert "2,000 of 10,000 done, 20 %" in lines[0]
    assert len(lines) == 12


# --- how long it may take ---


def test_time_left_of_equal_jobs():
    done = [("train", str(n), State.DONE, on("a", started=BEGAN, ended=BEGAN + 60)) for n in range(2)]
    run = run_of({"train": 6}, *done)
    # 4 jobs of 60 s are left, and 2 ran at a time.
    assert view.time_left(run, BEGAN + 60) == pytest.approx(120)
    assert "about 2 min left" in drawn(run, BEGAN + 60)[0]


def test_time_left_counts_what_running_jobs_have_done():
    done = [("train", "1", State.DONE, on("a", started=BEGAN, ended=BEGAN + 60))]
    running = [("train", "2", State.RUNNING, on("a", started=BEGAN + 60))]
    assert view.time_left(run_of({"train": 2}, *done, *running), BEGAN + 100) == pytest.approx(20)
    late = view.time_left(run_of({"train": 2}, *done, *running), BEGAN + 1000)
    assert late == 0, "it takes longer than others did; nobody knows for how long"


def test_time_left_is_unknown_without_ground():
    assert view.time_left(run_of({"train": 2}), BEGAN) is None
    running = ("train", "1", State.RUNNING, on("a"))
    assert view.time_left(run_of({"train": 2}, running), BEGAN + 50) is None
    first = ("preprocess", "1", State.DONE, on("a", ended=BEGAN + 5))
    run = run_of({"preprocess": 1, "train": 9}, first, ("train", "2", State.RUNNING, on("a")))
    assert view.time_left(run, BEGAN + 50) is None, "five seconds of another rule tell nothing about training"
    assert "left" not in drawn(run)[0]
    unknown = ("train", "1", State.DONE, {})
    assert view.time_left(run_of({"train": 2}, unknown), BEGAN + 5) is None
    assert view.time_left(run_of({"train": 1}, unknown), BEGAN + 5) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0, "less than 1 min left"),
        (49, "less than 1 min left"),
        (170, "about 3 min left"),
        (5000, "about 83 min left"),
        (7300, "about 2 h left"),
        (360_000, "about 100 h left"),
    ],
)
def test_time_left_in_words(seconds, words):
    assert view._left_words(seconds) == words


def test_elapsed_time():
    assert "1:01:01 so far" in drawn(run_of({"a": 1}), BEGAN + 3661)[0]
    assert "0:00 so far" in drawn(run_of({"a": 1}), BEGAN - 5)[0], "a clock that was set back"


# --- where there is no terminal ---


def test_a_line_for_each_change():
    run = run_of(
        {"train_lr": 1, "train_dt": 1, "predict": 1, "prepare": 3, "share": 3},
        *(("prepare", str(n), State.DONE, {}) for n in range(3)),
        ("train_lr", "4", State.RUNNING, on("ep1")),
        ("train_dt", "5", State.RUNNING, on("ep2")),
        ("predict", "6", State.IDLE, {}),
    )
    assert view.plain_line(run) == ("3 of 9 done; running: train_lr on ep1, train_dt on ep2; idle: 1 predict")
    assert view.plain_line(MIXED) == (
        "2 of 12 done; failed: 1 train; held: 1 train; running: 2 train on ep1 and ep2; idle: 1 train"
    )


def test_a_line_stays_short():
    jobs = [(f"rule{n % 50}", str(n), State.RUNNING, on(f"ep{n}")) for n in range(1000)]
    line = view.plain_line(run_of({}, *jobs))
    assert line.endswith(
        "running: 20 rule0 on 20 hosts, 20 rule1 on 20 hosts, 20 rule2 on 20 hosts, 940 of other rules"
    )


# --- the terminal ---


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_lines_are_printed_above_the_view_which_stays_at_the_end(terminal):
    before = sys.stderr, sys.stdout
    live = view.LiveView(terminal, clock=lambda: BEGAN + 5)
    assert live.can_draw
    live.start()
    live.update(MIXED)
    live.print("Job 7 (train) is held: [red]no[/red] markup " + "x" * 100)
    live.update(MIXED)
    live.stop()
    live.stop()
    text = terminal.getvalue()
    assert "[red]no[/red] markup " + "x" * 100 + "\n" in text, "not broken: it can be copied"
    assert text.count("2 of 12 done") >= 2
    assert text.rfind("2 of 12 done") > text.rfind("no[/red]")
    assert text.endswith("\x1b[?25h"), "the cursor is back"
    assert (sys.stderr, sys.stdout) == before


def test_what_is_drawn_is_made_at_once_and_written_when_it_is_asked_for(terminal):
    """The run changes as soon as its lock is free, and a terminal may take its time."""
    live = view.LiveView(terminal)
    run = run_of({"train": 2}, ("train", "1", State.DONE, {}))
    draw = live.drawing(run)
    assert terminal.getvalue() == ""
    run.jobs.clear()
    live.start()
    draw()
    live.stop()
    assert "1 of 2 done" in terminal.getvalue()
    live.drawing(run)()
    assert terminal.getvalue().endswith("\x1b[?25h"), "after its end, nothing is drawn"


def test_the_view_never_fills_more_than_the_terminal(terminal):
    live = view.LiveView(terminal)
    live.start()
    live.update(run_of({f"rule{n}": 1 for n in range(100)}))
    drawn_lines = terminal.getvalue().count("\n") + 1
    live.stop()
    assert drawn_lines <= 10


def test_a_terminal_that_shrinks_is_drawn_at_its_new_width(terminal, monkeypatch):
    live = view.LiveView(terminal)
    live.start()
    live.update(MIXED)
    live._console.size = (30, 4)
    before = len(terminal.getvalue())
    live.update(MIXED)
    live.stop()
    lines = terminal.getvalue()[before:].splitlines()
    assert any("2 of 12 done" in line for line in lines)
    assert "━" * 20 not in terminal.getvalue()[before:]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BrokenPipeError(), ValueError("closed file")])
def test_a_terminal_that_goes_away_ends_nothing(terminal, monkeypatch, error):
    before = sys.stderr, sys.stdout
    live = view.LiveView(terminal)
    live.start()
    live.update(MIXED)

    def fail(_):
        raise error

    monkeypatch.setattr(terminal, "write", fail)
    live.update(MIXED)
    live.print("unheard")
    live.update(MIXED)
    live.stop()
    assert (sys.stderr, sys.stdout) == before


def test_a_pseudo_terminal_that_is_hung_up(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    with contextlib.suppress(OSError), os.fdopen(theirs, "w") as file:  # it can't be closed in peace
        heard = False
        live = view.LiveView(file)
        live.start()
        live.update(MIXED)
        seen = b""
        while b"of 12 done" not in seen:
            seen += os.read(ours, 100_000)
        os.close(ours)
        live.update(MIXED)
        live.print("unheard")
        live.stop()
        heard = True
    assert heard


@pytest.mark.parametrize("dumb", [True, False])
def test_without_a_terminal_only_lines_are_printed(monkeypatch, dumb):
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file = Terminal() if dumb else io.StringIO()
    live = view.LiveView(file)
    assert not live.can_draw
    live.start()
    live.update(MIXED)
    live.print("\x1b[31mred\x1b[0m and plain")
    live.stop()
    assert file.getvalue() == "red and plain\n"


def test_plain_lines_come_now_and_then_and_only_with_news():
    said, now = [], [0.0]
    lines = PlainLines(60, clock=lambda: now[0])
    run = Run(0.0, planned={"train": 2})
    for second in range(0, 200):
        now[0] = float(second)
        if second == 130:
            run.finished["train"] = 1
        said.append(lines.update(run))
    assert [line for line in said if line] == ["0 of 2 done", "1 of 2 done"]
