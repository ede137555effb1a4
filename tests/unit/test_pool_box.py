"""The pool in a box, as far as it needs no container: which engine, what goes to the hosts, what is left in the end."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pool import pool as box
from pool.pool import Done, Engine, Pool, find_engine, pack
from scripts.shared.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


class Recorded(Engine):
    """An engine that does nothing and answers what a test says."""

    def __init__(self, answers=None):
        super().__init__("podman", ["compose"], {})
        object.__setattr__(self, "calls", [])
        object.__setattr__(self, "answers", answers or {})

    def run(self, *arguments, show=False):
        self.calls.append(arguments)
        code, text = self.answers.get(arguments[0], (0, ""))
        return Done(list(arguments), code, text)

    def run_compose(self, *arguments, environment):
        return self.run("compose", *arguments)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """A pool whose folder is there and whose engine is recorded."""
    monkeypatch.setattr(box, "ROOT", tmp_path)
    monkeypatch.setattr(box, "ARCHIVES", tmp_path / ".pool" / "environments")

    def make(answers=None, **asked):
        made = Pool("mine", **asked)
        made.folder.mkdir(parents=True, exist_ok=True)
        vars(made)["engine"] = Recorded(answers)
        return made

    return make


# --- the engine ---


def commands(tmp_path, **scripts):
    """Return a PATH of the given commands alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_without_an_engine_and_no_way_to_install_one_a_sentence_says_what_to_install(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pool.pool", "check"],
        env=os.environ | {"PATH": commands(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: no container engine was found; install one, such as: sudo apt-get install podman"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("file", ["Makefile", "scripts/tools/test.sh"])
def test_the_engine_is_looked_for_before_pytest_starts_its_processes(file):
    text = (ROOT / file).read_text()
    check, tests = text.index("-m pool.pool check"), text.index("-m pool -n 2")
    assert check < tests


@pytest.mark.parametrize(("buildx", "expected"), [("exit 1", "0"), ("exit 0", "1")])
def test_docker_is_used_where_it_answers_and_builds_with_what_it_has(tmp_path, monkeypatch, buildx, expected):
    monkeypatch.setenv("PATH", commands(tmp_path, docker=f"case $1 in buildx) {buildx};; esac"))
    engine = find_engine(tmp_path / "pool")
    assert engine.command == "docker"
    assert engine.environment == {"DOCKER_BUILDKIT": expected}


def test_a_pool_keeps_the_engine_that_it_was_started_with(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("PATH", commands(tmp_path, docker="exit 0", podman="exit 0"))
    (folder / "engine").write_text("podman\n")
    assert find_engine(folder).command == "podman"
    (folder / "engine").write_text("docker\n")
    assert find_engine(folder).command == "docker"
    (tmp_path / "bin" / "docker").unlink()
    with pytest.raises(UserError, match="mine was started with Docker, which doesn't answer now"):
        find_engine(folder)


# --- its command line ---


@pytest.mark.parametrize(
    "words",
    [
        ["down", "other"],
        ["down", "--POOL", "other"],
        ["purge", "--dry-run"],
        ["down", "--nam", "other"],
        ["up", "-n"],
        ["status", "x"],
        ["check", "x"],
        ["shell", "x"],
    ],
)
def test_words_that_an_action_does_not_know_are_refused_and_no_pool_is_touched(monkeypatch, capsys, words):
    monkeypatch.setattr(box, "Pool", None)
    monkeypatch.setattr(sys, "argv", ["pool", *words])
    with pytest.raises(SystemExit) as refused:
        box.main()
    assert refused.value.code == 2
    said = f"error: {words[0]} does not take {' '.join(words[1:])}; a pool is named by --name NAME\n"
    assert capsys.readouterr().err.endswith(said)


def test_run_hands_what_it_does_not_know_to_snakemake_also_what_begins_like_an_option_of_its_own(monkeypatch):
    ran = []
    monkeypatch.setattr(Pool, "up", lambda self: None)
    monkeypatch.setattr(Pool, "run", lambda self, *words: ran.append((self.name, *words)) or 0)
    monkeypatch.setattr(sys, "argv", ["pool", "run", "--name", "mine", "report", "-n", "--config", "a=b"])
    assert box.main() == 0
    assert ran == [("mine", ["report", "-n", "--config", "a=b"], None)]


# --- what it prepares ---


def test_users_of_this_machine_can_not_enter_the_folder_whose_shared_one_is_open_to_the_hosts_users(pool, monkeypatch):
    one = pool()
    one.folder.chmod(0o755)
    monkeypatch.setattr(Pool, "build_image", lambda self: None)
    monkeypatch.setattr(Pool, "build_environment", lambda self: None)
    one.prepare()
    assert one.folder.stat().st_mode & 0o777 == 0o700
    assert one.shared.stat().st_mode & 0o777 == 0o777


# --- nodes ---

STOPPED = (("kill", "-s", "QUIT"), ("stop", "-t", "20"), ("rm", "-f"))


def test_the_number_of_nodes_is_what_is_asked_else_what_is_there_else_two(pool):
    assert pool().hosts == ["cm", "ap", "ep1", "ep2"]
    (pool().folder / "nodes").write_text("4\n")
    assert pool().nodes == 4
    assert pool(nodes=1).hosts == ["cm", "ap", "ep1"]


def test_pools_of_one_name_in_two_checkouts_are_two(monkeypatch, tmp_path):
    here = Pool("mine")
    vars(here)["engine"] = Recorded()
    names = here.project, here.container("ap")
    monkeypatch.setattr(box, "ROOT", tmp_path)
    there = Pool("mine")
    vars(there)["engine"] = Recorded()
    assert {there.project, there.container("ap")}.isdisjoint(names)
    assert there.project.startswith("mine-")


def test_nodes_that_are_not_asked_for_any_more_are_stopped(pool):
    name = pool().project
    containers = "\n".join(f"{name}_{host}_1" for host in ("cm", "ap", "ep1", "ep2", "ep3", "ep4"))
    one = pool({"ps": (0, f"a warning\n{containers}\n")}, nodes=2)
    one.stop_surplus_nodes()
    stopped = [call for call in one.engine.calls if call[0] not in ("ps", "network")]
    assert stopped == [(*action, f"{name}_ep3_1", f"{name}_ep4_1") for action in STOPPED]


# --- down ---


def test_what_is_left_is_said_and_its_folder_and_key_stay(pool):
    name = pool().project
    one = pool({"ps": (0, f"{name}_ap_1\n"), "network": (0, f"{name}_default\n"), "compose": (0, "no space")})
    one.key.write_text("key")
    with pytest.raises(
        UserError, match=rf"mine is not gone: {name}_ap_1, {name}_default and .*/\.pool/mine are left.*no space"
    ):
        one.down()
    assert one.key.exists()


def test_an_engine_that_fails_is_not_taken_for_a_pool_that_is_gone(pool, capsys):
    one = pool({"ps": (125, "can't connect")})
    with pytest.raises(UserError, match="podman doesn't say what mine has: can't connect"):
        one.down()
    failed = pool({"compose": (1, "no such file")})
    with pytest.raises(UserError, match=r"mine has no containers any more, but .* is left: no such file"):
        failed.down()
    assert "is gone" not in capsys.readouterr().out
    pool().down()
    assert "mine is gone" in capsys.readouterr().out
    assert not one.folder.exists()


def test_files_of_the_hosts_users_are_removed_by_the_hosts_root(pool, monkeypatch, capsys):
    one = pool()

    def refuse(folder):
        raise PermissionError(folder)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    one.remove(one.folder)
    (command,) = one.engine.calls
    assert command[:2] == ("run", "--rm")
    assert f"{one.folder}:/remove" in command
    failing = pool({"run": (125, "no image")})
    with pytest.raises(UserError, match=r"is left, since it holds files of the pool's users; try: sudo rm -rf .*/mine"):
        failing.remove(failing.folder)


# --- the environment ---


def test_an_environment_whose_unpacking_was_interrupted_is_unpacked_anew(pool, tmp_path):
    """The archive has the mark that the environment is whole as its first member; the torso has it, too."""
    content = tmp_path / "content"
    content.mkdir()
    for name in ("installed-lock", "python"):
        (content / name).write_text(name * 500)
    archive = tmp_path / "whole.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("installed-lock", "python"):
            file.add(content / name, name)
    target = pool().folder / "environments" / "name"
    target.parent.mkdir(parents=True)
    torn = tmp_path / "torn.tar"
    torn.write_bytes(archive.read_bytes()[:8500])  # the first member and a part of the second
    with pytest.raises(UserError, match="the environment could not be unpacked"):
        pool().unpack(torn, target)
    assert not target.exists(), "not under the name by which it counts as whole"
    pool().unpack(archive, target)
    assert sorted(path.name for path in target.iterdir()) == ["installed-lock", "python"]
    assert [path.name for path in target.parent.iterdir()] == ["name"]


def test_a_checksum_that_can_not_be_made_stops_the_start(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(box, "SETUP", tmp_path / "setup")
    (tmp_path / "setup").write_text("#!/bin/sh\necho setup: requirements.lock is missing >&2\nexit 1\n")
    (tmp_path / "setup").chmod(0o755)
    with pytest.raises(UserError, match=r"checksum could not be made: setup: requirements\.lock is missing"):
        pool().build_environment()


# --- what goes to the hosts ---


def test_a_file_arrives_with_its_time_to_the_nanosecond(tmp_path):
    source, arrived = tmp_path / "loans.csv", tmp_path / "there"
    source.write_text("x")
    source.chmod(0o600)
    os.utime(source, ns=(0, 1_764_000_000_123_456_789))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        pack(archive, "inputs/LOANS/loans.csv", source, 0o644)
        pack(archive, "project/as-it-is", source, None)
    arrived.mkdir()
    subprocess.run(["tar", "-x", "-p", "-f", "-", "-C", arrived], input=stream.getvalue(), check=True)
    there = (arrived / "inputs/LOANS/loans.csv").stat()
    assert (there.st_mtime_ns, there.st_mode & 0o777) == (1_764_000_000_123_456_789, 0o644)
    assert (arrived / "project/as-it-is").stat().st_mode & 0o777 == 0o600


def test_a_command_that_takes_nothing_is_told_by_its_own_words():
    done = Engine("sh", [], {}).feed(lambda stream: stream.write(b"x" * 1_000_000), "-c", "echo no; exit 3")
    assert (done.returncode, done.stdout) == (3, "no\n")
    taken = Engine("sh", [], {}).feed(lambda stream: stream.write(b"x" * 1_000_000), "-c", "wc -c")
    assert (taken.returncode, taken.stdout.strip()) == (0, "1000000")


# --- purge, and what isn't there ---


def test_the_image_is_found_after_the_pools_folder_with_the_engines_settings_has_gone(tmp_path, monkeypatch):
    podman = (
        f'[ -e "$CONTAINERS_CONF" ] || exit 125; echo "$@" >>{tmp_path}/calls; [ $1 != images ] || echo abc; exit 0'
    )
    monkeypatch.setenv("PATH", commands(tmp_path, podman=podman))
    monkeypatch.setattr(box, "ROOT", tmp_path)
    monkeypatch.setattr(box, "ARCHIVES", tmp_path / ".pool" / "environments")
    monkeypatch.setattr(Pool, "compose", lambda self, *arguments: Done([], 0, ""))
    one = Pool("mine")
    one.folder.mkdir(parents=True)
    one.purge()
    assert (tmp_path / "calls").read_text().splitlines()[-1] == "rmi abc"
    assert not one.folder.exists()


@pytest.mark.parametrize("ask", [Pool.status, Pool.shell])
def test_a_pool_that_is_not_there_is_said_and_leaves_no_folder(tmp_path, monkeypatch, ask):
    monkeypatch.setattr(box, "ROOT", tmp_path)
    with pytest.raises(UserError, match="there is no pool 'mine' here; start it with make pool-up"):
        ask(Pool("mine"))
    assert not (tmp_path / ".pool").exists()
