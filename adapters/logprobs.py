"""Log probabilities of tokens, in the one form that OpenAI's format and Ollama's share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Alternative(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[Annotated[int, Meta(ge=0, le=255)]] | None = None


class Token(Alternative):
    top_logprobs: list[Alternative] = []
