"""What routing rules can ask about a request. Each feature is computed when a rule first reads it, and then kept.

Importable without Django being set up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from engine import estimating
from engine.types import ChatRequest, Json, Message, Principal
from routing.complexity import complexity_score
from routing.conditions import METADATA

__all__ = ["Features", "complexity_score"]

_IMAGE_PARTS: Final = frozenset({"image", "image_url", "input_image"})


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
        """Of what the user said last."""
        for message in reversed(self._messages):
            if message.role == "user":
                return complexity_score(_text(message))
        return 0.0


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
