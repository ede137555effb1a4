"""A checkout of the project in a temporary folder, with its sample, and Snakemake runs in it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("workflow", "scripts", "config", "data", "profiles", "requirements.lock", "environment.yml")

# The jobs of a run from nothing on the sample.
EVERYTHING = {
    "preprocess": 1,
    "split": 1,
    "train_lr": 1,
    "train_dt": 1,
    "evaluate": 2,
    "compare": 1,
    "select": 1,
    "predict": 2,
}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workflow)


@dataclass
class Run:
    """A finished command: its exit code and all that it printed."""

    code: int
    output: str

    @property
    def finished(self) -> list[str]:
        """The rules of the jobs that were run, in the order in which they ended."""
        return [rule for rule in re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", self.output) if rule != "all"]

    @property
    def planned(self) -> dict[str, int]:
        """The jobs of a dry run by rule."""
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", self.output, re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows if rule != "all"}

    @property
    def sentences(self) -> list[str]:
        """The user errors that were printed, each once."""
        return list(dict.fromkeys(re.findall(r"^error: .*$", self.output, re.MULTILINE)))


@dataclass
class Project:
    """A checkout that tests may change."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new, 1))

    def config(self, **changes: Any) -> None:
        """Change the config: ``config(models__dt__params__max_depth=5)``."""
        config = yaml.safe_load(self.read("config/config.yaml"))
        for path, value in changes.items():
            *parents, key = path.split("__")
            section = config
            for parent in parents:
                section = section.setdefault(parent, {})
            section[key] = value
        self.write("config/config.yaml", yaml.safe_dump(config, sort_keys=False))

    def command(self, *arguments: str, **environment: str) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,  # a machine that is busy otherwise; here, it takes two minutes at most
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Run(done.returncode, done.stdout)

    def snakemake(self, *arguments: str, **environment: str) -> Run:
        return self.command("snakemake", "--profile", "profiles/local", *arguments, **environment)

    def driver(self, *arguments: str, **environment: str) -> Run:
        """What `make run` does."""
        return self.command("scripts.tools.run", *arguments, **environment)


def copy_checkout(folder: Path) -> Project:
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return Project(folder)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The sample, run once from nothing. Tests must not change it."""
    project = copy_checkout(tmp_path_factory.mktemp("finished") / "project")
    return project, project.driver()


@pytest.fixture
def fresh(tmp_path) -> Project:
    """A checkout in which nothing has run yet."""
    return copy_checkout(tmp_path / "project")


@pytest.fixture
def finished(finished_run, tmp_path) -> Project:
    """A checkout in which the sample has been run, times and all."""
    project, run = finished_run
    assert run.code == 0, run.output
    shutil.copytree(project.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
