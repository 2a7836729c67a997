"""Which vocabulary a model reads with, by the name its service knows it by.

A new family is a row of `FAMILIES`. Those of OpenAI are counted exactly. For the others there is an estimate: `narrow`
characters a token, `wide` tokens a Chinese character. How far it was off is in docs/sessions.md.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """`vocabulary` is one of `sessions_app.vocabularies`; without it tokens are estimated. `message` are the tokens
    around each message, `reply` those before the answer, `call` those around a tool call."""

    name: str
    models: str = ""  # a pattern for the start of the model's name
    vocabulary: str = ""
    narrow: float = 4.0
    wide: float = 0.75
    message: int = 4
    reply: int = 0
    call: int = 8


# Three tokens a message, one for its role and three before the answer: "How to count tokens with tiktoken", OpenAI
# cookbook.
FAMILIES: Final = (
    Family(
        name="o200k_base",
        models=r"gpt-(4o|4\.1|4\.5|[5-9]|oss|realtime|audio)|chatgpt-4o|o[1-9]([^a-z0-9]|$)|codex-mini|computer-use",
        vocabulary="o200k_base",
        wide=0.85,
        message=4,
        reply=3,
    ),
    Family(
        name="cl100k_base",
        models=r"gpt-4|gpt-3\.5|gpt-35|text-embedding-(3|ada-002)",
        vocabulary="cl100k_base",
        wide=1.2,
        message=4,
        reply=3,
    ),
    Family(name="qwen", models=r"qwen|qwq|qvq", wide=0.6),
    Family(name="deepseek", models=r"deepseek", wide=0.6),
    Family(name="glm", models=r"(chat)?glm", wide=0.6),
    Family(name="kimi", models=r"kimi|moonshot", wide=0.6),
    Family(name="claude", models=r"claude", narrow=3.6, wide=1.15),
)
ANY: Final = Family(name="any")

_KNOWN: Final = tuple((re.compile(family.models), family) for family in FAMILIES)


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """Of an upstream model: `gpt-4o-2024-08-06`, `openai/gpt-4o`, `ft:gpt-4o-mini:acme::id`. Unknown ones: ANY."""
    name = model.lower().removeprefix("ft:").rpartition("/")[2]
    return next((family for pattern, family in _KNOWN if pattern.match(name)), ANY)
