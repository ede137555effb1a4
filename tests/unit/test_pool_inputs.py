"""What a run on the pool brings along: a config, and the files that it names."""

import os
import shutil

import pytest
import yaml

from pool.inputs import bring, changed
from scripts.shared.errors import UserError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A checkout, which is the current folder, and a shared folder with the project in it."""
    root, shared = tmp_path / "checkout", tmp_path / "shared"
    (root / "config").mkdir(parents=True)
    (shared / "project").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root, shared


def config(root, name="my.yaml", **data):
    file = root / name
    file.write_text(
        yaml.safe_dump({"data": data, "columns": {"target": {"column": "y", "positive": 1}, "numeric": ["x"]}})
    )
    return file


def test_a_config_and_files_of_the_checkout_keep_their_names(places):
    root, _ = places
    (root / "mine").mkdir()
    for name in ("loans.csv", "mine/a.csv", "mine/b.csv"):
        (root / name).write_text(name)
    file = config(root, raw="loans.csv", applications="mine/*.csv")
    brought = bring(file, root)
    assert (brought.config, brought.variables) == ("my.yaml", {})
    names = ("my.yaml", "loans.csv", "mine/a.csv", "mine/b.csv")
    assert brought.files == {f"project/{name}": root / name for name in names}


def test_a_folder_named_by_a_variable_is_named_by_it_on_the_pool_too(places, tmp_path, monkeypatch):
    root, _ = places
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (elsewhere / "loans2026.csv").write_text("x")
    monkeypatch.setenv("LOANS", str(elsewhere.parent))
    monkeypatch.setenv("YEAR", "2026")
    file = config(tmp_path, "outside.yaml", raw="${LOANS}/deep/loans$YEAR.csv")
    brought = bring(file, root)
    assert brought.config == "config/outside.yaml"
    assert brought.variables == {"LOANS": "/shared/inputs/LOANS", "YEAR": "2026"}
    assert brought.files == {
        "project/config/outside.yaml": file,
        "inputs/LOANS/deep/loans2026.csv": elsewhere / "loans2026.csv",
    }


def test_a_changed_file_is_brought_again_and_another_is_not(places):
    root, shared = places
    (root / "loans.csv").write_text("one")
    files = {"project/loans.csv": root / "loans.csv"}
    assert changed(files, shared) == files
    shutil.copy2(root / "loans.csv", shared / "project")
    assert changed(files, shared) == {}
    (root / "loans.csv").write_text("two")
    assert changed(files, shared) == files


@pytest.mark.parametrize("pattern", ["{tmp}/loans.csv", "../loans.csv", "$HERE/../loans.csv", "$FILE"])
def test_a_file_that_the_hosts_could_not_find_is_refused(places, tmp_path, monkeypatch, pattern):
    root, _ = places
    (tmp_path / "loans.csv").write_text("x")
    monkeypatch.setenv("HERE", str(root))
    monkeypatch.setenv("FILE", str(tmp_path / "loans.csv"))
    file = config(root, raw=pattern.format(tmp=tmp_path))
    with pytest.raises(
        UserError, match=r"data\.raw: the pool's hosts don't have '.*'; put it below .*\$DATA/(loans\.csv|\$FILE)$"
    ):
        bring(file, root)


@pytest.mark.parametrize("name", ["HOME", "PATH", "USER", "UID", "PYTHONPATH", "_CONDOR_SCRATCH_DIR", "LC_ALL", "VENV"])
def test_a_variable_that_the_hosts_need_for_themselves_is_refused(places, tmp_path, monkeypatch, name):
    root, _ = places
    (tmp_path / "loans.csv").write_text("x")
    monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(
        UserError, match=rf"data\.raw: the pool's hosts need {name} for themselves, so '\${name}/loans\.csv'"
    ):
        bring(config(root, raw=f"${name}/loans.csv"), root)


def test_a_variable_that_is_not_set_is_told(places, monkeypatch):
    root, _ = places
    monkeypatch.delenv("NOWHERE", raising=False)
    assert "NOWHERE" not in os.environ
    with pytest.raises(UserError, match=r"the environment variable NOWHERE in .* is not set"):
        bring(config(root, raw="$NOWHERE/loans.csv"), root)
