"""Runs one hook of one plugin within its budget of time, where it belongs: in a thread, or on the event loop."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final

from django.db import close_old_connections

from plugins.base import PluginBase

THREADS: Final = 8
MOST_STUCK: Final = 2

Hook = Callable[[Any], Awaitable[None] | None]
Work = tuple[Hook, object, "Future[None]"]


class HookSkipped(Exception):
    """The hook did not run to its end. `reason` is `failed` (the cause is what it raised), `slow` or `stuck`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HookRunner:
    """Runs hooks. One a process: its threads serve all plugins of all tenants.

    A hook that was given up may go on in its thread, which nothing can end. A plugin with two such hooks is not called
    before one of them ends, so that the threads stay free for the others."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = HookThreads(threads)
        self._given_up: dict[str, list[Future[None] | asyncio.Future[None]]] = {}

    async def run(self, plugin: PluginBase, hook: Hook, argument: object) -> None:
        """Raises HookSkipped."""
        if self._stuck(plugin.name) >= MOST_STUCK:
            raise HookSkipped("stuck")
        work: Future[None] | asyncio.Future[None]
        waiter: asyncio.Future[None]
        if inspect.iscoroutinefunction(hook):
            work = waiter = asyncio.ensure_future(_on_loop(hook, argument))
        else:
            work = self._threads.submit(hook, argument)
            waiter = asyncio.wrap_future(work)
        done: set[asyncio.Future[None]] = set()
        try:
            done, _ = await asyncio.wait((waiter,), timeout=plugin.timeout)
        finally:
            if not done:
                waiter.cancel()
                self._given_up.setdefault(plugin.name, []).append(work)
        if not done:
            raise HookSkipped("slow")
        if waiter.cancelled():
            raise HookSkipped("failed")
        if (error := waiter.exception()) is not None:
            raise HookSkipped("failed") from error

    def _stuck(self, name: str) -> int:
        given_up = self._given_up.get(name)
        if not given_up:
            return 0
        given_up[:] = [work for work in given_up if not work.done()]
        return len(given_up)


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
        future.set_exception(_ordinary(error))
    else:
        future.set_result(None)
    finally:
        close_old_connections()  # a plugin may use Django's database, and this thread is nobody's request


async def _on_loop(hook: Hook, argument: object) -> None:
    try:
        returned = hook(argument)
        assert returned is not None
        await returned
    except (SystemExit, KeyboardInterrupt) as error:
        raise _ordinary(error) from error


def _ordinary(error: BaseException) -> Exception:
    """Neither ends the process nor confuses a future."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the hook raised {error!r}")
