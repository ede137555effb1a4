"""What the scale benchmark says a run has used is what its processes used."""

import json
import os
import subprocess
import sys
import time

import pytest
from test_house import ROOT, rules

from benchmarks.scale.__main__ import Command, Run, conclude
from benchmarks.scale.usage import STAGES, Usage, by_step, growth, nearest, of_stage, read_usage, step_name, total

METER = ROOT / "benchmarks" / "scale" / "meter"
BURN = "import time\nwhile time.process_time() < 0.1: pass\n"


def usage(step, started=0.0, ended=1.0, cpu=1.0, peak=100.0):
    return Usage(step, started, ended, cpu, peak, read=3.0, written=2.0, starter=0.5)


def test_totals_add_up_but_the_peak_is_the_highest():
    found = total([usage("split", 10, 12, 1.5, 90), usage("split", 11, 15, 2.5, 80)])
    assert (found.jobs, found.seconds, found.span, found.cpu, found.peak) == (2, 6, 5, 4, 90)
    assert (found.read, found.written) == (6, 4)
    assert total([]).jobs == total([]).cpu == total([]).span == 0


def test_steps_come_in_order_of_their_start():
    found = by_step([usage("preprocess"), usage("split"), usage("preprocess")])
    assert [(step, one.jobs) for step, one in found.items()] == [("preprocess", 2), ("split", 1)]


def test_a_stage_is_all_the_steps_that_do_its_work():
    usages = [usage("divide", cpu=1), usage("preprocess", cpu=2), usage("check", cpu=4), usage("train_lr", cpu=8)]
    assert of_stage(usages, "preprocess").cpu == 3
    assert of_stage(usages, "preprocess", "split").cpu == 7


def test_every_rule_of_the_benchmark_belongs_to_a_stage():
    steps = {step for steps in STAGES.values() for step in steps}
    not_run = {"cross_validate", "tune", "gather", "explain", "screen", "draw_rules", "report"}
    names = {name for name, _ in rules()} - {"train"} | {"train_lr", "train_dt"}
    assert names - steps == not_run


def test_the_reference_is_the_nearest_by_ratio():
    assert nearest([100, 1_000], 300) == 100
    assert nearest([100, 1_000], 400) == 1_000


def test_growth_compares_with_the_rows():
    assert growth({10: 1.0, 100: 10.0}, 10) == 1.0
    assert growth({10: 1.0, 100: 30.0, 20: 5.0}, 10) == 3.0


def test_a_process_notes_what_it_used(tmp_path):
    for name in ("meter", "meter/usage"):
        (tmp_path / name).mkdir()
    (tmp_path / "meter" / "sitecustomize.py").write_bytes((METER / "sitecustomize.py").read_bytes())
    (tmp_path / "split.py").write_text(f"{BURN}open('out', 'wb').write(b'x' * 50_000_000)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "meter")}
    before = time.process_time()
    subprocess.run([sys.executable, "split.py"], cwd=tmp_path, env=environment, check=True)
    (found,) = read_usage(tmp_path / "meter" / "usage")
    assert found.step == "split"
    assert 0.1 <= found.cpu < 5
    assert found.seconds > 0.05
    assert before - 0.02 <= found.starter <= time.process_time() + 0.02  # counted in hundredths of a second
    assert 50 <= found.peak < 500
    assert 50 <= found.written < 51


@pytest.mark.parametrize(("memory_mb", "code"), [("0", 0), ("1000", 1)])
def test_a_command_is_timed_with_its_descendants_and_its_limit_of_memory(tmp_path, memory_mb, code):
    command = ["sh", "-c", f"'{sys.executable}' -S -c '{BURN}import mmap; mmap.mmap(-1, 2_000_000_000)' || exit 1"]
    timed = [sys.executable, str(METER / "timed.py"), str(tmp_path), memory_mb, *command]
    done = subprocess.run(timed, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    assert figures["code"] == code
    assert 0.1 <= figures["cpu"] < 5
    assert ("Cannot allocate memory" in done.stdout) == bool(code)


def test_a_step_is_named_by_the_folder_of_its_log():
    command = ["python", "-m", "scripts.step", "train", "--log", "results/logs/train_dt/train_dt.log", "--threads", "1"]
    assert step_name(command) == "train_dt"
    assert step_name(["/x/python", "predict.py", "a.csv"]) == "predict"


def run(cpu):
    return Run(Command(0, seconds=1.0, cpu=cpu, output=""), [])


def test_the_last_line_is_the_ratio_at_the_size_nearest_to_the_reference(capsys):
    ours = {1_000_000: run(30.0), 2_000_000: run(40.0), 20_000_000: run(500.0)}
    conclude(ours, {1_000_000: run(60.0), 2_000_000: run(160.0)})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "ratio: 0.25"
    assert "our CPU at 20,000,000 rows, by that at 2,000,000 grown in step with the rows: 1.25" in lines


def test_without_an_old_side_that_finished_there_is_no_ratio(capsys):
    conclude({1_000_000: run(30.0)}, {})
    assert "ratio" not in capsys.readouterr().out
