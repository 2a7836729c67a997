"""Token estimates where no tokenizer of the model is at hand.

A byte-pair token of the usual vocabularies covers about four bytes of UTF-8, in English (four letters) as in Chinese
(one and a third characters of three bytes). Good to about 20 %; what a model's service reports always replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from engine.types import Choice, Message, Usage

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 765
ANSWER_TOKENS = 256  # where the request names no limit
MAX_ANSWER_TOKENS = 32_768
_ROUNDED_UP = BYTES_PER_TOKEN - 1
_TEXT = frozenset({str})
_CONTENT = attrgetter("content")
_CALLS = attrgetter("tool_calls")


def text_tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (size + _ROUNDED_UP) // BYTES_PER_TOKEN


def message_tokens(message: Message) -> int:
    tokens = TOKENS_PER_MESSAGE
    content = message.content
    if isinstance(content, str):
        tokens += text_tokens(content)
    elif content:
        for part in content:
            text = part.get("text")
            tokens += text_tokens(text) if isinstance(text, str) else TOKENS_PER_IMAGE
    if message.tool_calls:
        tokens += sum(text_tokens(str(call.get("function") or "")) for call in message.tool_calls)
    return tokens


def messages_tokens(messages: Sequence[Message]) -> int:
    """Every turn asks, of the whole conversation: where all of it is texts, nothing is called message by message."""
    texts = list(map(_CONTENT, messages))
    if not _TEXT.issuperset(map(type, texts)) or any(map(_CALLS, messages)):
        return sum(map(message_tokens, messages))
    sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts]
    return sum([(size + _ROUNDED_UP) // BYTES_PER_TOKEN for size in sizes]) + TOKENS_PER_MESSAGE * len(texts)


def usage(prompt_tokens: int, choices: Sequence[Choice]) -> Usage:
    """Of a call whose service did not count."""
    produced = messages_tokens([choice.message for choice in choices])
    return Usage(prompt_tokens, max(0, produced - TOKENS_PER_MESSAGE), estimated=True)


def answer_tokens(max_tokens: int | None) -> int:
    """Of an answer that is still to come: what a caller writes there is no fact."""
    return ANSWER_TOKENS if max_tokens is None else min(max_tokens, MAX_ANSWER_TOKENS)
