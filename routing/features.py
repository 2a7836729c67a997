"""What routing rules can ask about a request. Each feature is computed when a rule first reads it, and then kept.

Importable without Django being set up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final

from engine import estimating
from engine.types import ChatRequest, Json, Message, Principal
from routing.complexity import complexity_score
from routing.conditions import METADATA

__all__ = ["Features", "complexity_score", "conversation_score"]

MEMORY: Final = 8  # messages of the user that count, the newest included
KEPT: Final = 0.75  # of what was before, by a message with a subject of its own
_TERSE: Final = 24  # bytes; a message so short has no subject of its own
_BRIEF: Final = 80  # bytes; nor has one so short that refers to what was said
_REFERRING: Final = re.compile(
    r"\b(?:it|its|this|that|these|those|them|above|again|same|previous|continue|proceed|keep going|go on)\b"
    "|它|这|那|上面|上述|刚才|继续|接着|再来|同样|還|繼續|這|剛才",
    re.IGNORECASE,
)
_IMAGE_PARTS: Final = frozenset({"image", "image_url", "input_image"})


def conversation_score(texts: Iterable[str]) -> float:
    """The complexity of a conversation from what its user said, newest first: up at once, down slowly.

    A message with a subject of its own keeps three quarters of what was before it; one without ("commit it") keeps
    all. So the score is the newest message's own, or an earlier one's less what was lost since."""
    score, kept = 0.0, 1.0
    for text in islice(texts, MEMORY):
        score = max(score, kept * complexity_score(text))
        if not _follows(text):
            kept *= KEPT
        if score >= kept:  # nothing earlier can count for more
            break
    return round(score, 4)


def _follows(text: str) -> bool:
    if len(text) > _BRIEF:
        return False
    size = len(text.encode("utf-8", "surrogatepass"))
    return size <= _TERSE or size <= _BRIEF and _REFERRING.search(text) is not None


class Features(dict[str, Any]):
    """A mapping from a condition's fields to values, None where the request has no such thing.

    It fills itself: what it holds after a decision are the features that were used. `prompt_tokens` is always there.
    `found` is what plugins found out (`language`, `intent`); it goes before what the request says of itself."""

    __slots__ = ("_found", "_messages", "_now", "_principal", "_request")

    def __init__(
        self, principal: Principal, request: ChatRequest, messages: Sequence[Message], found: Json, now: float
    ) -> None:
        super().__init__(prompt_tokens=estimating.messages_tokens(messages))
        self._principal = principal
        self._request = request
        self._messages = messages
        self._found = found
        self._now = now

    def __missing__(self, name: str) -> Any:
        compute = _FEATURES.get(name)
        if compute is not None:
            value = compute(self)
        else:
            value = self._request.metadata.get(name.removeprefix(METADATA)) if name.startswith(METADATA) else None
        self[name] = value
        return value

    def used(self) -> Json:
        """What was read and is there, for the decision record."""
        return {name: value for name, value in self.items() if value is not None}

    def _word(self, name: str) -> str | None:
        value = self._found.get(name)
        return value if isinstance(value, str) and value else None

    def _language(self) -> str | None:
        """The primary subtag: `zh` of `zh-CN`."""
        tag = self._word("language") or self._request.language
        return tag.replace("_", "-").split("-", 1)[0].strip().lower() if tag else None

    def _has_images(self) -> bool:
        return any(
            part.get("type") in _IMAGE_PARTS
            for message in self._messages
            if isinstance(message.content, list)
            for part in message.content
        )

    def _complexity(self) -> float:
        said = (_text(message) for message in reversed(self._messages) if message.role == "user")
        return conversation_score(text for text in said if text and not text.isspace())


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = (part.get("text") for part in message.content or ())
    return "\n".join(text for text in parts if isinstance(text, str))


_FEATURES: Final[dict[str, Callable[[Features], Any]]] = {
    "model": lambda features: features._request.model,
    "max_tokens": lambda features: features._request.max_tokens,
    "temperature": lambda features: features._request.temperature,
    "stream": lambda features: features._request.stream,
    "complexity_score": Features._complexity,
    "language": Features._language,
    "has_tools": lambda features: bool(features._request.tools),
    "has_images": Features._has_images,
    "user": lambda features: features._request.user or features._principal.user,
    "hour": lambda features: time.gmtime(features._now).tm_hour,
    "intent": lambda features: features._word("intent"),
}
