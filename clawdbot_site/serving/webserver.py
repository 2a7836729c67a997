"""The web server as a whole: the supervisor and, in its forks, one draining server each."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from msgspec.structs import replace

from clawdbot_site.serving import files
from clawdbot_site.serving.limits import Limits
from clawdbot_site.serving.server import LAST_WORDS, Drain, Served, run_worker
from clawdbot_site.serving.supervisor import Supervisor

log = logging.getLogger("clawdbot.server")

MARGIN = 5.0  # seconds beyond all of a worker's own time limits before it is killed


def stop_time(drain: Drain) -> float:
    """Seconds from SIGTERM after which a worker is killed."""
    return drain.delay + drain.timeout + LAST_WORDS + MARGIN


def serve(
    create: Callable[[], Served],
    listener: socket.socket,
    *,
    workers: int,
    limits: Limits | None = None,
    drain: Drain | None = None,
    all_ready: Callable[[], None] = lambda: None,
    others: int | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. `create` is called in every worker, after the fork. `others`: files a
    worker opens beside its connections at most. Raises CannotListen."""
    drain, limits = drain or Drain(), limits or Limits()
    most = files.for_connections("CONNECTIONS", limits.connections, log, others)
    limits = replace(limits, connections=most)

    def run(started: Callable[[], None]) -> None:
        run_worker(create(), listener, limits=limits, drain=drain, started=started)

    Supervisor(run, workers, stop_time=stop_time(drain), all_ready=all_ready, stopping=listener.close).serve()
