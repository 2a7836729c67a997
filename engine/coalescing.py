"""Identical requests at the same time share one model call. Every reader gets all of it, whenever it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from engine import estimating
from engine.errors import EngineError, UpstreamError
from engine.folding import Fold
from engine.ports import Adapter, Reservation, Route
from engine.types import Delta, End, Instance, Json, Usage

Events = AsyncGenerator[Delta | End, None]


class Toll:
    """What the turns in one call pay to go on elsewhere once it has failed: the first that asks pays for all of them,
    and where it may not none may. `paid` None: nobody has asked."""

    __slots__ = ("_paid", "_whole")

    def __init__(self) -> None:
        self._paid: bool | None = None
        self._whole = self

    def join(self, whole: Toll) -> None:
        """The call is a part of a larger one."""
        self._whole = whole

    @property
    def paid(self) -> bool | None:
        return self._whole._paid

    @paid.setter
    def paid(self, paid: bool) -> None:
        self._whole._paid = paid


class BorrowedRoute:
    """The route of a turn that calls nobody itself: its answer was kept, or comes of a call for several turns, and of
    what becomes of that others tell. The decision is this turn's own."""

    def __init__(self, lender: Route, decision: Json, toll: Toll | None = None) -> None:
        self.toll = toll or Toll()
        self._lender = lender
        self.instance: Instance = lender.instance
        self.adapter: Adapter = lender.adapter
        self.model = lender.model
        self.upstream_model = lender.upstream_model
        self.rules: list[str] = list(decision.get("rules", ()))
        self.decision = decision
        self.prompt_tokens = lender.prompt_tokens

    def first_token(self) -> None:
        """Others time it."""

    def unused(self) -> None:
        """Nothing was begun."""

    def again(self, prompt_tokens: int) -> Route:
        return self._lender.again(prompt_tokens)

    def outcome(self, error: BaseException | None) -> None:
        """Others tell it."""


class SharedCall:
    """One call that runs as long as anybody reads it. `route` and `turn_id` are those of the turn that began it; `keep`
    is for each turn to call that has read all of it."""

    def __init__(self, calls: dict[str, SharedCall], key: str, upstream: Events, route: Route, turn_id: str) -> None:
        self.keep: Callable[[], bool] | None = None
        self.route = route
        self.turn_id = turn_id
        self.over = False
        self.error: BaseException | None = None
        self._calls = calls
        self._key = key
        self._events: list[Delta | End] = []
        self._news = asyncio.Event()
        self._readers = 0
        self._after: list[Callable[[], None]] = []
        self.toll = route.toll if isinstance(route, BorrowedRoute) else Toll()
        self._task = asyncio.get_running_loop().create_task(self._pump(upstream))
        self._task.add_done_callback(self._end)

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
                if self.over:
                    break
                await self._news.wait()
            if self.error is not None:
                raise copied(self.error)
        finally:
            self._readers -= 1
            if not self._readers:
                self._forget()
                self._task.cancel()
                await asyncio.wait([self._task])

    def afterwards(self, work: Callable[[], None]) -> None:
        """Does it when the call is over."""
        if self.over:
            work()
        else:
            self._after.append(work)

    async def cost(self) -> Usage:
        """What the call has cost, when it is over."""
        await asyncio.wait([self._task])
        return self.used()

    def used(self) -> Usage:
        """What the call has cost, as far as it came."""
        last = self._events[-1] if self._events else None
        if last is None:
            return Usage()
        if type(last) is End and last.usage is not None:
            return last.usage
        fold = Fold()
        for event in self._events:
            if type(event) is Delta:
                fold.add(event)
        return estimating.usage(self.route.prompt_tokens, fold.choices({}, "stop"))

    async def _pump(self, upstream: Events) -> None:
        async with aclosing(upstream):
            async for event in upstream:
                if not self._events:
                    self.route.first_token()
                self._events.append(event)
                self._wake()

    def _end(self, task: asyncio.Task[None]) -> None:
        self.over = True
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not self._events or type(self._events[-1]) is not End:
            self.error = error or UpstreamError()
        self._forget()
        self._wake()
        for work in self._after:
            work()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _forget(self) -> None:
        if self._calls.get(self._key) is self:
            del self._calls[self._key]


class LentRoute:
    """The route of the turn that began a call others read too. What becomes of the call is told when it is over, though
    that turn may have left before: until then the instance is busy."""

    def __init__(self, call: SharedCall) -> None:
        self.toll = call.toll
        self.call = call
        self._route = route = call.route
        self.instance: Instance = route.instance
        self.adapter: Adapter = route.adapter
        self.model = route.model
        self.upstream_model = route.upstream_model
        self.rules = route.rules
        self.decision = route.decision
        self.prompt_tokens = route.prompt_tokens

    def first_token(self) -> None:
        """The call times it, also when its turn has left before."""

    def unused(self) -> None:
        self._route.unused()

    def again(self, prompt_tokens: int) -> Route:
        return self._route.again(prompt_tokens)

    def outcome(self, error: BaseException | None) -> None:
        if self.call.over:
            self._route.outcome(error)
        else:
            self.call.afterwards(lambda: self._route.outcome(self.call.error))


class LentReservation:
    """What was set aside for such a call: it pays for all of it, also for what is read when its turn has left."""

    def __init__(self, call: SharedCall, reservation: Reservation) -> None:
        self._call = call
        self._reservation = reservation
        self.window = reservation.window

    @property
    def room(self) -> int:
        return self._reservation.room

    async def extend(self) -> bool:
        return await self._reservation.extend()

    def settle(self, usage: Usage) -> None:
        if self._call.over:
            self._reservation.settle(usage)
        else:
            self._call.afterwards(lambda: self._reservation.settle(self._call.used()))


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
