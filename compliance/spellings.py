"""The ways to write a word that a list's switches see through, as views that find them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from compliance.characters import OF_CHARACTERS, SPACE, Characters, characters, in_word
from compliance.letters import LettersView
from compliance.readings import without_loose_spaces
from compliance.sounds import sounds, spoken
from compliance.syllables import Spoken, SyllablesView

_HAN: Final = re.compile("[\u3400-\u9fff]+")
_JOINED: Final = 6  # a term of several words is also seen written as one word if it has so many letters
_FEWEST_INITIALS: Final = 3
_VARIANTS: Final = 3  # where a Latin letter stands before a Chinese one, a space may be between: so many such places


View = LettersView | SyllablesView


def views_of(words: Sequence[str], first: int, switches: frozenset[str], *, together: bool) -> Iterator[View]:
    """All views of the words that the switches ask for. The words' numbers count from `first`."""
    yield from letter_views(words, first, switches, together=together)
    yield from sound_views(words, first, switches)


def letter_views(
    words: Sequence[str], first: int, switches: frozenset[str], *, together: bool
) -> Iterator[LettersView]:
    """Views of the words as letters."""
    usual = switches & OF_CHARACTERS - {"lookalikes"}
    repeats = "repeats" in switches
    numbered = list(enumerate(words, first))
    named: list[tuple[str, int]] = []
    if "initials" in switches:
        named = [(letters, number) for number, word in numbered if (letters := _initials(word))]
    yield from _views(numbered, named, characters(usual), repeats, together)
    if "lookalikes" in switches:
        likely = [(number, word) for number, word in numbered if any(map(_has_likes, word))]
        yield from _views(likely, [], characters(usual | {"lookalikes"}), repeats, together)


def _initials(word: str) -> str:
    """The first letters of a Chinese word's syllables; of short words none."""
    syllables = spoken(word)
    return "".join(each[0] for each in syllables) if len(syllables) >= _FEWEST_INITIALS else ""


def sound_views(words: Sequence[str], first: int, switches: frozenset[str]) -> Iterator[SyllablesView]:
    """Views of the Chinese words of two characters or more as they sound."""
    if not switches & {"pinyin", "homophones"}:
        return
    reads = sounds(switches & (OF_CHARACTERS | {"pinyin", "homophones"}))
    listed = []
    for number, word in enumerate(words, first):
        characters = "".join(reads.traditional.get(each, each) for each in word if each != SPACE)
        said = spoken(characters)
        if len(said) > 1:
            listed.append(Spoken(characters, said, number))
    if listed:
        yield SyllablesView(listed, reads)


def _has_likes(letter: str) -> bool:
    return in_word(letter) and not letter.isdecimal()


def _views(
    words: Sequence[tuple[int, str]], named: list[tuple[str, int]], reads: Characters, repeats: bool, together: bool
) -> Iterator[LettersView]:
    """A word with symbols of its own is found as it is written: `c++` is no `c`. `named`: other names, all letters."""
    texts = [word for _, word in words]
    spelled, symbolic = named, []
    if not reads.symbols:
        spelled += [(each, number) for (number, _), each in zip(words, reads.read_lines(texts), strict=True) if each]
    else:
        plain = characters(reads.switches - {"symbols"})
        for (number, _), each, signs in zip(words, reads.read_lines(texts), plain.read_lines(texts), strict=True):
            if len(each) == len(signs) and each and each[0] != SPACE and each[-1] != SPACE:
                spelled += [(way, number) for way in written(each)]
            elif signs:
                symbolic.append((signs, number))
        if symbolic:
            yield LettersView(symbolic, plain, False, together)
    if spelled:
        yield LettersView(spelled, reads, repeats, together)


def written(letters: str) -> list[str]:
    """How the letters of a word may stand beside each other when symbols are taken away and spaces are not.

    Spaces part the letters of scripts with spaces: between those there is none, or one after every letter."""
    if _HAN.fullmatch(letters):
        return [letters]
    base = without_loose_spaces(letters)
    ways = [base]
    if SPACE in base and len(joined := base.replace(SPACE, "")) >= _JOINED:
        ways.append(joined)
    spaced = "".join(
        letter + SPACE if in_word(letter) and in_word(following) else letter
        for letter, following in zip(base, [*base[1:], ""], strict=True)
        if following or letter
    )
    if spaced != base:
        ways.append(spaced)
    for _ in range(_VARIANTS):
        more = [way[: place + 1] + SPACE + way[place + 1 :] for way in ways for place in _before_unspaced(way)]
        fresh = [way for way in dict.fromkeys(more) if way not in ways]
        if not fresh:
            break
        ways += fresh
    return list(dict.fromkeys(ways))


def _before_unspaced(way: str) -> Iterator[int]:
    """Where a letter with edges stands right before one without."""
    for place in range(len(way) - 1):
        if in_word(way[place]) and way[place + 1] != SPACE and not in_word(way[place + 1]):
            yield place
