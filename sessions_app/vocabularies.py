"""The published vocabularies of OpenAI's models, out of a wheel (`rs-bpe`): no network at run time.

Loading one takes 20 to 50 ms and 35 to 65 MB, so that is done when the first conversation comes near its window, beside
the event loop. Counting takes about 50 µs a KiB, also for texts made to be slow (the time is linear)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from rs_bpe.bpe import openai

PIECE: Final = 16_384  # characters counted at a time: the interpreter's lock is held meanwhile


EMBEDDINGS: Final = "cl100k_base"  # what OpenAI's models for embeddings read
ORDINARY: Final = {EMBEDDINGS: 100_256}  # so many tokens stand for text; beyond them `decode` is not safe to ask
TORN: Final = 3  # tokens at either end that a sign may have been cut through
UNREADABLE: Final = "\N{REPLACEMENT CHARACTER}"


class Vocabulary(Protocol):
    def count(self, text: str) -> int: ...

    def decode(self, tokens: list[int]) -> str | None: ...


LOADERS: Final[dict[str, Callable[[], Vocabulary]]] = {
    "cl100k_base": openai.cl100k_base,
    "o200k_base": openai.o200k_base,
}

_loaded: Final[dict[str, Vocabulary]] = {}
_loading: Final = threading.Lock()


def is_loaded(name: str) -> bool:
    return name in _loaded


def vocabulary(name: str) -> Vocabulary:
    """Loads it where that is needed; blocking."""
    found = _loaded.get(name)
    if found is None:
        with _loading:
            found = _loaded.get(name) or _load(name)
            _loaded[name] = found
    return found


def _load(name: str) -> Vocabulary:
    found = LOADERS[name]()
    found.count("")
    return found


def count(name: str, text: str, limit: int) -> int:
    """How many tokens; counting ends soon after `limit`."""
    words = vocabulary(name)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # lone surrogates
    if len(text) <= PIECE:
        return words.count(text)
    tokens = start = 0
    while start < len(text) and tokens <= limit:
        end = _cut(text, start)
        tokens += words.count(text[start:end])
        start = end
    return tokens


def text_of(tokens: list[int], name: str = EMBEDDINGS) -> str | None:
    """What tokens stand for; None: some are none, or make no text. Whoever cuts a long text into lists of tokens cuts
    through signs too: what is left of one at an end becomes the sign for what cannot be read."""
    if not all(0 <= token < ORDINARY[name] for token in tokens):
        return None
    words = vocabulary(name)
    for lost in range(min(2 * TORN, len(tokens) - 1) + 1):
        for front in range(max(0, lost - TORN), min(lost, TORN) + 1):
            back = lost - front
            text = words.decode(tokens[front : len(tokens) - back])
            if text is not None:
                return UNREADABLE * bool(front) + text + UNREADABLE * bool(back)
    return None


def _cut(text: str, start: int) -> int:
    """Where a piece ends: before a space between two letters, which begins a token, else anywhere."""
    end = start + PIECE
    if end >= len(text):
        return len(text)
    for place in range(end, end - 512, -1):
        if text[place] == " " and text[place - 1].isalpha() and text[place + 1 : place + 2].isalpha():
            return place
    return end
