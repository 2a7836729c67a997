"""Thinking that a service takes back only whole and signed: what of it must travel with the calls of tools it led to,
so that their results can be sent together with it. Signatures of one model family are good wherever it is served.

`extra_content` of a call: `{"thinking": {"blocks": [{"signature": "…", "characters": 120}, {"data": "…"}]}}`, the
blocks since the call before. The text itself is the message's `reasoning_content`, of all blocks in a row.

The same blocks, all of the answer's, are the `extra_content` of its message: `{"thoughts": [...]}`; they come with the
first delta after them. For a service that takes them back with calls only they are good for nothing, but formats that
hand thinking out in blocks can sign it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.types import Delta, Json

EXTRA: Final = "thinking"
THOUGHTS: Final = "thoughts"
BLOCKS: Final = "blocks"


class Thought(NamedTuple):
    """Signed text, or `data` that only the service can read."""

    text: str = ""
    signature: str = ""
    data: str = ""


class ThoughtKeeper:
    """Follows one answer: `said`, `signed` and `over` for a block of text, `sealed` for one that cannot be read, then
    `extra` for the call of a tool that comes next; `told` for whatever does."""

    __slots__ = ("_blocks", "_characters", "_news", "_signature")

    def __init__(self) -> None:
        self._blocks: list[Json] = []
        self._news: list[Json] = []
        self._characters = 0
        self._signature = ""

    def said(self, text: str) -> None:
        self._characters += len(text)

    def signed(self, signature: str) -> None:
        self._signature += signature

    def sealed(self, data: str) -> None:
        self._add({"data": data})

    def over(self) -> None:
        if self._signature:
            self._add({"signature": self._signature, "characters": self._characters})
        self._characters, self._signature = 0, ""

    def extra(self) -> Json | None:
        """`extra_content` for a call; None: nothing was thought since the one before."""
        self.over()
        blocks, self._blocks = self._blocks, []
        return {EXTRA: {BLOCKS: blocks}} if blocks else None

    def told(self, delta: Delta) -> Delta:
        """The delta, with the blocks that were over before it and not told yet."""
        if not self._news:
            return delta
        news, self._news = self._news, []
        return msgspec.structs.replace(delta, extra_content={THOUGHTS: news})

    def rest(self) -> Iterator[Delta]:
        """What no delta came after."""
        self.over()
        if self._news:
            yield self.told(Delta())

    def _add(self, block: Json) -> None:
        self._blocks.append(block)
        self._news.append(block)


def thoughts_of(calls: Sequence[Json], text: str) -> list[list[Thought]]:
    """The thinking before each call; empty where any of it is gone or is not what was signed."""
    at, signed = 0, False
    thoughts: list[list[Thought]] = []
    for call in calls:
        extra = call.get("extra_content")
        mine = extra.get(EXTRA) if isinstance(extra, dict) else None
        blocks = mine.get(BLOCKS) if isinstance(mine, dict) else None
        thoughts.append([])
        for block in blocks if isinstance(blocks, list) else ():
            thought = _thought(block, text, at)
            if thought is None:
                return []
            signed = signed or bool(thought.signature)
            at += len(thought.text)
            thoughts[-1].append(thought)
    return thoughts if at == len(text) or not signed else []


def _thought(block: object, text: str, at: int) -> Thought | None:
    if not isinstance(block, dict):
        return None
    data, signature, size = block.get("data"), block.get("signature"), block.get("characters")
    if isinstance(data, str) and data:
        return Thought(data=data)
    if isinstance(signature, str) and signature and isinstance(size, int) and 0 <= size <= len(text) - at:
        return Thought(text[at : at + size], signature)
    return None
