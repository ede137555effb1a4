"""Raw files: the same rows whatever the container, exact lines, and nothing lost in silence."""

import csv
import gzip
import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from builders import read, write

from scripts.shared import reading
from scripts.shared.cleaning import parse_numbers
from scripts.shared.config import Format
from scripts.shared.errors import UserError
from scripts.shared.reading import BLOCK_BYTES, CsvFile, _needs_care, column_names, read_blocks

TEXT = ["a", "b"]


def read_text(path, content, columns=TEXT, **options):
    """Write and read a CSV file of text columns."""
    return read(write(path / "f.csv", content), [], columns, **options)


def reasons(rejects):
    return [(reject.line, reject.reason) for reject in rejects]


def ragged(line, actual, expected=2):
    return (line, f"{actual} fields where the header has {expected}")


# --- containers ---------------------------------------------------------------------------------------------------

BODY = b"n,t\n1,a\n2.5,b\n,c\n"


def zipped(content):
    """The same bytes at any time: test workers collect at different seconds, and must find the same tests."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.csv", BODY),
        ("f.CSV", BODY),
        ("f.txt", BODY),
        ("f.csv.gz", zipped(BODY)),
        ("f.csv.gz", zipped(BODY[:9]) + zipped(BODY[9:])),
        ("f.csv.zst", pa.compress(BODY, "zstd", asbytes=True)),
        ("f.csv", b"\xef\xbb\xbf" + BODY),
        ("f.csv.gz", zipped(b"\xef\xbb\xbf" + BODY)),
        ("f.csv", BODY.replace(b"\n", b"\r\n")),
        ("f.csv", BODY.removesuffix(b"\n")),
        ("f.csv", b"t,n,unused\na,1,x\nb,2.5,x\nc,,x\n"),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_every_container_gives_the_same_columns(tmp_path, name, content, block_bytes):
    columns, lines, rejects = read(write(tmp_path / name, content), ["n"], ["t"], block_bytes=block_bytes)
    assert [None if value in (None, "") else float(value) for value in columns["n"]] == [1.0, 2.5, None]
    assert columns["t"] == ["a", "b", "c"]
    assert (lines, rejects) == ([2, 3, 4], [])


@pytest.mark.parametrize("ending", ["parquet", "pq", "PARQUET"])
def test_parquet_gives_the_same_columns_and_counts_rows_from_one(tmp_path, ending):
    table = pa.table({"t": ["a", "b", "c"], "n": [1.0, 2.5, None], "unused": [1, 2, 3]})
    pa.parquet.write_table(table, tmp_path / f"f.{ending}")
    columns, lines, rejects = read(tmp_path / f"f.{ending}", ["n"], ["t"])
    assert columns == {"n": [1.0, 2.5, None], "t": ["a", "b", "c"]}
    assert (lines, rejects) == ([1, 2, 3], [])


@pytest.mark.parametrize(
    ("array", "numeric", "expected"),
    [
        (pa.array([1, None], pa.int8()), True, [1.0, None]),
        (pa.array([1, None], pa.uint64()), True, [1.0, None]),
        (pa.array([True, None]), True, [1.0, None]),
        (pa.array([1, None], pa.decimal128(5, 2)), True, [1.0, None]),
        (pa.array([1.5, None], pa.float32()), True, [1.5, None]),
        (pa.array(["1,234", None]), True, ["1,234", None]),
        (pa.array(["1", None], pa.dictionary(pa.int8(), pa.large_string())), True, ["1", None]),
        (pa.array([2.5, None]).dictionary_encode(), True, [2.5, None]),
        (pa.nulls(2), True, [None, None]),
        (pa.array([1, None]), False, ["1", None]),
        (pa.array([True, None]), False, ["true", None]),
        (pa.array(["a", None], pa.large_string()), False, ["a", None]),
        (pa.array([0, None], pa.date32()), False, ["1970-01-01", None]),
        (pa.array([0, None], pa.timestamp("s")), False, ["1970-01-01 00:00:00.000", None]),
        (pa.nulls(2), False, [None, None]),
    ],
)
def test_parquet_types_become_numbers_or_text(tmp_path, array, numeric, expected):
    pa.parquet.write_table(pa.table({"c": array}), tmp_path / "f.parquet")
    columns, _, _ = read(tmp_path / "f.parquet", ["c"] if numeric else [], [] if numeric else ["c"])
    assert columns == {"c": expected}


def test_a_parquet_type_that_cannot_be_used_is_refused(tmp_path):
    pa.parquet.write_table(pa.table({"c": [[1], [2]]}), tmp_path / "f.parquet")
    with pytest.raises(UserError, match=r"f\.parquet: the column 'c' has the type list<.*>, which can't be used"):
        read(tmp_path / "f.parquet", [], ["c"])


def test_a_parquet_file_without_rows_gives_no_rows(tmp_path):
    pa.parquet.write_table(pa.table({"c": pa.array([], pa.string())}), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet", [], ["c"])[1] == []


def test_parquet_rows_count_on_over_row_groups(tmp_path):
    pa.parquet.write_table(pa.table({"c": [str(n) for n in range(10)]}), tmp_path / "f.parquet", row_group_size=3)
    columns, lines, _ = read(tmp_path / "f.parquet", [], ["c"])
    assert columns["c"] == [str(line - 1) for line in lines]


# --- lines and records --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rows", "lines"),
    [
        ("a,b\n1,2\n3,4\n", ["1|2", "3|4"], [2, 3]),
        ("\n\r\n\na,b\n1,2\n", ["1|2"], [5]),
        ("a,b\n\n1,2\n\n\n3,4\n", ["1|2", "3|4"], [3, 6]),
        ("a,b\r\n\r\n1,2\r\n", ["1|2"], [3]),
        ("a,b\n1,2\n\n", ["1|2"], [2]),
        ("a,b\n1,2\n\n\r\n\n", ["1|2"], [2]),
        ("a,b\n1,x\ry\n3,4\n", ["1|x y", "3|4"], [2, 3]),
        ("a,b\n1,2\r", ["1|2 "], [2]),
        ('a,b\n"1","2"\n', ["1|2"], [2]),
        ('a,b\n"1,5","say ""hi"""\n3,4\n', ['1,5|say "hi"', "3|4"], [2, 3]),
        ('a,b\n1,"x\ny"\n3,4\n', ["1|x\ny", "3|4"], [2, 4]),
        ('a,b\r\n1,"x\r\n\r\ny"\r\n3,4\r\n', ["1|x\n\ny", "3|4"], [2, 5]),
        ('a,b\n1,""\n"",4\n', ["1|", "|4"], [2, 3]),
        ('a,b\n1,""""\n3,"\n"\n5,6', ['1|"', "3|\n", "5|6"], [2, 3, 5]),
        ('a,b\n1,5" pipe\n3,it"s\n', ['1|5" pipe', '3|it"s'], [2, 3]),
        ('a,b\n1,"x" \n3,4\n', ["1|x ", "3|4"], [2, 3]),
        ('"a","b"\n1,2\n', ["1|2"], [2]),
        (" a ,b \n1,2\n", ["1|2"], [2]),
        ("a,b\n  ,\t\n", ["  |\t"], [2]),
        ("a,b\nNA,null\n", ["NA|null"], [2]),
        ("a,b\n1,nul\0byte\n", ["1|nul\0byte"], [2]),
        ("a,b\n1,\u2028\x85\x0b\x0c\n3,4\n", ["1|\u2028\x85\x0b\x0c", "3|4"], [2, 3]),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 5, 1 << 20])
