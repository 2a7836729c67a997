"""`/livez`, `/readyz`, `/startupz`: whether the process answers, may be sent work, has started."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson

from access.asgi import Receive, Scope, Send, respond

Probe = Callable[[], Awaitable[bool]]

HELD: Final = 0.5  # seconds what a probe said is believed: whoever asks more often costs nothing


class Held:
    """A probe that is asked once at a time, whoever waits shares what comes of it, and then holds for `seconds`. One
    that hangs goes on without those who waited for it; until it ends there is no other."""

    def __init__(self, probe: Probe, seconds: float = HELD, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = -math.inf
        self._asking: asyncio.Task[bool] | None = None

    async def __call__(self) -> bool:
        if self._asking is None or (self._asking.done() and self._monotonic() >= self._until):
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            return await self._probe()
        except Exception:  # noqa: BLE001  # the border: a probe that fails in any way says no
            return False
        finally:
            self._until = self._monotonic() + self._seconds


class Health:
    """`/livez` asks nothing: the loop answers. `ready` and `started` are probes by name; one that is false, raises or
    takes over `timeout` seconds makes the answer 503 with the names of all such. `degraded`: what is true of these is
    told by `/readyz`, and keeps nobody from sending work."""

    def __init__(
        self,
        *,
        ready: Mapping[str, Probe],
        started: Mapping[str, Probe],
        degraded: Mapping[str, Callable[[], bool]] | None = None,
        timeout: float = 1.0,
    ) -> None:
        self._timeout = timeout
        self._degraded = degraded or {}
        self._probes: dict[str, Mapping[str, Probe]] = {"/livez": {}, "/readyz": ready, "/startupz": started}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        scope["route"] = path
        failed = await self._failed(path)
        told: dict[str, object] = {"status": "unavailable", "failed": failed} if failed else {"status": "ok"}
        if path == "/readyz" and (degraded := [name for name, true in self._degraded.items() if true()]):
            told["degraded"] = degraded
        body = orjson.dumps(told)
        await respond(send, 503 if failed else 200, body, [(b"cache-control", b"no-store")])

    async def ready(self) -> bool:
        """What `/readyz` says."""
        return not await self._failed("/readyz")

    async def _failed(self, path: str) -> list[str]:
        probes = self._probes[path]
        holds = await asyncio.gather(*(_ask(probe, self._timeout) for probe in probes.values()))
        return [name for name, good in zip(probes, holds, strict=True) if not good]


async def _ask(probe: Probe, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            return await probe()
    except Exception:  # noqa: BLE001  # the border: a probe that fails in any way says no
        return False
