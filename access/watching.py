"""Sockets that see every turn of a session live, whichever edge and worker answers it.

They watch a group of the channel layer; whoever begins a turn of a session tells its group the turn's id, and nothing
else: what is asked and answered the sockets read like any reader who comes back. A group is a user's session: nobody
else can watch it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from engine.errors import InvalidRequest, StoreUnavailable
from engine.types import Principal, Start
from tenants.subscribing import Subscriber

log = logging.getLogger(__name__)

TURN: Final = "session.turn"
MOST: Final = 32  # sessions a socket watches
GROUP: Final = "asgi__group__"  # before the names of groups, as the layer of Channels has it

Heard = Callable[[str, str], None]  # a session and a turn


class Publisher(Protocol):
    """A connection to the channel layer's database (see `tenants.valkey.Connection`)."""

    def send(self, *words: Any) -> object: ...


class Told(msgspec.Struct):
    """A message as the channel layer of Channels packs it. `worker` is where the turn is; told by an older worker, it
    is empty."""

    type: str
    turn_id: str
    session_id: str
    worker: str = ""


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Told).decode


class Watching:
    """One a process. It speaks to the groups of Channels' layer, `channels_redis.pubsub`, over connections of its own:
    every turn of a session pays for that. Watchers in this process are told at once, those of others by a message,
    which this process knows for its own when it comes back. Without a publisher only this process is told, without a
    subscriber nothing of others is heard."""

    def __init__(self, publisher: Publisher | None = None, subscribed: str | None = None) -> None:
        """`subscribed`: the address of the database that the publisher writes to."""
        self.worker: Final = os.urandom(8).hex()
        self._mine: Final = self.worker.encode()
        self._publisher = publisher
        self._audiences: dict[str, dict[Audience, None]] = {}  # by channel
        self._subscriber = (
            Subscriber(subscribed, wanted=self._audiences.keys, heard=self._come) if subscribed is not None else None
        )

    def tell(self, principal: Principal, start: Start) -> None:
        """A turn of a session has begun, or is over already. Waits for nothing and may get lost."""
        session_id, turn_id = start.session_id, start.id
        if session_id is None or start.replayed:
            return
        channel = group(principal, session_id)
        if channel in self._audiences:
            self._pass_on(channel, session_id, turn_id)
        if self._publisher is not None:
            self._publisher.send("PUBLISH", channel, _pack(Told(TURN, turn_id, session_id, self.worker)))

    def _come(self, channel: bytes, message: bytes) -> None:
        if message.endswith(self._mine):
            return
        try:
            told = _unpack(message)
        except msgspec.DecodeError:
            log.warning("the channel layer brought a message that is none of ours")
            return
        if told.type == TURN:
            self._pass_on(channel.decode(), told.session_id, told.turn_id)

    def _pass_on(self, channel: str, session_id: str, turn_id: str) -> None:
        for audience in list(self._audiences.get(channel, ())):
            audience.heard(session_id, turn_id)

    async def add(self, channel: str, audience: Audience) -> None:
        """It is told of every turn from now on. Raises StoreUnavailable: then it is told nothing."""
        self._audiences.setdefault(channel, {})[audience] = None
        if self._subscriber is None:
            return
        try:
            await self._subscriber.subscribe(channel)  # also where another one has: that may not be answered yet
        except BaseException:
            self.discard(channel, audience)
            raise

    def discard(self, channel: str, audience: Audience) -> None:
        audiences = self._audiences.get(channel)
        if audiences is None:
            return
        audiences.pop(audience, None)
        if not audiences:
            del self._audiences[channel]
            if self._subscriber is not None:
                self._subscriber.unsubscribe(channel)

    @property
    def watched(self) -> int:
        """How many sessions are, here."""
        return len(self._audiences)

    async def close(self) -> None:
        if self._subscriber is not None:
            await self._subscriber.close()


def group(principal: Principal, session_id: str) -> str:
    """The channel of a user's session."""
    whose = f"{principal.tenant_id} {principal.user} {session_id}"
    return f"{GROUP}session.{hashlib.sha256(whose.encode()).hexdigest()[:40]}"


class Audience:
    """The sessions one socket watches. `heard` is told of their turns on the event loop, once or more, and must not
    raise."""

    def __init__(self, watching: Watching, heard: Heard) -> None:
        self.heard: Final = heard
        self._watching = watching
        self._channels: dict[str, None] = {}
        self._joining = asyncio.Lock()

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    async def join(self, channel: str, *, push: bool = False) -> None:
        """Raises InvalidRequest: it watches as many as it may; with `push` the first one has to go instead. Raises
        StoreUnavailable."""
        async with self._joining:
            if channel in self._channels:
                return
            if len(self._channels) >= MOST:
                if not push:
                    raise InvalidRequest(f"At most {MOST} sessions can be watched on one socket.", param="session_id")
                self._leave(next(iter(self._channels)))
            try:
                await self._watching.add(channel, self)
            except StoreUnavailable as error:
                log.warning("a socket could not join a group of the channel layer: %r", error)
                raise
            self._channels[channel] = None

    async def leave(self, channel: str) -> None:
        async with self._joining:
            self._leave(channel)

    def _leave(self, channel: str) -> None:
        if channel in self._channels:
            del self._channels[channel]
            self._watching.discard(channel, self)

    async def close(self) -> None:
        """The socket is gone."""
        async with self._joining:
            for channel in list(self._channels):
                self._leave(channel)
