"""The hash decides the split for good: frozen values, then what a hash must do."""

import numpy as np
import pyarrow as pa
import pytest

from scripts.shared.hashing import below_share, combine, folds, hash_numbers, hash_texts, key_to_seed, mix

SEED = key_to_seed("loan-default")
CHI_SQUARE_99_DF = 200.0  # 99 degrees of freedom: mean 99, standard deviation 14


def uints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def sequential(count: int, seed: np.uint64 = SEED) -> np.ndarray:
    return hash_texts(pa.array([str(number) for number in range(count)]), seed)


# --- values that must never change --------------------------------------------------------------------------------


def test_mix_is_splitmix64():
    expected = [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1, 0x481EC0A212A9F3DB, 0xE4D971771B652C20]
    assert mix(uints(0, 1, 2**63, 2**64 - 1)).tolist() == expected


@pytest.mark.parametrize(
    ("key", "seed"),
    [("", 0xE3B0C44298FC1C14), ("loan-default", 0x7B6CCFF145E8FD44), ("ключ", 0x1DE36A32AF798DA0)],
)
def test_the_seed_of_a_key_is_frozen(key, seed):
    assert key_to_seed(key) == np.uint64(seed)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0x49C00139186AD089),
        ("a", 0x6EF2C8EE6E7279D3),
        ("1", 0x518DFF4435250E11),
        ("Grüße", 0x356237AB321D9BBB),
        ("日本語", 0xC890E013D79F372A),
        (None, 0x092CE975D6AF7A12),
        ("a\0b", 0x3B70F12F6C0031B1),
    ],
)
def test_the_hash_of_a_text_is_frozen(text, value):
    assert hash_texts(pa.array([text], pa.string()), SEED).tolist() == [value]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0.0, 0x49C00139186AD089),
        (-0.0, 0x49C00139186AD089),
        (1.0, 0x9AB0C04A33BE03AF),
        (-1.5, 0x977E6B42FFD3BE9E),
        (1e300, 0xDA2E0C93F9F9812B),
        (None, 0xCE1DB37C20A73C58),
        (float("nan"), 0xCE1DB37C20A73C58),
    ],
)
def test_the_hash_of_a_number_is_frozen(number, value):
    assert hash_numbers(pa.array([number], pa.float64()), SEED).tolist() == [value]


def test_combining_is_frozen_and_minds_the_order_of_the_columns():
    combined = combine([uints(1, 2), uints(2, 1)])
    assert combined.tolist() == [0x3BDD41A9B4FB6D9C, 0x630A35B6F6C0E717]


def test_folds_are_frozen():
    assert folds(uints(*range(10)), 5).tolist() == [0, 4, 1, 4, 1, 4, 1, 4, 2, 4]


# --- arrays as Arrow gives them -----------------------------------------------------------------------------------

TEXTS = ["a", None, "", "Grüße", "a", None, "long " * 50, "日本"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize(("start", "length"), [(0, 8), (1, 7), (3, 2), (8, 0), (5, 1)])
def test_slices_and_other_types_hash_like_plain_arrays(kind, start, length):
    array = pa.array(TEXTS, pa.string()).cast(kind).slice(start, length)
    one_by_one = [hash_texts(pa.array([t], pa.string()), SEED)[0] for t in TEXTS[start : start + length]]
    assert hash_texts(array, SEED).tolist() == one_by_one


def test_small_dictionary_indices_leave_room_for_missing():
    texts = [str(number) for number in range(128)]
    array = pa.DictionaryArray.from_arrays(pa.array([0, None, 127], pa.int8()), texts)
    assert hash_texts(array, SEED).tolist() == hash_texts(pa.array(["0", None, "127"]), SEED).tolist()


def test_a_dictionary_may_hold_a_missing_value_or_nothing():
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["x", None]))
    assert hash_texts(array, SEED).tolist() == hash_texts(pa.array(["x", None, None]), SEED).tolist()
    empty = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int32()), pa.array([], pa.string()))
    assert hash_texts(empty, SEED).tolist() == hash_texts(pa.nulls(2, pa.string()), SEED).tolist()


def test_sliced_numbers_hash_like_plain_ones():
    numbers = [1.0, None, -0.0, 3.5, float("nan")]
    array = pa.array(numbers, pa.float64())
    assert hash_numbers(array.slice(2, 3), SEED).tolist() == hash_numbers(array, SEED)[2:].tolist()


def test_the_input_is_not_changed():
    array = pa.array([1.0, -0.0, None])
    hash_numbers(array, SEED)
    assert str(array.to_pylist()) == "[1.0, -0.0, None]"


@pytest.mark.parametrize(("one", "other"), [("", None), ("0", "0.0"), ("ab", "ba"), ("a", "a "), ("a", "A")])
def test_different_texts_hash_differently(one, other):
    first, second = hash_texts(pa.array([one, other], pa.string()), SEED)
    assert first != second


# --- chance -------------------------------------------------------------------------------------------------------


def chi_square(cells: np.ndarray, count: int) -> float:
    observed = np.bincount(cells, minlength=count)
    expected = len(cells) / count
    return float(((observed - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("key", ["loan-default", "", "other"])
def test_sequential_ids_spread_evenly(key):
    hashes = sequential(100_000, key_to_seed(key))
    assert len(np.unique(hashes)) == 100_000
    assert chi_square((hashes >> np.uint64(32)) * 100 >> np.uint64(32), 100) < CHI_SQUARE_99_DF
    assert chi_square((hashes % np.uint64(100)).astype(int), 100) < CHI_SQUARE_99_DF


def test_sequential_numbers_spread_evenly():
    hashes = combine([hash_numbers(pa.array(np.arange(100_000.0)), SEED)])
    assert chi_square((hashes >> np.uint64(32)) * 100 >> np.uint64(32), 100) < CHI_SQUARE_99_DF


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.999])
def test_the_share_below_is_the_share_asked_for(share):
    taken = below_share(sequential(100_000), share).mean()
    assert abs(taken - share) < 4 * np.sqrt(share * (1 - share) / 100_000)


def test_the_largest_share_does_not_overflow():
    assert below_share(uints(0, 2**63), np.nextafter(1.0, 0.0)).all()


def test_a_larger_share_keeps_the_smaller_ones_rows():
    hashes = sequential(1000)
    assert (below_share(hashes, 0.3) >= below_share(hashes, 0.2)).all()


def test_another_key_gives_an_unrelated_split():
    one, other = (below_share(sequential(100_000, key_to_seed(key)), 0.2) for key in ("a", "b"))
    both = (one & other).mean()
    assert abs(both - 0.04) < 4 * np.sqrt(0.04 * 0.96 / 100_000)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_folds_are_balanced_among_the_train_rows_too(count):
    hashes = sequential(100_000)
    train = folds(hashes[~below_share(hashes, 0.2)], count)
    assert train.min() == 0
    assert train.max() == count - 1
    assert chi_square(train, count) < count + 4 * np.sqrt(2 * count)


def test_rows_of_one_hash_share_a_fold():
    hashes = np.repeat(sequential(50), 3)
    assert (folds(hashes, 5).reshape(50, 3) == folds(hashes[::3], 5)[:, None]).all()