def test_records_and_their_physical_lines(tmp_path, content, rows, lines, block_bytes):
    columns, found, rejects = read_text(tmp_path, content, block_bytes=block_bytes)
    assert ["|".join(row) for row in zip(columns["a"], columns["b"], strict=True)] == rows
    assert (found, rejects) == (lines, [])


@pytest.mark.parametrize("quoted", [False, True])
def test_ragged_rows_are_rejected_with_their_line(tmp_path, quoted):
    first = '"x\n\ny"' if quoted else "x"
    shift = 2 if quoted else 0
    columns, lines, rejects = read_text(tmp_path, f"a,b\n{first},1\n2\n3,4\n5,6,7\n,,,,\n8,9\n")
    assert columns["b"] == ["1", "4", "9"]
    assert lines == [2, 4 + shift, 7 + shift]
    assert reasons(rejects) == [ragged(3 + shift, 1), ragged(5 + shift, 3), ragged(6 + shift, 5)]
    assert [reject.value for reject in rejects] == ["2", "5,6,7", ",,,,"]


def test_ragged_rows_that_span_lines_are_rejected_at_their_first_line(tmp_path):
    _, lines, rejects = read_text(tmp_path, 'a,b\n1,2\n"x\ny",2,3\n4,"\n\n"\n"only\none"\n5,6\n')
    assert lines == [2, 5, 10]
    assert reasons(rejects) == [ragged(3, 3), ragged(8, 1)]


