"""Everyday texts in English and Chinese that are hardly ever what a company's intents are about. They show a new model
what "none of these" looks like before the tenant has given examples of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files

from plugins.intents.texts import normalised, word_grams, words

LIKENESS = 0.3  # share of words and pairs in common from which a text may well be what an intent is about


@cache
def everyday() -> tuple[str, ...]:
    return tuple(files(__package__).joinpath("elsewhere.txt").read_text("utf-8").split("\n")[:-1])


def outside(examples: Iterable[str]) -> list[str]:
    """Those that are unlike every example: a tenant may well have an intent about the weather."""
    known = [_grams(example) for example in examples]
    return [text for text in everyday() if not _like(_grams(text), known)]


def _like(grams: frozenset[str], known: Collection[frozenset[str]]) -> bool:
    return any(len(grams & other) >= LIKENESS * len(grams | other) for other in known)


def _grams(text: str) -> frozenset[str]:
    return frozenset(word_grams(words(normalised(text))))
