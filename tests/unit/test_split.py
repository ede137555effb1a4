"""Train or test: stable, honest about duplicates, and the sums are right."""

import logging
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import config, config_dict, read, write

from scripts import check, split
from scripts import preprocess as step
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.rejects import HEADER

COLUMNS = ("id", "x", "y", "t", "g", "d", "z")


def some_rows(count, start=0, **given):
    """Return rows as dicts: unique ids, about a quarter of defaults."""
    return [
        {
            "id": f"i{n}",
            "x": n * 1.5,
            "y": n % 11,
            "t": "abc"[n % 3],
            "g": f"g{n // 4}",
            "d": f"2026-01-{n % 28 + 1:02}",
        }
        | {"z": int(n * 7919 % 4 == 0)}
        | given
        for n in range(start, start + count)
    ]


def run(folder, *files, columns=None, **sections):
    """Preprocess and split files (lists of rows); return the summary, the sides by file and the rejects."""
    whole = config_dict(**sections)
    whole["columns"] = whole["columns"] | (columns or {})
    whole["columns"] = {key: value for key, value in whole["columns"].items() if value is not None}
    settings = config(**whole)
    write_json(folder / "config.json", settings.model_dump(mode="json"))
    names = [f"f{n}" for n in range(len(files))]
    paths = SimpleNamespace(
        **{kind: [folder / f"{name}.{kind}" for name in names] for kind in ("parts", "sums", "rej", "member")}
    )
    for name, rows, part, rej, sums in zip(names, files, paths.parts, paths.rej, paths.sums, strict=True):
        lines = [",".join(COLUMNS), *(",".join(str(row[column]) for column in COLUMNS) for row in rows)]
        raw = write(folder / f"{name}.csv", "\n".join(lines) + "\n")
        write_json(sums, step.preprocess(raw, part, rej, settings.contract(), settings.rejects))
    outputs = folder / "rejects.csv", folder / "summary.json"
    duplicates = folder / "duplicates.parquet"
    check.main(paths.parts, paths.sums, paths.rej, duplicates, *outputs, folder / "config.json")
    for number, (part, member) in enumerate(zip(paths.parts, paths.member, strict=True)):
        split.main(part, duplicates, number, member, folder / "config.json")
    sides = [pq.read_table(member).column("side").to_pylist() for member in paths.member]
    return read_json(outputs[1]), sides, read(outputs[0], [], list(HEADER))[0]


def side_by_row(files, sides, name="id"):
    return {row[name]: side for rows, of in zip(files, sides, strict=True) for row, side in zip(rows, of, strict=True)}


# --- membership ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [True, False])
def test_rows_keep_their_side_when_rows_are_appended_and_files_reordered(tmp_path, by_id):
    columns = {} if by_id else {"id": None}
    first, second, third = some_rows(150), some_rows(150, 150), some_rows(100, 300)
    before = side_by_row((first, second), run(tmp_path, first, second, columns=columns)[1], "x")
    files = (third, second[::-1], first[75:] + first[:75])
    after = side_by_row(files, run(tmp_path, *files, columns=columns)[1], "x")
    assert {x: after[x] for x in before} == before
    assert set(before.values()) == {"train", "test"}


def test_the_split_of_known_ids_is_frozen(tmp_path):
    _, sides, _ = run(tmp_path, some_rows(200))
    tests = [n for n, side in enumerate(sides[0]) if side == "test"]
    assert tests[:10] == [3, 8, 12, 14, 20, 22, 25, 28, 32, 33]
    _, sides, _ = run(tmp_path, some_rows(200), columns={"id": None})
    assert [n for n, side in enumerate(sides[0]) if side == "test"][:10] == [2, 4, 10, 13, 33, 39, 42, 48, 62, 76]


def test_another_key_draws_another_split(tmp_path):
    one, other = (run(tmp_path, some_rows(200), split={"key": key})[1] for key in ("a", "b"))
    assert one != other


def test_twins_without_id_stay_together_also_with_different_outcomes(tmp_path):
    rows = some_rows(200)
    twins = [row | {"z": 1 - row["z"]} for row in rows]
    summary, sides, _ = run(tmp_path, rows, twins, columns={"id": None})
    assert sides[0] == sides[1]
    assert summary["split"]["test_share_standard_error"] == pytest.approx(math.sqrt(0.16 * 200 * 4) / 400)


