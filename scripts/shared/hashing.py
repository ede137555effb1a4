"""The keyed hash that decides the split. It is our own, so that no library's new version moves a row.

64-bit FNV-1a over bytes (Fowler, Noll, Vo) and the finaliser of splitmix64 (Steele, Lea, Flood 2014,
doi:10.1145/2714064.2660195), vectorised with NumPy. The key goes in first, so that another key gives an unrelated
split. tests/unit/test_hashing.py holds values that must never change.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scripts.shared.arrays import nulls, to_numbers

Hashes = npt.NDArray[np.uint64]

_FNV_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 16_384  # texts at a time: what is computed on the way stays near the processor
_MISSING = np.uint64(0x6D697373696E6721)  # what a missing value hashes as


def mix(values: Hashes) -> Hashes:
    """Return splitmix64's finaliser of each value: every input bit changes about half of the output bits."""
    with np.errstate(over="ignore"):
        x = values + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)


def key_to_seed(key: str) -> np.uint64:
    """Return the 64-bit seed of a key: the first eight bytes of its SHA-256."""
    return np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))


def hash_texts(texts: pa.Array, seed: np.uint64) -> Hashes:
    """Return the hashes (shape (rows,)) of a string array's UTF-8 bytes; missing texts hash alike."""
    if pa.types.is_dictionary(texts.type):
        hashes = np.append(hash_texts(texts.dictionary, seed), mix(np.array([seed ^ _MISSING])))
        indices = np.where(nulls(texts.indices), len(texts.dictionary), to_numbers(texts.indices.cast(pa.int64())))
        return np.asarray(hashes[indices])
    texts = texts.cast(pa.large_binary())
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
    hashes = np.full(len(texts), mix(np.array([seed]))[0], dtype=np.uint64)
    for start in range(0, len(texts), _BLOCK):
        rows = slice(start, start + _BLOCK)
        _hash_block(data, offsets[start : start + _BLOCK + 1], hashes[rows])
        hashes[rows] = mix(hashes[rows])
    if texts.null_count:
        hashes[nulls(texts)] = mix(np.array([seed ^ _MISSING]))[0]
    return hashes


def _hash_block(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], hashes: Hashes) -> None:
    """Take the bytes of some texts into their hashes (shape (rows,)), one place of all texts at a time."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    with np.errstate(over="ignore"):
        if (lengths == lengths[0]).all():  # as ids mostly are: a byte of each stands in a column
            table = data[offsets[0] : offsets[-1]].reshape(len(lengths), lengths[0])
            for column in table.T:
                hashes ^= column
                hashes *= _FNV_PRIME
            return
        active, position = np.flatnonzero(lengths > 0), 0
        while len(active):
            hashes[active] = (hashes[active] ^ data[starts[active] + position]) * _FNV_PRIME
            position += 1
            active = active[lengths[active] > position]


def hash_numbers(numbers: pa.Array, seed: np.uint64) -> Hashes:
    """Return the hashes (shape (rows,)) of a float64 array; 0 and -0 hash alike, and so do missing values."""
    values = to_numbers(numbers) + 0.0
    bits = values.view(np.uint64).copy()
    bits[np.isnan(values)] = _MISSING
    return mix(bits ^ mix(np.array([seed]))[0])


def combine(columns: list[Hashes]) -> Hashes:
    """Return one hash per row from the hashes of its columns, in their order."""
    combined = np.zeros(len(columns[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            combined = mix(combined * _FNV_PRIME ^ column)
    return combined


def below_share(hashes: Hashes, share: float) -> npt.NDArray[np.bool_]:
    """Return which hashes fall into the lowest `share` of all 64-bit values."""
    return hashes < np.uint64(int(share * 2**64))


def sample(hashes: Hashes, share: float) -> npt.NDArray[np.bool_]:
    """Return which rows belong to a sample; a larger share's sample has all of a smaller one's.

    The hash is mixed anew: it has decided the split and the folds already.
    """
    return below_share(mix(~hashes), share) if share < 1 else np.ones(len(hashes), dtype=bool)


def folds(hashes: Hashes, count: int) -> npt.NDArray[np.int64]:
    """Return the fold (0 to count - 1) of each row; rows of one hash share a fold.

    The hash is mixed once more: its high bits have decided the split already.
    """
    return (mix(hashes ^ _GOLDEN) % np.uint64(count)).astype(np.int64)
