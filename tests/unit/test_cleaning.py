"""Row by row: numbers, categories, target, checks; every row comes out once, clean or rejected."""

import numpy as np
import pyarrow as pa
import pytest
from builders import block, cleaned, contract, read, rows_of, write

from scripts.shared import cleaning
from scripts.shared.cleaning import Cleaner, _closer_look, canonical_value, parse_numbers, spell
from scripts.shared.config import Format
from scripts.shared.reading import read_blocks
from scripts.shared.rejects import RejectsWriter

# --- numbers ------------------------------------------------------------------------------------------------------

BAD = "bad"
SPACED = {"decimal": ",", "thousands": " ", "delimiter": ";"}
GERMAN = {"decimal": ",", "thousands": ".", "delimiter": ";"}


@pytest.mark.parametrize(
    ("text", "file_format", "expected"),
    [
        ("1", {}, 1.0),
        (" 1.5 ", {}, 1.5),
        ("+1", {}, 1.0),
        ("-1.", {}, -1.0),
        (".5", {}, 0.5),
        ("1e5", {}, 1e5),
        ("1E-5", {}, 1e-5),
        ("007", {}, 7.0),
        ("1,234.5", {}, 1234.5),
        ("-1,234,567", {}, -1234567.0),
        ("1,23", {}, BAD),
        ("1,2345", {}, BAD),
        ("1234,567", {}, BAD),
        ("1,,234", {}, BAD),
        ("1.234,5", {}, BAD),
        ("1 234,5", {}, BAD),
        ("inf", {}, BAD),
        ("-Infinity", {}, BAD),
        ("1e999", {}, BAD),
        ("0x1F", {}, BAD),
        ("1_000", {}, BAD),
        ("1.2.3", {}, BAD),
        ("12%", {}, BAD),
        ("$5", {}, BAD),
        ("--1", {}, BAD),
        (".", {}, BAD),
        ("e5", {}, BAD),
        ("1e", {}, BAD),
        ("1 2", {}, BAD),
        ("٣", {}, BAD),
        ("true", {}, BAD),
        ("", {}, None),
        ("   ", {}, None),
        (None, {}, None),
        ("nan", {}, None),
        ("NaN", {}, None),
        ("n/A", {}, None),
        ("nan", {"missing_values": []}, BAD),
        ("", {"missing_values": ["-"]}, None),
        (" - ", {"missing_values": ["-"]}, None),
        ("-9", {"missing_values": ["-9"]}, None),
        ("1,234", {"thousands": ""}, BAD),
        ("1'234", {"thousands": "'"}, 1234.0),
        ("1 234,5", SPACED, 1234.5),
        ("1 23", SPACED, BAD),
        ("1.5", SPACED, BAD),
        ("1,5", SPACED, 1.5),
        ("1.234,5", GERMAN, 1234.5),
        ("1.234", GERMAN, 1234.0),
        ("1.5", GERMAN, BAD),
        ("1,234.5", GERMAN, BAD),
        ("1,5e3", GERMAN, 1500.0),
    ],
)
def test_numbers_as_people_write_them(text, file_format, expected):
    rows, rejects = cleaned(rows_of(x=[text]), file_format=file_format)
    if expected is BAD:
        assert (rows, rejects) == ([], [(2, "x", "not a number")])
    else:
        assert ([row["x"] for row in rows], rejects) == ([expected], [])


@pytest.mark.parametrize(
    ("number", "expected"), [(1.5, 1.5), (float("nan"), None), (None, None), (float("inf"), BAD), (-float("inf"), BAD)]
)
def test_numbers_that_the_reader_parsed(number, expected):
    rows, rejects = cleaned(rows_of(x=[number, 1.0]))
    if expected is BAD:
        assert rejects == [(2, "x", "not a number")]
    else:
        assert [row["x"] for row in rows] == [expected, 1.0]


