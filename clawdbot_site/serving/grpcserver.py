"""The processes that serve gRPC: one application each, drained like a web worker's.

One needs no supervisor. Several share the port by SO_REUSEPORT: the kernel gives a new connection to one of them by its
addresses and ports, and it stays there.

On SIGTERM its health service says that it does not serve; after the drain's delay no new call is taken, and those under
way get the drain's time. On SIGINT there is no delay: somebody sits at the terminal."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable

import uvloop
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from access.edges.grpc.server import Credentials, GrpcServer
from clawdbot_site.serving import files
from clawdbot_site.serving.beside import Beside
from clawdbot_site.serving.listening import AddressTaken, bind, probe
from clawdbot_site.serving.server import LAST_WORDS, REPLACED, Drain, spare_the_collector
from clawdbot_site.serving.supervisor import Supervisor
from clawdbot_site.serving.webserver import stop_time
from clawdbot_site.wiring import Application

log = logging.getLogger("clawdbot.grpc")


def serve(
    create: Callable[[], Application], number: int, drain: Drain, started: Callable[[], None], *, workers: int = 1
) -> None:
    """Until SIGTERM or SIGINT; `started` is called once, when all workers serve. Raises AddressTaken."""
    probe(settings.GRPC_HOST, number, "GRPC_PORT")
    if settings.METRICS_PORT:
        probe(settings.GRPC_HOST, settings.METRICS_PORT, "METRICS_PORT")
    _require_both()

    def run(ready: Callable[[], None]) -> None:
        uvloop.run(_serve(create(), number, credentials(), drain, ready, shared=workers > 1))

    if workers == 1:
        run(started)
        return

    # gRPC starts threads with the first thing it makes, credentials too: this process makes none, for it forks.
    with bind(settings.GRPC_HOST, number, "GRPC_PORT", shared=True):  # held, so that it is nobody else's in between
        Supervisor(run, workers, name="gRPC worker", stop_time=stop_time(drain), all_ready=started).serve()


def _require_both() -> None:
    if bool(settings.GRPC_CERT) != bool(settings.GRPC_KEY):
        raise ImproperlyConfigured("GRPC_CERT and GRPC_KEY: TLS needs both.")


def credentials() -> Credentials | None:
    _require_both()
    if not settings.GRPC_CERT:
        return None
    return Credentials(settings.GRPC_CERT.encode(), settings.GRPC_KEY.encode())


async def _serve(
    application: Application,
    number: int,
    credentials: Credentials | None,
    drain: Drain,
    started: Callable[[], None],
    *,
    shared: bool = False,
) -> None:
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopping.done():
            stopping.set_result(number)

    for each in (signal.SIGTERM, signal.SIGINT, REPLACED):
        loop.add_signal_handler(each, stop, each)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # there is no supervisor, and it would cut every call
        loop.add_signal_handler(signal.SIGHUP, stop, signal.SIGTERM)
    await application.startup()
    try:
        server = GrpcServer(
            application.parts,
            application.health.ready,
            kind=settings.GRPC_SERVER,
            shared=shared,
            connections=files.for_connections("GRPC_CONNECTIONS", settings.GRPC_CONNECTIONS, log),
        )
        host = settings.GRPC_HOST or "0.0.0.0"  # noqa: S104  # what an empty HOST means to the web server too
        try:
            server.listen(f"[{host}]:{number}" if ":" in host else f"{host}:{number}", credentials)
        except OSError as error:
            reason = "GRPC_CERT and GRPC_KEY are no certificate and its key" if credentials else str(error)
            raise AddressTaken(f"GRPC_PORT {number} on {host} cannot be listened on: {reason}.") from None
        await server.start()
        beside = await _beside(application)
        spare_the_collector()
        started()
        number = await stopping
        if beside is not None and number == REPLACED:  # the others answer there; who drains is not asked in their place
            await beside.stop()
        how = drain if number == signal.SIGTERM else Drain(timeout=drain.timeout)
        await _drain(application, server, how, replaced=number == REPLACED)
        if beside is not None:
            await beside.stop()
    finally:
        await application.shutdown()


async def _beside(application: Application) -> Beside | None:
    """Metrics and health over HTTP, where they are wanted. Whichever process answers tells of all."""
    if not settings.METRICS_PORT:
        return None
    beside = Beside(application.app, bind(settings.GRPC_HOST, settings.METRICS_PORT, "METRICS_PORT", shared=True))
    await beside.start()
    return beside


async def _drain(application: Application, server: GrpcServer, drain: Drain, *, replaced: bool) -> None:
    deadline = time.monotonic() + drain.delay + drain.timeout
    unready = asyncio.ensure_future(application.drain(replaced=replaced))
    await server.drain()
    await asyncio.sleep(drain.delay)
    await server.stop(max(0.0, deadline - time.monotonic()))
    try:
        async with asyncio.timeout(LAST_WORDS):
            await unready
            await application.drain(replaced=replaced)
    except TimeoutError:
        log.warning("turns still running after %s s are cut", drain.timeout)
