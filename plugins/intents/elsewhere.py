"""Everyday texts in English and Chinese that are hardly ever what a company's intents are about. They show a new model
what "none of these" looks like before the tenant has given examples of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from plugins.intents.texts import normalised, word_grams, words

LIKENESS = 0.3  # share of words and pairs in common from which a text may well be what an intent is about


@cache
def everyday() -> tuple[str, ...]:
    return tuple(files(__package__).joinpath("elsewhere.txt").read_text("utf-8").split("\n")[:-1])


def outside(examples: Iterable[str]) -> list[str]:
    """Those that are unlike every example: a tenant may well have an intent about the weather."""
    texts = everyday()
    sizes, holding = _known()
    like: set[int] = set()
    for example in examples:
        grams = _grams(example)
        common = Counter(place for gram in grams for place in holding.get(gram, ()))
        for place, count in common.items():
            if count >= LIKENESS * (sizes[place] + len(grams) - count):
                like.add(place)
    return [text for place, text in enumerate(texts) if place not in like]


@cache
def _known() -> tuple[list[int], dict[str, list[int]]]:
    """How many words and pairs each has, and by word or pair which have it: a tenant may have 50,000 examples."""
    sizes: list[int] = []
    holding: dict[str, list[int]] = {}
    for place, text in enumerate(everyday()):
        grams = _grams(text)
        sizes.append(len(grams))
        for gram in grams:
            holding.setdefault(gram, []).append(place)
    return sizes, holding


def _grams(text: str) -> frozenset[str]:
    return frozenset(word_grams(words(normalised(text))))