@pytest.mark.parametrize("by_id", [True, False])
def test_a_group_stays_together(tmp_path, by_id):
    rows = some_rows(400)
    columns = {"group": "g"} | ({} if by_id else {"id": None})
    files = rows[::2], rows[1::2]
    summary, sides, _ = run(tmp_path, *files, columns=columns, split={"method": "group"})
    by_group: dict[str, set[str]] = {}
    for rows_of, of in zip(files, sides, strict=True):
        for row, side in zip(rows_of, of, strict=True):
            by_group.setdefault(row["g"], set()).add(side)
    assert all(len(found) == 1 for found in by_group.values())
    assert summary["split"]["test_share_standard_error"] == pytest.approx(math.sqrt(0.16 * 100 * 16) / 400)


def test_time_trains_before_a_date_and_tests_from_it_on(tmp_path):
    rows = some_rows(300)
    summary, sides, _ = run(
        tmp_path, rows, columns={"date": "d"}, split={"method": "time", "test_from": "2026-01-15", "test_share": 0.9}
    )
    assert sides[0] == ["test" if row["d"] >= "2026-01-15" else "train" for row in rows]
    assert summary["split"]["test_share_wanted"] is None
    assert summary["split"]["test_share_standard_error"] is None


def test_files_of_many_blocks_split_as_one(tmp_path, monkeypatch):
    rows = some_rows(300)
    whole = run(tmp_path, rows, columns={"id": None})
    original = step.read_blocks
    monkeypatch.setattr(step, "read_blocks", lambda *a, **k: original(*a, **k, block_bytes=64))
    assert run(tmp_path, rows, columns={"id": None}) == whole


def test_a_file_whose_rows_are_all_set_aside_splits_too(tmp_path):
    bad = [row | {"x": "oops"} for row in some_rows(3, 900)]
    for columns in ({}, {"id": None}):
        _, sides, rejects = run(tmp_path, some_rows(200), bad, columns=columns, rejects={"max_share": 1})
        assert sides[1] == []
        assert len(rejects["line"]) == 3


# --- duplicates ---------------------------------------------------------------------------------------------------

FILES = some_rows(100), [*some_rows(2, 5), *some_rows(100, 100), *some_rows(1, 5)], some_rows(1, 150)


def test_duplicates_over_files_are_named_with_file_and_line(tmp_path):
    first, second = rf"{tmp_path}/f0\.csv line", rf"{tmp_path}/f1\.csv line"
    message = (
        rf"columns\.id: 4 rows have an 'id' that another row has: {first} 7 and {second} 2, {first} 8 and {second} 3, "
        rf"{first} 7 and {second} 104 and 1 more; mend the data, or set split\.duplicate_ids: reject to set aside all"
    )
    with pytest.raises(UserError, match=message):
        run(tmp_path, *FILES)


REJECTED = [("f1", "2"), ("f1", "3"), ("f1", "104"), ("f2", "2")]


@pytest.mark.parametrize("method", ["hash", "group", "time"])
@pytest.mark.parametrize("bucket_rows", [None, 10])
def test_duplicates_are_rejected_but_for_the_first_in_any_number_of_buckets(tmp_path, monkeypatch, method, bucket_rows):
    if bucket_rows:
        monkeypatch.setattr(check, "BUCKET_ROWS", bucket_rows)
    sections = {"method": method, "duplicate_ids": "reject", "test_from": "2026-01-15"}
    summary, sides, rejects = run(tmp_path, *FILES, columns={"group": "g", "date": "d"}, split=sections)
    assert [(file[-6:-4], line) for file, line in zip(rejects["file"], rejects["line"], strict=True)] == REJECTED
    assert rejects["column"] == ["id"] * 4
    assert set(rejects["reason"]) == {check.DUPLICATE}
    assert [i for i, side in enumerate(sides[1]) if side == "rejected"] == [0, 1, 102]
    assert "rejected" not in sides[0]
    assert (summary["rows_in"], summary["rows_usable"], summary["rows_rejected"]) == (204, 200, 4)
    assert summary["rejected_by_reason"] == {check.DUPLICATE: 4}
    assert summary["split"]["train"]["rows"] + summary["split"]["test"]["rows"] == 200
    squares = {"hash": 200, "group": 50 * 16}.get(method)
    error = squares and pytest.approx(math.sqrt(0.16 * squares) / 200)
    assert summary["split"]["test_share_standard_error"] == error


