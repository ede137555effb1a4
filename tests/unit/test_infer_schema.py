"""A config drafted from a file: what each column is, and YAML that reads back as it was meant."""

import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from builders import write

from scripts.shared.config import Config, Format, load_config
from scripts.shared.errors import UserError
from scripts.tools.infer_schema import draft_config, guess_format, infer, main, two_outcomes

ROOT = Path(__file__).resolve().parents[2]
ROWS = 60


def table(**columns):
    """Return columns of a useful file: an id, a number, a category and an outcome; the given ones are added."""
    usual = {
        "loan_id": [f"L{n:04}" for n in range(ROWS)],
        "amount": [str(1000 + 37 * n % 500 + n) for n in range(ROWS)],
        "purpose": ["car" if n % 3 else "house" for n in range(ROWS)],
        "bad": ["1" if n % 5 == 0 else "0" for n in range(ROWS)],
    }
    return {name: values for name, values in (usual | columns).items() if values is not None}


def text_of(columns, delimiter=","):
    def field(value):
        return '"' + value.replace('"', '""') + '"' if set(value) & {delimiter, '"', "\n"} else value

    lines = [columns, *zip(*columns.values(), strict=True)]
    return "".join(delimiter.join(field(value) for value in line) + "\n" for line in lines)


def draft(folder, content, target="bad", name="loans.csv"):
    """Draft a config for a file (columns, text, bytes or a path); return the config and the text."""
    if isinstance(content, dict):
        content = text_of(content)
    path = content if isinstance(content, Path) else write(folder / name, content)
    out = folder / "my.yaml"
    out.unlink(missing_ok=True)
    draft_config(str(path), target, str(out))
    text = out.read_text(encoding="utf-8")
    return load_config(yaml.safe_load(text)), text


def roles(config):
    columns = config.columns
    return {"id": columns.id, "date": columns.date, "numeric": columns.numeric, "categorical": columns.categorical}


USUAL = {"id": "loan_id", "date": None, "numeric": ["amount"], "categorical": ["purpose"]}


# --- whole files --------------------------------------------------------------------------------------------------


