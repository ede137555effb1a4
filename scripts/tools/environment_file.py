"""Write environment.yml from requirements.lock, so that conda and pip users get the very same versions.

The pins are written out, not referred to: Snakemake copies an environment file elsewhere before it builds it.
"""

import re
from pathlib import Path

from scripts.shared.files import write_text

LOCK = Path("requirements.lock")
ENVIRONMENT = Path("environment.yml")

HEAD = """\
# For users of conda or mamba: conda env create -f environment.yml
# Made by `make lock` from requirements.lock, which `make run` installs: the same versions either way.
name: loan-default-workflow
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python >=3.11,<3.14
  - pip
  - pip:
"""
TAIL = """\
variables:
  # The HTCondor bindings warn on every import where no pool is configured; this silences that message only.
  PYTHONWARNINGS: "ignore:The environment variable CONDOR_CONFIG is unset:UserWarning"
"""


def locked(lock: str) -> list[str]:
    """Return the pins of a lock file, with their markers, without their hashes."""
    return [line.rstrip(" \\") for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]


def environment(lock: str) -> str:
    """Return the text of environment.yml."""
    pins = "".join(f'      - "{pin}"\n' for pin in locked(lock))
    return HEAD + pins + TAIL


if __name__ == "__main__":
    write_text(ENVIRONMENT, environment(LOCK.read_text(encoding="utf-8")))
