"""What a run on the pool brings along: a config, and the files that it names."""

import os

import pytest
import yaml

from pool.inputs import bring
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
    root, shared = places
    (root / "mine").mkdir()
    for name in ("loans.csv", "mine/a.csv", "mine/b.csv"):
        (root / name).write_text(name)
    (root / "loans.csv").chmod(0o600)
    file = config(root, raw="loans.csv", applications="mine/*.csv")
    project = shared / "project"
    assert bring(file, root, shared, project) == ("my.yaml", {})
    assert (project / "my.yaml").read_text() == file.read_text()
    for name in ("loans.csv", "mine/a.csv", "mine/b.csv"):
        assert (project / name).read_text() == name
        assert (project / name).stat().st_mode & 0o777 == 0o644
        assert (project / name).stat().st_mtime_ns == (root / name).stat().st_mtime_ns, "the same file for a rerun"


def test_a_folder_named_by_a_variable_is_named_by_it_on_the_pool_too(places, tmp_path, monkeypatch):
    root, shared = places
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (elsewhere / "loans.csv").write_text("x")
    monkeypatch.setenv("LOANS", str(elsewhere.parent))
    file = config(tmp_path, "outside.yaml", raw="${LOANS}/deep/loans.csv")
    told = bring(file, root, shared, shared / "project")
    assert told == ("config/outside.yaml", {"LOANS": "/shared/inputs/LOANS"})
    assert (shared / "inputs/LOANS/deep/loans.csv").read_text() == "x"
    assert (shared / "project/config/outside.yaml").exists()


def test_a_changed_file_is_brought_again_and_another_is_not(places):
    root, shared = places
    (root / "loans.csv").write_text("one")
    file = config(root, raw="loans.csv")
    brought = shared / "project" / "loans.csv"
    bring(file, root, shared, shared / "project")
    first = brought.stat().st_ino
    bring(file, root, shared, shared / "project")
    assert brought.stat().st_ino == first
    (root / "loans.csv").write_text("two")
    bring(file, root, shared, shared / "project")
    assert brought.read_text() == "two"


@pytest.mark.parametrize("pattern", ["{tmp}/loans.csv", "../loans.csv"])
def test_a_file_that_the_hosts_could_not_find_is_refused(places, tmp_path, pattern):
    root, shared = places
    (tmp_path / "loans.csv").write_text("x")
    file = config(root, raw=pattern.format(tmp=tmp_path))
    with pytest.raises(
        UserError, match=r"data\.raw: the pool's hosts don't have '.*loans\.csv'; put it below .*\$DATA"
    ):
        bring(file, root, shared, shared / "project")


def test_a_variable_that_is_not_set_is_told(places, monkeypatch):
    root, shared = places
    monkeypatch.delenv("NOWHERE", raising=False)
    assert "NOWHERE" not in os.environ
    with pytest.raises(UserError, match=r"the environment variable NOWHERE in .* is not set"):
        bring(config(root, raw="$NOWHERE/loans.csv"), root, shared, shared / "project")