def test_the_draft_of_the_shipped_sample_is_the_shipped_config(tmp_path):
    sample = ROOT / "data" / "sample" / "loans.csv"
    config, text = draft(tmp_path, sample, "loan_status")
    shipped = Config.model_validate(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
    assert config.columns == shipped.columns
    assert config.data.format == shipped.data.format
    assert config.data.raw == [str(sample)]
    assert text.startswith("# Drafted from 3,999 rows of loans.csv; every line is yours to correct.")


def test_a_plain_file(tmp_path):
    config, text = draft(tmp_path, table())
    assert roles(config) == USUAL
    assert config.columns.target.model_dump() == {"column": "bad", "positive": "1", "negative": "0"}
    assert config.data.format == Format()
    assert "format:" not in text
    assert "left out" not in text


def test_semicolons_come_with_a_decimal_comma(tmp_path):
    numbers = [f"{n}.{n * 13 % 1000:03},5" for n in range(1, ROWS + 1)]
    for quote in ("", '"'):
        text = text_of(table(amount=numbers), ";")
        if quote:
            text = "\n".join(";".join(f'"{field}"' for field in line.split(";")) for line in text.splitlines()) + "\n"
        config, _ = draft(tmp_path, text)
        assert roles(config) == USUAL
        found = config.data.format
        assert (found.delimiter, found.decimal, found.thousands) == (";", ",", ".")


def test_semicolons_may_come_with_a_decimal_point(tmp_path):
    numbers = [f"{n}.{n * 13 % 100:02}" for n in range(ROWS)]
    config, _ = draft(tmp_path, text_of(table(amount=numbers), ";"))
    assert roles(config) == USUAL
    found = config.data.format
    assert (found.delimiter, found.decimal, found.thousands) == (";", ".", ",")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_usual_delimiter_is_found(tmp_path, delimiter):
    config, _ = draft(tmp_path, text_of(table(), delimiter))
    assert roles(config) == USUAL
    assert config.data.format.delimiter == delimiter


def test_a_file_in_cp1252_is_read_as_such(tmp_path):
    columns = table(purpose=["Möbel" if n % 3 else "Küche" for n in range(ROWS)], straße=["ä", "ö"] * (ROWS // 2))
    config, _ = draft(tmp_path, text_of(columns).encode("cp1252"))
    assert config.data.format.encoding == "cp1252"
    assert config.columns.categorical == ["purpose", "straße"]


def test_a_file_in_utf8_with_a_mark_is_read_as_such(tmp_path):
    config, _ = draft(tmp_path, text_of(table(größe=["ä", "ö"] * (ROWS // 2))).encode("utf-8-sig"))
    assert roles(config) == USUAL | {"categorical": ["purpose", "größe"]}
    assert config.data.format.encoding == "utf-8"


def test_a_file_in_utf16_is_said_to_be(tmp_path):
    with pytest.raises(UserError, match=r"loans\.csv is UTF-16, not UTF-8"):
        draft(tmp_path, text_of(table()).encode("utf-16"))


def test_a_file_in_neither_encoding_is_said(tmp_path):
    with pytest.raises(UserError, match=r"loans\.csv, near line \d+: not cp1252"):
        draft(tmp_path, text_of(table()).encode() + b"L,1,\x81\x8d,0\n")


def test_a_parquet_file_brings_its_own_types(tmp_path):
    columns = table()
    columns["amount"] = [float(value) for value in columns["amount"]]
    columns["bad"] = [int(value) for value in columns["bad"]]
    columns["since"] = pa.array([n % 20 for n in range(ROWS)], pa.date32())
    columns["married"] = [n % 2 == 0 for n in range(ROWS)]
    pq.write_table(pa.table(columns), tmp_path / "loans.parquet")
    config, _ = draft(tmp_path, tmp_path / "loans.parquet")
    assert roles(config) == USUAL | {"date": "since", "categorical": ["purpose", "married"]}
    assert config.columns.target.positive == "1"
    assert guess_format(tmp_path / "loans.parquet") == Format()


def test_of_a_glob_the_first_file_is_sampled_and_the_glob_is_kept(tmp_path):
    for name in ("b.csv", "a.csv"):
        write(tmp_path / "in" / name, text_of(table()))
    draft_config(f"{tmp_path}/in/*.csv", "bad", str(tmp_path / "my.yaml"))
    text = (tmp_path / "my.yaml").read_text()
    assert "rows of a.csv;" in text
    assert load_config(yaml.safe_load(text)).data.raw == [f"{tmp_path}/in/*.csv"]


# --- columns ------------------------------------------------------------------------------------------------------


def draw(kind):
    random.seed(1)
    return {
        "number": [f"{n * 1.7:.2f}" for n in range(ROWS)],
        "whole": [str(n * 3) for n in range(ROWS)],
        "grouped": [f"{n * 100:,}" for n in range(ROWS)],
        "gaps": ["NA" if n % 4 == 0 else str(n) for n in range(ROWS)],
        "a stray": ["oops" if n == 7 else str(n) for n in range(ROWS)],
        "codes": [str(n % 4) for n in range(ROWS)],
        "constant": ["x"] * ROWS,
        "constant with gaps": ["x" if n % 2 else "" for n in range(ROWS)],
        "empty": ["NA", "", "?"] * (ROWS // 3),
        "text": [f"comment {n % 55}" for n in range(ROWS)],
        "date": [f"2026-0{n % 9 + 1}-11" for n in range(ROWS)],
        "time": [f"2026-01-{n % 28 + 1:02} 10:00" for n in range(ROWS)],
        "unique date": [f"20{n:02}-01-31" for n in range(10, 10 + ROWS)],
        "category": ["a", "b", " a "] * (ROWS // 3),
        "many categories": [f"c{n % 50}" for n in range(ROWS)],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "role", "note"),
    [
        ("number", "numeric", ""),
        ("whole", "numeric", ""),
        ("grouped", "numeric", ""),
        ("gaps", "numeric", ""),
        ("a stray", "numeric", ""),
        ("codes", "numeric", "few whole numbers: if they are codes, move it to categorical"),
        ("constant", "left_out", "always the same value"),
        ("constant with gaps", "left_out", "always the same value"),
        ("empty", "left_out", "always missing"),
        ("text", "left_out", "text with 55 different values"),
        ("date", "date", None),
        ("time", "date", None),
        ("unique date", "date", None),
        ("category", "categorical", ""),
        ("many categories", "categorical", ""),
    ],
)
def test_what_a_column_is_and_what_is_noted_of_it(tmp_path, kind, role, note):
    config, text = draft(tmp_path, table(it=draw(kind)))
    found = roles(config)
    assert found["id"] == "loan_id"
    if role == "date":
        assert found["date"] == "it"
    elif role == "left_out":
        assert f"  # left out:\n  #   it: {note}\n" in text
        assert "it" not in [*found["numeric"], *found["categorical"], found["date"]]
    else:
        assert "it" in found[role]
        assert (f"    - it # {note}\n" if note else "    - it\n") in text


def test_a_second_date_is_left_out(tmp_path):
    config, text = draft(tmp_path, table(opened=draw("date"), closed=draw("time")))
    assert config.columns.date == "opened"
    assert "  #   closed: a date\n" in text


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["name", "loan_id"], "loan_id"),
        (["loan_id", "name"], "loan_id"),
        (["when", "ID"], "ID"),
        (["name"], "name"),
        (["when"], None),
        (["amount"], None),
        (["amount", "customer no"], "customer no"),
    ],
)
def test_the_id_is_unique_and_called_so_or_else_the_first_unique_text(names, found):
    unique = {
        "name": [f"Anna {n}" for n in range(ROWS)],
        "when": draw("unique date"),
        "amount": [str(n) for n in range(ROWS)],
    }
    values = {name: unique.get(name, [str(n) for n in range(ROWS)]) for name in names}
    assert infer(values, ROWS, Format()).id == found


@pytest.mark.parametrize("values", [["7"] * 2 + [str(n) for n in range(ROWS - 2)], [str(n) for n in range(ROWS - 1)]])
def test_what_is_not_unique_or_has_gaps_is_no_id(values):
    assert infer({"loan_id": values}, ROWS, Format()).id is None


@pytest.mark.parametrize("name", ["", "__index"])
def test_a_column_whose_name_cannot_be_used_is_left_out(tmp_path, name):
    config, text = draft(tmp_path, {name: [str(n) for n in range(ROWS)]} | table())
    assert roles(config) == USUAL
    assert "its name can't be used" in text


# --- target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "outcomes"),
    [
        (["0"] * 9 + ["1"] * 3, ("1", "0")),
        (["paid"] * 3 + ["Charged Off"] * 9, ("paid", "Charged Off")),
        (["Y", "N", "N"], ("Y", "N")),
        (["0"] * 150 + ["1"] * 50 + ["late"], ("1", "0")),
    ],
)
def test_the_rarer_outcome_is_taken_for_default_and_strays_are_left_to_the_rejects(values, outcomes):
    assert two_outcomes("z", values) == outcomes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["0"] * 9, r"^TARGET=z has 1 values in the sample, not two: 0$"),
        ([], r"^TARGET=z has 0 values in the sample, not two: $"),
        (["a", "b", "c"], r"^TARGET=z has 3 values in the sample, not two: a, b, c$"),
        ([str(n) for n in range(9)], r"has 9 values in the sample, not two: 0, 1, 2, 3, 4 and 4 more$"),
        (["0"] * 90 + ["1"] * 10 + ["2"] * 5, r"has 3 values in the sample, not two: 0, 1, 2$"),
    ],
)
def test_a_target_without_two_outcomes_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        two_outcomes("z", values)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "bda",
            r"^TARGET=bda is no column of .*\.csv \(did you mean 'bad'\?\); columns with two values: purpose, bad$",
        ),
        ("", r"^TARGET= is no column of .*; columns with two values: purpose, bad$"),
    ],
)
def test_a_missing_target_is_answered_with_what_there_is(tmp_path, target, message):
    with pytest.raises(UserError, match=message):
        draft(tmp_path, table(), target)
    assert not (tmp_path / "my.yaml").exists()


