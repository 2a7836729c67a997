"""An HTTP/1.1 client (RFC 9112) on asyncio protocols and httptools: `engine.outbound.HttpClient` at about a quarter of
aiohttp's CPU.

It does what calls to a model's service need and no more: POST and GET, kept connections, TLS with verification, bodies
by length, in chunks or to the end of the connection, bodies packed without being asked for. No redirects, cookies,
proxies or HTTP/2.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httptools

from engine import addresses
from engine.addresses import AddressRefused
from engine.errors import UpstreamError, UpstreamTimeout
from engine.exchange import Exchange
from engine.outbound import NOT_ALLOWED, RESENDS, UNREACHED, HttpResponse, Timeouts
from engine.patience import Patience

MAX_HEAD: Final = 128 * 1024
IDLE_SECONDS: Final = 60.0
COPIED: Final = 64 * 1024  # bytes of a body that are put behind the head for one buffer to be sent


class Origin(NamedTuple):
    """Where connections are kept by."""

    secure: bool
    host: str
    port: int


class HeadTooLarge(Exception):
    """Ends the parser's work from inside one of its calls; httptools raises it on as an HttpParserError."""


class Connection(asyncio.Protocol):
    """One connection. Serves one exchange at a time and goes back to its pool when the answer is whole. `heard`: a byte
    has come since the last request."""

    __slots__ = (
        "_exchange", "_head_bytes", "_interim", "_loop", "_parser", "_paused", "_pool", "_transport", "heard",
        "idle_since", "patience",
    )  # fmt: skip

    def __init__(self, pool: deque[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._head_bytes = 0
        self._interim = False
        self._paused = False
        self.patience = Patience(loop, self._too_late)
        self.heard = False
        self.idle_since = 0.0

    def send(self, head: bytes, body: bytes, timeouts: Timeouts, deadline: float | None) -> Exchange:
        assert self._transport is not None
        self._exchange = exchange = Exchange(self._loop, self, timeouts, deadline)
        self._head_bytes = 0
        self.heard = False
        if len(body) > COPIED:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)
        return exchange

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def _free(self) -> bool:
        """The next request may follow. One that was answered before it was read to its end is in its way."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked: whatever it is, it would be taken for the next answer
            self.abort()
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break(exchange)
            return
        if not exchange.answered:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._break(exchange)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.patience.over()
        if self in self._pool:
            self._pool.remove(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if error is None and exchange.answered and not exchange.bounded:
            exchange.whole()
        else:
            exchange.fail(UpstreamError("The model's service closed the connection before its answer was whole."))

    def _too_late(self) -> None:
        if self._exchange is not None:
            self._exchange.late(self.patience.why)

    def _break(self, exchange: Exchange) -> None:
        exchange.fail(UpstreamError("The model's service sent what is no HTTP answer."))
        self.abort()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._exchange is None:  # the beginning of an answer to nothing, which the next one would be read into
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MAX_HEAD:
                raise HeadTooLarge
            if not exchange.answered:  # else it is a trailer, which nobody asks for
                exchange.fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._exchange is not None and not self._interim:
            self._exchange.head(status)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None and self._exchange.body(body) and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if self._interim:
            exchange.forget_head()
            return
        self._exchange = None
        exchange.whole()
        self.resume()
        if self._free and self._parser.should_keep_alive():
            self.idle_since = self._loop.time()
            self._pool.append(self)
        else:
            self.abort()


class DirectClient:
    """HttpClient over the above. Connections are kept an event loop and an origin, for a minute, without a limit on
    their number: an instance's concurrency is the router's business. `context` is for certificates of one's own;
    `private`: addresses of private networks may be called, too. Only a new connection costs the look at its address."""

    def __init__(self, context: ssl.SSLContext | None = None, *, private: bool = False) -> None:
        self._private = private
        self._context = context
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Origin, deque[Connection]]] = WeakKeyDictionary()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> HttpResponse:
        origin, head = _head("POST", url, tuple(headers.items()))
        return await self._request(origin, b"%sContent-Length: %d\r\n\r\n" % (head, len(body)), body, timeouts)

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> HttpResponse:
        origin, head = _head("GET", url, tuple(headers.items()))
        return await self._request(origin, head + b"\r\n", b"", timeouts)

    async def close(self) -> None:
        for pool in self._loops.pop(asyncio.get_running_loop(), {}).values():
            for connection in list(pool):
                connection.abort()

    async def _request(self, origin: Origin, head: bytes, body: bytes, timeouts: Timeouts) -> HttpResponse:
        loop = asyncio.get_running_loop()
        pools = self._loops.setdefault(loop, {})
        pool = pools.get(origin)
        if pool is None:
            pool = pools[origin] = deque()
        deadline = None if timeouts.total is None else loop.time() + timeouts.total
        for _ in range(RESENDS):
            kept = _kept(pool, loop.time())
            if kept is None:
                break
            exchange = kept.send(head, body, timeouts, deadline)
            try:
                return await _answer(exchange)
            except UpstreamTimeout:
                raise
            except UpstreamError:
                if kept.heard or kept.usable:
                    raise
                # closed without a byte: given up while idle, so the request was never looked at
        connection = await self._connect(loop, origin, pool, timeouts)
        return await _answer(connection.send(head, body, timeouts, deadline))

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, pool: deque[Connection], timeouts: Timeouts
    ) -> Connection:
        secure = (self._context or _default_context()) if origin.secure else None
        try:
            async with asyncio.timeout(min(timeouts.connect, timeouts.total or timeouts.connect)):
                link = await addresses.connect(origin.host, origin.port, private=self._private)
                name = origin.host if secure is not None else None
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(pool, loop), sock=link, ssl=secure, server_hostname=name
                    )
                except BaseException:
                    link.close()
                    raise
        except TimeoutError:
            raise UpstreamTimeout(UNREACHED) from None
        except AddressRefused as error:
            raise UpstreamError(NOT_ALLOWED) from error
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
            raise UpstreamError("The model's service cannot be reached.") from error
        return connection


async def _answer(exchange: Exchange) -> Exchange:
    while not exchange.answered:
        await exchange.wait()
    return exchange


def _kept(pool: deque[Connection], now: float) -> Connection | None:
    """The connection used last, so that the others grow old and go."""
    while pool and (now - pool[0].idle_since > IDLE_SECONDS):
        pool.popleft().abort()
    while pool:
        connection = pool.pop()
        if connection.usable:
            return connection
    return None


@lru_cache(maxsize=1)
def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@lru_cache(maxsize=1024)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes and its head but for the length. Raises UpstreamError for what cannot be sent."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = target.replace(" ", "%20")  # a space ends it
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError
        secure = parts.scheme == "https"
        name = f"[{host}]" if ":" in host else host.encode("idna").decode()
        authority = name if port is None else f"{name}:{port}"
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {authority}",
            "User-Agent: clawdbot",
            "Accept-Encoding: identity",
        ]
        lines += [f"{field}: {value}" for field, value in headers]
        if not all(line.isascii() and line.isprintable() for line in lines):
            raise ValueError
    except ValueError:  # also what is no address or no name (UnicodeError is one)
        raise UpstreamError("The model's service has no address a request can be sent to.") from None
    return Origin(secure, host, port or (443 if secure else 80)), "".join(f"{line}\r\n" for line in lines).encode()
