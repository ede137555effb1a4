"""Whole files or none, and JSON that reads back equal."""

import hashlib
import math
from types import SimpleNamespace

import pytest

from scripts.shared import files
from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.files import (
    atomic,
    canonical,
    read_json,
    remove_remains,
    sha256_file,
    sha256_text,
    to_json,
    write_json,
    write_text,
)


def test_a_file_appears_whole_and_makes_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with atomic(path) as beside:
        beside.write_text("new")
        assert not path.exists()
        assert beside.parent == path.parent
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="on the way"), atomic(path) as beside:
        beside.write_text("half")
        raise RuntimeError("on the way")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"file\.txt"), atomic(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"


def test_text_is_utf8_with_plain_line_ends(tmp_path):
    write_text(tmp_path / "t", "Grüße\n日本\n")
    assert (tmp_path / "t").read_bytes() == "Grüße\n日本\n".encode()


@pytest.mark.parametrize("value", [{"b": 0.1, "a": [1e-320, 1 / 3, -0.0, 2**60]}, "ü\u2028\n", None, [], {"": {}}])
def test_json_reads_back_equal(tmp_path, value):
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_refuses_what_is_no_number(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "v.json", {"x": value})
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_the_order_of_keys_and_the_canonical_text_does_not():
    one, other = {"b": 1, "a": 2}, {"a": 2, "b": 1}
    assert to_json(one) != to_json(other)
    assert canonical(one) == canonical(other) == '{"a":2,"b":1}'


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe"])
def test_a_damaged_json_file_is_named(tmp_path, content):
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(UserError, match=r"v\.json is not valid JSON \(.*\); delete it and run again"):
        read_json(tmp_path / "v.json")


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"v\.json does not exist"):
        read_json(tmp_path / "v.json")


def test_checksums_are_sha256(tmp_path):
    (tmp_path / "f").write_bytes("ü".encode() * 100_000)
    assert sha256_file(tmp_path / "f") == hashlib.sha256("ü".encode() * 100_000).hexdigest()
    assert sha256_text("ü") == hashlib.sha256("ü".encode()).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "allowed", "hint"),
    [
        ("loan_amont", ["person_age", "loan_amnt"], " (did you mean 'loan_amnt'?)"),
        ("LOAN_AMNT", ["loan_amnt"], " (did you mean 'loan_amnt'?)"),
        ("zzz", ["loan_amnt"], ""),
        ("zzz", [], ""),
        ("", ["a"], ""),
    ],
)
def test_the_nearest_name_is_suggested(wrong, allowed, hint):
    assert did_you_mean(wrong, allowed) == hint


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), ([1, 2], "1, 2"), (["a", "b", "c"], "a, b and 1 more")]
)
def test_lists_are_cut_for_a_sentence(names, text):
    assert listing(names, limit=2) == text


def test_what_killed_writers_have_left_is_removed_and_nothing_else(tmp_path):
    left = tmp_path / "a" / ".x.csv.host.1.part"
    left.parent.mkdir()
    left.write_text("half")
    kept = [tmp_path / "a" / name for name in ("x.csv", "y.part", ".hidden")]
    for path in kept:
        path.write_text("whole")
    assert remove_remains(tmp_path) == 1
    assert sorted(left.parent.iterdir()) == sorted(kept)


def test_a_run_does_not_begin_on_a_full_disk(tmp_path, monkeypatch):
    files.check_space(tmp_path)
    monkeypatch.setattr(files.os, "statvfs", lambda folder: SimpleNamespace(f_bavail=255, f_frsize=4096))
    with pytest.raises(UserError, match=r"No space left on device: the disk of .* is full; free some space and run"):
        files.check_space(tmp_path)
    monkeypatch.setattr(files.os, "statvfs", lambda folder: SimpleNamespace(f_bavail=256, f_frsize=4096))
    files.check_space(tmp_path)
