"""Short words between the event loops of all workers: somebody's turn came, stop that call.

Best effort, over one Valkey channel for all and one a worker: who must know for sure looks again by itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from itertools import cycle
from typing import Final

import redis.asyncio as redis
from redis.asyncio.client import PubSub

from tenants.handles import Store

log = logging.getLogger(__name__)

CHANNEL: Final = "clawdbot:bus"
PAUSE: Final = 0.5  # seconds before the next try to listen
PATIENCE: Final = 5.0  # seconds in which a socket that says nothing is asked whether it lives

Handler = Callable[[str], None]


class Bus:
    """One a process. `publisher` is the platform's own connection, `urls` are addresses for listening: of a cluster's
    nodes each hears what was told to any, so the next one is tried where one is away."""

    def __init__(self, publisher: Store, *urls: str) -> None:
        self.worker: Final = os.urandom(8).hex()
        self._publisher = publisher
        self._urls = cycle(urls)
        self._handlers: dict[str, Handler] = {}
        self._listening: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    def on(self, kind: str, handler: Handler) -> None:
        """Handlers are called on the event loop, with the text; before `start`. They must not raise."""
        self._handlers[kind] = handler

    def tell(self, kind: str, text: str, worker: str | None = None) -> None:
        """To all workers, this one too, or to one. Waits for nothing; it may get lost."""
        if worker == self.worker:
            asyncio.get_running_loop().call_soon(self._hear, kind, text)
            return
        channel = CHANNEL if worker is None else f"{CHANNEL}:{worker}"
        self._publisher.send("PUBLISH", channel, f"{kind} {text}")

    def start(self) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        lost = False
        while True:
            try:
                async with (
                    redis.Redis.from_url(next(self._urls), health_check_interval=PATIENCE) as client,
                    client.pubsub(ignore_subscribe_messages=True) as subscription,
                ):
                    await subscription.subscribe(CHANNEL, f"{CHANNEL}:{self.worker}")
                    lost = False
                    self.ready.set()
                    await self._follow(subscription)
            except (redis.RedisError, OSError, ValueError) as error:
                self.ready.clear()
                if not lost:
                    log.warning("the bus between workers is away: %s", error)
                lost = True
                await asyncio.sleep(PAUSE)

    async def _follow(self, subscription: PubSub) -> None:
        while True:
            heard = await subscription.get_message(timeout=PATIENCE)
            if heard is not None:
                kind, _, text = heard["data"].decode("utf-8", "replace").partition(" ")
                self._hear(kind, text)

    def _hear(self, kind: str, text: str) -> None:
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(text)
