"""`tests.adapters.upstream.Upstream` for tests that are on no event loop: it runs on its own, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole

ANSWER = "The scripted answer."


@contextmanager
def upstream_in_thread() -> Iterator[Upstream]:
    """Answers `ANSWER`, whole or as a stream, until a test tells it otherwise."""
    upstream = Upstream()
    loop = asyncio.new_event_loop()
    opened, over = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with upstream:
            opened.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    opened.wait(10)
    reset(upstream)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def reset(upstream: Upstream) -> None:
    upstream.answers(whole(ANSWER), streamed(events(*ANSWER.split(" ", 1)), 0.005), choose=by_stream)
