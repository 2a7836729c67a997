"""The gRPC server of a process: our service, standard health and reflection, the transport's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from access import bodies
from access.edges.grpc.beside import Beside
from access.edges.grpc.service import SERVICE, ChatService
from access.edges.grpc.wire.line import Bounds
from access.edges.grpc.wire.server import WireServer, secured
from access.generations import STALLED
from access.metrics import Metrics
from access.parts import Parts

# Bytes the transport takes: what a tenant can be allowed and more; what is over a caller's limit we tell in our words.
TRANSPORT_LIMIT: Final = bodies.LARGEST_BYTES + 1024 * 1024
HEARS_OF_IT: Final = 5.0  # seconds in which who read too little can still hear that this was why its call ended
BOUNDS: Final = Bounds(
    message=TRANSPORT_LIMIT, streams=256, calls=4096, connections=5000, patience=STALLED + HEARS_OF_IT
)
LAST_BYTES: Final = 0.5  # seconds for what is answered to leave
LOOK_EVERY: Final = 1.0  # seconds between two looks at whether the process is ready
OPTIONS: Final = (
    ("grpc.max_receive_message_length", BOUNDS.message),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", BOUNDS.streams),
    ("grpc.keepalive_time_ms", int(BOUNDS.ping_after * 1000)),
    ("grpc.keepalive_timeout_ms", int(BOUNDS.pong_within * 1000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_age_ms", int(BOUNDS.age * 1000)),
    ("grpc.max_connection_idle_ms", int(BOUNDS.idle * 1000)),
)

Ready = Callable[[], Awaitable[bool]]


class Credentials(NamedTuple):
    """PEM: a certificate with what signed it, and its key."""

    certificate: bytes
    key: bytes


def _direct(interceptors: Sequence[Any], shared: bool, connections: int, metrics: Metrics) -> Any:
    bounds = replace(BOUNDS, connections=connections)
    tell = metrics.watch_connections("grpc", lambda: server.connections)
    server = WireServer(bounds, interceptors=interceptors, shared=shared, tell=tell)
    return server


def _library(interceptors: Sequence[Any], shared: bool, connections: int, metrics: Metrics) -> Any:
    own = (("grpc.so_reuseport", int(shared)), ("grpc.max_allowed_incoming_connections", connections))
    return grpc.aio.server(interceptors=interceptors, options=(*own, *OPTIONS), maximum_concurrent_rpcs=BOUNDS.calls)


def _secured(given: Credentials) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(given.key, given.certificate)])


# The server in our event loop, and the library's, each with its own form of credentials.
SERVERS: Final[dict[str, Callable[[Sequence[Any], bool, int, Metrics], Any]]] = {"direct": _direct, "grpcio": _library}
SECURED: Final[dict[str, Callable[[Credentials], Any]]] = {"direct": lambda given: secured(*given), "grpcio": _secured}


class GrpcServer:
    """`ready` is asked again and again for what the health service says."""

    def __init__(
        self,
        parts: Parts,
        ready: Ready,
        *,
        kind: str = "direct",
        shared: bool = False,
        connections: int = BOUNDS.connections,
    ) -> None:
        """`kind`: of SERVERS. `shared`: the port is also that of other processes, and the kernel gives each a share of
        the connections. Else a taken port is an error. `connections`: so many at once at most."""
        self._kind = kind
        self._ready = ready
        self._service = ChatService(parts)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it
        self._server = SERVERS[kind]([Beside()], shared, connections, parts.metrics)
        handlers = self._service.handlers()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._server.add_registered_method_handlers(SERVICE, handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        described = reflection.aio.ReflectionServicer((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME))  # type: ignore[attr-defined]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, self._server)
        self._watch: asyncio.Task[None] | None = None

    def listen(self, address: str, credentials: Credentials | None = None) -> int:
        """The port, which is another one than asked for where that was 0. Raises OSError: it cannot be had."""
        try:
            if credentials is None:
                port: int = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, SECURED[self._kind](credentials))
            return port
        except RuntimeError as error:
            raise OSError(str(error)) from None

    async def start(self) -> None:
        await self._look()
        await self._server.start()
        self._watch = asyncio.get_running_loop().create_task(self._keep_looking())

    async def drain(self) -> None:
        """From now on it says that it does not serve; it still does."""
        if self._watch is not None:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()

    async def stop(self, seconds: float) -> None:
        """Takes no new call; those under way get so long. Who watches the health is not waited for."""
        self._service.drain()
        stopped = asyncio.ensure_future(self._server.stop(seconds))
        idle = asyncio.ensure_future(self._service.idle())
        await asyncio.wait((stopped, idle), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        await self._server.stop(LAST_BYTES)
        await stopped

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._look()

    async def _look(self) -> None:
        status = health_pb2.HealthCheckResponse
        said = status.SERVING if await self._ready() else status.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, said)
