"""Folds the deltas of an answer into whole choices: what a non-streaming client gets and what the journal keeps."""

from __future__ import annotations

from typing import Any

from engine.types import Choice, Delta, Json, Message


class ChoiceFold:
    """One choice as it grows."""

    __slots__ = ("content", "logprobs", "reasoning", "refusal", "tool_calls")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: dict[int, Json] = {}
        self.logprobs: dict[str, list[Any]] = {}

    def add(self, delta: Delta) -> None:
        if delta.content is not None:
            self.content.append(delta.content)
        if delta.reasoning is not None:
            self.reasoning.append(delta.reasoning)
        if delta.refusal is not None:
            self.refusal.append(delta.refusal)
        if delta.tool_calls:
            for fragment in delta.tool_calls:
                self._add_tool_call(fragment)
        if delta.logprobs:
            for kind, entries in delta.logprobs.items():
                if entries:
                    self.logprobs.setdefault(kind, []).extend(entries)

    def _add_tool_call(self, fragment: Json) -> None:
        """Fragments of one call share an `index`; the first carries id and name, the others more of `arguments`. A name
        may be cut too; services that repeat the whole of it in every fragment mean it once."""
        index = fragment.get("index", len(self.tool_calls))
        call = self.tool_calls.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call.update({key: value for key, value in fragment.items() if key not in ("index", "function") and value})
        function = fragment.get("function") or {}
        name = function.get("name")
        if name and name != call["function"]["name"]:
            call["function"]["name"] += name
        if function.get("arguments"):
            call["function"]["arguments"] += function["arguments"]

    def choice(self, index: int, finish_reason: str) -> Choice:
        calls = [self.tool_calls[key] for key in sorted(self.tool_calls)] or None
        content = "".join(self.content)
        return Choice(
            message=Message(
                role="assistant",
                content=content if content or not calls else None,
                tool_calls=calls,
                reasoning_content="".join(self.reasoning) or None,
                refusal="".join(self.refusal) or None,
            ),
            finish_reason=finish_reason,
            index=index,
            logprobs=dict(self.logprobs) or None,
        )


class Fold:
    """All choices of one answer."""

    __slots__ = ("_choices", "_first")

    def __init__(self) -> None:
        self._first = ChoiceFold()
        self._choices: dict[int, ChoiceFold] = {0: self._first}

    def add(self, delta: Delta) -> None:
        if delta.index == 0:
            self._first.add(delta)
            return
        fold = self._choices.get(delta.index)
        if fold is None:
            fold = self._choices[delta.index] = ChoiceFold()
        fold.add(delta)

    def choices(self, finish_reasons: dict[int, str], default: str) -> list[Choice]:
        indexes = sorted(set(self._choices) | set(finish_reasons))
        return [
            self._choices.get(index, ChoiceFold()).choice(index, finish_reasons.get(index, default))
            for index in indexes
        ]


def as_delta(choice: Choice) -> Delta:
    """A whole choice as one delta: the way back, for answers that were made or changed whole."""
    message = choice.message
    calls = message.tool_calls
    return Delta(
        content=message.content if isinstance(message.content, str) and message.content else None,
        reasoning=message.reasoning_content,
        tool_calls=[{"index": index, **call} for index, call in enumerate(calls)] if calls else None,
        index=choice.index,
        refusal=message.refusal,
        logprobs=choice.logprobs,
    )
