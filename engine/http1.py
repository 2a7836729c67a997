"""An HTTP/1.1 client (RFC 9112) on asyncio protocols and httptools: `engine.outbound.HttpClient` at about a quarter of
aiohttp's CPU.

It does what calls to a model's service need and no more: POST and GET, kept connections, TLS with verification, bodies
by length, in chunks or to the end of the connection, bodies packed without being asked for. No redirects, cookies,
proxies or HTTP/2.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httptools

from engine.errors import UpstreamError, UpstreamTimeout
from engine.outbound import MAX_BODY, RESENDS, HttpResponse, Timeouts

MAX_HEAD: Final = 128 * 1024
HIGH_WATER: Final = 256 * 1024  # bytes of a body nobody has read yet before the socket is left alone
IDLE_SECONDS: Final = 60.0
UNPACKED: Final = 64 * 1024  # bytes unpacked at a time
ENCODINGS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Origin(NamedTuple):
    """Where connections are kept by."""

    secure: bool
    host: str
    port: int


class Headers(Mapping[str, str]):
    """Header fields by name without regard to case; of a repeated one the last."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Exchange:
    """One request and its answer, which it is to the caller (`HttpResponse`). Knows its connection until the answer is
    whole; that then serves others."""

    __slots__ = (
        "_buffer", "_connection", "_deadline", "_error", "_fields", "_loop", "_silence", "_size", "_unpack", "_waiter",
        "answered", "headers", "over", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection, timeouts: Timeouts) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.answered = False
        self.over = False
        self._loop = loop
        self._connection: Connection | None = connection
        self._silence = timeouts.read
        self._deadline = None if timeouts.total is None else loop.time() + timeouts.total
        self._fields: dict[str, str] = {}
        self._buffer: deque[bytes] = deque()
        self._size = 0
        self._unpack: Callable[[bytes], list[bytes]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None

    # For the caller -----------------------------------------------------------------------------------------------

    async def read(self, limit: int = MAX_BODY) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self.chunks():
            parts.append(part)
            size += len(part)
            if size > limit:
                await self.close()
                raise UpstreamError("The model's service answered with too much.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._buffer:
            self._raise_error()
            if self.over:
                raise StopAsyncIteration
            await self.wait()
        piece = self._buffer.popleft() if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    async def close(self) -> None:
        self._buffer.clear()
        self.abandon()

    def abandon(self) -> None:
        """Closes the connection unless the answer was whole."""
        self.over = True
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def wait(self) -> None:
        """Until something has happened. Raises UpstreamTimeout; cancellation closes the connection."""
        self._raise_error()
        silence = self._silence
        if self._deadline is not None:
            silence = min(silence, self._deadline - self._loop.time())
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, silence), self._too_late)
        try:
            await waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            timer.cancel()
            self._waiter = None
        if not self._buffer:
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _too_late(self) -> None:
        self.fail(UpstreamTimeout())
        self.abandon()

    # For the connection -------------------------------------------------------------------------------------------

    def fail(self, error: UpstreamError) -> None:
        if self._error is None and not self.over:
            self._error = error
            self._wake()

    def field(self, name: bytes, value: bytes) -> None:
        self._fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def head(self, status: int) -> None:
        self.status = status
        self.headers = Headers(self._fields)
        self.answered = True
        encoding = self._fields.get("content-encoding", "identity").strip().lower()
        if encoding in ENCODINGS:
            self._unpack = unpacker(ENCODINGS[encoding])
        elif encoding != "identity":
            self.fail(UpstreamError("The model's service packed its answer in a way nobody asked for."))
        self._wake()

    def forget_head(self) -> None:
        """An interim answer (1xx) was not the answer."""
        self._fields = {}

    @property
    def bounded(self) -> bool:
        """Whether the answer says itself where it ends, or ends with the connection."""
        return "content-length" in self._fields or "chunked" in self._fields.get("transfer-encoding", "").lower()

    def body(self, data: bytes) -> bool:
        """True: the caller is behind, read no further for now."""
        try:
            pieces = [data] if self._unpack is None else self._unpack(data)
        except zlib.error:
            self.fail(UpstreamError())
            return False
        for piece in pieces:
            self._buffer.append(piece)
            self._size += len(piece)
        if pieces:
            self._wake()
        return self._size > HIGH_WATER

    def whole(self) -> None:
        self.over = True
        self._connection = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def unpacker(wbits: int) -> Callable[[bytes], list[bytes]]:
    """Unpacks a body as it comes, in bounded pieces."""
    inflate = zlib.decompressobj(wbits)

    def unpack(data: bytes) -> list[bytes]:
        pieces = []
        while data:
            piece = inflate.decompress(data, UNPACKED)
            if piece:
                pieces.append(piece)
            data = inflate.unconsumed_tail
        return pieces

    return unpack


