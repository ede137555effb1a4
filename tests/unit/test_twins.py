"""How near a test row is to a train row, and what one score leads another by."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.twins import lead, shared_columns


def test_the_nearest_train_row_counts():
    train = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": ["x", "y", "y"]})
    test = pd.DataFrame({"a": [1.0, 2.0, 3.0, np.nan], "b": ["y", "y", "z", "x"]})
    assert shared_columns(train, test).tolist() == [1, 2, 0, 1]


def test_more_rows_than_fit_at_once():
    train = pd.DataFrame({"a": np.arange(5), "b": np.arange(5)})
    test = pd.DataFrame({"a": np.arange(700) % 7, "b": np.arange(700) % 5})
    by_hand = [max(int(a == n) + int(b == n) for n in range(5)) for a, b in zip(test["a"], test["b"], strict=True)]
    assert shared_columns(train, test).tolist() == by_hand


def test_a_score_leads_itself_by_nothing_and_chance_by_something():
    random = np.random.default_rng(1)
    target = (random.uniform(size=300) < 0.3).astype(np.int8)
    chance, good = random.uniform(size=300), target + random.normal(size=300)
    assert lead(target, good, good) == (0.0, 0.0, 0.0)
    gain, low, high = lead(target, chance, good)
    assert 0 < low < gain < high
    assert gain == pytest.approx(-lead(target, good, chance)[0])
