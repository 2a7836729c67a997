"""A small HTTP server beside another one: metrics and health of a process that serves something else."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import uvicorn

from access import errors
from access.asgi import App, Receive, Scope, Send
from clawdbot_site.serving.limits import ConnectionState, LimitedHttpProtocol, Limits
from engine.errors import NotFound

PATHS: Final = frozenset({"/metrics", "/livez", "/readyz", "/startupz"})
LAST_ANSWERS: Final = 1  # seconds those get that are under way at the end
CONNECTIONS: Final = 64  # at once; whoever comes beyond that is told 503


class Beside:
    """Answers `PATHS` as `app` does, and nothing else."""

    def __init__(self, app: App, listener: socket.socket) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                _only(app),
                loop="uvloop",
                http=LimitedHttpProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=LAST_ANSWERS,
            )
        )
        self._server.server_state = ConnectionState(Limits(connections=4 * CONNECTIONS))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._serving = asyncio.get_running_loop().create_task(self._server._serve([self._listener]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def _only(app: App) -> App:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].rstrip("/") in PATHS:
            await app(scope, receive, send)
        else:
            await errors.refuse(send, NotFound(), scope, [])

    return served