@pytest.mark.parametrize(
    ("limits", "kept", "reason"),
    [
        ({"min": 0}, [0.0, 10.0, 10.5, None], "outside 0.."),
        ({"max": 10}, [-0.1, 0.0, 10.0, None], "outside ..10"),
        ({"min": 0, "max": 10}, [0.0, 10.0, None], "outside 0..10"),
        ({"min": 0.5, "max": 0.5}, [None], "outside 0.5..0.5"),
    ],
)
@pytest.mark.parametrize("typed", [True, False])
def test_bounds_reject_or_take_as_missing(limits, kept, reason, typed):
    values = [-0.1, 0.0, 10.0, 10.5, None]
    raw = rows_of(x=values if typed else ["-0.1", "0", "10", "10.5", ""])
    rows, rejects = cleaned(raw, cleaning={"bounds": {"x": limits}})
    assert [row["x"] for row in rows] == kept
    assert [(column, why) for _, column, why in rejects] == [("x", reason)] * (5 - len(kept))

    cleaner = Cleaner(contract(cleaning={"bounds": {"x": limits | {"otherwise": "missing"}}}), training=True)
    clean = cleaner.clean(raw)
    assert clean.table.column("x").to_pylist() == [value if value in kept else None for value in values]
    assert cleaner.set_to_missing["x"] == 5 - len(kept)
    assert clean.rejects == []


# --- checks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y", "meets"), [("1", "2", 1), ("2", "2", 1), ("3", "2", 0), ("", "2", 1), ("3", "", 1)])
def test_a_check_judges_only_rows_that_have_the_values(x, y, meets):
    check = {"require": "x <= y", "column": "x"}
    rows, rejects = cleaned(rows_of(x=[x], y=[y]), cleaning={"checks": {"order": check}})
    assert len(rows) == meets
    assert rejects == ([] if meets else [(2, "x", "fails the check order")])


def test_a_check_may_take_a_number_or_a_category_as_missing():
    checks = {
        "number": {"require": "x < 5", "column": "x", "otherwise": "missing"},
        "category": {"require": "NOT (t = 'A' AND y > 5)", "column": "t", "otherwise": "missing"},
    }
    cleaner = Cleaner(contract(cleaning={"checks": checks}), training=True)
    clean = cleaner.clean(rows_of(x=["9", "1", "9"], y=["9", "9", "1"], t=["a", "b", "a"]))
    assert clean.table.column("x").to_pylist() == [None, 1.0, None]
    assert clean.table.column("t").to_pylist() == [None, "B", "A"]
    assert cleaner.set_to_missing == {"x": 2, "t": 1}


def test_a_check_sees_what_an_earlier_one_took_as_missing():
    checks = {
        "first": {"require": "x < 5", "column": "x", "otherwise": "missing"},
        "second": {"require": "x < y", "column": "y"},
    }
    rows, rejects = cleaned(rows_of(x=["9"], y=["1"]), cleaning={"checks": checks})
    assert (rows[0]["x"], rejects) == (None, [])


def test_derived_features_see_cleaned_values():
    rows, _ = cleaned(
        rows_of(x=["8", "8", "1,000"], y=["2", "0", "-1"]),
        cleaning={"bounds": {"y": {"min": 0, "otherwise": "missing"}}},
        features={"ratio": "x / y", "is_a": "t = 'A'"},
    )
    assert [row["ratio"] for row in rows] == [4.0, None, None]
    assert [row["is_a"] for row in rows] == [1.0, 1.0, 1.0]


# --- categories ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "case", "aliases", "expected"),
    [
        ("  home \t improvement ", "upper", {}, "HOME IMPROVEMENT"),
        ("Home", "lower", {}, "home"),
        ("Home", "keep", {}, "Home"),
        ("straße", "upper", {}, "STRASSE"),
        ("home improvement", "upper", {"Home  Improvement": "HI"}, "HI"),
        ("Home", "keep", {"home": "x"}, "Home"),
        ("Home", "keep", {"Home": "x"}, "x"),
        ("a\u00a0b", "upper", {}, "A B"),
        ("n/a", "upper", {}, None),
        ("  ", "upper", {}, None),
        ("0", "upper", {}, "0"),
    ],
)
def test_a_category_has_one_spelling(text, case, aliases, expected):
    assert spell(text, case, aliases, {"", "n/a"}) == expected
    rows, rejects = cleaned(rows_of(t=[text]), cleaning={"case": case, "aliases": {"t": aliases}})
    assert ([row["t"] for row in rows], rejects) == ([expected], [])


