"""Finds personal data in a text: one pass over its numbers and its `@`, in linear time whatever the text is.

Texts without digits and `@` cost two searches. Digits are looked at in spans of groups with single separators; spans
with too few digits to be anything are passed over, and only where a group begins are patterns tried."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from compliance.personal.contacts import PHONES, addresses
from compliance.personal.identities import IDENTITIES
from compliance.personal.payments import PAYMENTS
from compliance.personal.recogniser import Recogniser

RECOGNISERS: Final[tuple[Recogniser, ...]] = (*IDENTITIES, *PAYMENTS, *PHONES)
EMAIL: Final = "email"
NAMES: Final = (EMAIL, *dict.fromkeys(each.name for each in (*PHONES, *PAYMENTS, *IDENTITIES)))
LABELS: Final = {EMAIL: "EMAIL", **{each.name: each.label for each in RECOGNISERS}}

_WIDE: Final = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_NARROW: Final = {
    **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\uff0d", "-"),
    **dict(zip("\uff08\uff09\uff0b\uff20\uff0e", "()+@.", strict=True)),
}
_IS_WIDE: Final = re.compile("[０-９Ａ-Ｚａ-ｚ]")
_TO_FOLD: Final = re.compile(f"[{''.join(_NARROW)}０-９Ａ-Ｚａ-ｚ]")
_SPAN: Final = re.compile(r"[0-9][0-9]*(?:[ .()/-]{1,2}[0-9]+)*")  # begins so that `re` can skip to it
_GROUP: Final = re.compile(r"[0-9]+")
_UUID: Final = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_UUID_SIZE: Final = 36
_GONE: Final = "\0"
_SHORTEST: Final = 7  # digits and separators of the shortest number
_MOST_LETTERS: Final = 6  # in front of a number's first digit


class Found(NamedTuple):
    start: int
    end: int
    name: str


class Scanner:
    """The recognisers of the given names. Immutable."""

    __slots__ = ("_email", "_lettered", "_numbers", "_phones", "_plain")

    def __init__(self, names: Iterable[str]) -> None:
        wanted = frozenset(names)
        self._email = EMAIL in wanted
        self._plain = _Patterns(each for each in RECOGNISERS if each.name in wanted and not each.letters)
        self._lettered = _Patterns(each for each in RECOGNISERS if each.name in wanted and each.letters)
        self._phones = _Patterns(each for each in PHONES if each.name in wanted)
        self._numbers = bool(self._plain or self._lettered)

    def find(self, text: str) -> list[Found]:
        """In the order they come in, none overlapping. Offsets are the text's own."""
        plain = text if text.isascii() else folded(text)
        found = [Found(start, end, EMAIL) for start, end in addresses(plain)] if self._email and "@" in plain else []
        if not self._numbers:
            return found
        mails = bool(found)
        if mails:
            plain = without(plain, found)
        done = 0
        for span in _SPAN.finditer(plain):
            start, end = span.span()
            if end > done and (end - start >= _SHORTEST or (start and _is_letter(plain[start - 1]))):
                done = self._find_numbers(plain, max(start, done), end, found, done)
        return sorted(found) if mails else found

    def _find_numbers(self, plain: str, start: int, end: int, found: list[Found], done: int) -> int:
        """Where the last number ends, which may be behind the span: some go on with letters."""
        for group in _GROUP.finditer(plain, start, end):
            place = group.start()
            if place < done:
                continue
            hit = self._at(plain, place)
            if hit is not None and not _in_uuid(plain, hit):
                found.append(hit)
                done = hit.end
        return done

    def _at(self, plain: str, place: int) -> Found | None:
        before = plain[place - 1] if place else ""
        if _is_letter(before):
            return self._after_letters(plain, place)
        hit = self._phone(plain, place, before) if self._phones and before and before in "+(" else None
        if hit is None and before != "+":
            hit = self._plain.match(plain, place)
        if hit is None and self._lettered and before and before in " -" and place > 1 and _is_letter(plain[place - 2]):
            hit = self._after_letters(plain, place - 1)
        return hit

    def _after_letters(self, plain: str, end: int) -> Found | None:
        """A number that begins with the letters which end there."""
        start = end
        while start and end - start <= _MOST_LETTERS and _is_letter(plain[start - 1]):
            start -= 1
        if end - start > _MOST_LETTERS or (start and plain[start - 1].isdecimal()):
            return None
        return self._lettered.match(plain, start)

    def _phone(self, plain: str, place: int, before: str) -> Found | None:
        """With the plus or bracket it begins with."""
        start = place - (2 if before == "+" and place > 1 and plain[place - 2] == "(" else 1)
        hit = self._phones.match(plain, start)
        if hit is not None and plain[start] == "(" and ")" not in plain[start : hit.end]:
            return hit._replace(start=start + 1)
        return hit


class _Patterns:
    """Some recognisers' patterns: one match says that none of them fits. Of those that do the longest counts."""

    __slots__ = ("_any", "_each")

    def __init__(self, recognisers: Iterable[Recogniser]) -> None:
        self._each = [(each.compiled(), each) for each in recognisers]
        self._any = re.compile("|".join(pattern.pattern for pattern, _ in self._each)) if self._each else None

    def __bool__(self) -> bool:
        return self._any is not None

    def match(self, plain: str, start: int) -> Found | None:
        if self._any is None or self._any.match(plain, start) is None:
            return None
        best: Found | None = None
        for pattern, recogniser in self._each:
            match = pattern.match(plain, start)
            if match is not None and (best is None or match.end() > best.end) and recogniser.accepts(match[0]):
                best = Found(start, match.end(), recogniser.name)
        return best


def without(text: str, found: Iterable[Found]) -> str:
    """The text as long as it is, with nothing where these are."""
    pieces: list[str] = []
    done = 0
    for each in found:
        pieces += (text[done : each.start], _GONE * (each.end - each.start))
        done = each.end
    return "".join((*pieces, text[done:]))


def folded(text: str) -> str:
    """The text with full-width letters, digits and signs, and other spaces and dashes, as their ASCII ones; as long."""
    if _TO_FOLD.search(text) is None:
        return text
    for sign, plain in _NARROW.items():
        if sign in text:
            text = text.replace(sign, plain)
    return text.translate(_WIDE) if _IS_WIDE.search(text) is not None else text


def _is_letter(sign: str) -> bool:
    return sign.isascii() and sign.isalpha()


def _in_uuid(plain: str, hit: Found) -> bool:
    """Whether it is a part of a UUID, whose groups of digits look like numbers of all kinds."""
    if plain[hit.start - 1 : hit.start] != "-" and plain[hit.end : hit.end + 1] != "-":
        return False
    around = _UUID.finditer(plain, max(0, hit.start - _UUID_SIZE), hit.end + _UUID_SIZE)
    return any(uuid.start() < hit.end and hit.start < uuid.end() for uuid in around)
