"""Answers with what was said: works without a key, a network or a model, and always the same."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from adapters.base import BaseModelAdapter
from adapters.hashing import hashed
from engine.estimating import messages_tokens, text_tokens
from engine.types import Delta, EmbedCall, Embedded, End, Message, ModelCall, Usage

WORD: Final = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")


class EchoAdapter(BaseModelAdapter):
    """Repeats the last user message, word by word when streaming; its usage is the engine's own estimate. Embeddings
    are hashes."""

    name = "echo"
    label = "Echo (no model)"
    capabilities = frozenset({"chat", "usage", "embeddings", "probe"})

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        text = last_said(call.messages)
        for piece in WORD.findall(text) if call.request.stream else [text]:
            if piece:
                yield Delta(content=piece)
        usage = Usage(prompt_tokens=messages_tokens(call.messages), completion_tokens=text_tokens(text))
        yield End(finish_reasons={0: "stop"}, usage=usage)

    async def embed(self, call: EmbedCall) -> Embedded:
        return hashed(call)

    async def probe(self) -> None:
        """Is always there."""


def last_said(messages: Sequence[Message]) -> str:
    """The text of the last user message; its parts that are no text are left out."""
    for message in reversed(messages):
        if message.role != "user":
            continue
        if isinstance(message.content, list):
            texts = (part.get("text") for part in message.content)
            return "\n".join(text for text in texts if isinstance(text, str))
        return message.content or ""
    return ""