def test_spellings_of_one_category_share_a_code():
    cleaner = Cleaner(contract(), training=True)
    column = cleaner.clean(rows_of(t=["a", " A", "b", "NA", None, "A "])).table.column("t")
    assert column.to_pylist() == ["A", "A", "B", None, None, "A"]
    assert column.chunk(0).dictionary.to_pylist() == ["A", "B"]


# --- target, id, group, date --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 1.0 ", "1"),
        ("1", "1"),
        ("+1", "1"),
        ("1e0", "1"),
        ("-0", "0"),
        ("0.50", "0.5"),
        ("good", "good"),
        ("Good ", "Good"),
        ("nan", "nan"),
        ("1_0", "1_0"),
        ("1000001", "1000001"),
        ("0.1234567", "0.1234567"),
        ("", ""),
    ],
)
def test_equal_target_values_have_one_text(text, expected):
    assert canonical_value(text) == expected


@pytest.mark.parametrize("positive", ["1", "1.0", 1, 1.0])
def test_the_target_is_one_however_it_is_written(positive):
    columns = {"target": {"column": "z", "positive": positive}}
    rows, rejects = cleaned(rows_of(z=["1", "1.0", " 1 ", "0", "0.0", " -0", "1e0"]), columns=columns)
    assert [row["z"] for row in rows] == [1, 1, 1, 0, 0, 0, 1]
    assert rejects == []


def test_target_values_are_counted_as_one_text_each():
    cleaner = Cleaner(contract(), training=True)
    cleaner.clean(rows_of(z=["1", "1.0", "0", "NA", "other"]))
    cleaner.clean(rows_of(z=["0.0"], x=["bad"]))
    assert cleaner.target_values == {"1": 2, "0": 1, "other": 1}


def test_large_codes_stay_apart():
    columns = {"target": {"column": "z", "positive": 1000001, "negative": 1000002}}
    rows, _ = cleaned(rows_of(z=["1000001", "1000002", "1000001.0"]), columns=columns)
    assert [row["z"] for row in rows] == [1, 0, 1]


def test_with_a_negative_value_other_values_are_rejected_and_not_counted():
    made = contract(columns={"target": {"column": "z", "positive": "bad", "negative": "good"}})
    cleaner = Cleaner(made, training=True)
    clean = cleaner.clean(rows_of(z=["bad", "good", "Bad", "", None]))
    assert clean.table.column("z").to_pylist() == [1, 0]
    assert [r.reason for r in clean.rejects] == ["missing", "missing", "neither bad nor good"]
    assert cleaner.target_values == {"bad": 1, "good": 1}


@pytest.mark.parametrize("column", ["id", "g", "z"])
@pytest.mark.parametrize("value", ["", "  ", "NA", None])
def test_id_group_and_target_must_be_there(column, value):
    raw = rows_of(**({"g": ["b"]} | {column: [value]}))
    assert cleaned(raw, columns={"group": "g"}) == ([], [(2, column, "missing")])


def test_ids_are_trimmed_and_keep_their_spelling():
    rows, _ = cleaned(rows_of(id=[" 007 ", "a A"]))
    assert [row["id"] for row in rows] == ["007", "a A"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", "2026-01-31"),
        (" 2024-02-29 ", "2024-02-29"),
        ("2026-01-31T10:00:00Z", "2026-01-31"),
        ("2026-01-31 00:00:00.000", "2026-01-31"),
        ("0001-01-01", "0001-01-01"),
        ("2026-02-30", None),
        ("2025-02-29", None),
        ("2026-13-01", None),
        ("2026-1-5", None),
        ("2026-1-005", None),
        ("2026-01-310", None),
        ("2026-01-31x", None),
        ("31.01.2026", None),
        ("01/31/2026", None),
        ("20260131", None),
        ("", None),
        ("NA", None),
        (None, None),
    ],
)
def test_dates_are_iso_days(text, expected):
    rows, rejects = cleaned(rows_of(d=[text]), columns={"date": "d"})
    if expected is None:
        assert (rows, rejects) == ([], [(2, "d", "not a date like 2026-01-31")])
    else:
        assert (rows[0]["d"], rejects) == (expected, [])


