"""A process that changes a registry in forks of its own, and kills a fork before any step that a test names.

It reads an order a line, as JSON, and answers with one. A step is what touches a file below the registry: what Python
audits (open, rename, remove, mkdir, symlink, …), each write to the log, before it and in its middle, and each fsync.
Forking is quick, and here no thread is in its way.
"""

import json
import logging
import os
import signal
import sys
from pathlib import Path

from scripts.shared import registry

AUDITED = "open", "os.", "shutil.", "fcntl."


class Steps:
    """Counts the steps of this process, and ends it before one of them."""

    def __init__(self, folder, last):
        self.folder, self.last, self.done = str(folder), last, 0
        self.write = os.write
        sys.addaudithook(self.hear)
        os.write, os.fsync = self.write_in_two, self.sync

    def hear(self, event, arguments):
        if event.startswith(AUDITED) and any(self.folder in str(argument) for argument in arguments):
            self.step()

    def step(self):
        self.done += 1
        if self.done == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_in_two(self, descriptor, data):
        half = len(data) // 2
        self.step()
        self.write(descriptor, data[:half])
        self.step()
        return half + self.write(descriptor, data[half:])

    def sync(self, descriptor):
        """Don't wait for the disk: a killed process loses nothing of what it has written, only a power cut does."""
        self.step()


def obey(order):
    """Do what an order says; return whether it changed what is live."""
    folder = Path(order["folder"])
    if order["do"] == "roll back":
        return registry.roll_back(folder, order["version"])
    if order["do"] == "promote":
        return registry.promote(folder, order["version"], "why")
    files = {name: Path(path) for name, path in order["files"].items()}
    if order["do"] == "stage":
        return registry.stage(folder, order["version"], files, {"model": order["version"]})
    keep = 2 if order["do"] == "publish and prune" else None
    return registry.publish(folder, order["version"], files, {"model": order["version"]}, keep=keep)


def in_a_fork(order):
    """Obey in a fork; return how it ended: the signal, or else whether it changed anything and in how many steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        steps = Steps(order["folder"], order.get("last"))
        changed = obey(order)
        steps.write(writer, json.dumps({"changed": changed, "steps": steps.done}).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:  # noqa: PTH123 - a descriptor
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return json.loads(said)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for line in sys.stdin:
        print(json.dumps(in_a_fork(json.loads(line))), flush=True)
