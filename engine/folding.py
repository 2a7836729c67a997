"""Folds the deltas of an answer into whole choices: what a non-streaming client gets and what the journal keeps."""

from __future__ import annotations

from typing import Any, Final

from engine.types import Choice, Delta, Json, Message

Given = tuple[int, int, int, dict[int, tuple[int, int]]]

NO_CALLS: Final[dict[int, tuple[int, int]]] = {}
JOINED: Final = 4096  # characters of a text from which on what comes next is kept beside it


def _size(text: str) -> int:
    return len(text) if text.isascii() else 3 * len(text)


class ChoiceFold:
    """One choice as it grows."""

    __slots__ = ("content", "extra", "given", "logprobs", "reasoning", "refusal", "size", "tool_calls")

    def __init__(self) -> None:
        self.size = 0  # of all text, in bytes at most
        self.given: Given = (0, 0, 0, NO_CALLS)  # how much of each text `increment` has given
        self.content: list[str] = []
        # What few answers have is made when it comes: a stream keeps this as long as it lasts.
        self.reasoning: list[str] | None = None
        self.refusal: list[str] | None = None
        self.tool_calls: dict[int, Json] | None = None
        self.logprobs: dict[str, list[Any]] | None = None
        self.extra: Json | None = None

    def add(self, delta: Delta) -> None:
        content = delta.content
        if content is not None:
            self.content.append(content)
            self.size += len(content) if content.isascii() else 3 * len(content)  # no call: this is every chunk
        if delta.reasoning is not None:
            self.reasoning = self._grown(self.reasoning, delta.reasoning)
        if delta.refusal is not None:
            self.refusal = self._grown(self.refusal, delta.refusal)
        if delta.tool_calls:
            for fragment in delta.tool_calls:
                self._add_tool_call(fragment)
        if delta.logprobs or delta.extra_content:
            self._add_beside(delta.logprobs or {}, delta.extra_content or {})

    def _grown(self, pieces: list[str] | None, text: str) -> list[str]:
        self.size += _size(text)
        if pieces is None:
            return [text]
        pieces.append(text)
        return pieces

    def _add_beside(self, logprobs: Json, extra: Json) -> None:
        self.logprobs, self.extra = self.logprobs or {}, self.extra or {}
        for kind, entries in logprobs.items():
            if entries:
                self.logprobs.setdefault(kind, []).extend(entries)
        for kind, entries in extra.items():
            self.extra[kind] = [*self.extra.get(kind, ()), *entries]

    def _add_tool_call(self, fragment: Json) -> None:
        """Fragments of one call share an `index`; the first carries id and name, the others more of `arguments`. A name
        may be cut too; services that repeat the whole of it in every fragment mean it once."""
        if self.tool_calls is None:
            self.tool_calls = {}
        index = fragment.get("index", len(self.tool_calls))
        call = self.tool_calls.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call.update({key: value for key, value in fragment.items() if key not in ("index", "function") and value})
        function = fragment.get("function") or {}
        name = function.get("name")
        if name and name != call["function"]["name"]:
            call["function"]["name"] += name
            self.size += _size(name)
        if function.get("arguments"):
            call["function"]["arguments"] += function["arguments"]
            self.size += _size(function["arguments"])

    def increment(self, index: int) -> Delta | None:
        """What was added since the last call, but for log probabilities. The deltas of all calls fold to the whole."""
        content, reasoning, refusal, calls = self.given
        more: list[Json] = []
        given = NO_CALLS
        if self.tool_calls:
            given = {}
            for number, call in self.tool_calls.items():
                name, arguments = call["function"]["name"], call["function"]["arguments"]
                names, argued = calls.get(number, (0, 0))
                given[number] = len(name), len(arguments)
                if given[number] != (names, argued) or number not in calls:
                    more.append(
                        {**call, "index": number, "function": {"name": name[names:], "arguments": arguments[argued:]}}
                    )
        content, said = _since(self.content, content)
        reasoning, reasoned = _since(self.reasoning, reasoning)
        refusal, refused = _since(self.refusal, refusal)
        delta = Delta(content=said, reasoning=reasoned, refusal=refused, tool_calls=more or None, index=index)
        self.given = content, reasoning, refusal, given
        return None if delta == Delta(index=index) else delta

    def choice(self, index: int, finish_reason: str) -> Choice:
        calls = [call for _, call in sorted(self.tool_calls.items())] if self.tool_calls else None
        content = "".join(self.content)
        return Choice(
            message=Message(
                role="assistant",
                content=content if content or not calls else None,
                tool_calls=calls,
                reasoning_content="".join(self.reasoning or ()) or None,
                refusal="".join(self.refusal or ()) or None,
                extra_content=dict(self.extra or {}) or None,
            ),
            finish_reason=finish_reason,
            index=index,
            logprobs=dict(self.logprobs or {}) or None,
        )


def _since(pieces: list[str] | None, given: int) -> tuple[int, str | None]:
    """How many pieces have been given with those from this one on, and their text. They are joined, with a short one
    before them: a piece of a few letters takes several times what those do."""
    if not pieces or given == len(pieces):
        return given, None
    text = "".join(pieces[given:])
    if given and len(pieces[given - 1]) < JOINED:
        given -= 1
        pieces[given:] = [pieces[given] + text]
    else:
        pieces[given:] = [text]
    return given + 1, text or None


class Fold:
    """All choices of one answer."""

    __slots__ = ("_choices", "size")

    def __init__(self) -> None:
        self._choices: dict[int, ChoiceFold] = {0: ChoiceFold()}
        self.size = 0  # of all text so far, in bytes at most

    def add(self, delta: Delta) -> None:
        fold = self._choices.get(delta.index)
        if fold is None:
            fold = self._choices[delta.index] = ChoiceFold()
        before = fold.size
        fold.add(delta)
        self.size += fold.size - before

    def increments(self) -> list[Delta]:
        """A delta for each choice that has grown since the last call."""
        found = [choice.increment(index) for index, choice in self._choices.items()]
        return [delta for delta in found if delta is not None]

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
        extra_content=message.extra_content,
    )
