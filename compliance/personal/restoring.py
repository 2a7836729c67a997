"""Puts the values back into an answer, however it is cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any, Final

from compliance.personal.placeholders import OPENING, PLACEHOLDER
from engine.types import Delta, Json

_LONGEST: Final = 13  # signs of the longest key there can be


class Channel:
    """One text that arrives in pieces. Held back is only what can be the beginning of a placeholder of this call: from
    the last opening bracket on, if a key begins like what follows it. What leaves depends on the text alone."""

    __slots__ = ("_beginnings", "_held", "_values")

    def __init__(self, values: Mapping[str, str], beginnings: Container[str]) -> None:
        self._values = values
        self._beginnings = beginnings  # of the keys
        self._held = ""

    def push(self, piece: str) -> str:
        text = self._held + piece if self._held else piece
        opened = max(map(text.rfind, OPENING))
        if opened < 0:
            return text
        free = opened if self._may_grow(text[opened + 1 :]) else len(text)
        self._held = text[free:]
        return restored_text(text[:free], self._values)

    def flush(self) -> str:
        """The text is over: what began like a placeholder is none."""
        held, self._held = self._held, ""
        return held

    def _may_grow(self, begun: str) -> bool:
        return len(begun) <= _LONGEST and begun.isascii() and begun.upper() in self._beginnings


def restored_text(text: str, values: Mapping[str, str]) -> str:
    """A text that is all there. Placeholders that are none of this call stay."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1].upper(), match[0]), text)


def restored_tree(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return restored_text(value, values)
    if isinstance(value, list):
        return [restored_tree(item, values) for item in value]
    if isinstance(value, dict):
        return {key: restored_tree(item, values) for key, item in value.items()}
    return value


class RestoredCall:
    """One tool call of an answer, in fragments. Its arguments are JSON, where values stand in strings. A name ends
    where arguments begin."""

    __slots__ = ("_arguments", "_index", "_name", "_values")

    def __init__(
        self, index: int, values: Mapping[str, str], escaped: Mapping[str, str], beginnings: Container[str]
    ) -> None:
        self._index = index
        self._values = values
        self._name = Channel(values, beginnings)
        self._arguments = Channel(escaped, beginnings)

    def feed(self, fragment: Json) -> Json | None:
        """The fragment without what is held of it; None: then it says nothing."""
        function = fragment.get("function")
        if not isinstance(function, dict):
            tree: Json = restored_tree(fragment, self._values)
            return tree
        texts = dict(function)
        name, arguments = texts.get("name"), texts.get("arguments")
        if isinstance(name, str):
            texts["name"] = self._name.push(name)
        if isinstance(arguments, str) and arguments:
            texts["arguments"] = self._arguments.push(arguments)
            if rest := self._name.flush():
                texts["name"] = (texts.get("name") or "") + rest
        others = {key: restored_tree(value, self._values) for key, value in fragment.items() if key != "function"}
        if texts != function and not any(texts.values()) and not others.keys() - {"index", "type"}:
            return None
        return {**others, "function": texts}

    def flush(self) -> Json | None:
        held = {"name": self._name.flush(), "arguments": self._arguments.flush()}
        texts = {key: text for key, text in held.items() if text}
        return {"index": self._index, "function": texts} if texts else None


class Restorer:
    """Implements `engine.ports.Restorer` over one answer. `values` are those of one call, by their key: nothing else is
    ever put in."""

    __slots__ = ("_beginnings", "_calls", "_channels", "_escaped", "_values", "counts")

    def __init__(self, values: Mapping[str, str], counts: Mapping[str, int]) -> None:
        self.counts = dict(counts)
        self._values = values
        self._escaped = {key: json.dumps(value, ensure_ascii=False)[1:-1] for key, value in values.items()}
        self._beginnings = {key[:size] for key in values for size in range(len(key) + 1)}
        self._channels: dict[tuple[int, str], Channel] = {}
        self._calls: dict[tuple[int, int], RestoredCall] = {}

    def feed(self, delta: Delta) -> Delta | None:
        index = delta.index
        reasoning = self._push(index, "reasoning", delta.reasoning)
        content = self._push(index, "content", delta.content)
        refusal = self._push(index, "refusal", delta.refusal)
        calls = self._push_calls(index, delta.tool_calls) if delta.tool_calls else delta.tool_calls
        unchanged = content == delta.content and refusal == delta.refusal
        restored = Delta(
            content=content, reasoning=reasoning, tool_calls=calls, index=index, refusal=refusal,
            logprobs=delta.logprobs if unchanged else None,  # they spell the text that the model wrote
            extra_content=delta.extra_content,
        )  # fmt: skip
        return None if restored == Delta(index=index) and delta != restored else restored

    def flush(self) -> list[Delta]:
        rest: list[Delta] = []
        for (index, kind), channel in self._channels.items():
            if text := channel.flush():
                fields: dict[str, Any] = {kind: text}
                rest.append(Delta(**fields, index=index))
        for (index, _), call in self._calls.items():
            held = call.flush()
            if held is not None:
                rest.append(Delta(tool_calls=[held], index=index))
        return rest

    def _push(self, index: int, kind: str, piece: str | None) -> str | None:
        if not piece:
            return piece
        channel = self._channels.get((index, kind))
        if channel is None:
            channel = self._channels[(index, kind)] = Channel(self._values, self._beginnings)
        return channel.push(piece) or None

    def _push_calls(self, index: int, fragments: list[Json]) -> list[Json] | None:
        said: list[Json] = []
        for place, fragment in enumerate(fragments):
            key = (index, fragment.get("index", place))
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = RestoredCall(key[1], self._values, self._escaped, self._beginnings)
            restored = call.feed(fragment)
            if restored is not None:
                said.append(restored)
        return said or None
