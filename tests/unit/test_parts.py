"""Parts between steps: what is damaged is never taken for data, and is made anew by the next run."""

import pyarrow as pa
import pytest

from scripts.shared.errors import UserError
from scripts.shared.parts import count_rows, part_batches, read_part, write_part

TABLE = pa.table({"x": list(range(5000)), "t": ["a", "b"] * 2500})


@pytest.fixture
def part(tmp_path):
    path = tmp_path / "loans.parquet"
    write_part(TABLE, path)
    return path


def test_a_part_is_read_as_it_was_written(part):
    assert read_part(part) == TABLE
    assert read_part(part, ["t"]).column_names == ["t"]
    assert count_rows(part) == 5000
    assert pa.Table.from_batches(part_batches(part, ["x", "t"], 700)) == TABLE


@pytest.mark.parametrize(
    "read", [read_part, lambda path: list(part_batches(path, ["x"], 100))], ids=["whole", "batches"]
)
@pytest.mark.parametrize("damage", ["a bit", "cut short", "empty"])
def test_a_damaged_part_is_named_and_moved_aside(part, read, damage):
    data = bytearray(part.read_bytes())
    data[200] ^= 1
    part.write_bytes({"a bit": bytes(data), "cut short": bytes(data[:-20]), "empty": b""}[damage])
    with pytest.raises(UserError, match=r"loans\.parquet is damaged .* run again, and it is made anew"):
        read(part)
    assert not part.exists()
    assert part.with_name("loans.parquet.damaged").exists()


def test_a_part_that_another_step_has_moved_aside_is_said_to_be(tmp_path):
    (tmp_path / "a.parquet.damaged").touch()
    with pytest.raises(
        UserError, match=r"a\.parquet was damaged, and another step has moved it to a\.parquet\.damaged"
    ):
        read_part(tmp_path / "a.parquet")


def test_a_part_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_part(tmp_path / "gone.parquet")
