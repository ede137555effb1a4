"""Arrow texts, looked at by their first and last bytes alone: nearly all of them need no closer look."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scripts.shared.arrays import nulls

_BYTES = np.arange(256)
# ASCII's white space, and whatever begins or continues a character beyond ASCII, which may be white space, too.
_PERHAPS_SPACE = np.isin(_BYTES, list(b" \t\n\v\f\r\x1c\x1d\x1e\x1f")) | (_BYTES >= 0x80)


def trimmed(texts: pa.Array) -> pa.Array:
    """Return a string array without white space around its texts; the array itself where there is none."""
    first, last = _ends(texts)
    perhaps = _PERHAPS_SPACE[first] | _PERHAPS_SPACE[last]
    return pc.utf8_trim_whitespace(texts) if perhaps.any() else texts


def perhaps_one_of(texts: pa.Array, folded: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return which texts (shape (rows,)) may be one of some casefolded ones, white space and case aside.

    By the first byte: case folding goes letter by letter, and makes of an ASCII letter its small one. Empty and missing
    texts count as perhaps.
    """
    firsts = {text.encode()[0] for text in folded if text}
    either = [byte for byte in range(0x80) if bytes([byte]).lower()[0] in firsts]
    table = _PERHAPS_SPACE | np.isin(_BYTES, either)
    table[0] = True
    return np.asarray(table[_ends(texts)[0]])


def _ends(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the first and the last byte of each text (shape (rows,)), 0 where it is empty or missing."""
    _, offset_buffer, data_buffer = texts.buffers()
    if not len(texts) or data_buffer is None or not data_buffer.size:
        nothing = np.zeros(len(texts), np.uint8)
        return nothing, nothing
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8)
    starts, ends = offsets[:-1], offsets[1:]
    # An empty text at the very end starts beyond the data.
    first, last = data.take(starts, mode="clip"), data.take(ends - 1, mode="clip")
    empty = starts == ends
    if texts.null_count:
        empty |= nulls(texts)
    if empty.any():
        first[empty] = last[empty] = 0
    return first, last
