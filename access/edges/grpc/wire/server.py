"""The part of `grpc.aio.Server` that our services use, over connections of our own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import IO, Any, Final

from access.connection_places import Places
from access.edges.grpc.wire.connection import Connection
from access.edges.grpc.wire.line import Bounds

log = logging.getLogger(__name__)

BACKLOG: Final = 2048
TLS_TIME: Final = 10.0  # seconds for a handshake


def secured(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Of PEM. Raises ssl.SSLError: they are none, or do not belong together."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with _unseen() as file:  # OpenSSL reads nothing but files
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}" if hasattr(os, "memfd_create") else file.name)
    return context


def _unseen() -> IO[bytes]:
    """A file that is on no disk, where the system has such; else one only we may read, gone when it is closed."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("certificate"), "wb")
    return tempfile.NamedTemporaryFile()


class WireServer:
    """Serves methods that take streams of messages: stream to unary and stream to stream. `interceptors` are asked once
    a method, not once a call; `tell` hears what became of connections when places for them ran short."""

    def __init__(
        self,
        limits: Bounds,
        *,
        interceptors: Sequence[Any] = (),
        shared: bool = False,
        tell: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self.limits = limits
        self.handlers: dict[bytes, Any] = {}
        self.smaller: dict[bytes, int] = {}
        self._interceptors = interceptors
        self._shared = shared
        self._given: dict[str, Any] = {}
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._places = Places(
            limits.connections,
            self._connections,
            tell,
            time.monotonic,
            what="connections of gRPC",
            log=logging.getLogger("clawdbot.grpc"),
        )
        self._calls = 0
        self._none_left = asyncio.Event()

    # Before it serves --------------------------------------------------------------------------------------------

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Nothing: whoever calls it registers the same methods by their names."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self._given |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_insecure_port(self, address: str) -> int:
        """The port. Raises RuntimeError: it cannot be had."""
        return self._bind(address, None)

    def add_secure_port(self, address: str, credentials: ssl.SSLContext) -> int:
        """As `add_insecure_port`."""
        credentials.set_alpn_protocols(["h2"])
        return self._bind(address, credentials)

    def _bind(self, address: str, credentials: ssl.SSLContext | None) -> int:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((host, int(port)))
        except OSError as error:
            bound.close()
            raise RuntimeError(str(error)) from error
        bound.setblocking(False)
        self._sockets.append((bound, credentials))
        found: int = bound.getsockname()[1]
        return found

    async def start(self) -> None:
        for path, handler in self._given.items():
            if handler.request_deserializer is not None:  # a library's, for whoever asks
                self.smaller[path.encode()] = self.limits.beside
            self.handlers[path.encode()] = await self._intercepted(path, handler)
        loop = asyncio.get_running_loop()
        make: Callable[[], Connection] = lambda: Connection(self)  # noqa: E731
        for bound, credentials in self._sockets:
            timeout = None if credentials is None else TLS_TIME
            self._servers.append(
                await loop.create_server(
                    make, sock=bound, backlog=BACKLOG, ssl=credentials, ssl_handshake_timeout=timeout
                )
            )

    async def _intercepted(self, path: str, handler: Any) -> Any:
        for each in reversed(self._interceptors):
            found = handler

            async def continuation(details: Any, found: Any = found) -> Any:
                return found

            handler = await each.intercept_service(continuation, SimpleNamespace(method=path))
        if not handler.request_streaming:
            raise TypeError(f"{path} takes no stream of messages")
        return handler

    # Its end -----------------------------------------------------------------------------------------------------

    async def stop(self, grace: float | None) -> None:
        """Takes no new call, and waits so long for those under way; what then runs is cancelled."""
        for server in self._servers:
            server.close()
        for bound, _ in self._sockets:
            bound.close()
        for connection in list(self._connections):
            connection.refuse()
        loop = asyncio.get_running_loop()
        ends = loop.time() + (grace or 0.0)
        while self._connections and (left := ends - loop.time()) > 0:
            self._none_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), left)
        for connection in list(self._connections):
            connection.end_calls()
        for _ in range(2):
            await asyncio.sleep(0)  # what is cancelled says so
        for connection in list(self._connections):
            connection.close()

    # For connections ---------------------------------------------------------------------------------------------

    def take(self) -> bool:
        self._calls += 1
        return self._calls <= self.limits.calls

    def gave_back(self) -> None:
        self._calls -= 1

    @property
    def connections(self) -> int:
        return len(self._connections)

    def opened(self, connection: Connection) -> bool:
        if not self._places.take():
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()
