"""The benchmark's data: the same bytes each time, and what real files have in the shares that are said."""

import csv
import io
from collections import Counter

import pytest

from benchmarks.scale import generate
from benchmarks.scale.generate import INVALID, MISSING, TARGET, Kind, blocks


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of few rows, so that a test has several of them in milliseconds."""
    monkeypatch.setattr(generate, "BLOCK", 2_000)


def made(rows, **kind):
    out = io.BytesIO()
    for number, table in enumerate(blocks(rows, Kind(**kind))):
        table.write_csv(out, include_header=number == 0)
    return out.getvalue()


def table(rows, **kind):
    return list(csv.DictReader(io.StringIO(made(rows, **kind).decode())))


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path):
    generate.generate(tmp_path / "a.csv", 4_500, Kind(seed=7))
    assert (tmp_path / "a.csv").read_bytes() == made(4_500, seed=7)
    assert made(50, seed=7) != made(50, seed=8)


def test_the_first_rows_do_not_depend_on_how_many_there_are():
    long = made(6_100).splitlines()
    for rows in (0, 1, 1_999, 2_000, 2_001, 4_500):
        assert made(rows).splitlines() == long[: rows + 1]


def test_blocks_differ_from_each_other_and_ids_go_on():
    rows = table(4_000, first_id=10)
    assert [int(row["id"]) for row in rows] == list(range(10, 4_010))
    assert [row["loan_amnt"] for row in rows[:2_000]] != [row["loan_amnt"] for row in rows[2_000:]]


def test_each_share_of_missing_values_is_as_said():
    rows = table(10_000)
    for name in rows[0]:
        share = sum(row[name] in ("", "NA") for row in rows) / len(rows)
        expected = MISSING.get(name, 0.0) + sum(share for share, text in INVALID.get(name, ()) if not text)
        assert share == pytest.approx(expected, abs=4 * (max(expected, 1e-9) / len(rows)) ** 0.5), name
    assert {"", "NA"} <= {row["loan_int_rate"] for row in rows}


def test_rare_categories_are_there_and_rare():
    rows = table(10_000)
    assert 0 < Counter(row["loan_intent"] for row in rows)["WEDDING"] < 50
    assert 0 < Counter(row["loan_grade"] for row in rows)["G"] < 100


def test_some_rows_are_unusable_and_with_sound_values_they_are_the_same_rows():
    rows, sound = table(10_000), table(10_000, invalid=False)
    texts = {name: {text for _, text in kinds} for name, kinds in INVALID.items()}
    differing = Counter()
    for row, other in zip(rows, sound, strict=True):
        for name, value in row.items():
            if value != other[name]:
                assert value in texts[name]
                differing[name] += 1
    shares = {name: differing[name] / len(rows) for name in INVALID}
    assert shares == pytest.approx({name: sum(s for s, _ in kinds) for name, kinds in INVALID.items()}, abs=0.0006)
    assert {row[TARGET] for row in sound} == {"0", "1"}
    assert max(int(row["person_age"]) for row in sound) <= 84


def test_columns_hang_together():
    rows = table(6_000, invalid=False)
    defaults = sum(row[TARGET] == "1" for row in rows) / len(rows)
    assert 0.12 < defaults < 0.18
    share = {
        name: sum(row[TARGET] == "1" for row in rows if row["person_home_ownership"] == name)
        / sum(row["person_home_ownership"] == name for row in rows)
        for name in ("RENT", "MORTGAGE")
    }
    assert share["RENT"] > 2 * share["MORTGAGE"]
    for row in rows:
        burden = int(row["loan_amnt"]) / int(row["person_income"])
        assert float(row["loan_percent_income"]) == pytest.approx(burden, abs=0.0051)
        assert int(row["person_emp_length"].replace("NA", "") or 0) <= int(row["person_age"]) - 16


def test_applications_have_no_outcome_and_differ_from_the_loans():
    (row,) = table(1, outcomes=False, seed=2)
    assert TARGET not in row
    assert len(row) == 12
