"""The pool in a box as such: started, started again, made smaller, taken down, taken down again. A pool of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from pool.pool import PROJECT, ROOT, RUN_LIVES, Pool, find_engine
from scripts.shared.errors import UserError
from tests.pool.harness import wait_until

HOSTS = ["cm", "ap", "ep1", "ep2"]


@pytest.fixture
def timed(capsys):
    """Do something and print how long it took: that depends on the machine."""

    def do(what, action):
        started = time.monotonic()
        action()
        with capsys.disabled():
            print(f"{what}: {time.monotonic() - started:.1f} s")

    return do


def machines(pool):
    told = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
    return sorted(told.stdout.split()) if told.returncode == 0 else []


def interrupted(name, script):
    """Send Ctrl-C to a process that has a shell line run on the access point; return exit code and output."""
    code = f"import sys; from pool.pool import Pool; sys.exit(Pool({name!r}).on_access_point({script!r}))"
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **streams) as process:
        begun = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        return process.wait(20), begun + rest


@pytest.fixture
def name():
    """The name of a pool; whatever a test leaves of it is taken down."""
    name = f"test-box-{os.getpid()}"
    yield name
    with contextlib.suppress(UserError):
        Pool(name).down()


def test_a_pool_comes_up_shrinks_and_leaves_nothing(name, timed, tmp_path, capsys):
    pool = Pool(name, nodes=3)
    timed("up", pool.up)
    containers, networks = pool.left()
    assert sorted(containers) == sorted(pool.container(host) for host in [*HOSTS, "ep3"])
    assert networks == [f"{pool.project}_default"]
    assert machines(pool) == ["ep1", "ep2", "ep3"]
    assert (pool.shared / "environment" / "installed-lock").exists()
    assert pool.key.stat().st_mode & 0o777 == 0o600

    # Another process, which isn't told how many nodes there are.
    ids = pool.engine.run("ps", "-q", "--no-trunc", "--filter", f"name={name}").stdout
    key = pool.key.read_bytes()
    timed("up again", Pool(name).up)
    assert pool.engine.run("ps", "-q", "--no-trunc", "--filter", f"name={name}").stdout == ids
    assert pool.key.read_bytes() == key

    # The checkout arrives twice: what is gone from it goes, what a user has made stays, and all is the user's.
    timed("the checkout", pool.sync)
    line = "mkdir results && echo mine | tee results/kept config/mine.yaml && stat -c %U Makefile scripts"
    told = pool.execute("ap", "sh", "-c", f"cd {PROJECT} && {line}", user="submit")
    assert (told.returncode, told.stdout.split()) == (0, ["mine", "submit", "submit"])
    gone = "echo old >config/gone && chown submit config/gone && echo ./config/gone >>/shared/.checkout"
    assert pool.execute("ap", "sh", "-c", f"cd {PROJECT} && {gone}").returncode == 0
    timed("the checkout again", pool.sync)
    project = pool.shared / "project"
    assert [(project / name).read_text() for name in ("results/kept", "config/mine.yaml")] == ["mine\n"] * 2
    assert not (project / "config" / "gone").exists()
    assert (project / "Makefile").stat().st_uid == 5000
    assert not list(pool.shared.glob(".arriving*"))

    # A run that is alive, as the executor notes it: its code isn't replaced under it.
    assert pool.execute("ap", "sh", "-c", RUN_LIVES).returncode == 1
    marks = f"{PROJECT}/.snakemake/htcondor-steady"
    alive = f"mkdir -p {marks} && touch {marks}/dead && exec flock {marks}/living sleep 60"
    with pool.engine.start("exec", "-u", "submit", pool.container("ap"), "sh", "-c", alive) as process:
        wait_until((project / ".snakemake/htcondor-steady/living").exists, 10, "a run lives")
        with pytest.raises(UserError, match="a run is going on in the pool"):
            pool.run([])
        pool.execute("ap", "pkill", "-f", "sleep 60")
        process.wait()
    assert pool.execute("ap", "sh", "-c", RUN_LIVES).returncode == 1

    # Ctrl-C reaches what runs there, without a terminal as well.
    done = interrupted(name, "trap 'echo told; exit 7' INT; echo begun; while :; do sleep 0.1; done")
    assert done == (7, "begun\ntold\n")

    capsys.readouterr()
    smaller = Pool(name, nodes=2)
    timed("from three nodes to two", smaller.up)
    assert f"stopping {pool.container('ep3')}" in capsys.readouterr().out
    assert sorted(smaller.left()[0]) == sorted(pool.container(host) for host in HOSTS)
    wait_until(lambda: machines(smaller) == ["ep1", "ep2"], 30, lambda: f"two nodes: {machines(smaller)}")

    engine = find_engine(tmp_path)  # whose settings aren't in the pool's folder
    for what in ("down", "down again"):
        timed(what, Pool(name).down)
        assert f"{name} is gone" in capsys.readouterr().out
        assert name not in engine.run("ps", "-a", "--format", "{{.Names}}").stdout
        assert name not in engine.run("network", "ls", "--format", "{{.Name}}").stdout
        assert not pool.folder.exists()