def test_applications_need_neither_target_nor_group_nor_date_nor_optional_columns():
    cleaner = Cleaner(contract(columns={"group": "g", "date": "d"}), training=False)
    assert cleaner.text_columns() == ["t", "id"]
    clean = cleaner.clean(block(id=["a"], y=["2"]))
    assert clean.table.to_pylist() == [{"__line": 2, "id": "a", "x": None, "y": 2.0, "t": None}]


# --- all together -------------------------------------------------------------------------------------------------


def test_the_first_problem_of_a_row_wins():
    raw = rows_of(id=["", "b", "c", "d"], x=["?!", "?!", "9", "1"], y=["?!", "?!", "?!", "1"], z=["", "", "", ""])
    cleaning = {"bounds": {"x": {"max": 5}}, "checks": {"c": {"require": "x > y", "column": "x"}}}
    _, rejects = cleaned(raw, cleaning=cleaning)
    assert sorted(rejects) == [
        (2, "id", "missing"),
        (3, "x", "not a number"),
        (4, "x", "outside ..5"),
        (5, "z", "missing"),
    ]


def test_rejects_carry_what_stood_there_or_the_number_that_it_means_and_their_line():
    made = contract(cleaning={"bounds": {"x": {"max": 5}}})
    text = Cleaner(made, training=True).clean(rows_of(x=["1", " 9 ", "9x", "y" * 500]))
    assert [(r.line, r.value) for r in text.rejects] == [(4, "9x"), (5, "y" * 200), (3, "9")]
    typed = Cleaner(made, training=True).clean(rows_of(x=[1.0, 9.0, 9.5]))
    assert [(r.line, r.value) for r in typed.rejects] == [(3, "9"), (4, "9.5")]


@pytest.mark.parametrize("show", [True, False])
def test_rejected_values_are_written_only_where_asked_for(tmp_path, show):
    made = contract()
    clean = Cleaner(made, training=True).clean(rows_of(id=["a", "b", ""], x=["1", 'secret "x",\n', "2"]))
    with (tmp_path / "r.csv").open("w", newline="") as file:
        writer = RejectsWriter(file, "raw.csv", show)
        writer.write(clean.rejects)
    written, _, _ = read(tmp_path / "r.csv", [], ["file", "line", "column", "value", "reason"])
    assert written["value"] == (['secret "x",\n', ""] if show else ["", ""])
    assert written["line"] == ["3", "4"]
    assert writer.by_reason == {"x: not a number": 1, "id: missing": 1}
    assert writer.first is not None
    assert writer.first.line == 3


def test_no_rows_and_only_bad_rows_are_fine():
    for raw in (rows_of(id=[]), rows_of(id=["", "NA"])):
        rows, rejects = cleaned(raw, columns={}, features={"f": "x / y"})
        assert rows == []
        assert len(rejects) == len(raw.lines)


def random_csv(random, rows):
    numbers = ["1", "2.5", "1,234.5", "", "NA", "oops", " 7", "-1", "1e3", "inf", "nan"]
    texts = ["a", " A", "b", "", "NA", "Home  Improvement", '"q,""r"""', '"x\ny"']
    ids = ["", *[f"i{n}" for n in range(30)]]

    def pick(choices, likely):
        return choices[0] if random.random() < likely else choices[random.integers(len(choices))]

    lines = ["id,x,y,t,z"]
    for _ in range(rows):
        number = [f'"{n}"' if "," in n else n for n in (pick(numbers, 0.7), pick(numbers, 0.7))]
        lines.append(",".join([pick(ids[::-1], 0.1), *number, pick(texts, 0.3), pick(["0", "1", "", "2"], 0.5)]))
        if random.random() < 0.05:
            lines[-1] += ",extra"
        if random.random() < 0.02:
            lines.append('"never closed,')
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(6))
def test_blocks_do_not_change_what_comes_out_and_every_row_comes_out_once(tmp_path, seed):
    path = write(tmp_path / "f.csv", random_csv(np.random.default_rng(seed), 120))
    made = contract(
        columns={"target": {"column": "z", "positive": "1", "negative": "0"}},
        cleaning={
            "bounds": {"x": {"min": 0}, "y": {"max": 1000, "otherwise": "missing"}},
            "checks": {"c": {"require": "x < 1000 OR t = 'A'", "column": "t", "otherwise": "missing"}},
        },
        features={"f": "x / y"},
    )
    results = []
    for block_bytes in (1 << 20, 400, 37, 1):
        cleaner, rows, rejects, rows_in = Cleaner(made, training=True), [], [], 0
        for raw in read_blocks(path, Format(), ["x", "y"], cleaner.text_columns(), block_bytes=block_bytes):
            clean = cleaner.clean(raw)
            rows += clean.table.to_pylist()
            rejects += [(r.line, r.column, r.reason) for r in clean.rejects]
            rows_in += clean.rows_in
        assert rows_in == len(rows) + len(rejects)
        results.append((rows, sorted(rejects), cleaner.set_to_missing, cleaner.target_values))
    assert results[0][0]
    assert results[0][1]
    assert all(result == results[0] for result in results)


