"""scripts/tools/setup_env.sh: what a machine lacks is one sentence; what is built anew is taken from no one."""

import fcntl
import os
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


# --- building anew ---

# Makes an environment of itself and installs nothing; PIP says what pip does.
PYTHON = f"""#!/bin/sh
case "$*" in
    *"-m venv"*)
        for folder; do :; done
        rm -rf "$folder"/* && mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
        ;;
    *"-m pip"*) exec sh -c "$PIP" ;;
    *purelib*) cd "$(dirname "$0")" && pwd ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""


@pytest.fixture
def small(tmp_path):
    """A checkout with a lock and a plugin that need nothing, and a whole environment of an earlier lock."""
    root = tmp_path / "checkout"
    (root / "scripts" / "tools").mkdir(parents=True)
    shutil.copy2(SETUP, root / "scripts" / "tools")
    (root / "requirements.lock").write_text("")
    (root / "plugins" / "own").mkdir(parents=True)
    (root / "python").write_text(PYTHON)
    (root / "python").chmod(0o755)
    (root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy2(root / "python", root / ".venv" / "bin")
    (root / ".venv" / "installed-lock").write_text("earlier\n")
    (root / ".venv" / "mark").write_text("the old one")
    return root


def start(root, pip="true", venv=".venv"):
    return subprocess.Popen(
        [root / "scripts" / "tools" / SETUP.name, venv],
        cwd=root,
        env=os.environ | {"PYTHON": str(root / "python"), "PIP": pip},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def build(root, **how):
    with start(root, **how) as process:
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def is_new(root):
    return not (root / ".venv" / "mark").exists() and (root / ".venv" / "installed-lock").read_text() == checksum(root)


BUILDS = "setup: installing the locked packages into .venv (about a minute, once)\n"
LIVES = (
    "setup: .venv is not up to date, and can't be built anew while a run of this checkout goes on in it; wait for it "
    "(make follow shows a submitted one), or end it, then run make again.\n"
)


def test_an_environment_of_another_lock_is_built_anew_and_only_once(small):
    assert build(small) == (0, BUILDS, "")
    assert is_new(small)
    assert not (small / ".venv.old").exists()
    assert build(small) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(".snakemake/owner.alive", fcntl.LOCK_SH), (".snakemake/htcondor-steady/a run", fcntl.LOCK_EX)],
)
def test_a_run_that_lives_keeps_its_environment(small, name, kind):
    """The first lock is held by each run and driver, also by `make run`; the other by runs on the pool."""
    file = small / name
    file.parent.mkdir(parents=True)
    with file.open("w") as held:
        fcntl.flock(held, kind)
        assert build(small) == (1, "", LIVES)
        assert (small / ".venv" / "mark").exists()
    assert build(small)[0] == 0, "it has ended, or was killed: its file alone is left"
    assert is_new(small)


def test_a_run_is_in_no_way_of_a_first_environment(small):
    """Such as the pool's own, which is built from a checkout in which a run may go on."""
    (small / ".snakemake").mkdir()
    with (small / ".snakemake" / "owner.alive").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert build(small, venv="other/venv")[0] == 0
    assert (small / "other" / "venv" / "installed-lock").exists()


def test_a_build_that_fails_leaves_the_environment_that_was_there(small):
    code, _, err = build(small, pip="exit 1")
    assert code == 1
    assert err.startswith("setup: pip could not install requirements.lock; ")
    assert (small / ".venv" / "mark").read_text() == "the old one"
    assert not (small / ".venv.old").exists()
    shutil.rmtree(small / ".venv")
    assert build(small, pip="exit 1")[0] == 1
    assert not (small / ".venv" / "installed-lock").exists(), "a torso doesn't count as whole"
    assert build(small)[0] == 0


def test_a_build_that_is_interrupted_leaves_the_environment_that_was_there(small):
    code, _, _ = build(small, pip="kill -TERM $PPID")
    assert code == 130
    assert (small / ".venv" / "mark").exists()


def test_a_build_that_was_killed_is_cleared_up_by_the_next_one(small):
    code, _, _ = build(small, pip="kill -KILL $PPID")
    assert code == -9
    assert (small / ".venv.old" / "mark").exists()
    assert build(small, pip="exit 1")[0] == 1
    assert (small / ".venv" / "mark").exists(), "not the torso"
    assert build(small)[0] == 0
    assert is_new(small)


def test_what_a_link_leads_to_is_built_where_it_lies(small):
    (small / ".venv").rename(small / "disk")
    (small / ".venv").symlink_to("disk")
    assert build(small)[0] == 0
    assert (small / ".venv").is_symlink()
    assert is_new(small)


def test_the_second_of_two_waits_and_finds_it_done(small):
    first = start(small, pip="timeout 20 sh -c 'until [ -e go-on ]; do sleep 0.02; done'")
    assert first.stdout.readline() == BUILDS
    second = start(small, pip="exit 1")
    assert second.stdout.readline() == "setup: another make builds .venv; waiting for it\n"
    (small / "go-on").touch()
    for process in (first, second):
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", ""), process.args
    assert is_new(small)
