"""Runs one hook of one plugin within its budget of time, where it belongs: in a thread, or on the event loop.

What becomes of a hook, its outcome: `ok`; `failed` (it raised, or left what cannot be used); `slow` (it took longer
than its time); `stuck` (not called: others of the plugin still run after their time); `open` (not called: it failed too
often just before); `missing` (the plugin is not installed or could not be made); `rounds` (it asked for one round too
many); `round_failed` (the round it asked for was refused or failed); `blocked` (an `async def` hook ran to its end, but
kept the event loop from everything else)."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from django.db import close_old_connections

from plugins.active import Loaded

THREADS: Final = 24
MOST_STUCK: Final = 2  # of one plugin of one tenant,
MOST_STUCK_OF_NAME: Final = 8  # and of all tenants' plugins of one name
BLOCKED: Final = 0.25  # seconds without letting the event loop go on

Hook = Callable[[Any], Awaitable[None] | None]
Work = tuple[Hook, object, "Future[None]"]
AnyFuture = Future[None] | asyncio.Future[None]


class HookSkipped(Exception):
    """The hook did not run to its end. `reason` is its outcome; of `failed` the cause is what it raised."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HookRunner:
    """Runs hooks. One a process: its threads serve all plugins of all tenants.

    A hook that was given up may go on in its thread, which nothing can end. A plugin with two such hooks is not called
    before one of them ends, so that the threads stay free for the others."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = HookThreads(threads)
        self._given_up: dict[str, list[AnyFuture]] = {}

    async def run(self, loaded: Loaded, hook: Hook, argument: object, timeout: float) -> bool:
        """Whether it kept the event loop from everything else for too long. Raises HookSkipped."""
        if self._is_stuck(loaded):
            raise HookSkipped("stuck")
        if inspect.iscoroutinefunction(hook):
            watched = Watched(hook, argument)
            task = asyncio.ensure_future(watched.run())
            await self._wait(loaded, task, task, timeout)
            return watched.longest > BLOCKED
        deadline = time.monotonic() + timeout
        if loaded.gate.locked():
            try:
                await asyncio.wait_for(loaded.gate.acquire(), timeout)
            except TimeoutError:
                raise HookSkipped("slow") from None
        else:
            await loaded.gate.acquire()
        work = self._threads.submit(hook, argument)
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: _soon(loop, loaded.gate.release))
        await self._wait(loaded, work, asyncio.wrap_future(work), max(0.001, deadline - time.monotonic()))
        return False

    async def _wait(self, loaded: Loaded, work: AnyFuture, waiter: asyncio.Future[None], timeout: float) -> None:
        done: set[asyncio.Future[None]] = set()
        try:
            done, _ = await asyncio.wait((waiter,), timeout=timeout)
        finally:
            if not done:
                waiter.cancel()
                loaded.given_up.append(work)
                self._given_up.setdefault(loaded.name, []).append(work)
        if not done:
            raise HookSkipped("slow")
        if waiter.cancelled():
            raise HookSkipped("failed")
        if (error := waiter.exception()) is not None:
            raise HookSkipped("failed") from error

    def _is_stuck(self, loaded: Loaded) -> bool:
        if not loaded.given_up and loaded.name not in self._given_up:
            return False
        of_name = self._given_up.get(loaded.name, [])
        for each in (loaded.given_up, of_name):
            each[:] = [work for work in each if not work.done()]
        if not of_name:
            self._given_up.pop(loaded.name, None)
        return len(loaded.given_up) >= MOST_STUCK or len(of_name) >= MOST_STUCK_OF_NAME


class Watched:
    """An `async def` hook whose every step on the event loop is timed. `longest` is in seconds."""

    def __init__(self, hook: Hook, argument: object) -> None:
        self.longest = 0.0
        self._hook = hook
        self._argument = argument

    async def run(self) -> None:
        try:
            returned = self._hook(self._argument)
            assert inspect.iscoroutine(returned)
            await _Steps(returned, self)
        except (SystemExit, KeyboardInterrupt) as error:
            raise ordinary(error) from error


class _Steps:
    def __init__(self, coroutine: Coroutine[Any, Any, None], watched: Watched) -> None:
        self._coroutine = coroutine
        self._watched = watched

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, watched = self._coroutine, self._watched
        thrown: BaseException | None = None
        try:
            while True:
                began = time.monotonic()
                try:
                    awaited = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
                except StopIteration:
                    return
                finally:
                    watched.longest = max(watched.longest, time.monotonic() - began)
                thrown = None
                try:
                    yield awaited
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the hook's: a cancellation, or what it waited for
                    thrown = error
        finally:
            coroutine.close()


class HookThreads:
    """At most `most` threads, started when first needed. Unlike those of `concurrent.futures` they are daemons: a hook
    that never ends does not keep the process from ending."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[threading.Thread] = []
        self._waiting: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    def submit(self, hook: Hook, argument: object) -> Future[None]:
        """Called from one thread only, that of the event loop."""
        future: Future[None] = Future()
        self._waiting.put((hook, argument, future))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"plugin-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _work(self) -> None:
        while True:
            hook, argument, future = self._waiting.get()
            if future.set_running_or_notify_cancel():
                _settle(hook, argument, future)
            del hook, argument, future  # an idle thread keeps nobody's turn alive
            self._idle.release()


def _settle(hook: Hook, argument: object, future: Future[None]) -> None:
    try:
        returned = hook(argument)
        if inspect.iscoroutine(returned):
            returned.close()
            raise TypeError("the hook returned a coroutine without being declared `async def`")
    except BaseException as error:  # noqa: BLE001 - border: whatever a plugin raises is its own failure, even SystemExit
        future.set_exception(ordinary(error))
    else:
        future.set_result(None)
    finally:
        close_old_connections()  # a plugin may use Django's database, and this thread is nobody's request


async def settled(work: Awaitable[None]) -> None:
    """For a task of its own: there an exit would end the event loop."""
    try:
        await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise ordinary(error) from error


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(work)


def ordinary(error: BaseException) -> Exception:
    """Neither ends the process nor confuses a future."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the hook raised {error!r}")