def test_all_rows_may_be_ragged(tmp_path):
    columns, lines, rejects = read_text(tmp_path, "a,b\n1\n2\n")
    assert (columns, lines) == ({"a": [], "b": []}, [])
    assert reasons(rejects) == [ragged(2, 1), ragged(3, 1)]


UNCLOSED = "a quote is opened and never closed"


@pytest.mark.parametrize(
    ("content", "kept", "lost"),
    [
        ('a,b\n1,x\n2,"y\n3,z\n', [2, 4], [3]),
        ('a,b\n"1,x\n2,y\n', [3], [2]),
        ('a,b\n1,x\n2,"', [2], [3]),
        ('a,b\n1,x\n2,"y\n3,"z"\n4,"u"\n', [2, 4, 5], [3]),
        ('a,b\n"1","x\n"2","y"\n"3","z"\n', [3, 4], [2]),
        ('a,b\n1,"x\n2,"y\n3,z\n4,"u\n5,v\n', [4, 6], [2, 3, 5]),
        ('a,b\n1,"x\n2,""\n3,"z"\n', [3, 4], [2]),
        ('a,b\n1,"x""\n2,y\n', [3], [2]),
        ('a,b\n1,"x" y"\n2,y\n', [3], [2]),
        ('a,b\n1,"x","u"\n2,y\n3,"z\n4,w\n', [3, 5], [4]),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_a_quote_never_closed_loses_its_own_line_only(tmp_path, content, kept, lost, block_bytes):
    _, lines, rejects = read_text(tmp_path, content, block_bytes=block_bytes)
    assert lines == kept
    assert [reject.line for reject in rejects if reject.reason == UNCLOSED] == lost


def test_many_bad_quotes_in_a_large_file_stay_fast_and_bounded(tmp_path):
    rows = [f'{n},"text {n}' if n % 3 == 0 else f'{n},"text {n}"' for n in range(6_000)]
    _, lines, rejects = read_text(tmp_path, "a,b\n" + "\n".join(rows) + "\n", block_bytes=1 << 18)
    assert len(lines) == 4_000
    assert [reject.line for reject in rejects] == [n + 2 for n in range(0, 6_000, 3)]


TRICKY = (
    'a,b\r\n1,"x,y"\n\n2,"line\r\nbreak"\n3,"say ""hi""\n4,ok\n5\n6,7,8\n9,z\ry\n"q""\n""q",10\n'
    'Grüße,日本\n11,""\n12,"\n\n"\n13,"never\n14,end'
)


@pytest.mark.parametrize("content", [TRICKY, "\ufeff" + TRICKY, '\n"a","b\nc",b\n1,2,3\n'])
def test_blocks_may_be_cut_anywhere(tmp_path, content):
    size = len(content.encode())
    whole = read_text(tmp_path, content)
    assert whole[1]
    for block_bytes in range(1, size + 2):
        assert read_text(tmp_path, content, block_bytes=block_bytes) == whole, block_bytes


@pytest.mark.parametrize("seed", range(20))
def test_random_files_read_as_pythons_csv_module_reads_them(tmp_path, seed):
    random = np.random.default_rng(seed)
    pieces = ["", "x", ",", '"', "\n", "\r\n", " ", "ü", "日本", ";", "12", "''", "\t", '""']
    fields = ["".join(random.choice(pieces, random.integers(0, 5))) for _ in range(300)]
    rows = [fields[i : i + 3] for i in range(0, 300, 3)]
    out, lines, line = io.StringIO(newline=""), [], 2
    for row in rows:
        record = io.StringIO(newline="")
        style = csv.QUOTE_ALL if random.random() < 0.3 else csv.QUOTE_MINIMAL
        csv.writer(record, quoting=style, lineterminator=random.choice(["\n", "\r\n"])).writerow(row)
        blank = "\n" * int(random.integers(0, 2) * random.integers(0, 3))
        out.write(blank + record.getvalue())
        lines.append(line + len(blank))
        line += len(blank) + record.getvalue().count("\n")
    content = "a,b,c\n" + out.getvalue()
    expected = [r for r in csv.reader(io.StringIO(content.replace("\r\n", "\n"), newline="")) if r][1:]
    for block_bytes in (1 << 20, 3, 64):
        columns, found, rejects = read_text(tmp_path, content, list("abc"), block_bytes=block_bytes)
        assert [list(row) for row in zip(columns["a"], columns["b"], columns["c"], strict=True)] == expected
        assert (found, rejects) == (lines, [])


@pytest.mark.parametrize("seed", range(30))
def test_noise_loses_no_line_in_silence(tmp_path, seed):
    """Every physical line of noise belongs to a row or a reject, in order, however the blocks are cut."""
    random = np.random.default_rng(seed)
    content = "a,b\n" + "".join(random.choice(list('",\n\r x'), 200, p=[0.15, 0.25, 0.2, 0.05, 0.05, 0.3]))
    whole = read_text(tmp_path, content)
    assert whole[1] == sorted(whole[1])
    assert len({*whole[1], *(r.line for r in whole[2])}) == len(whole[1]) + len(whole[2])
    for block_bytes in (1, 2, 3, 17, 50):
        columns, lines, rejects = read_text(tmp_path, content, block_bytes=block_bytes)
        assert (columns, lines, reasons(rejects)) == (*whole[:2], reasons(whole[2]))


# --- numbers ------------------------------------------------------------------------------------------------------


def numbers_of(path, values, file_format, block_bytes=1 << 20):
    """Return (whether Arrow parsed every block, numbers, which are invalid)."""
    content = "n|t\n" + "".join(f"{value}|t\n" for value in values)
    missing = {text.casefold() for text in file_format.missing_values} | {""}

    def is_missing(texts):
        return np.array([t is None or t.strip().casefold() in missing for t in texts.to_pylist()], dtype=bool)

    typed, numbers, invalid = True, [], []
    for raw in read_blocks(write(path / "n.csv", content), file_format, ["n"], ["t"], block_bytes=block_bytes):
        parsed, bad = parse_numbers(raw.columns["n"], file_format, is_missing)
        numbers += [None if np.isnan(n) else n for n in parsed.tolist()]
        invalid += bad.tolist()
        typed &= pa.types.is_floating(raw.columns["n"].type)
    return typed, numbers, invalid


@pytest.mark.parametrize(
    ("values", "file_format"),
    [
        (["1", "2.5", "-3e2", "", "NA", "1e-320", "123456789.123456789", "0.1"], {}),
        (["1.5", " 2 ", "nan", "NaN", "", "n/a", "null", "NULL"], {}),
        (["1", "nan", "inf", "-inf", "NaN(1)"], {"missing_values": ["NA"]}),
        (["1", "-9", " -9", "-9.0", "-9 ", "8"], {"missing_values": ["-9"]}),
        (["1", "-99.5", " -99.5 "], {"missing_values": ["-99.5"]}),
        (["1,5", "-2,25", "", "NA"], {"decimal": ",", "thousands": "."}),
        (["1", "", "+5", "5.", ".5"], {}),
        (["1", "1e400", "0x10", "1_000", "1e"], {}),
        (["1", "007", "1e5", "1E+5", "-0"], {}),
    ],
)
def test_the_typed_path_and_the_text_path_give_equal_numbers(tmp_path, values, file_format):
    options = Format(**({"delimiter": "|"} | file_format))
    each = [numbers_of(tmp_path, [value], options) for value in values]
    _, numbers, invalid = numbers_of(tmp_path, values, options)
    forced, text_numbers, text_invalid = numbers_of(tmp_path, [*values, "no number"], options)
    assert not forced
    assert numbers == text_numbers[:-1] == [one[1][0] for one in each]
    assert invalid == text_invalid[:-1] == [one[2][0] for one in each]


def test_thousands_in_one_block_do_not_change_the_others(tmp_path):
    values = ["1000", "2000.5", "", "1,234.5", "3"]
    for block_bytes in (1, 8, 16, 1 << 20):
        _, numbers, invalid = numbers_of(tmp_path, values, Format(delimiter="|"), block_bytes)
        assert numbers == [1000.0, 2000.5, None, 1234.5, 3.0]
        assert not any(invalid)


def test_semicolons_and_decimal_commas(tmp_path):
    options = Format(delimiter=";", decimal=",", thousands=".")
    content = 'n;t\n1,5;a,b\n-2;"c;d"\n'
    columns, lines, _ = read(write(tmp_path / "f.csv", content), ["n"], ["t"], options)
    assert columns == {"n": [1.5, -2.0], "t": ["a,b", "c;d"]}
    assert lines == [2, 3]


@pytest.mark.parametrize("delimiter", ["\t", "|", "^", "]", "-", "\\", " ", "'"])
def test_any_delimiter_works_also_with_quotes(tmp_path, delimiter):
    options = Format(delimiter=delimiter)
    content = 'a,b\n1,"x,y"\n"2\n",z\n'.replace(",", delimiter)
    columns, lines, rejects = read_text(tmp_path, content, file_format=options)
    assert columns == {"a": ["1", "2\n"], "b": [f"x{delimiter}y", "z"]}
    assert (lines, rejects) == ([2, 3], [])


# --- encodings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "UTF8"])
@pytest.mark.parametrize("block_bytes", [1, 3, 1 << 20])
def test_other_encodings_read_as_utf8(tmp_path, encoding, block_bytes):
    content = 'a,b\nGrüße,"é\nè"\n'.encode(encoding)
    options = Format(encoding=encoding)
    columns, lines, _ = read_text(tmp_path, content, file_format=options, block_bytes=block_bytes)
    assert (columns, lines) == ({"a": ["Grüße"], "b": ["é\nè"]}, [2])


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a,b\n1,2\n3,gr\xfc\xdfe\n", 3),
        (b'a,b\n1,"x\ny"\n3,gr\xfc\xdfe\n', 4),
        (b"a,\xfc\n1,2\n", 1),
        (b"a,b\n\n1,\xff", 3),
        (b"\xc3\x28,b\n1,2\n", 1),
        (b"a,b\n1,2\n3,\xed\xa0\x80\n", 3),
    ],
)
def test_invalid_utf8_is_refused_with_its_line(tmp_path, content, line, block_bytes):
    with pytest.raises(UserError, match=rf"f\.csv, line {line}: not valid UTF-8; .* data\.format\.encoding: cp1252"):
        read_text(tmp_path, content, block_bytes=block_bytes)


