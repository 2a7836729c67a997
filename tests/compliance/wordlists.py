"""Guards over given words, without a database, and plain definitions of a hit and of hold-back."""

from __future__ import annotations

from compliance.guard import GuardTable, TenantWords, WordGuard
from compliance.normalising import normalise
from compliance.words import Rule, WordMatcher, in_word
from engine.snapshots import Cell
from tests.cast import ACME

NO_SWITCHES: frozenset[str] = frozenset()


def matcher(
    switches: frozenset[str] = NO_SWITCHES, exceptions: list[str] | tuple[str, ...] = (), **words_by_action: list[str]
) -> WordMatcher:
    """`matcher(block=["bad"], mask=["ugly"])`: one list an action, named after it."""
    lists = [(Rule(action, 1, action), words, switches) for action, words in words_by_action.items() if words]
    return WordMatcher(lists, exceptions)


def guard(
    switches: frozenset[str] = NO_SWITCHES, exceptions: list[str] | tuple[str, ...] = (), **words_by_action: list[str]
) -> WordGuard:
    return guard_of(matcher(switches, exceptions, **words_by_action))


def guard_of(words: WordMatcher) -> WordGuard:
    return WordGuard(Cell(GuardTable(tenants={ACME.id: TenantWords(lists=(), input=words, output=words)})))


def starts_word(normal: str, start: int) -> bool:
    return not (start and in_word(normal[start - 1]) and in_word(normal[start]))


def plain_hits(normal: str, words: list[str]) -> set[tuple[int, int, str]]:
    """Every (start, end, word) in the text, by looking everywhere; without switches."""
    return {
        (start, end, word)
        for word in {normalise(word)[0] for word in words}
        for start in range(len(normal))
        if normal.startswith(word, start) and starts_word(normal, start)
        for end in (start + len(word),)
        if not (end < len(normal) and in_word(normal[end - 1]) and in_word(normal[end]))
    }
