"""Masks the personal data of one call: every text a model would read of it, with the same value always the same
placeholder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from compliance.personal.placeholders import keys_in, placeholder
from compliance.personal.scanning import EMAIL, LABELS, Found, Scanner, folded

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL)
_SEPARATORS: Final = str.maketrans("", "", " -./()")
_NO_JSON: Final = (ValueError, RecursionError)


class Masker:
    """A `compliance.texts.Reader` over all texts of a call. Values are numbered by kind as they come; `reserved` are
    keys that are not given away.

    `values` has each key's value, as it was first written. `typed` are keys of placeholders that stood in the texts
    before: where one of them was given away too (`clashes`) all must be masked anew with those reserved, since in an
    answer nobody could tell the two apart."""

    __slots__ = ("_given", "_joined", "_numbers", "_reserved", "_scanner", "counts", "typed", "values")

    def __init__(self, scanner: Scanner, reserved: frozenset[str] = frozenset()) -> None:
        self.values: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.typed: set[str] = set()
        self._scanner = scanner
        self._reserved = reserved
        self._given: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()
        self._joined: list[str] = []

    @property
    def clashes(self) -> bool:
        return not self.typed.isdisjoint(self.values)

    def whole(self, text: str) -> str:
        if any(text is joined for joined in self._joined):  # its placeholders are our own
            return text
        self.typed |= keys_in(text)
        found = self._scanner.find(text)
        return self._masked(text, found) if found else text

    def arguments(self, text: str) -> str:
        """JSON stays JSON: it is read token by token, its escapes resolved. A number that is masked becomes a string,
        since a placeholder is none. What is no JSON is read as text."""
        try:
            json.loads(text)
        except _NO_JSON:
            return self.whole(text)
        return _TOKEN.sub(self._token, text)

    def _token(self, match: re.Match[str]) -> str:
        token = match[0]
        if token[0] != '"':
            masked = self.whole(token)
            return token if masked == token else json.dumps(masked)
        value: str = json.loads(token, strict=False)
        masked = self.arguments(value) if value[:1] in ("{", "[") else self.whole(value)
        return token if masked == value else _quoted(masked)

    def joined(self, texts: Sequence[str]) -> list[str]:
        """What lies across the seam of two texts stands in the first of them and goes from the others. Texts without
        such are left to `whole`."""
        edges = list(accumulate(map(len, texts), initial=0))
        whole = "".join(texts)
        across = [found for found in self._scanner.find(whole) if _crosses(found, edges)]
        if not across:
            return list(texts)
        rewritten = []
        for text, (start, end) in zip(texts, pairwise(edges), strict=True):
            inside = [Found(max(each.start, start), min(each.end, end), each.name) for each in across
                      if each.start < end and each.end > start]  # fmt: skip
            if not inside:
                rewritten.append(text)
                continue
            self.typed |= keys_in(text)
            own = [
                found._replace(start=found.start + start, end=found.end + start) for found in self._scanner.find(text)
            ]
            own = [found for found in own if not any(_overlap(found, each) for each in inside)]
            masked = self._across(whole, start, end, sorted([*own, *inside]), across)
            self._joined.append(masked)
            rewritten.append(masked)
        return rewritten

    def _across(self, whole: str, start: int, end: int, found: list[Found], across: list[Found]) -> str:
        pieces: list[str] = []
        done = start
        for each in found:
            pieces.append(whole[done : each.start])
            value = next((value for value in across if _overlap(value, each)), each)
            if value.start == each.start:
                pieces.append(self._given_for(each.name, whole[value.start : value.end]))
            done = each.end
        pieces.append(whole[done:end])
        return "".join(pieces)

    def _masked(self, text: str, found: Sequence[Found]) -> str:
        pieces: list[str] = []
        done = 0
        for each in found:
            pieces += (text[done : each.start], self._given_for(each.name, text[each.start : each.end]))
            done = each.end
        pieces.append(text[done:])
        return "".join(pieces)

    def _given_for(self, name: str, value: str) -> str:
        """Two ways to write one value are the same: letter case, full width, separators."""
        label = LABELS[name]
        plain = folded(value).upper()
        same = (label, plain if name == EMAIL else plain.translate(_SEPARATORS))
        key = self._given.get(same)
        if key is None:
            key = self._given[same] = self._next(label)
            self.values[key] = value
            self.counts[name] += 1
        return placeholder(key)

    def _next(self, label: str) -> str:
        while True:
            self._numbers[label] += 1
            key = f"{label}_{self._numbers[label]}"
            if key not in self._reserved:
                return key


def _quoted(text: str) -> str:
    """As a JSON string; escaped throughout only where a surrogate without its other half could not be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)


def _crosses(found: Found, edges: Sequence[int]) -> bool:
    return any(found.start < edge < found.end for edge in edges)


def _overlap(one: Found, other: Found) -> bool:
    return one.start < other.end and other.start < one.end
