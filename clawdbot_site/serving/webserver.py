"""The web server as a whole: the supervisor and, in its forks, one draining server each."""

from __future__ import annotations

import socket
from collections.abc import Callable

from clawdbot_site.serving import files
from clawdbot_site.serving.limits import Limits
from clawdbot_site.serving.server import LAST_WORDS, Drain, Served, run_worker
from clawdbot_site.serving.supervisor import Supervisor

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
) -> None:
    """Serves until SIGTERM or SIGINT. `create` is called in every worker, after the fork. Raises CannotListen."""
    drain = drain or Drain()
    files.raise_limit()

    def run(started: Callable[[], None]) -> None:
        run_worker(create(), listener, limits=limits, drain=drain, started=started)

    Supervisor(run, workers, stop_time=stop_time(drain), all_ready=all_ready, stopping=listener.close).serve()
