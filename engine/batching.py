"""Micro-batching: what several callers ask of one instance within a moment goes upstream in one call.

A caller brings items and gets one result for each, in their order, and never learns whether others were there. Nothing
crosses a tenant: it is a part of every key. Whoever leaves is taken out, or its results are thrown away; with the last
one the call ends. Inputs that the service refuses may be anybody's: then every caller's go once more, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import accumulate, islice, pairwise
from typing import Generic, TypeVar

import msgspec

from engine.coalescing import copied
from engine.errors import InvalidRequest, UpstreamError
from engine.ports import Adapter
from engine.types import Instance, Usage

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchKey(msgspec.Struct, frozen=True):
    """Whose calls may go together: one tenant's, to one instance as it is configured now, that are `alike` (the model
    and every parameter)."""

    tenant_id: int
    adapter: Adapter
    alike: Hashable


class _Seat(Generic[Item, Result]):
    """One caller in a batch. Its `answer` is None when its items must go alone."""

    __slots__ = ("answer", "items")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answer: asyncio.Future[list[Result] | None] = asyncio.get_running_loop().create_future()


class _Batch(Generic[Item, Result]):
    """Open until it is sent, by the clock or because it is full."""

    def __init__(
        self, batches: dict[BatchKey, _Batch[Item, Result]], key: BatchKey, instance: Instance,
        call: Callable[[list[Item]], Awaitable[list[Result]]],
    ) -> None:  # fmt: skip
        self._batches = batches
        self._key = key
        self._call = call
        self._seats: list[_Seat[Item, Result]] = []
        self._task: asyncio.Task[list[Result]] | None = None
        self._timer = asyncio.get_running_loop().call_later(instance.batch_window, self.send)
        self.room = instance.batch_size

    def join(self, items: Sequence[Item]) -> _Seat[Item, Result]:
        seat: _Seat[Item, Result] = _Seat(items)
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
        elif all(each.answer.done() for each in self._seats):
            self._task.cancel()
            await asyncio.wait([self._task])

    def send(self) -> None:
        self._close()
        self._task = asyncio.get_running_loop().create_task(self._sent())
        self._task.add_done_callback(self._answered)

    def _close(self) -> None:
        self._timer.cancel()
        if self._batches.get(self._key) is self:
            del self._batches[self._key]

    async def _sent(self) -> list[Result]:
        items = [item for seat in self._seats for item in seat.items]
        results = await self._call(items)
        if len(results) != len(items):
            raise UpstreamError("The model's service answered another number of inputs than were sent.")
        return results

    def _answered(self, task: asyncio.Task[list[Result]]) -> None:
        waiting = [seat for seat in self._seats if not seat.answer.done()]
        if task.cancelled():
            for seat in waiting:
                seat.answer.cancel()
            return
        error = task.exception()
        if error is None:
            results = iter(task.result())
            for seat in self._seats:
                own = list(islice(results, len(seat.items)))
                if not seat.answer.done():
                    seat.answer.set_result(own)
            return
        refused = isinstance(error, InvalidRequest) and len(self._seats) > 1
        for seat in waiting:
            if refused:
                seat.answer.set_result(None)
            else:
                seat.answer.set_exception(copied(error))


class Batcher(Generic[Item, Result]):
    """The batches of this process."""

    def __init__(self) -> None:
        self._open: dict[BatchKey, _Batch[Item, Result]] = {}

    def __len__(self) -> int:
        """Batches that others may still join."""
        return len(self._open)

    async def run(
        self,
        key: BatchKey,
        items: Sequence[Item],
        instance: Instance,
        call: Callable[[list[Item]], Awaitable[list[Result]]],
        joined: Callable[[], None],
    ) -> list[Result]:
        """One result an item. `call` sends at most `instance.batch_size` items and is the same for all of a key; it
        may run in another task, under another caller's name. `joined` is told when it is another caller's call.

        What is more than one call may hold goes in several, one after the other."""
        size, window = instance.batch_size, instance.batch_window
        if len(items) < size and window > 0:
            return await self._together(key, items, instance, call, joined)
        results: list[Result] = []
        for start in range(0, len(items), size):
            piece = list(items[start : start + size])
            if len(piece) == size or window <= 0:
                results += await call(piece)
            else:
                results += await self._together(key, piece, instance, call, _alone)
        return results

    async def _together(
        self, key: BatchKey, items: Sequence[Item], instance: Instance,
        call: Callable[[list[Item]], Awaitable[list[Result]]], joined: Callable[[], None],
    ) -> list[Result]:  # fmt: skip
        batch = self._open.get(key)
        if batch is not None and batch.room < len(items):
            batch.send()
            batch = None
        if batch is None:
            batch = self._open[key] = _Batch(self._open, key, instance, call)
        else:
            joined()
        seat = batch.join(items)
        try:
            results = await seat.answer
        except asyncio.CancelledError:
            await batch.leave(seat)
            raise
        return await call(list(items)) if results is None else results


def _alone() -> None:
    """The caller has made calls of its own before."""


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
