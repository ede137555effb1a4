"""Looking at texts by their ends: never another answer than looking at all of each."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scripts.shared.texts import perhaps_one_of, trimmed

TEXTS = ["a", "", " a", "a ", "\ta", "a\u00a0", "\u2003a", "é", "É", "NA", "na", " Na", "x" * 40, "ﬁ", "\x1fa", None]


@pytest.mark.parametrize("start", range(len(TEXTS)))
def test_trimmed_as_arrow_trims(start):
    for values in (pa.array(TEXTS, pa.string()).slice(start), pa.array(TEXTS[start : start + 1], pa.string())):
        assert trimmed(values).equals(pc.utf8_trim_whitespace(values))


def test_what_needs_no_trimming_is_the_same_array():
    values = pa.array(["1001", "b c"])
    assert trimmed(values) is values


@pytest.mark.parametrize("folded", [["na"], ["-9", ""], ["é"], ["fi"], []])
def test_no_text_that_is_one_of_them_is_passed_over(folded):
    found = perhaps_one_of(pa.array(TEXTS, pa.string()), folded)
    for text, perhaps in zip(TEXTS, found, strict=True):
        assert perhaps or (text is not None and text.strip().casefold() not in {*folded, ""})


def test_other_first_letters_need_no_closer_look():
    assert perhaps_one_of(pa.array(["1001", "n1", "NA", "é", None, ""]), ["na"]).tolist() == [False, *[True] * 5]
