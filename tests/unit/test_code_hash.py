"""The hash of a step's code: all that it imports from here, and nothing that doesn't change what it does."""

import shutil
from pathlib import Path

import pytest

from scripts.shared import code_hash as module
from scripts.shared.code_hash import ROOT, code_hash, code_hash_of

STEPS = sorted(
    path.stem for path in Path(ROOT / "scripts").glob("*.py") if "def main(" in path.read_text() and path.stem != "step"
)


def clear():
    for cached in (module._tree, module._syntax, module._imports):
        cached.cache_clear()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the scripts, which the hash looks at; a function that changes a file in it."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    clear()

    def change(name, edit):
        path = tmp_path / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(edit(path.read_text() if path.exists() else ""))
        clear()

    yield change
    clear()


def test_the_steps_are_found():
    assert {"preprocess", "split", "train", "cross_validate", "evaluate", "compare", "predict", "report"} <= set(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_its_own_hash(step):
    assert len(code_hash(step)) == 16
    assert int(code_hash(step), 16) >= 0
    assert [code_hash(other) for other in STEPS].count(code_hash(step)) == 1


def test_the_hash_does_not_depend_on_where_the_project_stands(tree):
    copied = code_hash("train")
    module.ROOT = ROOT
    clear()
    assert code_hash("train") == copied


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text,
        lambda text: "# a comment\n\n\n" + text + "\n\n# another\n",
        lambda text: text.replace("    return pipeline", "    # why\n\n    return pipeline"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"constant"', "'constant'"),
    ],
    ids=["nothing", "comments", "layout", "line ends", "quotes"],
)
def test_comments_and_layout_change_nothing(tree, edit):
    before = code_hash("train")
    tree("shared/pipeline.py", edit)
    assert code_hash("train") == before


@pytest.mark.parametrize("name", ["train.py", "shared/pipeline.py", "shared/values.py", "shared/membership.py"])
def test_code_changes_alter_the_hash_also_where_it_is_imported_indirectly(tree, name):
    before, other = code_hash("train"), code_hash("compare")
    tree(name, lambda text: text + "\nADDED = 1\n")
    assert code_hash("train") != before
    assert code_hash("compare") == other


def test_a_changed_number_alters_the_hash_of_those_that_use_it(tree):
    before = {step: code_hash(step) for step in STEPS}
    tree("shared/metrics.py", lambda text: text.replace("CURVE_POINTS = 200", "CURVE_POINTS = 201"))
    changed = {step for step in STEPS if code_hash(step) != before[step]}
    assert {"evaluate", "cross_validate"} <= changed
    assert {"preprocess", "split", "train", "compare", "predict"}.isdisjoint(changed)


@pytest.mark.parametrize(
    "line",
    [
        "from scripts.shared.extra import f",
        "from scripts.shared import extra",
        "import scripts.shared.extra",
        "import scripts.shared.extra as e",
        "def late():\n    from scripts.shared.extra import f",
    ],
)
def test_every_way_to_import_is_followed(tree, line):
    tree("shared/extra.py", lambda _: "def f():\n    return 1\n")
    tree("compare.py", lambda text: text + f"\n{line}\n")
    before = code_hash("compare")
    tree("shared/extra.py", lambda _: "def f():\n    return 2\n")
    assert code_hash("compare") != before


def test_modules_that_import_each_other_are_no_obstacle(tree):
    tree("shared/one.py", lambda _: "import scripts.shared.two\n")
    tree("shared/two.py", lambda _: "import scripts.shared.one\n")
    tree("compare.py", lambda text: text + "\nimport scripts.shared.one\n")
    assert len(code_hash("compare")) == 16


def test_other_packages_have_no_say(tree):
    tree("compare.py", lambda text: text + "\nimport numpy.linalg\nfrom . import nothing\n")
    assert module._closure("scripts.compare") == {
        "scripts.compare",
        "scripts.shared.files",
        "scripts.shared.errors",
    }


def test_a_step_that_does_not_exist_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"no_such_step\.py"):
        code_hash("no_such_step")


def test_an_estimator_of_ours_has_a_hash_and_one_of_a_library_has_none():
    assert code_hash_of("scripts.shared.scorecard.Scorecard") == code_hash("shared.scorecard")
    assert code_hash_of("sklearn.tree.DecisionTreeClassifier") == ""
    assert code_hash_of("scripts.shared.no_such.Thing") == ""