def test_invalid_utf8_in_an_unused_column_is_refused_where_text_is_read(tmp_path):
    with pytest.raises(UserError, match=r"f\.csv, line 3: not valid UTF-8"):
        read_text(tmp_path, b'a,b,c\n1,"\n",\xff\n', ["a"])


def test_utf16_without_its_name_is_recognised(tmp_path):
    for encoding in ("utf-16", "utf-16-be"):
        content = ("\ufeff" if encoding == "utf-16-be" else "") + "a,b\n1,2\n"
        with pytest.raises(UserError, match=r"f\.csv is UTF-16, not UTF-8; set data\.format\.encoding: utf-16"):
            read_text(tmp_path, content.encode(encoding), block_bytes=1)


@pytest.mark.parametrize(
    ("content", "encoding"), [(b"a,b\n1,\x81\n", "cp1252"), ("a,b\n1,2\n".encode("utf-16")[:-1], "utf-16")]
)
def test_a_wrong_encoding_is_refused(tmp_path, content, encoding):
    with pytest.raises(UserError, match=rf"f\.csv, near line \d+: not {encoding} \(.*\); check data\.format\.encoding"):
        read_text(tmp_path, content, file_format=Format(encoding=encoding))


# --- files that can't be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n", b"  \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz"])
def test_an_empty_file_is_refused(tmp_path, name, content):
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UserError, match=r"is empty; expected a header line with column names"):
        read(path, [], TEXT)


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "\na,b\r\n\r\n"])
def test_a_header_alone_gives_no_rows(tmp_path, content):
    assert read_text(tmp_path, content)[1:] == ([], [])


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    message = (
        r"f\.csv: the column 'loan_amnt' is missing \(did you mean 'loan_amount'\?\); its columns are loan_amount, b"
    )
    with pytest.raises(UserError, match=message):
        read_text(tmp_path, "loan_amount,b\n1,2\n", ["loan_amnt"])


