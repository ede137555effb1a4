"""The registry: versions appear whole, one is live, old ones stay, and a failure changes nothing."""

import errno
import json
import os
import shutil

import pytest
from builders import write

from scripts.shared import registry
from scripts.shared.errors import UserError
from scripts.shared.files import canonical, read_json, sha256_text, write_json
from scripts.shared.registry import live_version, prepare, publish, roll_back


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "shared" / "deployed"


def card(artefact):
    return json.dumps({"sha256": sha256_text(artefact)})


CARD = card("one model.joblib")


def sources(tmp_path, text="one"):
    names = "model.joblib", "model.json", "metrics.json"
    contents = {name: f"{text} {name}" for name in names}
    contents |= {"model.json": card(contents["model.joblib"]), "metrics.json": json.dumps({"roc_auc": 0.8})}
    return {name: write(tmp_path / "results" / text / f"its {name}", content) for name, content in contents.items()}


def target_of(link):
    return os.readlink(link)  # noqa: PTH115 - the text of the link


def state(folder):
    """Return all that is there: files with their content, links with their target."""
    return {
        path.relative_to(folder).as_posix(): target_of(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def told(folder):
    """Return what the log says, without who, when and the chain."""
    chain = {"entry", "before", "sha256", "at", "by", "action"}
    return [{key: value for key, value in entry.items() if key not in chain} for entry in log(folder)]


# --- prepare ------------------------------------------------------------------------------------------------------


def test_a_new_registry_has_a_pointer_to_nothing(folder):
    assert prepare(folder) == folder / "live.json"
    assert state(folder).keys() == {"live.json", "log.jsonl"}
    assert read_json(folder / "live.json") == {"version": None}


def test_preparing_again_leaves_everything(folder, tmp_path):
    publish(folder, "v1", sources(tmp_path), {})
    before = state(folder), (folder / "live.json").stat().st_mtime_ns
    prepare(folder)
    assert (state(folder), (folder / "live.json").stat().st_mtime_ns) == before


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_in_the_place_of_the_folder_is_said(tmp_path, below):
    place = write(tmp_path / "deployed", "")
    with pytest.raises(
        UserError, match=r"deploy\.folder: '.*deployed.*' can't be written \(.+\); mend its permissions"
    ):
        prepare(place / below)


def test_a_folder_that_cannot_be_written_is_said(folder, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(registry.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"can't be written \(Permission denied\); .* another folder in the config"):
        prepare(folder)


# --- publish ------------------------------------------------------------------------------------------------------


def test_a_version_is_published_whole_and_becomes_live(folder, tmp_path):
    assert publish(folder, "v1", sources(tmp_path), {"model": "lr", "reason": "für gut befunden"}) is True
    assert live_version(folder / "live.json") == folder / "versions" / "v1"
    found = state(folder)
    pointer, lines = json.loads(found.pop("live.json")), found.pop("log.jsonl").decode()
    (entry,) = log(folder)
    assert pointer == {"version": "v1", "entry": entry}
    assert lines == canonical(entry) + "\n"
    assert told(folder) == [{"version": "v1", "previous": None, "model": "lr", "reason": "für gut befunden"}]
    assert found == {
        "current": "versions/v1",
        "versions/v1/model.joblib": b"one model.joblib",
        "versions/v1/model.json": CARD.encode(),
        "versions/v1/metrics.json": b'{"roc_auc": 0.8}',
    }
    assert (folder / "current" / "model.json").read_text() == CARD
    assert (folder / "versions" / "v1").stat().st_mode & 0o777 == 0o755  # also for other users


def test_publishing_the_same_version_again_changes_nothing(folder, tmp_path):
    publish(folder, "v1", sources(tmp_path), {"model": "lr"})
    before = state(folder), (folder / "live.json").stat().st_mtime_ns
    assert publish(folder, "v1", sources(tmp_path, "other bytes"), {"model": "lr"}) is False
    assert (state(folder), (folder / "live.json").stat().st_mtime_ns) == before


def test_old_versions_stay_and_the_log_tells_the_story(folder, tmp_path):
    for version in ("v1", "v2", "v1"):
        assert publish(folder, version, sources(tmp_path, version), {"model": version}) is True
        assert live_version(folder / "live.json").name == version
        assert target_of(folder / "current") == f"versions/{version}"
    assert sorted(path.name for path in (folder / "versions").iterdir()) == ["v1", "v2"]
    assert told(folder) == [
        {"version": "v1", "previous": None, "model": "v1"},
        {"version": "v2", "previous": "v1", "model": "v2"},
        {"version": "v1", "previous": "v2", "model": "v1"},
    ]


def test_a_rollback_is_one_call(folder, tmp_path):
    for version in ("v1", "v2"):
        publish(folder, version, sources(tmp_path, version), {})
    assert roll_back(folder, "v1") is True
    assert (folder / "current" / "model.json").read_text() == card("v1 model.joblib")
    assert told(folder)[-1] == {"version": "v1", "previous": "v2"}
    assert log(folder)[-1]["action"] == "rollback"


@pytest.mark.parametrize("target", [None, "versions/v0", "elsewhere/v1x"])
def test_the_link_is_mended_where_it_is_gone_or_points_elsewhere(folder, tmp_path, target):
    publish(folder, "v1", sources(tmp_path), {})
    (folder / "current").unlink()
    if target:
        (folder / "current").symlink_to(target)
    assert publish(folder, "v1", sources(tmp_path), {}) is False
    assert target_of(folder / "current") == "versions/v1"
    assert len(log(folder)) == 1


def test_the_folder_may_be_named_relatively_and_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish(registry.Path("deployed"), "v1", sources(tmp_path), {})
    shutil.move("deployed", "moved")
    assert (tmp_path / "moved" / "current" / "model.json").read_text() == CARD


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_failure_while_copying_leaves_what_was_live_and_no_litter(folder, tmp_path, monkeypatch, at):
    publish(folder, "v1", sources(tmp_path), {})
    before = state(folder)
    calls, copy = [], shutil.copyfile

    def full(source, target):
        calls.append(target)
        if len(calls) == at:
            write(target, "half")
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left on device"):
        publish(folder, "v2", sources(tmp_path, "two"), {})
    assert state(folder) == before
    assert [path.name for path in (folder / "versions").iterdir()] == ["v1"]

    monkeypatch.setattr(shutil, "copyfile", copy)
    assert publish(folder, "v2", sources(tmp_path, "two"), {}) is True
    assert live_version(folder / "live.json").name == "v2"


def test_a_source_that_is_gone_leaves_what_was_live(folder, tmp_path):
    publish(folder, "v1", sources(tmp_path), {})
    before = state(folder)
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        publish(folder, "v2", sources(tmp_path) | {"metrics.json": tmp_path / "gone.json"}, {})
    assert state(folder) == before


def test_a_failure_before_the_pointer_leaves_what_was_live_and_the_next_call_mends_it(folder, tmp_path, monkeypatch):
    publish(folder, "v1", sources(tmp_path), {})

    def fail(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Disk quota exceeded"):
        patch.setattr(registry, "to_json", fail)
        publish(folder, "v2", sources(tmp_path, "two"), {})
    assert live_version(folder / "live.json").name == "v1"
    assert publish(folder, "v2", sources(tmp_path, "two"), {}) is True
    assert target_of(folder / "current") == "versions/v2"
    assert told(folder)[-1] == {"version": "v2", "previous": "v1"}


# --- live_version -------------------------------------------------------------------------------------------------


def test_nothing_deployed_is_said(folder):
    with pytest.raises(UserError, match=r"live\.json: no model is deployed yet; run the workflow first"):
        live_version(prepare(folder))


def test_a_pointer_that_is_gone_or_damaged_is_said(folder):
    with pytest.raises(UserError, match=r"live\.json does not exist"):
        live_version(folder / "live.json")
    write(folder / "live.json", "{")
    with pytest.raises(UserError, match=r"live\.json is not valid JSON"):
        live_version(folder / "live.json")


@pytest.mark.parametrize("content", [[], "v1", 1, None, {}, {"versoin": "v1"}, {"version": 1}, {"version": ""}])
def test_a_pointer_without_a_version_is_said(folder, content):
    write_json(prepare(folder), content)
    with pytest.raises(UserError, match=r'live\.json: expected \{"version": "…"\}, a name from .*versions; restore it'):
        live_version(folder / "live.json")


@pytest.mark.parametrize("missing", ["folder", "card"])
def test_a_version_that_is_not_there_is_said(folder, tmp_path, missing):
    publish(folder, "v1", sources(tmp_path), {})
    if missing == "folder":
        shutil.rmtree(folder / "versions" / "v1")
    else:
        (folder / "versions" / "v1" / "model.json").unlink()
    with pytest.raises(
        UserError,
        match=r"live\.json names the version v1, but .*v1 is not there; delete .* or restore it",
    ):
        live_version(folder / "live.json")


def test_what_a_usable_version_lacks_is_added_in_its_place(folder, tmp_path):
    """Its readers may be at work: the folder is never away."""
    publish(folder, "v1", sources(tmp_path), {})
    version = folder / "versions" / "v1"
    (version / "metrics.json").unlink()
    before = version.stat().st_ino
    publish(folder, "v1", sources(tmp_path), {})
    assert version.stat().st_ino == before
    assert (version / "metrics.json").read_bytes() == b'{"roc_auc": 0.8}'


@pytest.mark.parametrize("damage", ["model.joblib", "model.json", "metrics.json"])
def test_a_damaged_version_is_published_anew(folder, tmp_path, damage):
    publish(folder, "v1", sources(tmp_path), {})
    whole = state(folder)
    hurt = folder / "versions" / "v1" / damage
    if damage == "metrics.json":
        hurt.unlink()
    else:
        hurt.write_text("damaged")
    assert publish(folder, "v1", sources(tmp_path), {}) is False, "it was live all the time"
    assert state(folder) == whole
