"""Group and mode of the registry's files: as the config says, also for what others write later; mistakes are told."""

import grp
import os
import stat

import pytest
from builders import write

from scripts.shared import access
from scripts.shared.access import NO_CHANGE, Access
from scripts.shared.errors import UserError
from scripts.shared.files import sha256_text
from scripts.shared.registry import prepare, promote, publish, roll_back, stage


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def modes(folder):
    """Return the modes of all files, and of all folders, that are no links."""
    paths = [folder, *folder.rglob("*")]
    files = {mode_of(path) for path in paths if path.is_file() and not path.is_symlink()}
    return files, {mode_of(path) for path in paths if path.is_dir() and not path.is_symlink()}


def files_of(tmp_path, version):
    contents = {"model.joblib": version, "model.json": f'{{"sha256": "{sha256_text(version)}"}}', "metrics.json": "{}"}
    return {name: write(tmp_path / "from" / version / name, text) for name, text in contents.items()}


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("mode", "files", "folders"), [("664", 0o664, 0o775), ("0660", 0o660, 0o770), ("640", 0o640, 0o750)]
)
def test_all_that_is_written_has_the_mode_whatever_the_umask(tmp_path, mode, files, folders):
    granted, folder = Access.of(None, mode), tmp_path / "deployed"
    publish(folder, "v1", files_of(tmp_path, "v1"), {}, granted)
    stage(folder, "v2", files_of(tmp_path, "v2"), {}, granted)
    promote(folder, "v2", "why", granted)
    roll_back(folder, "v1", granted)
    assert modes(folder) == ({files}, {folders})


def test_what_was_there_before_follows_at_the_next_run(tmp_path):
    folder = tmp_path / "deployed"
    publish(folder, "v1", files_of(tmp_path, "v1"), {})
    assert modes(folder) == ({0o600}, {0o700, 0o755})
    before = (folder / "live.json").read_bytes()
    prepare(folder, Access.of(None, "664"))
    assert modes(folder) == ({0o664}, {0o775})
    assert (folder / "live.json").read_bytes() == before


def test_a_group_is_inherited_by_what_others_write_later(tmp_path):
    own = grp.getgrgid(os.getegid()).gr_name
    granted, folder = Access.of(own, None), tmp_path / "deployed"
    publish(folder, "v1", files_of(tmp_path, "v1"), {}, granted)
    folders = [folder, folder / "versions", folder / "versions" / "v1"]
    assert all(path.stat().st_mode & stat.S_ISGID for path in folders)
    assert {path.lstat().st_gid for path in folder.rglob("*")} == {os.getegid()}
    write(folder / "versions" / "v1" / "note", "")
    assert modes(folder)[0] == {0o600}, "the mode is the user's own"


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files to a group that isn't theirs")
def test_another_group_is_given(tmp_path):
    other = next(each for each in grp.getgrall() if each.gr_gid != os.getegid())
    folder = tmp_path / "deployed"
    publish(folder, "v1", files_of(tmp_path, "v1"), {}, Access.of(other.gr_name, "664"))
    assert {path.lstat().st_gid for path in [folder, *folder.rglob("*")]} == {other.gr_gid}, "also the link"
    assert modes(folder) == ({0o664}, {0o2775})


def test_nothing_is_touched_where_the_config_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(access.Path, "lstat", lambda *_: pytest.fail("looked at"))
    assert Access.of(None, None) == NO_CHANGE
    NO_CHANGE.grant(tmp_path)
    NO_CHANGE.grant_all(tmp_path)


def test_what_belongs_to_another_user_is_left(tmp_path, monkeypatch):
    path = write(tmp_path / "log.jsonl", "")
    monkeypatch.setattr(access.os, "geteuid", lambda: path.stat().st_uid + 1)
    Access(None, 0o664).grant(path)
    assert mode_of(path) == 0o600


def test_what_is_being_written_and_what_is_gone_is_left(tmp_path):
    half = write(tmp_path / ".v1.abc" / "model.joblib", "")
    Access(None, 0o664).grant_all(tmp_path)
    Access(None, 0o664).grant(tmp_path / "gone")
    assert mode_of(half) == 0o600


def test_an_unknown_group_is_said_with_the_nearest(monkeypatch):
    monkeypatch.setattr(access.grp, "getgrall", lambda: [grp.struct_group(("credit", "x", 9, []))])
    message = (
        r"^deploy\.group: this host knows no group 'credti' \(did you mean 'credit'\?\); name another in the config"
    )
    with pytest.raises(UserError, match=message):
        Access.of("credti", None)


def test_a_group_of_others_is_said(monkeypatch):
    monkeypatch.setattr(access.grp, "getgrnam", lambda _: grp.struct_group(("credit", "x", 2**20, [])))
    monkeypatch.setattr(access.os, "geteuid", lambda: 1)
    with pytest.raises(UserError, match=r"^deploy\.group: you are no member of the group 'credit'"):
        Access.of("credit", None)


@pytest.mark.parametrize("mode", ["444", "064", "200"])
def test_a_mode_that_locks_the_owner_out_is_said(mode):
    with pytest.raises(UserError, match=rf"^deploy\.mode: '{mode}' would keep the owner from reading or writing"):
        Access.of(None, mode)
