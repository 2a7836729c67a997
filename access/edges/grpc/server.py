"""The gRPC server of a process: our service, standard health and reflection, the transport's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from access import bodies
from access.edges.grpc.beside import Beside
from access.edges.grpc.service import SERVICE, ChatService
from access.parts import Parts

# Bytes the transport takes: what a tenant can be allowed and more; what is over a caller's limit we tell in our words.
TRANSPORT_LIMIT: Final = bodies.LARGEST_BYTES + 1024 * 1024
CONNECTION_AGE: Final = 60 * 60_000  # milliseconds; new calls then take another one
CONNECTION_IDLE: Final = 10 * 60_000
STREAMS_A_CONNECTION: Final = 256
CALLS_AT_ONCE: Final = 4096
LAST_BYTES: Final = 0.5  # seconds for what is answered to leave
LOOK_EVERY: Final = 1.0  # seconds between two looks at whether the process is ready
OPTIONS: Final = (
    ("grpc.max_receive_message_length", TRANSPORT_LIMIT),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_age_ms", CONNECTION_AGE),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE),
)

Ready = Callable[[], Awaitable[bool]]


class GrpcServer:
    """`ready` is asked again and again for what the health service says."""

    def __init__(self, parts: Parts, ready: Ready, *, shared: bool = False) -> None:
        """`shared`: the port is also that of other processes, and the kernel gives each a share of the connections.
        Else a taken port is an error."""
        options = (("grpc.so_reuseport", int(shared)), *OPTIONS)
        self._ready = ready
        self._service = ChatService(parts)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it
        self._server = grpc.aio.server(interceptors=[Beside()], options=options, maximum_concurrent_rpcs=CALLS_AT_ONCE)
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self._watch: asyncio.Task[None] | None = None

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """The port, which is another one than asked for where that was 0. Raises OSError: it cannot be had."""
        try:
            if credentials is not None:
                return self._server.add_secure_port(address, credentials)
            return self._server.add_insecure_port(address)
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