def test_where_no_column_has_two_values_that_is_said(tmp_path):
    with pytest.raises(UserError, match=r"columns with two values: none$"):
        draft(tmp_path, table(purpose=None, bad=None), "z")


# --- what can't be drafted ----------------------------------------------------------------------------------------


def test_a_config_that_is_there_is_kept(tmp_path):
    write(tmp_path / "my.yaml", "mine\n")
    with pytest.raises(UserError, match=r"my\.yaml exists and is kept; name another file, or delete it first"):
        draft_config(str(write(tmp_path / "a.csv", text_of(table()))), "bad", str(tmp_path / "my.yaml"))
    assert (tmp_path / "my.yaml").read_text() == "mine\n"


@pytest.mark.parametrize(("data", "out"), [("", "my.yaml"), ("a.csv", "")])
def test_without_file_or_place_the_usage_is_said(data, out):
    with pytest.raises(UserError, match=r"say which file and where to write: make schema DATA=loans\.csv TARGET="):
        draft_config(data, "bad", out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("loan_id,bad\n", r"loans\.csv has a header and no rows; expected at least one row of data"),
        ("", r"loans\.csv is empty; expected a header line"),
    ],
)
def test_a_file_without_rows_is_said(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        draft(tmp_path, content)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match=r"DATA: the file '.*none\.csv' does not exist"):
        draft(tmp_path, tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"no file matches DATA=.*none\*\.csv"):
        draft_config(f"{tmp_path}/none*.csv", "bad", str(tmp_path / "my.yaml"))


