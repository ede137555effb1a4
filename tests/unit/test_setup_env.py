"""scripts/tools/setup_env.sh on machines that lack something: one sentence that says what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "scripts" / "tools" / "setup_env.sh"


@pytest.fixture
def bare(tmp_path):
    """Run the script on a machine that has the given commands, beside a few that every machine has."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "sha256sum", "cut", "tr", "id", "cat", "dirname", "find", "sort"):
        (commands / name).symlink_to(shutil.which(name))

    def run(**scripts):
        for name, text in scripts.items():
            (commands / name).write_text(f"#!/bin/sh\n{text}\n")
            (commands / name).chmod(0o755)
        return subprocess.run(
            [shutil.which("sh"), SETUP, tmp_path / "venv"],
            env={"PATH": str(commands)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def real_python(refuses):
    """A python3 that fails where its code holds a word."""
    return f'case "$*" in *"{refuses}"*) exit 1;; esac\nexec "{sys.executable}" "$@"'


def test_no_python_at_all(bare):
    done = bare()
    assert done.returncode == 1
    assert done.stderr == (
        "setup: Python 3.11 to 3.13 was not found; install it (Debian, Ubuntu: apt-get install python3 python3-venv) "
        "or name it: make PYTHON=/path/to/python3.\n"
    )


def test_an_old_python(bare):
    assert "Python 3.11 to 3.13 was not found" in bare(python3="exit 1").stderr


def test_a_named_python_that_does_not_do():
    done = subprocess.run(
        [SETUP, "nowhere"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "setup: PYTHON=/bin/false is not Python 3.11 to 3.13" in done.stderr


def test_python_without_venv_and_no_way_to_install_it(bare):
    done = bare(python3=real_python("ensurepip"))
    assert done.returncode == 1
    assert "setup: Python's venv module is missing; run: sudo apt-get install python3." in done.stderr


def test_python_without_venv_where_installing_fails(bare):
    done = bare(python3=real_python("ensurepip"), id="echo 0", **{"apt-get": "exit 100"})
    assert done.returncode == 1
    assert "setup: could not install python3." in done.stderr


def test_nothing_is_done_where_the_environment_is_up_to_date(bare, tmp_path):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    checksum = subprocess.run([SETUP, "-", "--checksum"], capture_output=True, text=True, check=True).stdout
    (venv / "installed-lock").write_text(checksum)
    done = bare()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def checkout(tmp_path):
    """What the checksum is made of, in another folder."""
    root = SETUP.parents[2]
    (tmp_path / "scripts" / "tools").mkdir(parents=True)
    shutil.copy2(SETUP, tmp_path / "scripts" / "tools")
    shutil.copy2(root / "requirements.lock", tmp_path)
    shutil.copytree(root / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def checksum(root):
    script = root / "scripts" / "tools" / SETUP.name
    return subprocess.run([script, "-", "--checksum"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "name", ["requirements.lock", "queue.py", "node_copy.sh", "pyproject.toml", "doctor/nodes.py", "doctor/probe.sh"]
)
def test_the_checksum_follows_the_lock_and_all_code_of_the_plugins(checkout, name):
    before = checksum(checkout)
    assert before == checksum(SETUP.parents[2]), "another folder, the same content"
    with next(checkout.rglob(name)).open("a") as file:
        file.write("# changed\n")
    assert checksum(checkout) != before


def test_a_checkout_without_a_lock_has_no_checksum(checkout):
    (checkout / "requirements.lock").unlink()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        checksum(checkout)
    assert "requirements.lock is missing" in refused.value.stderr
