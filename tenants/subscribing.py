"""What others publish on channels of a Valkey server, over one connection a process.

In RESP2 a connection that subscribed is told of messages between its replies, and `SUBSCRIBE` answers once for each
channel: so what was asked counts as answered by the reply to a `PING` sent right behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

import hiredis

from tenants.addresses import Address
from tenants.resp import Again, CommandRefused, Link, Reply, fail, pack
from tenants.valkey import Connection

log = logging.getLogger(__name__)

PULSE: Final = 5.0  # seconds after which a server that may have nothing to tell is asked whether it is there
PAUSE: Final = 0.5  # seconds until one that is away is tried again
AT_ONCE: Final = 1_000  # channels of one command
PUSHED: Final = (b"message", b"subscribe", b"unsubscribe")

Heard = Callable[[bytes, bytes], None]  # a channel and what was published there


class Listener(Link):
    """A link whose owner is a `Subscriber`."""

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not Link and not self._ended:
                if type(reply) is list and reply and reply[0] in PUSHED:
                    if reply[0] == b"message":
                        self._owner.heard(reply[1], reply[2])  # type: ignore[attr-defined]
                else:
                    self._answer(reply)
        except (hiredis.ProtocolError, IndexError):
            log.error("%s does not speak the protocol of Valkey", self._owner.address)
            self.abort()
        while self._deadlines and self._deadlines[0][1] <= self._answered:
            self._deadlines.popleft()

    def _answer(self, reply: Reply) -> None:
        future, again = self.waiting.popleft()
        self._answered += 1
        if isinstance(reply, hiredis.ReplyError):
            self._refused(future, again, str(reply))
        elif not future.done():
            future.set_result(reply)


class Subscriber(Connection):
    """The channels that `wanted` names, as long as it names them: after a loss they are subscribed to anew, and what
    was published meanwhile is lost. `heard` is called on the event loop and must not raise."""

    link_type = Listener

    def __init__(self, url: str | Address, *, wanted: Callable[[], Collection[str]], heard: Heard) -> None:
        super().__init__(url)
        self.heard = heard
        self._wanted = wanted
        self._pulse: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None

    def subscribe(self, *channels: str) -> asyncio.Future[Reply]:
        """Done once everything published there from now on is heard. Fails with StoreUnavailable."""
        loop = self._own_loop()
        if self._pulse is None and not self._closed:
            self._pulse = loop.call_later(PULSE, self._look)
        return self._tell("SUBSCRIBE", channels)

    def unsubscribe(self, *channels: str) -> None:
        if self._link is not None or self._connecting is not None:
            self._tell("UNSUBSCRIBE", channels)

    def _tell(self, command: str, channels: Collection[str]) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = self._own_loop().create_future()
        self.enqueue(pack((command, *channels)) + pack(("PING",)), future, (command,))
        return future

    def again(self, future: asyncio.Future[Reply], again: Again, reply: str) -> bool:
        """What is refused has one answer too many behind it."""
        log.error("%s refused to be listened to: %s", self.address, reply)
        fail(future, CommandRefused(reply))
        if self._link is not None:
            self._link.abort()
        return True

    def unreachable(self) -> None:
        if self._retry is None and not self._closed:
            self._retry = self._own_loop().call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        self._retry = None
        channels = iter(self._wanted())
        while some := tuple(islice(channels, AT_ONCE)):
            self._tell("SUBSCRIBE", some).add_done_callback(self._resumed)

    def _resumed(self, told: asyncio.Future[Reply]) -> None:
        if not told.cancelled() and told.exception() is not None:
            self.unreachable()

    def _look(self) -> None:
        self._pulse = None
        if self._wanted():
            self._pulse = self._own_loop().call_later(PULSE, self._look)
            if self._link is not None:
                self.send("PING")

    def abort(self) -> None:
        self._stop()
        super().abort()

    async def close(self) -> None:
        self._stop()
        await super().close()

    def _stop(self) -> None:
        for timer in (self._pulse, self._retry):
            if timer is not None:
                timer.cancel()
        self._pulse = self._retry = None
