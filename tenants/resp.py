"""One socket to a Valkey server: what was written and is not answered yet, in order.

RESP2 (https://valkey.io/topics/protocol/), parsed by hiredis. Replies come in the order of the commands, so a caller
that stops waiting leaves its place in the row: its reply is read and dropped, never handed to the next."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Protocol, cast

import hiredis

from engine.errors import StoreUnavailable
from tenants.addresses import Address

log = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 2.0
LATE_LOOP: Final = 0.25
PASSING: Final = (
    "LOADING",
    "BUSY",
    "TRYAGAIN",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "READONLY",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
)

Word = str | bytes | int | float
Words = tuple[Word, ...]
Reply = Any


class Sent:
    """A command of a cluster, kept until it is answered: another node may have to be asked. `fallback` is the EVAL to
    send if a script is unknown, `until` when to give up (the loop's time)."""

    __slots__ = ("fallback", "hops", "payload", "slot", "until")

    def __init__(self, payload: bytes, fallback: Words | None, slot: int, until: float) -> None:
        self.payload = payload
        self.fallback = fallback
        self.slot = slot
        self.until = until
        self.hops = 0


Again = Words | Sent  # the EVAL to send if a script is unknown, or what a cluster needs to send it once more
Entry = tuple["asyncio.Future[Reply]", Again | None]  # the waiter comes first


class CommandRefused(StoreUnavailable):
    """The server answered with an error; `reply` is its text, for the log and never for a client."""

    def __init__(self, reply: str) -> None:
        super().__init__()
        self.reply = reply


class Script:
    """A Lua script, sent whole once a server and by its SHA-1 from then on. `known` are all of the process, by digest:
    a connection makes sure that its server has them."""

    __slots__ = ("digest", "source")

    known: ClassVar[dict[str, str]] = {}

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self.known[self.digest] = source


class Owner(Protocol):
    """What a link tells whoever made it."""

    address: Address

    def again(self, future: asyncio.Future[Reply], again: Again, reply: str) -> bool:
        """Sends a command again that was refused with `reply`, if it is worth it."""

    def flush(self) -> None:
        """The socket takes more again."""

    def lost(self, link: Link) -> None:
        """The socket is gone; may be told twice."""


class Link(asyncio.Protocol):
    """One socket's life. `waiting` are the commands written and not answered yet."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = hiredis.Reader(notEnoughData=Link)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._deadlines: deque[tuple[float, int]] = deque()  # (when, the count of answers due by then)
        self._written = 0
        self._answered = 0
        self._heard = 0.0  # when
        self._timer: asyncio.TimerHandle | None = None
        self.waiting: deque[Entry] = deque()
        self._ended = False
        self.paused = False
        self.over = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def write(self, payloads: list[bytes], entries: Sequence[Entry]) -> None:
        assert self._transport is not None
        self.waiting.extend(entries)
        self._written += len(entries)
        deadline = self._loop.time() + ANSWER_TIMEOUT
        self._deadlines.append((deadline, self._written))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_deadline, deadline)
        self._transport.write(payloads[0] if len(payloads) == 1 else b"".join(payloads))

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self.waiting
        self._heard = self._loop.time()
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not Link and not self._ended:
                future, again = waiting.popleft()
                self._answered += 1
                if future.done():
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    self._refused(future, again, str(reply))
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            log.error("%s does not speak the protocol of Valkey", self._owner.address)
            self.abort()
        while self._deadlines and self._deadlines[0][1] <= self._answered:
            self._deadlines.popleft()

    def _refused(self, future: asyncio.Future[Reply], again: Again | None, reply: str) -> None:
        if again is not None and self._owner.again(future, again, reply):
            return
        fail(future, CommandRefused(reply))
        if not reply.startswith(PASSING):
            log.error("%s refused a command: %s", self._owner.address, reply)
        elif reply.startswith("READONLY"):
            self.abort()  # it is no primary any more: the next connection asks the name again

    def _check_deadline(self, due: float) -> None:
        """Unanswered in time, and nothing heard for as long: the server is taken for gone. A long answer may take its
        while, and a loop that was late itself reads its socket first."""
        self._timer = None
        if not self._deadlines:
            return
        now = self._loop.time()
        first = max(self._deadlines[0][0], self._heard + ANSWER_TIMEOUT)
        if first > now:
            self._timer = self._loop.call_at(first, self._check_deadline, first)
        elif now - due > LATE_LOOP:
            again = now + LATE_LOOP
            self._timer = self._loop.call_at(again, self._check_deadline, again)
        else:
            log.warning("%s has not answered for %g s", self._owner.address, ANSWER_TIMEOUT)
            self.abort()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._owner.flush()

    def abort(self) -> None:
        """Ends the socket at once; whoever waits is told now, not when the loop gets round to it."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()
        if not self.over.done():
            self.over.set_result(None)

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadlines.clear()
        self._owner.lost(self)
        while self.waiting:
            fail(self.waiting.popleft()[0], StoreUnavailable())

    async def close(self) -> None:
        """Waits for what is still to be answered, then closes."""
        unanswered = [future for future, _ in self.waiting if not future.done()]
        if unanswered:
            await asyncio.wait(unanswered, timeout=ANSWER_TIMEOUT)
        if self._transport is not None:
            self._transport.close()
            await self.over


pack: Final = cast(Callable[[Words], bytes], hiredis.pack_command)
"""A command as it goes over the wire."""


def fail(future: asyncio.Future[Reply], error: StoreUnavailable) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as seen: a cancelled or forgetful waiter is no news for the log
