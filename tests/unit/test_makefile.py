"""What the Makefile hands on, and what its targets wait for."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
TAKE_A_CONFIG = [target for target, recipe in RECIPES if "$(CONFIG)" in recipe]


def would_run(*words, folder=ROOT):
    """Return the words of the lines that make would run."""
    make = ["make", "-n", "--no-print-directory", "-f", str(ROOT / "Makefile"), *words]
    return shlex.split(subprocess.run(make, cwd=folder, capture_output=True, text=True, check=True).stdout)


def test_the_targets_that_take_a_config_are_found():
    assert {"run", "submit", "report", "models", "dag", "doctor", "pool-run"} <= set(TAKE_A_CONFIG)


@pytest.mark.parametrize("target", TAKE_A_CONFIG)
def test_a_config_may_have_a_space_in_its_name(target):
    words = would_run(target, "CONFIG=my data/new config.yaml")
    option = words.index("my data/new config.yaml") - 1
    assert words[option] in ("--config", "--configfile")


def test_follow_builds_an_environment_only_where_there_is_none(tmp_path):
    build = "scripts/tools/setup_env.sh"
    assert build in would_run("follow", folder=tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed-lock").write_text("of an earlier lock")
    assert build not in would_run("follow", folder=tmp_path)
    assert build in would_run("submit", folder=tmp_path)
