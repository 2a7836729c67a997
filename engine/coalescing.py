"""Identical requests at the same time share one model call. Every reader gets all of it, whenever it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from engine.errors import EngineError
from engine.ports import Adapter, Route
from engine.types import Delta, End, Instance, Json

Events = AsyncGenerator[Delta | End, None]


class BorrowedRoute:
    """The route of another turn's call: the same instance, but the call's outcome is for that turn to tell. The
    decision is this turn's own."""

    def __init__(self, lender: Route, decision: Json) -> None:
        self.instance: Instance = lender.instance
        self.adapter: Adapter = lender.adapter
        self.model = lender.model
        self.upstream_model = lender.upstream_model
        self.rules: list[str] = list(decision.get("rules", ()))
        self.decision = decision
        self.prompt_tokens = lender.prompt_tokens

    def first_token(self) -> None:
        """Timed by the lender."""

    def unused(self) -> None:
        """Nothing was begun."""

    def outcome(self, error: BaseException | None) -> None:
        """Told by the lender."""


class SharedCall:
    """One call that runs as long as anybody reads it. `route` and `turn_id` are those of the turn that began it."""

    def __init__(self, calls: dict[str, SharedCall], key: str, upstream: Events, route: Route, turn_id: str) -> None:
        self.route = route
        self.turn_id = turn_id
        self._calls = calls
        self._key = key
        self._upstream = upstream
        self._events: list[Delta | End] = []
        self._error: BaseException | None = None
        self._over = False
        self._news = asyncio.Event()
        self._readers = 0
        self._task = asyncio.get_running_loop().create_task(self._pump())

    async def read(self) -> Events:
        """All events from the first on. Whoever asks for them closes this; with the last reader the call ends, and its
        connection is closed before that one returns."""
        self._readers += 1
        place = 0
        try:
            while True:
                while place < len(self._events):
                    place += 1
                    yield self._events[place - 1]
                if self._over:
                    break
                await self._news.wait()
            if self._error is not None:
                raise copied(self._error)
        finally:
            self._readers -= 1
            if not self._readers:
                self._forget()
                self._task.cancel()
                await asyncio.wait([self._task])

    async def _pump(self) -> None:
        try:
            async for event in self._upstream:
                self._events.append(event)
                self._wake()
        except EngineError as error:
            self._error = error
        finally:
            self._over = True
            self._forget()
            self._wake()
            await self._upstream.aclose()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _forget(self) -> None:
        if self._calls.get(self._key) is self:
            del self._calls[self._key]


class SharedCalls:
    """The calls of this process that others may join, by `engine.caching.key_of`."""

    def __init__(self) -> None:
        self._calls: dict[str, SharedCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def running(self, key: str) -> SharedCall | None:
        return self._calls.get(key)

    def start(self, key: str, upstream: Events, route: Route, turn_id: str) -> SharedCall:
        call = self._calls[key] = SharedCall(self._calls, key, upstream, route, turn_id)
        return call


def copied(error: BaseException) -> BaseException:
    """One for each reader: an error gathers a traceback, and its message may be changed for who is shown it."""
    if isinstance(error, EngineError):
        return type(error)(error.message, param=error.param, retry_after=error.retry_after)
    return error
