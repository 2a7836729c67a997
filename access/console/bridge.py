"""How a console's view, which runs in a thread, reaches the engine, which lives on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.http import HttpRequest

from access.asgi import App, Receive, Scope, Send
from access.generations import Generations
from access.live_turns import LiveTurns
from access.parts import (
    KeptAnswers,
    LimitsReader,
    RouteReader,
    SessionFinder,
    SessionStore,
    SnapshotKeeper,
    VersionReader,
    nothing_limited,
)
from access.turns import TurnReader
from compliance.guard import GuardTable
from engine.engine import Engine
from engine.errors import Unavailable
from engine.snapshots import Cell
from routing.table import RoutingTable
from tenants import walls
from tenants.asking import Asking

T = TypeVar("T")

SCOPE_KEY = "clawdbot.bridge"


@dataclass(frozen=True)
class SessionParts:
    """What a console asks of sessions. All of it is awaited on the engine's loop."""

    desk: SessionStore
    versions: VersionReader
    snapshots: SnapshotKeeper
    browser: SessionFinder


@dataclass(frozen=True)
class LiveParts:
    """What a console asks of what runs now, here and at the other workers. Awaited on the engine's loop."""

    turns: LiveTurns
    generations: Generations
    asking: Asking
    router: RouteReader
    read_turn: TurnReader


@dataclass(frozen=True)
class EngineBridge:
    """Travels in the ASGI scope of a request under `SCOPE_KEY`. `routes` and `words` are for reading."""

    engine: Engine
    loop: asyncio.AbstractEventLoop
    routes: Cell[RoutingTable]
    answers: KeptAnswers
    words: Cell[GuardTable] = field(default_factory=lambda: Cell(GuardTable()))
    sessions: SessionParts | None = None
    live: LiveParts | None = None
    limits: LimitsReader = nothing_limited

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Waits for the answer in the calling thread. Raises TimeoutError; the work is then cancelled."""
        with walls.lifted():  # the engine keeps what it reads for all tenants
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise


def bridge_of(request: HttpRequest) -> EngineBridge:
    """Raises Unavailable where no engine serves beside the console (a WSGI server, a management command)."""
    bridge = getattr(request, "scope", {}).get(SCOPE_KEY)
    if not isinstance(bridge, EngineBridge):
        raise Unavailable("No engine runs in this process.")
    return bridge


def live_of(request: HttpRequest) -> tuple[EngineBridge, LiveParts]:
    """Raises Unavailable."""
    bridge = bridge_of(request)
    if bridge.live is None:
        raise Unavailable("No engine runs in this process.")
    return bridge, bridge.live


def bridged(django: App, bridge: EngineBridge) -> App:
    """Django's pages find the engine in their request's scope."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = bridge
        await django(scope, receive, send)

    return app
