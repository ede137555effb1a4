"""Run a command, and say what it and all its descendants have used.

Use: timed.py FOLDER MEMORY_MB COMMAND …. The last line of the output is JSON. Where MEMORY_MB isn't 0, no process gets
more address space. A process of its own, since getrusage(2) tells of all children that ever were.
"""

import json
import os
import resource
import subprocess
import sys
import time


def main() -> None:
    """Run the command."""
    folder, memory_mb, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if memory_mb:
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 1_000_000,) * 2)
    started = time.monotonic()
    code = subprocess.run(command, cwd=folder, stderr=subprocess.STDOUT, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"code": code, "seconds": time.monotonic() - started, "cpu": used.ru_utime + used.ru_stime}
    os.write(1, f"\n{json.dumps(figures)}\n".encode())


if __name__ == "__main__":
    main()
