"""Micro-batching: what several callers ask of one instance within a moment goes upstream in one call.

A caller brings items and gets one result for each, in their order, and never learns whether others were there. Nothing
crosses a tenant: it is a part of every key. Whoever leaves is taken out, or its results are thrown away; with the last
one the call ends. Inputs that the service refuses may be anybody's: then every caller's go once more by themselves, one
caller's after the other's.

Callers hold no place at their instance while they wait. The batch takes one when it is sent, and it is the batch that
tells what became of the call, whoever of its callers is left by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from itertools import accumulate, islice, pairwise
from typing import Generic, TypeVar

import msgspec

from engine.coalescing import BorrowedRoute, copied
from engine.errors import InvalidRequest, UpstreamError
from engine.ports import Adapter, Route
from engine.types import Usage

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchKey(msgspec.Struct, frozen=True):
    """Whose calls may go together: one tenant's, to one instance as it is configured now, that are `alike` (the model
    and every parameter)."""

    tenant_id: int
    adapter: Adapter
    alike: Hashable


class _Seat(Generic[Item, Result]):
    """One caller in a batch."""

    __slots__ = ("answer", "items", "route")

    def __init__(self, items: Sequence[Item], route: BorrowedRoute) -> None:
        self.items = items
        self.route = route
        self.answer: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()

    def take(self, results: list[Result]) -> None:
        if not self.answer.done():
            self.answer.set_result(results)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(copied(error))


class _Batch(Generic[Item, Result]):
    """Open until it is sent, by the clock or because it is full."""

    def __init__(
        self, batches: dict[BatchKey, _Batch[Item, Result]], key: BatchKey, route: BorrowedRoute,
        call: Callable[[list[Item]], Awaitable[list[Result]]],
    ) -> None:  # fmt: skip
        self._batches = batches
        self._key = key
        self._call = call
        self._toll = route.toll
        self._seats: list[_Seat[Item, Result]] = []
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(route.instance.batch_window, self.send)
        self.room = route.instance.batch_size

    def join(self, items: Sequence[Item], route: BorrowedRoute) -> _Seat[Item, Result]:
        seat: _Seat[Item, Result] = _Seat(items, route)
        route.toll.join(self._toll)
        self._seats.append(seat)
        self.room -= len(items)
        if self.room <= 0:
            self.send()
        return seat

    async def leave(self, seat: _Seat[Item, Result]) -> None:
        """Of a caller that waits no longer. The last one returns when the call upstream is closed."""
        if self._task is None:
            self._seats.remove(seat)
            self.room += len(seat.items)
            if not self._seats:
                self._close()
        elif not seat.answer.cancelled():
            seat.answer.exception()  # came in the same moment, and nobody asks for it any more
        elif not self._waiting():
            self._task.cancel()
            await asyncio.wait([self._task])

    def send(self) -> None:
        self._close()
        route = self._again(self._seats)
        self._task = asyncio.get_running_loop().create_task(self._sent(route))
        self._task.add_done_callback(partial(self._over, route))

    def _close(self) -> None:
        self._timer.cancel()
        if self._batches.get(self._key) is self:
            del self._batches[self._key]

    def _waiting(self) -> list[_Seat[Item, Result]]:
        return [seat for seat in self._seats if not seat.answer.done()]

    @staticmethod
    def _again(seats: Sequence[_Seat[Item, Result]]) -> Route:
        """A call with the items of these begins now."""
        return seats[0].route.again(sum(seat.route.prompt_tokens for seat in seats))

    async def _sent(self, route: Route) -> None:
        """All of it, or where the service refuses that each caller's items: never two calls at a time, and each is told
        to the instance. What fails for another reason would do so for the next one too."""
        try:
            await self._fill(route, self._seats)
        except InvalidRequest as error:
            if len(self._seats) == 1:
                self._seats[0].fail(error)
                return
            for seat in self._waiting():
                try:
                    if not seat.answer.done():
                        await self._fill(self._again([seat]), [seat])
                except InvalidRequest as refused:
                    seat.fail(refused)

    async def _fill(self, route: Route, seats: Sequence[_Seat[Item, Result]]) -> None:
        items = [item for seat in seats for item in seat.items]
        try:
            results = await self._call(items)
            if len(results) != len(items):
                raise UpstreamError("The model's service answered another number of inputs than were sent.")
        except BaseException as error:
            route.outcome(error)
            raise
        route.first_token()
        route.outcome(None)
        rest = iter(results)
        for seat in seats:
            seat.take(list(islice(rest, len(seat.items))))

    def _over(self, route: Route, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            route.outcome(asyncio.CancelledError())  # also of a task that never ran
            for seat in self._waiting():
                seat.answer.cancel()
        elif (error := task.exception()) is not None:
            for seat in self._waiting():
                seat.fail(error)


class Batcher(Generic[Item, Result]):
    """The batches of this process."""

    def __init__(self) -> None:
        self._open: dict[BatchKey, _Batch[Item, Result]] = {}

    def __len__(self) -> int:
        """Batches that others may still join."""
        return len(self._open)

    async def run(
        self, key: BatchKey, items: Sequence[Item], route: BorrowedRoute,
        call: Callable[[list[Item]], Awaitable[list[Result]]],
    ) -> list[Result]:  # fmt: skip
        """One result an item, of which there are fewer than the instance's `batch_size`.

        `route` holds no place; its toll becomes that of all in the batch. `call` is the same for all of a key; it runs
        in another task, maybe under another caller's name."""
        batch = self._open.get(key)
        if batch is not None and batch.room < len(items):
            batch.send()
            batch = None
        if batch is None:
            batch = self._open[key] = _Batch(self._open, key, route, call)
        seat = batch.join(items, route)
        try:
            return await seat.answer
        except asyncio.CancelledError:
            await batch.leave(seat)
            raise


async def in_pieces(
    items: Sequence[Item], size: int, call: Callable[[list[Item]], Awaitable[list[Result]]]
) -> list[Result]:
    """What is more than one call may hold goes in several, one after the other."""
    results: list[Result] = []
    for start in range(0, len(items), size):
        results += await call(list(items[start : start + size]))
    return results


def divided(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares of `total` in proportion to the weights, whose sum is exactly that; evenly where all are 0."""
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    marks = [total * reached // whole for reached in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(marks)]


def shared_usage(usage: Usage | None, prompts: Sequence[int], answers: Sequence[int]) -> list[Usage | None]:
    """The usage of a call as its items' own, by what each is estimated to have sent and been answered."""
    if usage is None:
        return [None] * len(prompts)
    shares = zip(
        divided(usage.prompt_tokens, prompts),
        divided(usage.completion_tokens, answers),
        divided(usage.cached_tokens, prompts),
        divided(usage.reasoning_tokens, answers),
        strict=True,
    )
    return [Usage(*share, estimated=usage.estimated) for share in shares]


def total_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """Of several calls or items; None unless every one was counted."""
    counted = [usage for usage in usages if usage is not None]
    if not counted or len(counted) < len(usages):
        return None
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in counted),
        completion_tokens=sum(usage.completion_tokens for usage in counted),
        cached_tokens=sum(usage.cached_tokens for usage in counted),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in counted),
        estimated=any(usage.estimated for usage in counted),
    )
