"""Error texts in the caller's language. The engine speaks English; edges translate what they tell, by one table.

A text that is not in the table, such as one that names a field or a number, stays English, and `code` is the same in
every language."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from access.error_texts import TEXTS
from engine.errors import EngineError
from engine.tags import HANT, chinese_script, primary, ranked

__all__ = ["ENGLISH", "LANGUAGES", "TEXTS", "ranked", "said", "wanted"]

ENGLISH: Final = "en"
LANGUAGES: Final = (ENGLISH, *TEXTS)
_CALLED: Final = {"cmn": "zh", "yue": "zh-hant", "in": "id"}  # other and older subtags of the same


def said(error: EngineError, language: str = ENGLISH) -> str:
    """The error's message in one of the languages of `wanted`; where the request names none, in the one it is written
    in, if that is known."""
    if error.language is not None:
        language = _known(error.language) or language
    if language == ENGLISH:
        return error.message
    return TEXTS[language].get(error.message, error.message)


def wanted(named: object, header: bytes | None, among: Collection[str] = LANGUAGES) -> str:
    """The first language we have of: the one the request names in its body, those of Accept-Language by their weight,
    English."""
    tags = [named, *ranked(header)] if isinstance(named, str) else ranked(header)
    for tag in tags:
        known = _known(tag)
        if known is not None and known in among:
            return known
    return ENGLISH


def _known(tag: str) -> str | None:
    language = _CALLED.get(primary(tag), primary(tag))
    if language == "zh":
        return "zh-hant" if chinese_script(tag) == HANT else "zh-hans"
    return language if language in LANGUAGES else None