def test_a_file_without_a_usable_column_is_said(tmp_path):
    with pytest.raises(UserError, match=r"my\.yaml: columns: name at least one numeric or categorical column"):
        draft(tmp_path, table(amount=None, purpose=None))
    assert not (tmp_path / "my.yaml").exists()


# --- YAML ---------------------------------------------------------------------------------------------------------

NAMES = [
    "yes",
    "no",
    "on",
    "null",
    "~",
    "a: b",
    "a:b",
    "#x",
    "x #y",
    "größe",
    "貸付",
    "😀",
    "with spaces",
    "a,b",
    "{x}",
    "[x]",
    "it's",
    'say "hi"',
    "back\\slash",
    "-",
    "- x",
    "1",
    "1.5",
    "1e3",
    "0x1F",
    "2026-01-31",
    "12:30",
    "*star",
    "&anchor",
    "!tag",
    "%x",
    "@x",
    "`x`",
    "|",
    ">",
    "?",
    "=",
    "<<",
    "x" * 300,
    "y",
    "N",
    "tab\there",
    "line\nbreak",
    "nel\u0085in",
    "ls\u2028in",
    "bell\u0007in",
    "del\u007fin",
    "bom\ufeffin",
    "c1\u0091in",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("place", ["numeric", "categorical", "target", "id", "date", "left out"])
def test_every_name_reads_back_as_it_is(tmp_path, name, place):
    columns = table()
    source = {"numeric": "amount", "categorical": "purpose", "target": "bad", "id": "loan_id"}.get(place)
    if place == "left out":
        columns[name] = draw("text")
    elif place == "date":
        columns[name] = draw("date")
    else:
        columns = {name if key == source else key: values for key, values in columns.items()}
    config, _ = draft(tmp_path, columns, target=name if place == "target" else "bad")
    expected = USUAL | {"numeric": [name]} if place == "numeric" else dict(USUAL)
    expected |= {"categorical": [name]} if place == "categorical" else {}
    expected |= {place: name} if place in ("id", "date") else {}
    assert roles(config) == expected
    assert config.columns.target.column == (name if place == "target" else "bad")


@pytest.mark.parametrize(
    "value", ["Y", "yes", "No", "on", "1.0", "0123", "a: b", "#", "größer", "it's", '"q"', "01/02"]
)
def test_every_outcome_reads_back_as_it_is(tmp_path, value):
    quoted = table(bad=[value if n % 5 == 0 else "other" for n in range(ROWS)])
    config, _ = draft(tmp_path, quoted)
    assert (config.columns.target.positive, config.columns.target.negative) == (value, "other")


# --- the program --------------------------------------------------------------------------------------------------


def test_the_program_says_what_to_do_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "loans.csv", text_of(table()))
    monkeypatch.setattr(sys, "argv", ["x", "--data", "loans.csv", "--target", "bad", "--out", "my.yaml"])
    assert main() == 0
    assert capsys.readouterr().out == "my.yaml is written: read it, correct it, then run: make run CONFIG=my.yaml\n"
    assert main() == 1
    assert capsys.readouterr().err.startswith("error: my.yaml exists and is kept")