@pytest.mark.parametrize("bucket_rows", [10])
@pytest.mark.parametrize("columns", [{}, {"id": None}, {"group": "g"}])
def test_buckets_do_not_change_the_answer(tmp_path, monkeypatch, bucket_rows, columns):
    options = {"columns": columns, "split": {"method": "group" if columns.get("group") else "hash"}}
    files = some_rows(60), some_rows(60, 60)
    whole = run(tmp_path, *files, **options)
    monkeypatch.setattr(check, "BUCKET_ROWS", bucket_rows)
    assert run(tmp_path, *files, **options) == whole


def test_equal_hashes_of_different_ids_are_no_duplicates(tmp_path, monkeypatch):
    rows = some_rows(200)
    constant = np.uint64(2**63)
    monkeypatch.setattr(split, "hash_texts", lambda texts, seed: np.full(len(texts), constant))
    monkeypatch.setattr(split, "below_share", every_third)
    summary, _, rejects = run(tmp_path, [*rows, rows[3]], split={"duplicate_ids": "reject"})
    assert rejects["line"] == ["202"]
    assert summary["rows_usable"] == 200


def every_third(hashes, share):
    """Stand in for the sides, which need real hashes."""
    return np.arange(len(hashes)) % 3 == 2


def test_ids_that_differ_in_case_or_zeros_are_no_duplicates(tmp_path):
    rows = some_rows(200)
    for n, name in enumerate(("a", "A", "1", "01", "1.0", "a b")):
        rows[n]["id"] = name
    assert run(tmp_path, rows)[0]["rows_usable"] == 200


# --- refusals -----------------------------------------------------------------------------------------------------


def test_too_many_rejects_of_one_file_fail_with_the_reasons(tmp_path):
    bad = [row | {"x": "oops"} for row in some_rows(9, 500)] + [row | {"y": "oops"} for row in some_rows(3, 600)]
    message = (
        rf"{tmp_path}/f1\.csv: 12 of 112 rows were set aside \(10\.7%\), more than rejects\.max_share: 5\.0%; "
        r"reasons: x: not a number \(9\), y: not a number \(3\); the first is line 102, column x; "
    )
    with pytest.raises(UserError, match=message):
        run(tmp_path, some_rows(100), some_rows(100, 200) + bad)


@pytest.mark.parametrize(("bad", "fails"), [(5, False), (6, True)])
def test_the_share_of_rejects_may_reach_the_limit(tmp_path, bad, fails):
    rows = some_rows(100 - bad) + [row | {"x": "oops"} for row in some_rows(bad, 500)]
    if fails:
        with pytest.raises(UserError, match=r"6 of 100 rows were set aside \(6\.0%\)"):
            run(tmp_path, rows)
    else:
        assert run(tmp_path, rows)[0]["rows_rejected"] == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1"], r"'z' must have two values, '1' and one other; the data has 1: '1'$"),
        (["0", "1", "2"], r"'z' must have two values, '1' and one other; the data has 3: '[012]', '[012]', '[012]'$"),
        (["0", "2"], r"columns\.target: 'z' never has the positive value '1'; it has '[02]', '[02]'$"),
    ],
)
def test_the_target_must_have_two_values(tmp_path, values, message):
    rows = [row | {"z": values[n % len(values)]} for n, row in enumerate(some_rows(90))]
    with pytest.raises(UserError, match=message):
        run(tmp_path, rows[:45], rows[45:])


def test_a_value_beside_a_configured_pair_is_rejected_and_no_third_value(tmp_path):
    rows = [*some_rows(199), *some_rows(1, 300, z="maybe")]
    columns = {"target": {"column": "z", "positive": 1, "negative": "0.0"}}
    summary, _, rejects = run(tmp_path, rows, columns=columns)
    assert summary["rows_usable"] == 199
    assert rejects["reason"] == ["neither 1 nor 0.0"]


def test_each_file_may_hold_one_value_only(tmp_path):
    assert run(tmp_path, some_rows(100, z=1), some_rows(100, 200, z=0))[0]["rows_usable"] == 200


def test_a_column_without_any_value_is_named(tmp_path):
    with pytest.raises(UserError, match=r"the column 'y' has no value in any raw file; take it out of the config's"):
        run(tmp_path, some_rows(50, y=""), some_rows(50, 50, y="NA"))
    assert run(tmp_path, some_rows(100, y=""), some_rows(100, 100))[0]["values_present"]["y"] == 100


