"""Texts that are kept as one."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.packed import Texts


@given(texts=st.lists(st.text(st.sampled_from("ab \n坏ÿ𝓫\x00"), max_size=4), max_size=60))
def test_they_are_what_was_put_in(texts):
    packed = Texts(texts)
    assert len(packed) == len(texts)
    assert list(packed) == texts
    assert [packed[place] for place in range(-len(texts), len(texts))] == texts + texts
    assert packed[1:-1] == texts[1:-1]


@pytest.mark.parametrize("index", [2, -3])
def test_there_are_no_others(index):
    with pytest.raises(IndexError):
        Texts(["a", "b"])[index]
    with pytest.raises(IndexError):
        Texts()[index]


def test_they_take_little_memory():
    texts = [f"word {number}" for number in range(10_000)]
    packed = Texts(texts)
    plain = sum(map(sys.getsizeof, (texts, *texts)))
    assert sum(map(sys.getsizeof, (packed._joined, packed._ends))) < plain / 3
