"""The shipped sample is what its generator makes, byte for byte."""

import csv
import io
from pathlib import Path

from scripts.tools.make_sample import COLUMNS, TARGET, make_sample

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "sample"
FILES = ["applications/february.csv", "applications/january.csv", "loans.csv"]


def made(folder, **sizes):
    make_sample(folder, **sizes)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_shipped_sample_is_what_the_generator_makes(tmp_path):
    found = made(tmp_path)
    assert sorted(found) == FILES
    assert {name: content == (SHIPPED / name).read_bytes() for name, content in found.items()} == dict.fromkeys(
        FILES, True
    )


def test_the_sample_has_what_real_files_have():
    rows = list(csv.reader(io.StringIO((SHIPPED / "loans.csv").read_text())))
    table = [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if len(row) == len(rows[0])]
    assert rows[0] == [*COLUMNS, TARGET]
    assert len(rows) - 1 - len(table) == 1  # a row too short
    assert {"0", "1", "", "late"} == {row[TARGET] for row in table}
    assert {"", "NA", "?"} <= {row["person_emp_length"] for row in table}
    assert any("," in row["person_income"] for row in table)
    assert any(row["person_home_ownership"] != row["person_home_ownership"].strip() for row in table)
    assert 0.15 < sum(row[TARGET] == "1" for row in table) / len(table) < 0.35


def test_no_application_is_a_loan_of_the_past():
    ids = {}
    for name in FILES:
        ids[name] = [row["id"] for row in csv.DictReader(io.StringIO((SHIPPED / name).read_text())) if row["id"]]
    together = [one for of_file in ids.values() for one in of_file]
    assert len(set(together)) == len(together)
