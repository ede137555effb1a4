"""The shared folder is full: a clear error, nothing half-written is taken for a result, and the run can be resumed."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.pool.harness import Project, boosting, wait_until

HOSTS = ("ap", "ep1", "ep2")


def call(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


@pytest.fixture
def small(pool, tmp_path):
    """A folder on a file system of 40 MB of its own, the same on every host of the pool."""
    image, name = tmp_path / "disk.ext4", f"small-{os.getpid()}"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    call("mkfs.ext4", "-q", image)
    device = call("losetup", "--find", "--show", image)
    minor = os.minor(Path(device).stat().st_rdev)
    folder = pool.shared / name
    folder.mkdir()
    inside = [pool.engine.run("inspect", "-f", "{{.State.Pid}}", pool.container(host)).stdout.strip() for host in HOSTS]
    try:
        call("mount", device, folder)
        for pid in inside:  # a container's mounts are its own
            call(
                "nsenter",
                "-t",
                pid,
                "-m",
                "-p",
                "sh",
                "-c",
                f"mknod /run/small b 7 {minor}; mount /run/small /shared/{name}",
            )
        yield name
    finally:
        for pid in inside:
            script = f"umount -l /shared/{name}; rm -f /run/small"
            subprocess.run(["nsenter", "-t", pid, "-m", "-p", "sh", "-c", script], check=False)
        subprocess.run(["umount", "-l", folder], check=False)
        subprocess.run(["losetup", "-d", device], check=False)


def fill(folder):
    """Take all that is left, to the last block."""
    file = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 1 << 10):
        with contextlib.suppress(OSError):
            while os.write(file, bytes(size)):
                pass
    os.close(file)
    assert os.statvfs(folder).f_bavail == 0


def test_it_fills_up_while_models_train(pool, small, expected):
    project = Project(pool, f"{small}/work", models={"lr": boosting(2500), "dt": boosting(2400)})
    run = project.start()
    try:
        wait_until(lambda: len(project.running()) == 2, 60, "both models train")
        fill(pool.shared / small)
        assert run.wait(110) != 0, run.output[-3000:]
        assert "No space left on device" in run.output
        assert "Free some space. The run ends; run again to resume" in run.output
        written = project.checksums()
        assert written.items() <= expected.items(), "what there is, is whole"

        (pool.shared / small / "ballast").unlink()
        done = project.run()
        assert done.returncode == 0, done.stdout[-3000:]
        assert project.checksums() == expected
    finally:
        project.end()
