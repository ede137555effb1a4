"""One raw file in; clean rows, rejects and counts out."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import config, contract, read, write, write_plan

from scripts import preprocess as step
from scripts.shared.config import Rejects
from scripts.shared.errors import UserError
from scripts.shared.files import write_json
from scripts.shared.rejects import HEADER

RAW = "id,x,y,t,z\na,1,2,u,0\nb,oops,2,u,1\n,1,2,v,0\nc,1\nd,,2, U ,1.0\n"


def run(folder, raw, made=None, policy=None):
    """Preprocess one file; return (clean rows, rejects as columns, counts)."""
    clean, rejects = folder / "clean.parquet", folder / "rejects.csv"
    counts = step.preprocess(raw, clean, rejects, made or contract(), policy or Rejects())
    assert counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]
    assert counts["rows_rejected"] == sum(counts["rejected_by_reason"].values())
    json.dumps(counts, allow_nan=False)
    return pq.read_table(clean).to_pylist(), read(rejects, [], list(HEADER))[0], counts


def test_rows_go_to_clean_or_rejects_and_are_counted(tmp_path):
    raw = write(tmp_path / "raw.csv", RAW)
    clean, rejects, counts = run(tmp_path, raw)
    assert clean == [
        {"__line": 2, "id": "a", "x": 1.0, "y": 2.0, "t": "U", "z": 0},
        {"__line": 6, "id": "d", "x": None, "y": 2.0, "t": "U", "z": 1},
    ]
    assert list(zip(rejects["line"], rejects["column"], rejects["value"], strict=True)) == [
        ("3", "x", ""),
        ("4", "id", ""),
        ("5", "", ""),
    ]
    assert rejects["file"] == [str(raw)] * 3
    assert counts == {
        "file": str(raw),
        "rows_in": 5,
        "rows_out": 2,
        "rows_rejected": 3,
        "rejected_by_reason": {"2 fields where the header has 5": 1, "id: missing": 1, "x: not a number": 1},
        "first_reject": {"line": 3, "column": "x", "value": "", "reason": "not a number"},
        "set_to_missing": {},
        "target_values": {"0": 1, "1": 1},
        "values_present": {"x": 1, "y": 2, "t": 2},
    }


def test_values_are_shown_where_asked_for_but_never_in_the_counts(tmp_path):
    raw = write(tmp_path / "raw.csv", RAW)
    _, rejects, counts = run(tmp_path, raw, policy=Rejects(show_values=True))
    assert rejects["value"] == ["oops", "", "c,1"]
    assert counts["first_reject"]["value"] == ""
    assert "oops" not in json.dumps(counts)


def test_a_file_that_is_only_a_quote_never_closed_is_rejected_line_by_line(tmp_path):
    raw = write(tmp_path / "raw.csv", 'id,x,y,t,z\na,1,2,"u,0\n')
    clean, rejects, counts = run(tmp_path, raw)
    assert clean == []
    assert rejects["reason"] == ["a quote is opened and never closed"]
    assert (counts["rows_in"], counts["first_reject"]["line"]) == (1, 2)


def test_all_rows_may_be_rejected(tmp_path):
    clean, _, counts = run(tmp_path, write(tmp_path / "raw.csv", "id,x,y,t,z\n,1,2,u,0\n"))
    assert clean == []
    assert counts["values_present"] == {"x": 0, "y": 0, "t": 0}
    assert pq.read_schema(tmp_path / "clean.parquet").names == ["__line", "id", "x", "y", "t", "z"]


def test_csv_gzip_and_parquet_give_the_same_clean_rows(tmp_path):
    table = {"id": ["a", "b"], "x": [1.0, None], "y": [2, 3], "t": ["u", "v"], "z": [1, 0]}
    pq.write_table(pa.table(table), tmp_path / "raw.parquet")
    text = "id,x,y,t,z\na,1,2,u,1\nb,,3,v,0\n"
    csv = run(tmp_path, write(tmp_path / "raw.csv", text))[0]
    zipped = run(tmp_path, write(tmp_path / "raw.csv.gz", gzip.compress(text.encode())))[0]
    parquet = run(tmp_path, tmp_path / "raw.parquet")[0]
    assert csv == zipped == [row | {"__line": row["__line"] + 1} for row in parquet]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,x,y,t,z\n", r"raw\.csv has a header and no rows; expected at least one row of data"),
        ("", r"raw\.csv is empty; expected a header line"),
        (
            "id,x,yy,t,z\n",
            r"raw\.csv: the column 'y' is missing \(did you mean 'yy'\?\); its columns are id, x, yy, t, z",
        ),
    ],
)
def test_a_file_that_cannot_be_used_leaves_no_output(tmp_path, content, message):
    raw = write(tmp_path / "raw.csv", content)
    with pytest.raises(UserError, match=message):
        run(tmp_path, raw)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


def test_running_again_gives_the_same_bytes(tmp_path):
    raw = write(tmp_path / "raw.csv", RAW)
    run(tmp_path, raw)
    first = (tmp_path / "clean.parquet").read_bytes(), (tmp_path / "rejects.csv").read_bytes()
    run(tmp_path, raw)
    assert first == ((tmp_path / "clean.parquet").read_bytes(), (tmp_path / "rejects.csv").read_bytes())


def test_many_blocks_give_what_one_gives(tmp_path, monkeypatch):
    rows = "".join(f"i{n},{n},{n % 7},{'abc'[n % 3]},{n % 2}\n" for n in range(300))
    raw = write(tmp_path / "raw.csv", "id,x,y,t,z\n" + rows)
    whole = run(tmp_path, raw)
    original = step.read_blocks
    monkeypatch.setattr(step, "read_blocks", lambda *a, **k: original(*a, **k, block_bytes=100))
    assert run(tmp_path, raw) == whole


def test_the_step_reads_the_config_and_writes_the_summary(tmp_path):
    write_json(tmp_path / "config.json", config().model_dump(mode="json"))
    raw = write(tmp_path / "raw.csv", RAW)
    paths = [tmp_path / name for name in ("clean.parquet", "rejects.csv", "summary.json")]
    step.main(raw, *paths, tmp_path / "config.json", write_plan(tmp_path, raw), [], [], 1)
    assert json.loads(paths[2].read_text())["rows_out"] == 2
