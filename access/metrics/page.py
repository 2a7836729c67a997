"""`GET /metrics`."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from access import errors
from access.asgi import Receive, Scope, Send, peer, respond
from access.metrics.counting import Metrics
from engine.errors import Unauthenticated

PROXIES: Final = frozenset({b"forwarded", b"via", b"x-real-ip"})  # and all that begins with x-forwarded-


class MetricsPage:
    """From loopback for everybody, from elsewhere with `Authorization: Bearer <token>`; without a token set, from
    loopback only."""

    def __init__(self, metrics: Metrics, token: str) -> None:
        self._metrics = metrics
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = "/metrics"
        headers = dict(scope["headers"])
        if not self._allowed(headers, peer(scope)):
            await errors.refuse(send, Unauthenticated("The token for metrics is required."), scope, [])
            return
        page, kind = await self._metrics.page(headers.get(b"accept", b"").decode("latin-1"))
        await respond(send, 200, page, [], content_type=kind.encode())

    def _allowed(self, headers: dict[bytes, bytes], address: str | None) -> bool:
        given = headers.get(b"authorization", b"")
        if self._token and hmac.compare_digest(given, b"Bearer " + self._token):
            return True
        # A request that came through a proxy is not from loopback, though the proxy is.
        forwarded = any(name in PROXIES or name.startswith(b"x-forwarded-") for name in headers)
        return not forwarded and _loopback(address)


def _loopback(address: str | None) -> bool:
    if address is None:
        return False
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
