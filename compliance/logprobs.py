"""Log probabilities spell the text again, and texts that were never said: they pass only where nothing was held."""

from __future__ import annotations

from typing import Any

from compliance.words import WordMatcher
from engine.types import Delta, Json


def safe_logprobs(delta: Delta, words: WordMatcher) -> Json | None:
    """The log probabilities of a delta whose text leaves unchanged; None: none may leave.

    A kind stays where its tokens spell exactly the delta's text of that kind (`content`, `refusal`); of the
    alternatives (`top_logprobs`) those go that hold a word to be blocked or masked. The shape is the OpenAI one."""
    kept: Json = {}
    for kind, text in (("content", delta.content), ("refusal", delta.refusal)):
        entries = (delta.logprobs or {}).get(kind)
        if entries and "".join(str(entry.get("token", "")) for entry in entries) == text:
            kept[kind] = [_without_listed(entry, words) for entry in entries]
    return kept or None


def _without_listed(entry: Json, words: WordMatcher) -> Json:
    alternatives: list[Any] | None = entry.get("top_logprobs")
    if not alternatives:
        return entry
    return {**entry, "top_logprobs": [each for each in alternatives if not hides(str(each.get("token", "")), words)]}


def hides(text: str, words: WordMatcher) -> bool:
    """Whether a whole text holds a word to be blocked or masked."""
    hits = words.find(text)
    return any(words.entries[hit.word].block or words.entries[hit.word].mask for hit in hits)
