"""Between NumPy and Arrow: the same values as Arrow's own functions give, whatever slice of an array it is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from scripts.shared import arrays

ROOT = Path(__file__).resolve().parents[2]

COLUMNS = [
    pa.array([1.5, None, -0.0, 3.0, None, np.inf, 7.0, 8.0, 9.0, 10.0]),
    pa.array([1.0, 2.0, 3.0]),
    pa.array([1, None, 3], pa.int8()),
    pa.array([1, 2, 3], pa.int64()),
    pa.array([], pa.float64()),
    pa.array([None, None], pa.float64()),
    pa.nulls(3, pa.int32()),
]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("start", [0, 1, 2])
def test_numbers_come_out_as_arrow_gives_them(column, start):
    for values in (column.slice(start), pa.chunked_array([column.slice(start)]), pa.chunked_array([column] * 2)):
        absent = np.nan if pa.types.is_floating(column.type) else 0
        expected = [absent if value is None else value for value in values.to_pylist()]
        assert np.array_equal(arrays.to_numbers(values), expected, equal_nan=True)
        assert arrays.nulls(values).tolist() == [value is None for value in values.to_pylist()]


@pytest.mark.parametrize("start", [0, 1, 9])
def test_booleans_come_out_as_arrow_gives_them(start):
    values = pa.array([True, False, None] * 7).slice(start)
    assert arrays.to_flags(values).tolist() == [value is True for value in values.to_pylist()]


@pytest.mark.parametrize("kind", [np.float64, np.int8, np.int32, np.int64, np.uint64])
def test_numbers_go_in_with_gaps(kind):
    values, missing = np.arange(20, dtype=kind)[::2], np.arange(10) % 3 == 0
    found = arrays.numbers(values, missing)
    found.validate(full=True)
    assert found.equals(pa.array(values, mask=missing))
    assert arrays.numbers(values).equals(pa.array(values))


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000])
def test_flags_and_texts_go_in(count):
    values = np.arange(count) % 3 == 0
    assert arrays.flags(values).equals(pa.array(values, pa.bool_()))
    words = [("", "é", "日本", "plain")[n % 4] for n in range(count)]
    arrays.texts(words).validate(full=True)
    assert arrays.texts(words).equals(pa.array(words, pa.string()))


def test_none_of_it_imports_pandas():
    code = """
import sys, numpy as np
from scripts.shared.arrays import *
held = numbers(np.arange(3.0), np.array([True, False, True]))
to_numbers(held), nulls(held), to_flags(flags(np.array([True]))), texts(["a"])
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
