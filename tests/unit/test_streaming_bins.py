"""Bins are those of a search in the edges, and a byte gives back the bins that share it."""

import numpy as np
import pytest

from scripts.streaming import bins as bins_module
from scripts.streaming.bins import BYTE, Bins, Columns, bin_finder, bin_rows
from scripts.streaming.cache import ArrayFile

RANDOM = np.random.default_rng(3)
EDGES = {
    "none": [],
    "one": [0.5],
    "two": [-1, 1],
    "around zero": [-1, -1e-45, 0, 1e-45, 1],
    "all magnitudes": np.concatenate([-np.logspace(-44, 38, 100), np.logspace(-44, 38, 100)]),
    "years": np.arange(1900, 2030),
    "in one cell": 1 + np.arange(200) * 2.0**-23,
    "infinite": [-np.inf, -3, 0, 3, np.inf],
    "negative": -RANDOM.lognormal(size=250),
}


@pytest.mark.parametrize("name", EDGES)
def test_bins_are_those_of_a_search(name):
    edges = np.unique(np.array(EDGES[name], dtype=np.float32))
    near = [edges, np.nextafter(edges, np.float32(-np.inf)), np.nextafter(edges, np.float32(np.inf))]
    others = np.array([0, -0.0, np.inf, -np.inf, 3e38, -3e38, *RANDOM.normal(size=500)], dtype=np.float32)
    values = np.concatenate([*near, others])
    np.testing.assert_array_equal(bin_finder(edges)(values), np.searchsorted(edges, values))


def shared(sizes):
    edges = [np.arange(size - 1, dtype=np.float32) for size in sizes]
    return Bins.of(edges, edges)


def test_neighbours_share_a_byte_as_long_as_it_has_room():
    assert shared([2] * 9).group.tolist() == [0] * 8 + [1]
    assert shared([2] * 9).stride.tolist() == [1, 2, 4, 8, 16, 32, 64, 128, 1]
    assert shared([255, 1, 2, 100, 3]).group.tolist() == [0, 0, 1, 1, 2]
    assert shared([255, 1, 2, 100, 3]).values.tolist() == [255, 200, 3]


def test_a_byte_gives_back_bins_and_counts():
    sizes = [3, 2, 1, 40, 255, 2, 2, 16]
    found = shared(sizes)
    rows = np.column_stack([RANDOM.integers(0, size, 500) for size in sizes])
    bytes_of = [(rows * found.stride)[:, found.group == at].sum(axis=1) for at in range(len(found.values))]
    assert max(held.max() for held in bytes_of) < BYTE
    for feature in range(len(sizes)):
        held = bytes_of[found.group[feature]].astype(np.uint8)
        np.testing.assert_array_equal(found.digits(np.full(500, feature), held), rows[:, feature])
    node = RANDOM.integers(0, 6, 500)  # three nodes with two classes each
    counts = [
        np.bincount(node * values + held, minlength=6 * values).reshape(3, 2, values)
        for values, held in zip(found.values, bytes_of, strict=True)
    ]
    result = np.zeros((4, 2, sum(sizes)), np.int64)
    found.tell_apart(counts, result, [0, 3, 1])
    for feature, size in enumerate(sizes):
        expected = np.bincount(node * size + rows[:, feature], minlength=6 * size).reshape(3, 2, size)
        start = found.starts[feature]
        np.testing.assert_array_equal(result[[0, 3, 1], :, start : start + size], expected)
    assert not result[2].any()


@pytest.mark.parametrize("rows_at_once", [50, 100_000])
def test_rows_are_binned_at_distinct_values_or_quantiles(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(bins_module, "BLOCK_ROWS", rows_at_once)
    many = RANDOM.normal(size=1000)
    features = np.column_stack([many, RANDOM.integers(0, 4, 1000), np.where(many > 2, np.inf, many), np.full(1000, 7)])
    target = (many > 0).astype(np.int8)
    held = ArrayFile(tmp_path / "target", 1, np.int8)

    def blocks():
        return ((features[at : at + 30], target[at : at + 30]) for at in range(0, 1000, 30))

    bins, columns = bin_rows(blocks, 1000, tmp_path, held)
    np.testing.assert_array_equal(held.read(0, 1000)[:, 0], target)
    assert (bins.edges[1].tolist(), bins.above[1].tolist()) == ([0, 1, 2], [1, 2, 3])
    assert (bins.edges[3].tolist(), bins.above[3].tolist()) == ([], [])
    for feature, values in enumerate(features.astype(np.float32).T):
        ascending, edges = np.sort(values), bins.edges[feature]
        if feature in (0, 2):
            np.testing.assert_array_equal(edges, np.unique(ascending[np.arange(1, 255) * 1000 // 255]))
        following = np.append(ascending, np.inf)[np.searchsorted(ascending, edges, side="right")]
        np.testing.assert_array_equal(bins.above[feature], following)
        found = bins.digits(np.full(1000, feature), columns.read(int(bins.group[feature]), 0, 1000))
        np.testing.assert_array_equal(found, np.searchsorted(edges, values))
    columns.close()
    held.close()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("rows", [19, 21])
def test_other_rows_than_announced_are_refused(tmp_path, rows):
    held = ArrayFile(tmp_path / "target", 1, np.int8)
    with pytest.raises(ValueError, match=f"20 rows instead of {rows}"):
        bin_rows(lambda: iter([(np.ones((20, 2)), np.ones(20, np.int8))]), rows, tmp_path, held)
    held.close()


def test_columns_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(bins_module, "BLOCK_ROWS", 2)
    columns = Columns(tmp_path / "a", 5, 2, np.float32)
    columns.write(1, 0, np.array([5, 6, 7]))
    columns.write(1, 3, np.array([8, 9]))
    columns.write(0, 0, np.arange(5))
    assert columns.read(1, 2, 99).tolist() == [7, 8, 9]
    assert [piece.tolist() for piece in columns.pieces(0)] == [[0, 1], [2, 3], [4]]
    columns.close()
