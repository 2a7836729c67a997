"""Work on long texts is done beside the event loop, so that no other turn of the process waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any, Final, TypeVar

from engine.types import Message

R = TypeVar("R")

LONG: Final = 8_192  # characters of ordinary words; fewer are read in a few milliseconds at worst
THREADS: Final = 2  # they share one lock with the event loop
_TEXT: Final = frozenset({str})
_CONTENT: Final = attrgetter("content")
_CALLS: Final = attrgetter("tool_calls")
_REASONING: Final = attrgetter("reasoning_content")
_REFUSAL: Final = attrgetter("refusal")


class Aside:
    """One an engine."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="long-texts")

    async def read(self, size: int, work: Callable[[], R]) -> R:
        """What `work`, which reads texts of that size (weighed), gives. It must touch nothing that others write."""
        if size < LONG:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def length(messages: Iterable[Message]) -> int:
    """About how many characters a guard reads of them. Most are nothing but a text: of those nothing is called message
    by message."""
    messages = list(messages)
    contents = list(map(_CONTENT, messages))
    size: int = sum(map(len if _TEXT.issuperset(map(type, contents)) else length_of, contents))
    if any(map(_CALLS, messages)):
        size += sum([length_of(message.tool_calls) for message in messages])
    for beside in (_REASONING, _REFUSAL):
        if any(map(beside, messages)):
            size += sum(map(length_of, map(beside, messages)))
    return size


def length_of(value: Any) -> int:
    if not value:
        return 0
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + length_of(each) for key, each in value.items())
    return sum(map(length_of, value)) if isinstance(value, list) else 0