def test_an_optional_column_may_be_missing(tmp_path):
    columns, lines, _ = read_text(tmp_path, "b\n2\n", optional=["a"])
    assert (columns, lines) == ({"b": ["2"]}, [2])


@pytest.mark.parametrize("header", ["a,b,a", 'a,b," a "'])
def test_a_wanted_column_must_not_stand_twice(tmp_path, header):
    with pytest.raises(UserError, match=r"f\.csv: the column a stands twice in the header; remove or rename one"):
        read_text(tmp_path, f"{header}\n1,2,3\n")


def test_an_unused_column_may_stand_twice(tmp_path):
    for body in ("1,2,3,4\n", '1,2,"\n",4\n'):
        columns, _, _ = read_text(tmp_path, f"a,b,c,c\n{body}")
        assert columns == {"a": ["1"], "b": ["2"]}


def test_old_mac_line_ends_are_named(tmp_path):
    with pytest.raises(UserError, match=r"f\.csv: lines end in a lone carriage return; save the file with LF or CRLF"):
        read_text(tmp_path, "a,b\r1,2\r3,4\r")


@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz", "f.csv.zst", "f.parquet"])
@pytest.mark.parametrize("reader", [lambda path: read(path, [], TEXT), lambda path: column_names(path, Format())])
def test_a_missing_file_or_a_folder_is_named(tmp_path, name, reader):
    with pytest.raises(UserError, match=rf"{re.escape(name)} does not exist"):
        reader(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"{re.escape(name)} is a folder, not a file"):
        reader(tmp_path / name)


