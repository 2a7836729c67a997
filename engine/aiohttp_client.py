"""The client for outgoing HTTP over aiohttp. Only where it is chosen (`HTTP_CLIENT=aiohttp`) is the library loaded:
it takes six MiB."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakSet

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from engine import addresses
from engine.addresses import AddressRefused
from engine.errors import UpstreamError, UpstreamTimeout
from engine.outbound import (
    MAX_BODY,
    NOT_ALLOWED,
    OK,
    RESENDS,
    SILENT,
    UNBEGUN,
    UNFINISHED,
    UNREACHED,
    HttpResponse,
    Timeouts,
    gathered,
)
from engine.patience import Patience

# ValueError: a URL or a header that cannot be sent, or a compressed body that cannot be unpacked.
_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)

_reused: ContextVar[bool] = ContextVar("reused", default=False)


def _fail(error: Exception, late: str = UNBEGUN) -> NoReturn:
    """`late`: what it means that nothing was heard for too long."""
    if isinstance(error, AddressRefused):
        raise UpstreamError(NOT_ALLOWED) from error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        raise UpstreamTimeout(UNREACHED) from error
    if isinstance(error, TimeoutError):
        raise UpstreamTimeout(late if isinstance(error, aiohttp.SocketTimeoutError) else UNFINISHED) from error
    if isinstance(error, aiohttp.ClientConnectorError):
        raise UpstreamError("The model's service cannot be reached.") from error
    raise UpstreamError() from error


@lru_cache(maxsize=1024)
def _client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeouts.total, connect=timeouts.connect, sock_read=timeouts.read)


def _as_it_is(url: str) -> URL:
    """Nothing of an address that can be sent is written in another way: it may be signed."""
    return URL(url, encoded=url.isascii() and " " not in url)


class _Connector(aiohttp.TCPConnector):
    """Notes in `_reused` whether the running task was given a connection that had served before. Names are looked up,
    and whom a connection reached is asked, by the rules of `engine.addresses`."""

    def __init__(self, private: bool, context: ssl.SSLContext | None) -> None:
        super().__init__(limit=0, use_dns_cache=False, ssl=context or True)
        self._private = private
        self._served: WeakSet[object] = WeakSet()

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[aiohttp.abc.ResolveResult]:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            {"hostname": host, "host": each.host, "port": port, "family": each.family, "proto": 0, "flags": flags}
            for each in await addresses.resolve(host, port, private=self._private)
        ]

    async def _create_direct_connection(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super()._create_direct_connection(*args, **kwargs)
        try:
            addresses.permit(str(transport.get_extra_info("peername", ("",))[0]), private=self._private)
        except AddressRefused:
            transport.abort()
            raise
        return transport, protocol

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        protocol = connection.protocol
        if protocol in self._served:
            _reused.set(True)
        else:
            _reused.set(False)
            self._served.add(protocol)
        return connection


class AiohttpResponse:
    """HttpResponse over aiohttp, and the iterator of its own chunks: leaving that early leaves no generator behind."""

    __slots__ = ("_late", "_patience", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._patience: Patience | None = None
        self._late: UpstreamTimeout | None = None
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int = MAX_BODY) -> bytes:
        return await gathered(self, limit)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        patience = self._patience
        try:
            if patience is None:
                chunk = await self._response.content.readany()
            else:
                patience.begin()
                try:
                    chunk = await self._response.content.readany()
                finally:
                    patience.end()
        except _FAILURES as error:
            if self._late is not None:
                raise self._late from None
            _fail(error, SILENT)
        except asyncio.CancelledError:
            self._response.close()
            raise
        if not chunk:
            self._forget_patience()
            raise StopAsyncIteration
        return chunk

    def expect_by(self, at: float, late: str) -> None:
        if self._patience is None:
            self._patience = Patience(asyncio.get_running_loop(), self._too_late)
        self._patience.until(at, late)

    def _too_late(self) -> None:
        assert self._patience is not None
        self._late = UpstreamTimeout(self._patience.why)
        self._response.content.set_exception(TimeoutError())
        self._response.close()

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.over()

    async def close(self) -> None:
        self._forget_patience()
        self._response.close()


class AiohttpClient:
    """HttpClient over aiohttp: one session an event loop, made at its first request; connections without number, since
    an instance's concurrency is the router's business. Nagle's delay is off: aiohttp sets TCP_NODELAY itself.
    `context` and `private` as in `engine.http1`."""

    def __init__(self, context: ssl.SSLContext | None = None, *, private: bool = False) -> None:
        self._context = context
        self._private = private
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> HttpResponse:
        return await self._request("POST", url, headers, body, timeouts)

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> HttpResponse:
        return await self._request("GET", url, headers, None, timeouts)

    async def close(self) -> None:
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> AiohttpResponse:
        session = self._session()
        timeout = _client_timeout(timeouts)
        resends = RESENDS
        while True:
            _reused.set(False)
            try:
                response = await session.request(
                    method, _as_it_is(url), headers=headers, data=body, timeout=timeout, allow_redirects=False
                )
                if response.status < OK:
                    response.close()
                    raise UpstreamError
                return AiohttpResponse(response)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                begun = not isinstance(getattr(error, "message", ""), str)  # what was read of an answer
                if begun or not (resends and _reused.get()):
                    _fail(error)
                resends -= 1
            except _FAILURES as error:
                _fail(error)

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=_Connector(self._private, self._context),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "clawdbot", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return session
