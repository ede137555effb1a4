"""Note what a process has used when it ends: Python imports a module of this name, where it finds one, at its start.

A copy lies in the folder that is measured, beside a folder `usage`. It must not cost what it measures: nothing is
imported before the end.
"""

import atexit
import sys
import time
from pathlib import Path

USAGE = Path(__file__).parent / "usage"
STARTED = time.time()


def note() -> None:
    """Write one JSON file: command line, start and end, CPU (also of what started it), peak memory, bytes moved."""
    import json  # noqa: PLC0415
    import os  # noqa: PLC0415
    import resource  # noqa: PLC0415

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines())
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # ru_maxrss may be what the parent had at the fork
    # The process that started this one, until now; within a job of the pool, that is Snakemake. Names may hold blanks.
    starter = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    noted = {
        "command": sys.orig_argv,
        "started": STARTED,
        "ended": time.time(),
        "cpu": sum(one.ru_utime + one.ru_stime for one in used),
        "starter_cpu": (int(starter[11]) + int(starter[12])) / os.sysconf("SC_CLK_TCK"),
        "peak_mb": int(status.partition("VmHWM:")[2].split()[0]) / 1024,
        "read_mb": int(io["rchar"]) / 1e6,
        "written_mb": int(io["wchar"]) / 1e6,
    }
    (USAGE / f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}.json").write_text(
        json.dumps(noted), encoding="utf-8"
    )


if USAGE.is_dir():
    atexit.register(note)
