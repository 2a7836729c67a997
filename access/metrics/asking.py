"""What is one for the whole platform, in its stores: asked of them when somebody reads metrics, and the same from every
machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from access.metrics.series import Key, Values
from engine.errors import EngineError

PATIENCE: Final = 0.5  # seconds that a reader waits
LONGEST: Final = 5.0  # seconds that an answer may take

Facts = Mapping[str, Mapping[Key, float]]  # by the names of families
Ask = Callable[[], Awaitable[Facts]]
UNKNOWN: Final[Facts] = {}


class Question:
    """Asked again once its answer is `good_for` seconds old. One that takes longer than a reader waits is there for the
    next. `otherwise` is what is said where there is no answer."""

    def __init__(self, ask: Ask, good_for: float, otherwise: Facts) -> None:
        self._ask = ask
        self._good_for = good_for
        self._otherwise = otherwise
        self._known = otherwise
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def answer(self) -> Facts:
        if time.monotonic() - self._asked_at < self._good_for:
            return self._known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._find_out())
        done, _ = await asyncio.wait([self._asking], timeout=PATIENCE)
        return self._known if done else self._otherwise

    async def _find_out(self) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                self._known = await self._ask()
        except (EngineError, OSError):  # TimeoutError is one
            self._known = self._otherwise
        self._asked_at = time.monotonic()


class Questions:
    """All of them."""

    def __init__(self) -> None:
        self._questions: list[Question] = []

    def ask(self, ask: Ask, *, good_for: float = 0.0, otherwise: Facts = UNKNOWN) -> None:
        self._questions.append(Question(ask, good_for, otherwise))

    async def read(self) -> dict[str, Values]:
        """By the names of families. Raises nothing."""
        found: dict[str, Values] = {}
        for facts in await asyncio.gather(*(question.answer() for question in self._questions)):
            found.update({name: dict(values) for name, values in facts.items()})
        return found
