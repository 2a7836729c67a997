"""Kinds of settings that say more than their type: what a plugin's `Settings` may use beside str, int, float, bool,
enumerations, lists and structures."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

SECRET: Final = "secret"  # noqa: S105  # a word of ours
LONG: Final = "long"
CHOICES: Final = "choices"
"""In a `Meta`'s `extra`, on a list of text: a mapping of what may stand in it to what people call it."""

Secret = Annotated[str, Meta(extra={SECRET: True})]
"""A password or key: forms never show it again, and leave it as it is where nothing is written."""

LongText = Annotated[str, Meta(extra={LONG: True})]
"""Text of several lines."""