class Connection(asyncio.Protocol):
    """One connection. Serves one exchange at a time and goes back to its pool when the answer is whole."""

    def __init__(self, pool: deque[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._head_bytes = 0
        self._interim = False
        self._paused = False
        self.idle_since = 0.0

    def send(self, request: bytes, timeouts: Timeouts) -> Exchange:
        assert self._transport is not None
        self._exchange = exchange = Exchange(self._loop, self, timeouts)
        self._head_bytes = 0
        self._transport.write(request)
        return exchange

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

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
        if not exchange.answered:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._break(exchange)
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break(exchange)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self in self._pool:
            self._pool.remove(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if error is None and exchange.answered and not exchange.bounded:
            exchange.whole()
        else:
            exchange.fail(UpstreamError("The model's service closed the connection before its answer was whole."))

    def _break(self, exchange: Exchange) -> None:
        exchange.fail(UpstreamError("The model's service sent what is no HTTP answer."))
        self.abort()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._exchange is None:  # the beginning of an answer to nothing, which the next one would be read into
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._exchange is not None:
            self._exchange.field(name, value)

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
        if self.usable and self._parser.should_keep_alive():
            self.idle_since = self._loop.time()
            self._pool.append(self)
        else:
            self.abort()


class DirectClient:
    """HttpClient over the above. Connections are kept an event loop and an origin, for a minute, without a limit on
    their number: an instance's concurrency is the router's business. `context` is for certificates of one's own."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Origin, deque[Connection]]] = WeakKeyDictionary()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> HttpResponse:
        origin, head = _head("POST", url, tuple(headers.items()))
        return await self._request(origin, b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body), timeouts)

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> HttpResponse:
        origin, head = _head("GET", url, tuple(headers.items()))
        return await self._request(origin, head + b"\r\n", timeouts)

    async def close(self) -> None:
        for pool in self._loops.pop(asyncio.get_running_loop(), {}).values():
            for connection in list(pool):
                connection.abort()

    async def _request(self, origin: Origin, request: bytes, timeouts: Timeouts) -> HttpResponse:
        loop = asyncio.get_running_loop()
        pools = self._loops.setdefault(loop, {})
        pool = pools.get(origin)
        if pool is None:
            pool = pools[origin] = deque()
        for _ in range(RESENDS):
            kept = _kept(pool, loop.time())
            if kept is None:
                break
            exchange = kept.send(request, timeouts)
            try:
                return await _answer(exchange)
            except UpstreamTimeout:
                raise
            except UpstreamError:
                if exchange.answered or kept.usable:
                    raise
                # closed without a byte: given up while idle, so the request was never looked at
        connection = await self._connect(loop, origin, pool, timeouts)
        return await _answer(connection.send(request, timeouts))

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, pool: deque[Connection], timeouts: Timeouts
    ) -> Connection:
        secure = (self._context or _default_context()) if origin.secure else None
        try:
            async with asyncio.timeout(timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(pool, loop), origin.host, origin.port, ssl=secure
                )
        except TimeoutError:
            raise UpstreamTimeout() from None
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
