"""Dividing a file: every record is in exactly one share, and reads there as it does in the whole file."""

import gzip

import pyarrow as pa
import pyarrow.parquet
import pytest

from scripts.divide import divide
from scripts.shared.config import Format
from scripts.shared.errors import UserError
from scripts.shared.reading import Part, read_blocks

NASTY = (
    b"id,name,amount\n"
    + b"".join(b"%d,plain,%d\n" % (n, n) for n in range(40))
    + b'40,"a line\nbreak, and a ""quote""",1\n'
    + b'41,"three\n\n\nlines",2\r\n'
    + b"42,too,many,fields\n"
    + b'43,5" wide,3\n'
    + b"\n"
    + b"".join(b'%d,"x\ny",4\n' % n for n in range(44, 60))
    + "60,Zoë,5\n".encode()
    + b'61,"never closed,6\n'
    + b"62,last,7"
)


def read(path, share=None, pieces=None, encoding="utf-8"):
    """Return rows and rejects with their lines."""
    rows, rejects = [], []
    options = Format(encoding=encoding)
    for block in read_blocks(path, options, ["amount"], ["id", "name"], part=Part(share, pieces), block_bytes=64):
        names = [block.columns[name].to_pylist() for name in ("id", "name", "amount")]
        rows += [(*row, line) for *row, line in zip(*names, block.lines.tolist(), strict=True)]
        rejects += [(reject.line, reject.reason) for reject in block.rejects]
    return [(i, n, float(a), line) for i, n, a, line in rows], rejects


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 500])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "latin.csv"])
def test_shares_together_hold_what_the_file_holds(tmp_path, count, name):
    path, encoding = tmp_path / name, "cp1252" if name == "latin.csv" else "utf-8"
    path.write_bytes(gzip.compress(NASTY) if name.endswith("gz") else NASTY.decode().encode(encoding))
    shares = divide(path, Format(encoding=encoding), count, tmp_path)
    assert len(shares) == count
    rows, rejects = [], []
    for share in shares:
        more = read(path, share, tmp_path, encoding)
        rows += more[0]
        rejects += more[1]
    assert (rows, rejects) == read(path, encoding=encoding)
    assert {line for line, _ in rejects} == {48, 84}


def test_a_plain_files_shares_follow_one_another_and_are_about_equal(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfid,name,amount\n" + b"1,a,2\n" * 1000)
    shares = divide(path, Format(), 4, tmp_path)
    assert (shares[0].start, shares[-1].end) == (18, path.stat().st_size)
    assert [a.end for a in shares[:-1]] == [b.start for b in shares[1:]]
    assert all(abs(share.end - share.start - 1500) < 20 for share in shares)
    assert [share.line for share in shares] == [2 + (share.start - 18) // 6 for share in shares]


def test_a_quoted_field_that_crosses_an_edge_stays_whole(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'id,name,amount\n1,"' + b"line\n" * 100 + b'",1\n2,b,2\n')
    shares = divide(path, Format(), 4, tmp_path)
    assert [share.start == share.end for share in shares] == [False, True, True, False]
    assert read(path, shares[3])[0] == [("2", "b", 2.0, 103)]


def test_a_parquet_file_is_divided_by_rows_whatever_its_row_groups(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"id": range(100), "name": ["a"] * 100, "amount": [float(n) for n in range(100)]})
    pa.parquet.write_table(table, path, row_group_size=33)
    shares = divide(path, Format(), 3, tmp_path)
    rows = [row for share in shares for row in read(path, share)[0]]
    assert rows == read(path)[0]
    assert [len(read(path, share)[0]) for share in shares] == [33, 33, 34]
    assert rows[-1] == ("99", "a", 99.0, 100)


def test_a_share_that_holds_other_bytes_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,name,amount\n" + b"1,a,2\n" * 100)
    shares = divide(path, Format(), 2, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"1,a,2\n1,a,2\n", b"1,b,2\n1,a,2\n", 1))
    assert len(read(path, shares[1])[0]) == 51
    with pytest.raises(UserError, match=r"x\.csv has changed since it was divided"):
        read(path, shares[0])


def test_a_damaged_piece_is_named(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"id,name,amount\n" + b"1,a,2\n" * 100))
    share = divide(path, Format(), 1, tmp_path)[0]
    piece = tmp_path / share.piece
    piece.write_bytes(piece.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"0001\.zst"):
        read(path, share, tmp_path)
