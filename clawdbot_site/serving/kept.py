"""Connections that are kept between two requests, until they are silent too long or make way for others
(`access.connection_places`). A WebSocket, a stream and a request under way never do; who has not sent a first request's
head in some seconds does before anybody."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clawdbot_site.serving.refusals import CROWDED, Refusal

ANSWERED: Final = 128  # of those who find no place so many at a time are told, less where places are few,
SHARE: Final = 8  # one for so many of them: each is an open file for a second; the others are just closed


def told_at_once(most: int) -> int:
    return min(ANSWERED, most // SHARE)


class Kept(HttpToolsProtocol):
    __slots__ = ("_idle_since", "_refused")

    _reading_head: bool
    _head_bytes: int
    _begun_bytes: int
    _refused: bool
    _idle_since: float  # since it came, or the last answer left

    def refuse(self, refusal: Refusal) -> None:
        raise NotImplementedError

    # Who makes way ------------------------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """A request came on it."""
        return cast(object, self.cycle) is not None

    @property
    def going(self) -> bool:
        return self._refused or self.transport.is_closing()

    @property
    def silent_since(self) -> float | None:
        return self._idle_since if not self.going and (not self.known or self._between_requests()) else None

    def make_way(self) -> None:
        self.transport.close()

    def turn_away(self, away: set[object], most: int) -> None:
        """There is no place for it; it takes none while it is told. `away`: who else is; `most`: places there are."""
        self.connections.discard(self)
        if len(away) < told_at_once(most):
            away.add(self)
            self.refuse(CROWDED)
        else:
            self._refused = True
            self.transport.abort()

    def _between_requests(self) -> bool:
        return self._reading_head and not (self._head_bytes or self._begun_bytes) and self.cycle.response_complete

    # Who is silent too long ---------------------------------------------------------------------------------------

    def _watch_idleness(self, seconds: float) -> None:
        """One timer a connection: set anew only when it has run out, not with every request."""
        self.timeout_keep_alive_task: asyncio.TimerHandle | None = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        if not self._between_requests():
            self._watch_idleness(self.timeout_keep_alive)
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch_idleness(left)
        else:
            self.transport.close()
