"""The driver's process: what Snakemake's end and HTCondor's signals make of it. The child here is a real process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.shared.driver_job import AGAIN
from scripts.shared.files import read_json
from scripts.shared.ownership import LOCKS, OWNER
from scripts.tools import driver

ROOT = Path(__file__).resolve().parents[2]
# Runs drive() with a child of the test's own in place of Snakemake.
PROGRAM = """
import sys
from scripts.tools import driver
driver.forget_scratch()
sys.exit(driver.drive([sys.executable, "-c", sys.argv[1]], driver.Driver(grace=int(sys.argv[2]))))
"""


def start(tmp_path, child, grace=20, **environment):
    command = [sys.executable, "-c", PROGRAM, child, str(grace)]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path):
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_failure_is_told_with_its_sentences_and_not_tried_again(tmp_path):
    child = """
from pathlib import Path
Path("results/logs/split").mkdir(parents=True)
Path("results/logs/split/a.log").write_text("error: no rows are left\\n")
raise SystemExit(3)
"""
    process = start(tmp_path, child)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 3
    assert "\nerror: no rows are left\n" in output
    assert output.endswith("driver: ended with exit code 3\n")


def test_a_child_that_a_signal_killed_asks_htcondor_for_another_start(tmp_path):
    process = start(tmp_path, "import os; os.kill(os.getpid(), 9)")
    output = process.communicate(timeout=30)[0]
    assert process.returncode == AGAIN
    assert output.endswith("driver: Snakemake was killed by signal 9; HTCondor starts the driver again\n")


CHILD = """
import signal, time
from pathlib import Path
def stop(*_):
    Path("told").write_text("")
    {reaction}
signal.signal(signal.SIGINT, stop)
Path("there").write_text("")
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_told_to_stop_it_lets_the_child_clean_up(tmp_path, name):
    process = start(tmp_path, CHILD.format(reaction="raise SystemExit(1)"))
    wait_for(tmp_path / "there")
    process.send_signal(signal.Signals[name])
    output = process.communicate(timeout=30)[0]
    assert (tmp_path / "told").exists(), "the child gets SIGINT, whatever the driver got"
    assert process.returncode == driver.STOPPED
    assert "driver: told to stop; Snakemake has 20 s to remove its jobs\n" in output
    assert output.endswith("driver: stopped\n")


def test_a_child_that_does_not_end_is_killed(tmp_path):
    process = start(tmp_path, CHILD.format(reaction="pass"), grace=1)
    wait_for(tmp_path / "there")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == driver.STOPPED
    assert "driver: Snakemake did not end within 1 s and is killed; the schedd removes its jobs\n" in output


def test_a_killed_runs_lock_is_released_and_the_driver_notes_itself(tmp_path):
    with start(tmp_path, CHILD.format(reaction="pass")) as first:
        wait_for(tmp_path / "there")
        (tmp_path / LOCKS).mkdir(parents=True)
        (tmp_path / LOCKS / "0.input.lock").write_text("")
        assert read_json(tmp_path / OWNER)["pid"] == first.pid
        second = start(tmp_path, "")
        output = second.communicate(timeout=30)[0]
        assert second.returncode == 1
        assert f"\nerror: process {first.pid} of " in output
        subprocess.run(["pkill", "-KILL", "-P", str(first.pid)], check=True)
        first.wait(20)
    third = start(tmp_path, "raise SystemExit(4)")
    output = third.communicate(timeout=30)[0]
    assert third.returncode == 4
    assert f"driver: process {first.pid} of " in output
    assert "was ended before it was done; its lock is removed and the run resumes\n" in output
    assert not list((tmp_path / LOCKS).iterdir())


def test_on_a_full_disk_the_signal_still_reaches_the_child(tmp_path):
    command = [sys.executable, "-c", PROGRAM, CHILD.format(reaction="raise SystemExit(1)"), "20"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=full, stderr=full)
    try:
        wait_for(tmp_path / "there")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == driver.STOPPED
        assert (tmp_path / "told").exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("scratch", "kept"), [("S", 0), ("other", 2), ("", 2)])
def test_htcondors_scratch_folder_is_forgotten(tmp_path, scratch, kept):
    code = "import os, sys; sys.exit(10 + sum(os.environ.get(n) == 'S' for n in ('TMPDIR', 'APPTAINER_CACHEDIR')))"
    process = start(tmp_path, code, _CONDOR_SCRATCH_DIR=scratch, TMPDIR="S", APPTAINER_CACHEDIR="S")
    process.communicate(timeout=30)
    assert process.returncode == 10 + kept


def test_all_that_is_printed_is_added_to_the_log(tmp_path):
    log = tmp_path / "deep" / "a.out"
    for number in range(2):
        code = f"from pathlib import Path\nfrom scripts.tools import driver\ndriver._print_to(Path({str(log)!r}))\n"
        code += f"import subprocess\ndriver.say('{number}')\nsubprocess.run(['sh', '-c', 'echo child >&2'])\n"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    lines = [line.split("driver: ")[-1] for line in log.read_text().splitlines()]
    assert lines == ["0", "child", "1", "child"]
