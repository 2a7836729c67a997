"""The platform console at `/admin/`: for platform operators, who are superusers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from engine.engine import Engine
from engine.errors import Unavailable

T = TypeVar("T")


SCOPE_KEY = "clawdbot.bridge"


@dataclass(frozen=True)
class EngineBridge:
    """Lets a view, which runs in a thread, ask the engine, which lives on the event loop. Travels in the ASGI scope of
    a request under `SCOPE_KEY`."""

    engine: Engine
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Waits for the answer in the calling thread. Raises TimeoutError; the work is then cancelled."""
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


class PlatformSite(UnfoldAdminSite):
    """Screens register with `register` as in any admin site."""

    settings_name = "UNFOLD"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))
