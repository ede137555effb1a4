"""The reference group: the same row from memory and from blocks, whatever the order, ties or gaps."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_train import LOGISTIC, lay_out, loans, train_model

from scripts.shared.files import read_json
from scripts.shared.membership import KEY
from scripts.streaming import cache
from scripts.streaming.cache import cached
from scripts.streaming.reference import reference_in_blocks, reference_in_memory


def frame_of(rows=1000, seed=2):
    """Return features with ties, gaps and signed zeros, and outcomes."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "few": random.choice([-0.0, 0.0, 1.0], rows),
            "gaps": np.where(random.uniform(size=rows) < 0.7, np.nan, random.normal(size=rows)),
            "none": np.full(rows, np.nan),
            "t": random.choice(np.array(["a", "b", "c"], dtype=object), rows, p=[0.2, 0.5, 0.3]),
            "u": random.choice(np.array(["p", np.nan], dtype=object), rows, p=[0.4, 0.6]),
        }
    )
    return frame, (random.uniform(size=rows) < 0.3).astype(np.int8)


def in_blocks(frame, target, keep=None):
    columns = {name: pa.array(frame[name], from_pandas=True) for name in ("x", "few", "gaps", "none")}
    columns |= {name: pa.array(frame[name], pa.string(), from_pandas=True).dictionary_encode() for name in ("t", "u")}
    columns |= {"z": pa.array(target), KEY: pa.array(np.arange(len(frame), dtype=np.uint64))}
    table = pa.table(columns)
    pieces = [table.slice(at, 77) for at in range(0, len(frame), 77)]
    with cached(pieces, ["x", "few", "gaps", "none"], ["t", "u"], "z") as rows:
        return reference_in_blocks(rows, keep)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [1000, 999])
def test_memory_and_blocks_find_the_same_row_as_numpy(monkeypatch, seed, rows):
    monkeypatch.setattr(cache, "BLOCK_ROWS", 100)
    frame, target = frame_of(rows, seed)
    found = reference_in_memory(frame, target, ["t", "u"])
    assert in_blocks(frame, target) == found
    shuffled = np.random.default_rng(9).permutation(rows)
    assert in_blocks(frame.iloc[shuffled], target[shuffled]) == found
    repaid = frame[target == 0]
    assert found["rows"] == len(repaid)
    values = found["values"]
    assert values == {
        "x": pytest.approx(np.median(repaid["x"]), abs=1e-15),
        "few": np.median(repaid["few"]),
        "gaps": pytest.approx(np.nanmedian(repaid["gaps"]), abs=1e-15),
        "none": None,
        "t": "b",
        "u": None,
    }
    assert not np.signbit(values["few"])


def test_equal_counts_are_settled_by_the_alphabet_and_missing_comes_last():
    texts = np.array(["b", "b", "a", "a", np.nan, np.nan, "c"], dtype=object)
    frame = pd.DataFrame({"x": np.arange(7.0), "few": 0.0, "gaps": 0.0, "none": 0.0, "t": texts, "u": texts})
    target = np.zeros(7, np.int8)
    for order in (np.arange(7), np.arange(7)[::-1]):
        for found in (reference_in_memory(frame.iloc[order], target, ["t", "u"]), in_blocks(frame.iloc[order], target)):
            assert (found["values"]["t"], found["values"]["x"]) == ("a", 3.0)


def test_a_category_of_defaults_alone_is_not_the_reference():
    frame, _ = frame_of(6)
    frame["t"] = ["a", "a", "a", "a", "c", "b"]
    target = np.array([1, 1, 1, 1, 0, 0], np.int8)
    assert in_blocks(frame, target)["values"]["t"] == "b"
    assert in_blocks(frame, target) == reference_in_memory(frame, target, ["t", "u"])


def test_only_rows_to_train_on_count():
    frame, target = frame_of()
    expected = reference_in_memory(frame[:300], target[:300], ["t", "u"])
    assert in_blocks(frame, target, lambda keys: keys < 300) == expected


def test_the_card_has_the_same_row_however_the_model_is_trained_and_the_files_are_divided(tmp_path):
    rows, found = loans(), []
    for folder, files, in_memory_rows in (("a", [rows], 10_000), ("b", [rows], 0), ("c", [rows[:99], rows[99:]], 0)):
        resources = {"in_memory_rows": in_memory_rows}
        at = lay_out(tmp_path / folder, *files, models={"line": LOGISTIC}, resources=resources)
        found.append(read_json(train_model(at, "line")[1])["reference_group"])
    assert found[0] == found[1] == found[2]
    assert None not in [found[0]["values"][name] for name in ("x", "y", "t")]
