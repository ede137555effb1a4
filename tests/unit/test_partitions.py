"""How files are cut into jobs: counted from sizes, named without clashes, noticed when they change."""

import os
from pathlib import Path

import pytest

from scripts.join import join_counts, join_csv
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.partitions import (
    InputFile,
    batches,
    from_plain,
    look_at,
    partitions_of,
    planned_file,
    to_plain,
)


def file(size=10, partitions=1, path="x.csv"):
    return InputFile(path, size, 0, partitions)


@pytest.mark.parametrize(
    ("name", "size", "mb", "count"),
    [
        ("a.csv", 0, 1, 1),
        ("a.csv", 1_000_000, 1, 1),
        ("a.csv", 1_000_001, 1, 2),
        ("a.csv", 3_500_000, 100, 1),  # 60 thousand loans, by the default
        ("a.csv.gz", 500_000, 1, 2),
        ("a.parquet", 500_000, 1, 2),
    ],
)
def test_the_number_of_partitions_follows_from_the_size(tmp_path, name, size, mb, count):
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(size)
    found = look_at(str(path), mb)
    assert (found.size, found.partitions) == (size, count)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv does not exist"):
        look_at(str(tmp_path / "gone.csv"), 1)


def test_a_file_that_is_not_divided_keeps_its_name():
    found = partitions_of({"a": file(), "b": file(partitions=2)})
    assert list(found) == ["a", "b.0001-of-0002", "b.0002-of-0002"]
    assert [(p.file, p.number, p.of) for p in found.values()] == [("a", 1, 1), ("b", 1, 2), ("b", 2, 2)]


def test_two_parts_of_one_name_are_refused():
    with pytest.raises(UserError, match=r"would both be called 'b\.0001-of-0002'"):
        partitions_of({"b": file(partitions=2, path="b.csv"), "b.0001-of-0002": file(path="c.csv")})


@pytest.mark.parametrize("change", ["grown", "touched", "removed"])
def test_a_file_that_has_changed_since_the_run_began_is_noticed(tmp_path, change):
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    found = look_at(str(path), 1)
    found.check()
    if change == "grown":
        path.write_text("id\n1\n2\n")
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"a\.csv has (changed|been removed) since the run began"):
        found.check()


def test_a_file_is_looked_at_once_it_is_open(tmp_path, monkeypatch):
    """A network file system may tell what was true a minute ago until the file is opened."""
    path = tmp_path / "loans.csv"
    path.write_text("id\n1\n")
    old = path.stat()
    path.write_text("id\n1\n2\n")
    file = look_at(str(path), 1)
    monkeypatch.setattr(Path, "stat", lambda _self: old)
    file.check()
    assert file.size == len("id\n1\n2\n")


def test_batches_are_bounded_in_files_and_bytes_and_later_files_change_the_last_alone():
    files = {f"f{n}": file(size=300_000) for n in range(7)}
    assert batches(files, 3, 100) == [["f0", "f1", "f2"], ["f3", "f4", "f5"], ["f6"]]
    assert batches(files, 100, 0.7) == [["f0", "f1"], ["f2", "f3"], ["f4", "f5"], ["f6"]]
    assert batches(files | {"g": file()}, 3, 100)[:2] == batches(files, 3, 100)[:2]
    assert batches({"large": file(size=9_000_000)}, 3, 1) == [["large"]]


def test_the_plan_is_read_as_it_was_written(tmp_path):
    files = {"a": file(path="a.csv"), "b": file(path="b.csv", partitions=3)}
    assert from_plain(to_plain(files)) == files
    write_json(tmp_path / "plan.json", {"raw": to_plain(files), "applications": {}})
    assert planned_file(tmp_path / "plan.json", tmp_path.__class__("b.csv")) == files["b"]
    with pytest.raises(UserError, match="it came after the run began"):
        planned_file(tmp_path / "plan.json", tmp_path / "new.csv")


def test_predictions_are_joined_below_one_header(tmp_path):
    for name, text in (("a", "id,p\n1,0.5\n"), ("b", "id,p\n"), ("c", "id,p\n2,0.25\n3,1.0\n")):
        (tmp_path / name).write_text(text)
    join_csv([tmp_path / name for name in "abc"], tmp_path / "all")
    assert (tmp_path / "all").read_text() == "id,p\n1,0.5\n2,0.25\n3,1.0\n"


def test_counts_are_added_up():
    one = {"file": "a.csv", "model_version": "v", "rows_in": 3, "rows_predicted": 2, "rows_rejected": 1}
    one |= {"refused": 1, "approved": 1, "rejected_by_reason": {"y: missing": 1}, "unseen_categories": {}}
    one |= {"drift": {"not_run": "why"}}
    other = one | {"rows_in": 1, "rows_predicted": 1, "rows_rejected": 0, "refused": 0, "rejected_by_reason": {}}
    other |= {"unseen_categories": {"t": 1}}
    joined = join_counts([one, other])
    assert list(joined) == list(one)
    assert (joined["rows_in"], joined["rows_predicted"], joined["rows_rejected"]) == (4, 3, 1)
    assert (joined["rejected_by_reason"], joined["unseen_categories"]) == ({"y: missing": 1}, {"t": 1})
