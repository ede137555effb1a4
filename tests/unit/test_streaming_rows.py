"""Blocks of rows are those of one long table, however the rows are spread over files; order statistics are exact."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import contract

from scripts.shared.membership import read_rows, stream_tables, survey, to_rows
from scripts.shared.sides import membership_table
from scripts.streaming import quantiles
from scripts.streaming.cache import ArrayFile, cached
from scripts.streaming.quantiles import distinct_values, order_statistics


def lay_out(folder, cuts=(), rows=300, row_group=None):
    """Write `rows` rows to parts that end at `cuts`; return parts and memberships."""
    random = np.random.default_rng(5)
    x = random.normal(size=rows)
    table = pa.table(
        {
            "x": pa.array(x, mask=random.uniform(size=rows) < 0.1),
            "y": pa.array(random.integers(0, 5, rows).astype(float)),
            "t": pa.array([["a", "b", None, "c"][n] for n in random.integers(0, 4, rows)]),
            "z": pa.array(random.integers(0, 2, rows).astype(np.int8)),
        }
    )
    sides = random.integers(0, 3, rows).astype(np.int8)
    keys = random.integers(0, 2**63, rows).astype(np.uint64)
    parts, members = [], []
    for start, stop in zip([0, *cuts], [*cuts, rows], strict=True):
        piece = table.slice(start, stop - start).combine_chunks()
        encoded = piece.column("t").combine_chunks().dictionary_encode()  # each part has a dictionary of its own
        piece = piece.set_column(2, "t", encoded)
        parts.append(folder / f"part{start}")
        members.append(folder / f"member{start}")
        pq.write_table(piece, parts[-1], row_group_size=row_group)
        pq.write_table(membership_table(sides[start:stop], keys[start:stop]), members[-1])
    return parts, members


@pytest.mark.parametrize("cuts", [(), (100,), (7, 7, 150, 299), tuple(range(15, 300, 15))], ids=len)
@pytest.mark.parametrize("block", [1, 13, 64, 1000])
@pytest.mark.parametrize("side", ["train", "test"])
def test_blocks_are_exact_and_make_up_the_rows_of_the_side(tmp_path, cuts, block, side):
    parts, members = lay_out(tmp_path, cuts, row_group=50)
    whole = read_rows(parts, members, side, contract())
    tables = stream_tables(parts, members, side, contract(), block)
    blocks = [to_rows(table, ["x", "y"], ["t"], "z") for table in tables]
    assert {len(b.target) for b in blocks[:-1]} <= {block}
    assert 0 < len(blocks[-1].target) <= block
    texts = {"t": object}  # pandas joins single gaps to another type
    joined = pd.concat([b.frame.astype(texts) for b in blocks], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole.frame.astype(texts))
    np.testing.assert_array_equal(np.concatenate([b.target for b in blocks]), whole.target)
    np.testing.assert_array_equal(np.concatenate([b.keys for b in blocks]), whole.keys)


def test_a_side_without_rows_has_no_blocks(tmp_path):
    parts, members = lay_out(tmp_path)
    assert list(stream_tables(parts, members, "nowhere", contract(), 10)) == []


def test_the_survey_counts_rows_and_categories(tmp_path):
    parts, members = lay_out(tmp_path, (100, 200))
    found = survey(parts, members, "train", ["t"])
    assert found.rows == len(read_rows(parts, members, "train", contract()).target)
    assert found.categories == {"t": 3}


def test_the_cache_gives_back_the_rows_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    parts, members = lay_out(tmp_path, (33,))
    whole = read_rows(parts, members, "train", contract())
    tables = stream_tables(parts, members, "train", contract(), 20)
    with cached(tables, ["x", "y"], ["t"], "z") as cache:
        assert list((tmp_path / "scratch").iterdir())
        frames = pd.concat([cache.frame(block) for block in cache.blocks()], ignore_index=True)
        some = np.concatenate([block.target for block in cache.blocks(lambda keys: keys % np.uint64(2) == 0)])
    pd.testing.assert_frame_equal(frames, whole.frame)
    np.testing.assert_array_equal(some, whole.target[whole.keys % np.uint64(2) == 0])
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_cache_is_removed_when_training_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RuntimeError), cached([], ["x"], [], "z") as cache:
        assert Path(cache.folder).exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_array_file_reads_and_replaces_rows(tmp_path):
    file = ArrayFile(tmp_path / "a", 2, np.int32)
    file.append(np.arange(10).reshape(5, 2))
    file.write(1, np.array([[7, 8]]))
    assert file.read(1, 3).tolist() == [[7, 8], [4, 5]]
    assert [len(block) for block in file.blocks(2)] == [2, 2, 1]
    file.append(np.array([[9, 9]]))
    assert file.read(4, 100).tolist() == [[8, 9], [9, 9]]
    file.close()


# --- order statistics ------------------------------------------------------------------------------------------------


def hard_columns(rows, seed=0):
    random = np.random.default_rng(seed)
    later = np.arange(rows) >= rows // 2
    return np.column_stack(
        [
            random.normal(size=rows),
            np.sort(random.lognormal(size=rows)),
            -np.sort(random.lognormal(size=rows)),
            np.where(random.uniform(size=rows) < 0.3, np.nan, random.normal(size=rows) * 1e300),
            random.integers(0, 3, rows),
            np.full(rows, -7.0),
            np.where(random.uniform(size=rows) < 0.5, -0.0, 0.0),
            np.where(later, 1 + 1e-12 * random.uniform(size=rows), -5e-324),
            np.where(later, np.inf, -np.inf),
            np.where(later, random.normal(size=rows), np.nan),
        ]
    )


@pytest.mark.parametrize("collect", [1, 50, 16_384])
@pytest.mark.parametrize("rows", [1, 2, 1_000])
def test_order_statistics_are_exact_whatever_the_values(monkeypatch, collect, rows):
    monkeypatch.setattr(quantiles, "COLLECT", collect)
    monkeypatch.setattr(quantiles, "EDGES", 16)
    monkeypatch.setattr(quantiles, "REFINE", 64)
    data = hard_columns(rows)
    sorted_values = [np.sort(column[~np.isnan(column)]) for column in data.T]
    ranks = [np.unique(np.linspace(0, len(v) - 1, 9).astype(np.int64))[: len(v)] for v in sorted_values]
    blocks = [data[at : at + 100] for at in range(0, rows, 100)]
    found = order_statistics(lambda: iter(blocks), ranks)
    in_order = order_statistics(lambda: (np.sort(block, axis=0) for block in blocks), ranks, ordered=True)
    for values, same, at, expected in zip(found, in_order, ranks, sorted_values, strict=True):
        np.testing.assert_array_equal(values, expected[at])
        np.testing.assert_array_equal(same, expected[at])


def test_ranks_may_come_in_any_order_and_twice():
    data = np.arange(10.0)[:, None]
    (found,) = order_statistics(lambda: iter([data]), [np.array([9, 0, 0, 5])])
    assert found.tolist() == [9, 0, 0, 5]


def test_distinct_values_up_to_a_limit():
    data = np.array([[1.0, 1, np.nan], [2, 1, 5], [3, 1, np.nan], [1, 1, 4]])
    many, one, two = distinct_values(lambda: iter([data[:2], data[2:]]), 3, 2)
    assert many is None
    assert (one.tolist(), two.tolist()) == ([1], [4, 5])