def test_the_schema_is_what_comes_out():
    cleaner = Cleaner(contract(columns={"group": "g", "date": "d"}, features={"f": "x"}), training=True)
    raw = rows_of(g=["b"], d=["2026-01-01"])
    assert cleaner.clean(raw).table.schema == cleaner.schema()
    assert cleaner.schema().names == ["__line", "id", "g", "d", "x", "y", "f", "t", "z"]
    assert cleaner.schema().field("t").type == pa.dictionary(pa.int32(), pa.string())


# --- short ways say what the long ones do -------------------------------------------------------------------------


def test_missing_is_judged_as_python_folds_case():
    of = Cleaner(contract(file_format={"missing_values": ["NA", "n/a", "Null", "straße", "-9"]}), training=True)
    words = ["NA", " na\t", "N/A", "nUlL", "nu\u017fl", "\u212aNA", "ＮＡ", "STRASSE", "straße", "STRAßE", "-9", "-9.0"]
    words += ["", "  ", "\u2003", "\x1cNA\x1f", "\u00a0na\u00a0", "nan", "ünï", "x", "ﬁ"]
    values = pa.array([*words, None])
    expected = [text.strip().casefold() in of._missing for text in words] + [True]
    assert of._is_missing(values).tolist() == expected
    assert of._is_missing(pa.array(["a", "NA"])).tolist() == [False, True]


@pytest.mark.parametrize("thousands", ["", ",", " "])
def test_plain_numbers_read_as_a_closer_look_reads_them(thousands):
    random = np.random.default_rng(10)
    file_format = Format(thousands=thousands)
    texts = [
        "1",
        "-0",
        "+7",
        "007",
        "1.",
        ".5",
        ".",
        "-",
        "+-1",
        "1e5",
        "1E+3",
        "1e400",
        "1e-400",
        "e5",
        "1e",
        "0x10",
        "1_0",
    ]
    texts += [
        "inf",
        "-Infinity",
        "nan",
        "1,000",
        "1 000",
        "1,00",
        "１",
        "−5",
        "TRUE",
        "1 2",
        "1d5",
        "1f",
        "12\u00a0345",
        "5%",
    ]
    texts += ["".join(random.choice(list("0123456789.eE+-,_ "), random.integers(1, 8))) for _ in range(3000)]
    texts += [repr(x) for x in random.integers(0, 2**63, 500, dtype=np.uint64).view(np.float64).tolist()]
    column = pa.array([text.strip() for text in texts])
    nothing = np.zeros(len(column), dtype=bool)
    numbers, invalid = parse_numbers(column, file_format, lambda texts: nothing[: len(texts)])
    expected = _closer_look(column, file_format).copy()
    expected[~np.isfinite(expected)] = np.nan
    np.testing.assert_array_equal(numbers, expected)
    assert invalid.tolist() == np.isnan(expected).tolist()
    assert 100 < invalid.sum() < len(texts) - 100


def test_spellings_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(cleaning, "SPELLINGS_KEPT", 3)
    of = Cleaner(contract(), training=True)
    texts = [f" Text  {n}" for n in range(10)]
    assert [of._spell("t", text) for text in texts * 2] == [f"TEXT {n}" for n in range(10)] * 2
    assert len(of._spelling) <= 3
