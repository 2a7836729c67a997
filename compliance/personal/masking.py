"""Masks the personal data of one call: every text a model would read of it, with the same value always the same
placeholder."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from compliance.personal.placeholders import keys_in, placeholder
from compliance.personal.scanning import EMAIL, LABELS, Found, Scanner, folded, without

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
        self._joined: dict[int, str] = {}  # by their ids: a text that reads the same may be somebody's

    @property
    def clashes(self) -> bool:
        return not self.typed.isdisjoint(self.values)

    def whole(self, text: str) -> str:
        if self._joined.get(id(text)) is text:  # its placeholders are our own
            return text
        self.typed |= keys_in(text)
        return self._rest(text)

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
        starts, ends = [found.start for found in across], [found.end for found in across]
        rewritten = []
        for text, (start, end) in zip(texts, pairwise(edges), strict=True):
            here = across[bisect_right(ends, start) : bisect_left(starts, end)]
            rewritten.append(self._seamed(text, start, here, whole) if here else text)
        return rewritten

    def _seamed(self, text: str, begins: int, across: Sequence[Found], whole: str) -> str:
        """A text that begins there in the whole, with the values across its seams."""
        self.typed |= keys_in(text)
        parts = {
            Found(max(found.start - begins, 0), min(found.end - begins, len(text)), found.name): found
            for found in across
        }
        pieces: list[str] = []
        done = 0
        for found in sorted((*parts, *self._scanner.find(without(text, parts)))):
            value = parts.get(found)
            pieces.append(text[done : found.start])
            if value is None:
                pieces.append(self._given_for(found.name, text[found.start : found.end]))
            elif value.start >= begins:
                pieces.append(self._given_for(value.name, whole[value.start : value.end]))
            done = found.end
        pieces.append(text[done:])
        masked = self._rest("".join(pieces))
        self._joined[id(masked)] = masked
        return masked

    def _rest(self, text: str) -> str:
        """Read again until nothing is found: what is masked parts what was too long to be a value. A placeholder is
        none."""
        while found := self._scanner.find(text):
            text = self._masked(text, found)
        return text

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
        plain = folded(value).lower()  # `ß` stays another letter than `ss`
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
    return edges[bisect_right(edges, found.start)] < found.end
