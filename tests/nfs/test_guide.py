"""The checks that docs/shared-storage.md gives."""

import threading
import time


def shell(pool, host, line):
    """Run a shell line as the submitting user."""
    return pool.execute(host, "sh", "-c", line, user="submit")


def test_the_checks_of_the_guide(pool):
    """One folder, one uid, and locks that reach from host to host."""
    name = f"/shared/check-{time.time_ns()}"
    assert shell(pool, "ap", f"echo here >{name}").returncode == 0
    assert shell(pool, "ep1", f"cat {name}").stdout == "here\n"
    assert shell(pool, "ep1", f"touch {name}.ep1; id -u").stdout == "5000\n"
    assert shell(pool, "ap", f"stat -c '%u %U' {name}.ep1").stdout == "5000 submit\n"
    holder = threading.Thread(target=shell, args=(pool, "ep1", f"flock {name} sh -c 'touch {name}.held; sleep 8'"))
    holder.start()
    held = pool.shared / f"{name}.held".removeprefix("/shared/")  # the server's own view, which no cache delays
    while not held.exists():
        assert holder.is_alive(), "the lock could not be had at all"
        time.sleep(0.1)
    assert shell(pool, "ap", f"flock -n {name} true").returncode == 1
    holder.join()
    assert shell(pool, "ap", f"flock -n {name} true").returncode == 0
