"""The one client for outgoing HTTP. Callers know `HttpClient`; which library moves the bytes is decided in the wiring.

A redirect is an answer like any other, cookies are never kept, proxies of the environment are not asked, and a failure
is always an UpstreamError. Where calls may go at all says `engine.addresses`: a client calls public addresses only, or
private ones too, and keeps no connection the other could use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from engine.errors import UpstreamError

MAX_BODY: Final = 16 * 1024 * 1024
RESENDS: Final = 3
OK: Final = 200  # below are interim answers

# What was late.
UNREACHED: Final = "The model's service could not be reached in time."
UNBEGUN: Final = "The model's service did not begin to answer in time."
SILENT: Final = "The model's service fell silent in the middle of its answer."
UNFINISHED: Final = "The model's service did not finish its answer in time."

NOT_ALLOWED: Final = "The model's service lies where calls are not allowed."


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. `connect` covers name, TCP and TLS; `read` is the longest silence, before the first byte as between two;
    `total` bounds the whole exchange. Build one a caller and keep it."""

    connect: float
    read: float
    total: float | None = None


class HttpResponse(Protocol):
    """An answer whose head has arrived. Whoever got it closes it; both ways of reading end at the same single body."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are matched without regard to case. Gone, perhaps, once `chunks` was asked for."""

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """The whole body. Raises UpstreamError beyond `limit` bytes, when it is cut off, UpstreamTimeout when late."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, never an empty piece. Raises like `read`, without a limit."""

    def expect_by(self, at: float, late: str) -> None:
        """From now on reading raises UpstreamTimeout(late) when it still waits at `at` by the loop's clock, until this
        is called again: instead of the limits of `timeouts`. Costs next to nothing, as often as it is called."""

    async def close(self) -> None:
        """Gives the connection back when the body was read to its end, else closes it at once. Safe to call twice."""


async def gathered(response: HttpResponse, limit: int) -> bytes:
    """The body of its chunks; what `HttpResponse.read` is to do. The response is closed where there is too much."""
    parts: list[bytes] = []
    size = 0
    async for part in response.chunks():
        parts.append(part)
        size += len(part)
        if size > limit:
            await response.close()
            raise UpstreamError("The model's service answered with too much.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


class HttpClient(Protocol):
    """Raises UpstreamTimeout when a limit of `timeouts` passes, UpstreamError for any other failure to get an answer.

    Cancelling the caller closes the connection. A request is sent again only where the connection had been kept from
    an earlier one and was closed without a byte of an answer: the server had given it up meanwhile (RFC 9112, 9.3.1).
    """

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> HttpResponse: ...

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> HttpResponse: ...

    async def close(self) -> None:
        """Closes the kept connections of the running event loop."""


class Clients(NamedTuple):
    """One for public addresses only, and one for those whom the platform allows private ones, too."""

    public: HttpClient
    private: HttpClient

    def reaching(self, private: bool) -> HttpClient:
        return self.private if private else self.public

    async def close(self) -> None:
        await self.public.close()
        await self.private.close()
