"""What the start of a job costs: Python's libraries from the NFS mount, against a copy on the node's own disk.

`make bench-nfs` starts a pool on NFS, measures on one of its nodes, and takes it down. Seconds are of this machine,
and of a guest, which is slow to start programs; what counts is the ratio.
"""

import os
import re
import shlex
import sys
from statistics import median

from pool.nfs.nfs import NfsPool
from pool.pool import expect
from scripts.shared.errors import UserError

PLACES = {"NFS": "/shared/environment", "copy": "/var/tmp/environment"}  # noqa: S108 - on a guest's own disk
PROGRAM = "import sklearn.linear_model"


def measure(pool: NfsPool, host: str = "ep1", rounds: int = 3) -> dict[str, float]:
    """Return the median seconds of a start, cold and warm, from each place, in turn.

    Cold: the guest has just mounted the folder and dropped its caches; the server has the files in its memory. Warm:
    the same again at once.
    """
    copy = PLACES["copy"]
    line = f"test -d {copy} || {{ mkdir {copy} && tar -xf $(readlink -f {PLACES['NFS']}).tar -C {copy}; }}"
    expect(pool.execute(host, "bash", "-c", line), f"the environment could not be copied to {host}")
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for place, folder in PLACES.items():
            pool.mount(pool.options)
            drop = "sync && echo 3 >/proc/sys/vm/drop_caches"
            expect(pool.execute(host, "sh", "-c", drop), f"{host} could not drop its caches")
            for state in ("cold", "warm"):
                found.setdefault(f"{place} {state}", []).append(_seconds(pool, host, f"{folder}/bin/python"))
    return {name: median(seconds) for name, seconds in found.items()}


def _seconds(pool: NfsPool, host: str, python: str) -> float:
    """Return what the program takes by the guest's clock, without the way to it."""
    line = f"TIMEFORMAT='took %R'; time {shlex.join([python, '-c', PROGRAM])}"
    done = pool.execute(host, "bash", "-c", line, user="submit")
    expect(done, f"{python} could not import scikit-learn on {host}")
    return float(re.findall(r"took ([\d.]+)", done.stdout)[0])


def main() -> int:
    """Print the seconds and their ratios; the last line is the cold start's."""
    pool = NfsPool(f"bench-nfs-{os.getpid()}")
    try:
        pool.up()
        seconds = measure(pool)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        pool.down()
    for state in ("warm", "cold"):
        nfs, copy = seconds[f"NFS {state}"], seconds[f"copy {state}"]
        print(f"{state}: {nfs:.1f} s from NFS, {copy:.1f} s from the node's copy")
        print(f"ratio: {copy / nfs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
