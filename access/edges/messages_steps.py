"""From deltas to the blocks of a message, which come one after the other: nothing of a block comes after its end.

Deltas are not so strict. Calls of tools may come interleaved, and word lists hold the end of a text back while other
things are said already; what comes while a call is not whole waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from access.edges.messages_calls import ToolCall
from access.edges.messages_seals import seal
from adapters.thoughts import BLOCKS, EXTRA, THOUGHTS
from engine.types import Delta, Json

START: Final = "content_block_start"
CHANGE: Final = "content_block_delta"
STOP: Final = "content_block_stop"

Step = tuple[str, Json]


class Steps:
    """One answer. `text`: a text is open, and nothing waits. `called` and `refused`: whether that was in it."""

    def __init__(self) -> None:
        self.text = False
        self.called = False
        self.refused = False
        self._open = ""  # the type of the block that is, or `refusal`
        self._call: ToolCall | None = None  # whose block it is
        self._calls: dict[int, ToolCall] = {}
        self._waiting: deque[ToolCall | Delta] = deque()
        self._due: list[Json] = []  # what vouches for thinking, of blocks that are not over
        self._vouched: list[Json] = []  # and of those that are
        self._thought = 0  # characters of the open block of thinking

    def feed(self, delta: Delta) -> Iterator[Step]:
        if delta.reasoning or delta.content or delta.refusal or delta.extra_content:
            self.refused = self.refused or bool(delta.refusal)
            self._waiting.append(msgspec.structs.replace(delta, tool_calls=None))
            yield from self._drained()
        for fragment in delta.tool_calls or ():
            yield from self._argue(fragment)

    def end(self) -> Iterator[Step]:
        """What is left, in its order."""
        self._wait_for(self._calls.values())
        while self._waiting:
            yield from self._next()
        yield from self._settled()
        yield from self._closed()

    def _argue(self, fragment: Json) -> Iterator[Step]:
        """A call's block begins with its arguments, when its name is whole, or with the next call."""
        self.called = True
        number = fragment.get("index", len(self._calls))
        call = self._calls.get(number)
        if call is None:
            self._wait_for(self._calls.values())
            call = self._calls[number] = ToolCall()
        call.add(fragment)
        if call is self._call:
            if news := call.news():
                yield CHANGE, {"type": "input_json_delta", "partial_json": news}
        elif call.arguing:
            self._wait_for([call])
        yield from self._drained()

    def _wait_for(self, calls: Iterable[ToolCall]) -> None:
        self._waiting.extend(call for call in calls if not call.begun and call not in self._waiting)

    def _drained(self) -> Iterator[Step]:
        """What waits, as far as it may come."""
        while self._waiting and (self._call is None or self._call.whole):
            yield from self._next()

    def _next(self) -> Iterator[Step]:
        item = self._waiting.popleft()
        if isinstance(item, ToolCall):
            yield from self._begun(item)
            return
        self._due += (item.extra_content or {}).get(THOUGHTS, ())
        yield from self._think(item.reasoning or "")
        if item.content:
            yield from self._say("text", item.content)
        if item.refusal:
            yield from self._say("refusal", item.refusal)

    # Thinking ----------------------------------------------------------------------------------------------------

    def _think(self, text: str) -> Iterator[Step]:
        """Each block ends where what vouches for it says."""
        while text or self._due:
            due = self._due[0] if self._due else None
            wanted = len(text) if due is None else due.get("characters", 0) - self._thought
            if due is not None and wanted <= 0:
                yield from self._over(self._due.pop(0))
                continue
            if not text:
                return
            piece, text = text[:wanted], text[wanted:]
            yield from self._thinking()
            self._thought += len(piece)
            yield CHANGE, {"type": "thinking_delta", "thinking": piece}

    def _thinking(self) -> Iterator[Step]:
        return self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})

    def _over(self, due: Json) -> Iterator[Step]:
        if "data" in due:
            yield from self._redacted(due["data"])
        else:
            yield from self._thinking()
            yield CHANGE, {"type": "signature_delta", "signature": due["signature"]}
            yield from self._closed()
        self._vouched.append(due)

    def _redacted(self, data: str) -> Iterator[Step]:
        yield from self._opened("redacted_thinking", {"type": "redacted_thinking", "data": data})
        yield from self._closed()

    def _settled(self) -> Iterator[Step]:
        """Nothing more is thought before what comes next. What is not the text that was signed stays unsigned."""
        due, self._due = self._due, []
        for block in due:
            if "data" in block or block["characters"] == self._thought:
                yield from self._over(block)

    # Texts and calls ---------------------------------------------------------------------------------------------

    def _say(self, kind: str, text: str) -> Iterator[Step]:
        """A refusal is a text of its own, as for word lists, which do not read it and an answer as one."""
        yield from self._settled()
        yield from self._opened(kind, {"type": "text", "text": ""})
        self.text = kind == "text"
        yield CHANGE, {"type": "text_delta", "text": text}

    def _begun(self, call: ToolCall) -> Iterator[Step]:
        yield from self._settled()
        if (extra := self._untold(call.extra)) is not None:
            yield from self._redacted(seal(extra))
        yield from self._closed()
        yield START, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        self._open, self._call, call.begun = "tool_use", call, True
        if news := call.news():
            yield CHANGE, {"type": "input_json_delta", "partial_json": news}

    def _untold(self, extra: Json) -> Json | None:
        """What of the things beside a call no block has told."""
        thinking = extra.get(EXTRA)
        blocks = thinking.get(BLOCKS) if isinstance(thinking, dict) else None
        told = isinstance(blocks, list) and all(block in self._vouched for block in blocks)
        left = {key: value for key, value in extra.items() if key != EXTRA or not told}
        return left or None

    # Blocks ------------------------------------------------------------------------------------------------------

    def _opened(self, kind: str, block: Json) -> Iterator[Step]:
        if self._open != kind:
            yield from self._closed()
            yield START, block
            self._open = kind

    def _closed(self) -> Iterator[Step]:
        if self._call is not None and (rest := self._call.rest()):
            yield CHANGE, {"type": "input_json_delta", "partial_json": rest}
        if self._open:
            yield STOP, {}
        self._open, self._call, self._thought, self.text = "", None, 0, False
