"""Texts that are kept as one."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.packed import SortedTexts, Texts

TEXTS = st.lists(st.text(st.sampled_from("ab \n坏ÿ𝓫\x00"), max_size=4), max_size=60)


@given(texts=TEXTS)
def test_they_are_what_was_put_in(texts):
    without = sorted(text for text in texts if "\0" not in text)
    for packed, given_ in ((Texts(texts), texts), (SortedTexts(without), without)):
        assert len(packed) == len(given_)
        assert list(packed) == given_
        assert [packed[place] for place in range(-len(given_), len(given_))] == given_ + given_
        assert packed[1:-1] == given_[1:-1]


@pytest.mark.parametrize("kind", [Texts, SortedTexts])
@pytest.mark.parametrize("index", [2, -3])
def test_there_are_no_others(kind, index):
    with pytest.raises(IndexError):
        kind(["a", "b"])[index]
    with pytest.raises(IndexError):
        kind()[index]


@given(texts=TEXTS, asked=st.text(st.sampled_from("ab 坏ÿ𝓫"), min_size=1, max_size=3))
def test_a_search_finds_the_first_that_begins_so(texts, asked):
    texts = sorted({text for text in texts if "\0" not in text})
    first = next(((place, text) for place, text in enumerate(texts) if text.startswith(asked)), None)
    assert SortedTexts(texts).beginning(asked) == first


def test_a_search_finds_the_first_of_a_later_block():
    texts = [f"{number:03}" for number in range(100)]
    assert [SortedTexts(texts).beginning(text) for text in texts] == list(enumerate(texts))
    assert SortedTexts(texts).beginning("05") == (50, "050")
    assert SortedTexts(texts).beginning("1") is None


def test_what_stands_between_the_texts_is_in_none():
    with pytest.raises(ValueError, match="NUL"):
        SortedTexts(["a\0b"])


def test_they_take_little_memory():
    texts = [f"word {number}" for number in range(10_000)]
    packed, many = Texts(texts), SortedTexts(sorted(texts))
    plain = sum(map(sys.getsizeof, (texts, *texts)))
    assert sum(map(sys.getsizeof, (packed._joined, packed._ends))) < plain / 3
    assert sum(map(sys.getsizeof, (many._blocks, *many._blocks, many._firsts, *many._firsts))) < plain / 2
