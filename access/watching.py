"""Sockets that see every turn of a session live, whichever edge and worker answers it.

They join a group of the channel layer; whoever begins a turn of a session tells its group the turn's id, and nothing
else: what is asked and answered the sockets read like any reader who comes back. A group is a user's session: nobody
else can join it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from channels.layers import get_channel_layer
from redis import RedisError

from engine.errors import InvalidRequest, StoreUnavailable
from engine.types import Principal, Start

log = logging.getLogger(__name__)

TURN: Final = "session.turn"
MOST: Final = 32  # sessions a socket watches


class Publisher(Protocol):
    """A connection to the channel layer's database (see `tenants.valkey.Connection`)."""

    def send(self, *words: Any) -> object: ...


class Watching:
    """One a process. It publishes what the layer's `group_send` would, with the other commands of the tick, at a
    twentieth of its price: every turn of a session pays it. Without a publisher nobody is told."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self._publisher = publisher

    def tell(self, principal: Principal, start: Start) -> None:
        """A turn of a session has begun, or is over already. Waits for nothing and may get lost."""
        session_id, turn_id = start.session_id, start.id
        if session_id is None or start.replayed or self._publisher is None:
            return
        layer = get_channel_layer()
        if layer is not None:
            said = layer.serialize({"type": TURN, "turn_id": turn_id, "session_id": session_id})
            self._publisher.send("PUBLISH", f"{layer.prefix}__group__{group(principal, session_id)}", said)


def group(principal: Principal, session_id: str) -> str:
    """The channel layer's name for a user's session."""
    whose = f"{principal.tenant_id} {principal.user} {session_id}"
    return f"session.{hashlib.sha256(whose.encode()).hexdigest()[:40]}"


Heard = Callable[[str, str], None]  # a session and a turn


class Audience:
    """The sessions one socket watches. Its channel of the layer is made for the first of them. `heard` is told of their
    turns on the event loop."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._groups: dict[str, None] = {}
        self._layer: Any = None
        self._channel = ""
        self._listening: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._groups

    async def join(self, name: str, *, push: bool = False) -> None:
        """Raises InvalidRequest: it watches as many as it may; with `push` the first one has to go instead. Raises
        StoreUnavailable."""
        try:
            async with self._joining:
                await self._join(name, push)
        except (RedisError, OSError) as error:
            log.warning("a socket could not join a group of the channel layer: %s", error)
            raise StoreUnavailable from None

    async def _join(self, name: str, push: bool) -> None:
        if name in self._groups:
            return
        if len(self._groups) >= MOST:
            if not push:
                raise InvalidRequest(f"At most {MOST} sessions can be watched on one socket.", param="session_id")
            await self._leave(next(iter(self._groups)))
        if self._listening is None:
            self._layer = get_channel_layer()
            if self._layer is None:
                return
            self._channel = await self._layer.new_channel()
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        await self._layer.group_add(name, self._channel)
        self._groups[name] = None

    async def leave(self, name: str) -> None:
        async with self._joining:
            await self._leave(name)

    async def _leave(self, name: str) -> None:
        if name in self._groups:
            del self._groups[name]
            await self._layer.group_discard(name, self._channel)

    async def close(self) -> None:
        """The socket is gone; never raises."""
        async with self._joining:
            for name in list(self._groups):
                await _quietly(self._leave(name))
            if self._listening is not None:
                self._listening.cancel()
                await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        while True:
            message = await self._layer.receive(self._channel)
            if message.get("type") == TURN:
                self._heard(message["session_id"], message["turn_id"])


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  # the border: the layer's own errors are of many kinds
        log.info("a socket could not leave a group of the channel layer: %s", error)
