"""The word vectors: what of a text is read, and how much work and memory a hostile one costs."""

import random
import string

import numpy as np
import pytest

from plugins.intents import vectors
from plugins.intents.vectors import LONGEST_WORD, MOST_WORDS, SPACE, WordVectors, word_vectors


@pytest.fixture
def few():
    """Two words and a merge."""
    matrix = np.array([[3, 4], [0, 1], [1, 0]], np.float16)
    ranks = {("a", "b"): 1, (SPACE, "ab"): 2, ("b", "c"): 0}
    return WordVectors(matrix, {f"{SPACE}ab": 0, "bc": 1, SPACE: 2}, ranks)


def test_it_merges_what_was_merged_first_in_training(few):
    assert few._pieces(f"{SPACE}ab") == [f"{SPACE}ab"]
    assert few._pieces(f"{SPACE}abc") == [SPACE, "a", "bc"]  # b and c come before a and b
    assert few.of(["ab"]).tolist() == pytest.approx([0.6, 0.8])
    assert few.of(["?"]).tolist() == [1, 0]
    assert few.of([]).tolist() == [0, 0]


def test_it_reads_so_much_and_no_more(few):
    assert few.of(["ab"] * MOST_WORDS + ["?"] * 300).tolist() == few.of(["ab"]).tolist()
    asked = []
    few._pieces = lambda word: asked.append(word) or []
    few.of(["x" * 400])
    assert [len(word) for word in asked] == [len(SPACE) + LONGEST_WORD]


def test_words_that_nobody_says_fill_no_memory(few, monkeypatch):
    monkeypatch.setattr(vectors, "MOST_REMEMBERED", 10)
    dice = random.Random(3)
    for _ in range(100):
        few.of(["".join(dice.choices(string.ascii_lowercase, k=400))])
    assert len(few._known) == 10
    assert all(len(word) <= LONGEST_WORD and isinstance(rows, tuple) for word, rows in few._known.items())


def test_the_package_speaks_of_meaning():
    found = word_vectors()
    if found is None:
        pytest.skip("the word vectors are not installed")
    refund, money, giraffe = (found.of(text.split()) for text in ("refund my order", "money back", "a tall giraffe"))
    assert float(refund @ money) > float(refund @ giraffe)