@pytest.mark.parametrize(
    ("early", "late", "message"),
    [
        (0, 1, r"the train rows \(14\) hold no defaults; models can't be trained and compared so"),
        (1, 0, r"the train rows \(14\) hold nothing but defaults"),
    ],
)
def test_a_side_needs_both_outcomes(tmp_path, early, late, message):
    rows = [row | {"z": early if row["d"] < "2026-01-15" else late} for row in some_rows(28)]
    with pytest.raises(UserError, match=message):
        run(tmp_path, rows, columns={"date": "d"}, split={"method": "time", "test_from": "2026-01-15"})


@pytest.mark.parametrize(
    ("date", "message"),
    [("2027-01-01", r"the test rows \(0\) hold no defaults"), ("2020-01-01", r"the train rows \(0\) hold no defaults")],
)
def test_a_side_needs_rows(tmp_path, date, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, some_rows(28), columns={"date": "d"}, split={"method": "time", "test_from": date})


# --- the report ---------------------------------------------------------------------------------------------------


def test_the_sums_of_the_summary_are_right(tmp_path):
    files = some_rows(150), [*some_rows(150, 150), *some_rows(3, 700, x="oops"), *some_rows(2, 800, y="oops")]
    summary, sides, rejects = run(tmp_path, *files)
    parts = summary["split"]
    assert (summary["rows_in"], summary["rows_usable"], summary["rows_rejected"]) == (305, 300, 5)
    assert summary["rejected_by_reason"] == {"x: not a number": 3, "y: not a number": 2}
    assert [f["rows_in"] for f in summary["files"]] == [150, 155]
    assert len(rejects["line"]) == 5
    for side in ("train", "test"):
        rows = [row for f, of in zip(files, sides, strict=True) for row, s in zip(f, of, strict=False) if s == side]
        assert parts[side]["rows"] == len(rows)
        assert parts[side]["defaults"] == sum(row["z"] for row in rows)
        assert parts[side]["default_rate"] == parts[side]["defaults"] / parts[side]["rows"]
    assert parts["test_share"] == parts["test"]["rows"] / 300
    assert parts["test_share_standard_error"] == pytest.approx(math.sqrt(0.16 / 300))
    assert parts["default_rate_difference"] == parts["test"]["default_rate"] - parts["train"]["default_rate"]
    assert summary["values_present"] == {"x": 300, "y": 300, "t": 300}


def test_the_waterfall_refuses_wrong_sums():
    count = {"file": "f", "rows_in": 5, "rows_out": 3, "rows_rejected": 1, "rejected_by_reason": {"r": 1}}
    with pytest.raises(AssertionError, match="5 rows in, 3 usable, 1 rejected"):
        check.waterfall([count], 0)


def test_the_errors_are_the_textbook_ones():
    assert check.share_with_error(80, 20, 0.2, 100) == (0.2, pytest.approx(0.04))
    gap, error = check.rate_gap_with_error(800, 160, 200, 60)
    assert gap == pytest.approx(0.1)
    assert error == pytest.approx(math.sqrt(0.22 * 0.78 * (1 / 800 + 1 / 200)))


@pytest.mark.parametrize(("late", "warns"), [(0.25, False), (0.75, True)])
def test_a_rate_gap_beyond_four_standard_errors_warns(tmp_path, caplog, late, warns):
    rows = [row | {"z": int(n % 4 < 4 * (0.25 if n < 300 else late))} for n, row in enumerate(some_rows(600))]
    rows = [row | {"d": f"2026-01-{1 + n // 300:02}"} for n, row in enumerate(rows)]
    with caplog.at_level(logging.INFO):
        run(tmp_path, rows, columns={"date": "d"}, split={"method": "time", "test_from": "2026-01-02"})
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == warns
    assert all("default rate, test less train is 12.2 standard errors away" in text for text in warnings)
    assert "train: 300 rows, 25.00 % defaults" in caplog.text


def test_a_share_beyond_four_standard_errors_warns(caplog):
    report = check.Report(np.array([500, 500]), np.array([100, 100]))
    with caplog.at_level(logging.WARNING):
        result = report.result(config().split, 1000)
    assert "share of test rows is 23.7 standard errors away from what chance alone would give" in caplog.text
    assert result["test_share"] == 0.5


def test_membership_holds_side_and_key_of_every_row(tmp_path):
    run(tmp_path, some_rows(200))
    table = pq.read_table(tmp_path / "f0.member")
    assert table.column_names == ["side", "key"]
    assert table.schema.field("key").type == pa.uint64()
    assert len(set(table.column("key").to_pylist())) == 200
