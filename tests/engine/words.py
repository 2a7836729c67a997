"""A guard that knows a few words, for an `Engine` in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.types import ChatRequest, Delta, Json, Message, Principal, Verdict


class WordsOutput:
    """Blocks from the listed word on, as soon as one whole delta holds it; enough for the engine's own tests."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.verdicts: list[Verdict] = []
        self.blocked = False
        self.held: tuple[int, float] | None = (0, 0.0) if words else None

    def feed(self, delta: Delta) -> Delta | None:
        for word in self.words:
            if delta.content and word in delta.content:
                self.blocked = True
                self.verdicts.append(Verdict("list", 1, word, "block", "output"))
                return None
        return delta

    def whole(self, delta: Delta) -> list[Delta]:
        safe = self.feed(delta)
        return [safe] if safe is not None else []

    def feed_all(self, deltas: list[Delta]) -> list[Delta]:
        if not self.words:
            return deltas
        return [safe for delta in deltas if not self.blocked and (safe := self.feed(delta)) is not None]

    def flush(self) -> list[Delta]:
        return []


class WordsGuard:
    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        self.masks: dict[str, str] = {}
        self.ends: list[list[str]] = []
        self.weighs = 1

    def weight(self, principal: Principal) -> int:
        return self.weighs

    def input(self, principal: Principal, messages: Sequence[Message]) -> tuple[Sequence[Message], list[Verdict]]:
        found = [
            Verdict("list", 1, word, "block", "input")
            for word in self.words
            for message in messages
            if isinstance(message.content, str) and word in message.content
        ]
        return [self._masked(message) for message in messages], found

    def _masked(self, message: Message) -> Message:
        content = message.content
        for word, mask in self.masks.items():
            content = content.replace(word, mask) if isinstance(content, str) else content
        return msgspec.structs.replace(message, content=content)

    def request(self, principal: Principal, request: ChatRequest) -> tuple[ChatRequest, list[Verdict]]:
        safe, found = self._encoded([request.tools, request.params])
        return msgspec.structs.replace(request, tools=safe[0], params=safe[1]), found

    def profile(self, principal: Principal, profile: Json) -> tuple[Json, list[Verdict]]:
        return self._encoded(profile)

    def _encoded(self, value: Any) -> tuple[Any, list[Verdict]]:
        text = msgspec.json.encode(value).decode()
        found = [Verdict("list", 1, word, "block", "input") for word in self.words if word in text]
        for word, mask in self.masks.items():
            text = text.replace(word, mask)
        return msgspec.json.decode(text), found

    def allows(self, principal: Principal, text: str) -> bool:
        return not any(word in text for word in [*self.words, *self.masks])

    def ended(self, principal: Principal, verdicts: Sequence[Verdict]) -> None:
        self.ends.append([verdict.word for verdict in verdicts])

    def output(self, principal: Principal) -> WordsOutput:
        return WordsOutput(self.words)