def compressed_rows(codec):
    body = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(2000))
    return gzip.compress(body) if codec == "gz" else pa.compress(body, "zstd", asbytes=True)


@pytest.mark.parametrize(
    ("codec", "damage"),
    [(codec, damage) for codec in ("gz", "zst") for damage in ("half", "tail", "plain")] + [("gz", "middle")],
)
@pytest.mark.parametrize("block_bytes", [500, 1 << 20])
def test_damaged_compressed_files_are_refused(tmp_path, codec, damage, block_bytes):
    data = compressed_rows(codec)
    middle = len(data) // 2
    content = {
        "half": data[:middle],
        "tail": data[:-4],
        "plain": BODY * 5,
        "middle": data[:middle] + bytes(byte ^ 255 for byte in data[middle : middle + 40]) + data[middle + 40 :],
    }[damage]
    path = write(tmp_path / f"f.csv.{codec}", content)
    with pytest.raises(UserError, match=rf"f\.csv\.{codec}: the compressed data is damaged or cut short"):
        read(path, [], TEXT, block_bytes=block_bytes)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path, content):
    with pytest.raises(UserError, match=r"f\.parquet is not a readable Parquet file"):
        read(write(tmp_path / "f.parquet", content), [], TEXT)


def test_damaged_parquet_data_is_refused(tmp_path):
    path = tmp_path / "f.parquet"
    pa.parquet.write_table(pa.table({"a": [str(n) for n in range(5000)]}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[50:2000] = b"\xff" * 1950
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"f\.parquet: the Parquet data is damaged"):
        read(path, [], ["a"])


def test_the_share_done_grows_to_one(tmp_path):
    path = write(tmp_path / "f.csv", "a,b\n" + "1,2\n" * 1000)
    done = [block.done for block in read_blocks(path, Format(), [], TEXT, block_bytes=100)]
    assert done == sorted(done)
    assert 0 < done[0] < 0.1
    assert done[-1] == pytest.approx(1)


def test_memory_is_bounded_by_the_block_size(tmp_path):
    path = write(tmp_path / "f.csv", "a,b\n" + "1,2\n" * 1000)
    assert max(len(block.lines) for block in read_blocks(path, Format(), [], TEXT, block_bytes=100)) <= 51


@pytest.mark.parametrize("content", ["a,b\n1,2\n", '"a","b\nc",d\n', "\n a ,b\n"])
def test_column_names_are_those_of_the_header(tmp_path, content):
    names = {"a,": ["a", "b"], '"a': ["a", "b\nc", "d"], "\n ": ["a", "b"]}[content[:2]]
    assert column_names(write(tmp_path / "f.csv", content), Format()) == names
    assert column_names(write(tmp_path / "f.csv.gz", gzip.compress(content.encode())), Format()) == names


def test_column_names_of_parquet(tmp_path):
    pa.parquet.write_table(pa.table({"a": [1], "b c": [2]}), tmp_path / "f.parquet")
    assert column_names(tmp_path / "f.parquet", Format()) == ["a", "b c"]


def test_a_ragged_row_in_another_encoding_is_refused_without_noise(tmp_path, capfd):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n1,caf\xe9,3\n4,5\n")
    with pytest.raises(UserError, match=r"x\.csv, line 3: not valid UTF-8"):
        list(read_blocks(path, Format(), ["a"], ["b"]))
    assert capfd.readouterr().err == ""


# --- short ways say what the long ones do -------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, 2_000])
def test_plain_quotes_are_masked_as_all_quotes_are(few, monkeypatch):
    monkeypatch.setattr(reading, "FEW_QUOTES", few)
    random = np.random.default_rng(8)
    file = CsvFile(None, Format(), {}, set(), BLOCK_BYTES)
    pieces = [b'"', b'"', b",", b"\n", b"a", b" ", b"\r\n", b'"b"', b',"c;",', b'""']
    quick = 0
    for _ in range(4000):
        data = b"".join(random.choice(np.array(pieces, dtype=object), random.integers(1, 14)))
        masked = file._masked(data)
        expected = file._quoted.sub(lambda quoted: b"q" * len(quoted[0]), data)
        assert len(masked) == len(data)
        for mark in (b"\n", b"\r", b'"'):  # delimiters within quotes matter only beside quotes
            places = [[at for at in range(len(d)) if d[at : at + 1] == mark] for d in (masked, expected)]
            assert places[0] == places[1], data
        opened, expected_opened = (file._unclosed.search(d) for d in (masked, expected))
        assert (opened and opened.start()) == (expected_opened and expected_opened.start()), data
        quick += masked != expected and b'"' in data
    assert quick > 100


def test_after_a_bad_value_only_its_column_is_read_as_text(tmp_path):
    lines = ["1,1,a", "2,NA,b", "1,1,a", "oops,3,c", *["4,4,d"] * 6, "5,inf,e", *["6,6,f"] * 6]
    write(tmp_path / "f.csv", "x,y,t\n" + "".join(f"{line}\n" for line in lines))
    blocks = list(read_blocks(tmp_path / "f.csv", Format(), ["x", "y"], ["t"], block_bytes=8))
    kinds = {line: [str(b.columns[n].type) for n in "xy"] for b in blocks for line in b.lines.tolist()}
    assert kinds[2] == ["double", "double"]
    assert kinds[5] == ["string", "string"]  # what is wrong is known only after reading it all as text
    assert kinds[8] == ["string", "double"]
    assert kinds[max(kinds)] == ["string", "string"]
    values = [value for b in blocks for value in b.columns["x"].cast("string").to_pylist()]
    assert values == [line.split(",")[0] for line in lines]


@pytest.mark.parametrize("decimal", [".", ","])
def test_missing_values_and_a_decimal_comma_leave_a_column_numeric(tmp_path, decimal):
    text = f"x;y\n1{decimal}5;1\nn/a;oops\n2{decimal}5;1\n3;1\n4;1\n"
    write(tmp_path / "f.csv", text)
    options = Format(delimiter=";", decimal=decimal, thousands="" if decimal == "." else ".")
    blocks = list(read_blocks(tmp_path / "f.csv", options, ["x", "y"], [], block_bytes=6))
    assert [str(blocks[-1].columns[name].type) for name in "xy"] == ["double", "string"]


def test_blank_lines_and_lone_carriage_returns_need_care():
    random = np.random.default_rng(9)
    found = 0
    for _ in range(2000):
        data = b"".join(random.choice(np.array([b"\n", b"\r", b"\r\n", b"a", b"b,c"], dtype=object), 6))
        expected = re.search(rb"\A[\r\n]|\n\r?\n|\r(?!\n)", data) is not None
        assert _needs_care(data) is expected, data
        found += not expected
    assert found > 50
