"""The notebooks as they are kept: no outputs, nothing of the machine that they were written on, no dead links."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from test_docs import TARGETS, links, targets

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Folders of one machine; /shared is the same on every host of the pool in a box.
MACHINE = re.compile(r"(?<![\w.}])/(?:home|root|work|tmp|mnt|media|Users|scratch|opt|var)/\w")


def sources(path, kind):
    """Return the sources of a notebook's cells of a kind."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == ["explore.ipynb", "htcondor_tour.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_valid_and_opens_with_any_python_3(self, path):
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert notebook.nbformat == 4
        assert notebook.metadata.kernelspec.name == "python3"
        # An editor adds the version of whoever saved it last.
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        assert dict(notebook.metadata.language_info) == {"name": "python"}

    def test_has_no_outputs(self, path):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None
            assert cell["metadata"] == {}

    def test_names_no_path_of_a_machine(self, path):
        assert MACHINE.findall("\n".join([*sources(path, "code"), *sources(path, "markdown")])) == []

    def test_explains_each_step(self, path):
        """No more than two cells of code in a row, none longer than a screen."""
        kinds = "".join(cell.cell_type[0] for cell in nbformat.read(path, as_version=4).cells)
        assert kinds.startswith("m")
        assert "ccc" not in kinds
        assert max(source.count("\n") for source in sources(path, "code")) < 35

    def test_has_links_that_lead_somewhere(self, path):
        text = "\n\n".join(sources(path, "markdown"))
        assert links(text) != []
        gone = [link for link in links(text) if not (path.parent / unquote(link).partition("#")[0]).exists()]
        assert gone == []
        assert targets(text) <= TARGETS

    def test_is_clean_by_the_projects_own_rules(self, path):
        for check in (["check"], ["format", "--diff"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *check, "--no-cache", str(path)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", ["cd /home/anna", 'open("/tmp/x.csv")', "/media/disk"])
def test_a_path_of_a_machine_is_found(text):
    assert MACHINE.search(text)


@pytest.mark.parametrize("text", ["/shared/project", "../docs/pool.md", "results/tmp/x", "{ROOT}/var/x"])
def test_other_paths_are_none(text):
    assert not MACHINE.search(text)
