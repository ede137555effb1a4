"""Which runs of a working folder are alive: each holds a lock on a file of its own, which goes when it dies.

Snakemake's own lock is one of files: two runs with different targets may be at work in one folder. A lock of `flock`
holds on every host of NFS 4 and is gone with its process, however that ends; no process id tells as much.
"""

import contextlib
import fcntl
import os
from pathlib import Path

FOLDER = Path(".snakemake/htcondor-steady")


def stay_alive(run: str) -> int | None:
    """Note that a run is alive for as long as this process is; return the descriptor to keep, None without locks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    remove_dead()
    while True:
        descriptor = os.open(FOLDER / run, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # another run may look at it for a moment, and even remove it
            if os.path.samestat(os.fstat(descriptor), (FOLDER / run).stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:  # a file system without locks
            os.close(descriptor)
            return None
        os.close(descriptor)


def lives(run: str) -> bool:
    """Return whether a run of this folder, of this user or another one, is alive, as far as that can be told."""
    try:
        descriptor = os.open(FOLDER / run, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        # Shared is enough to meet the exclusive one, and NFS wants no file for it that may be written.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def remove_dead() -> None:
    """Remove what runs that have ended, or were killed, have left."""
    for file in FOLDER.iterdir():
        if not lives(file.name):
            with contextlib.suppress(OSError):
                file.unlink()
