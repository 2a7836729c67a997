"""Cross-origin requests (the Fetch standard, CORS protocol) to `/api/` and `/v1/`: for pages of the origins that the
deployment or a tenant allows. Never with cookies: who calls shows a key, a token or a ticket.

A preflight names no caller, so what any tenant allows passes it; the answer itself is readable for a page that the
caller's own tenant allows, or one anybody allows where no caller is known."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Final

from access import errors
from access.asgi import App, Event, RawHeaders, Receive, Scope, Send
from engine.errors import OriginNotAllowed
from tenants.origins import Origins, origin_of, same_origin

METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
NAMES: Final = re.compile(rb"[\w!#$%&'*+.^`|~, -]{1,1000}\Z")
EXPOSED: Final = (
    b"X-Request-Id, X-Clawdbot-Model, X-Clawdbot-Decision, X-Clawdbot-Cache, X-Session-Id, Idempotent-Replayed, "
    b"Retry-After, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
MAX_AGE: Final = b"600"  # seconds a browser remembers a preflight
VARY: Final = (b"vary", b"Origin")


class CrossOrigin:
    """Costs a request without an `Origin` one look at its headers."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def __call__(self, app: App, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serves with `app` what a page may ask; answers preflights itself."""
        origin = origin_of(scope["headers"])
        if origin is None or same_origin(origin, scope["headers"]):
            return app(scope, receive, send)
        if scope["method"] == "OPTIONS" and _is_preflight(scope["headers"]):
            return self._preflight(origin, scope, send)
        return app(scope, receive, self._marked(origin, scope, send))

    async def _preflight(self, origin: str, scope: Scope, send: Send) -> None:
        scope["route"] = "preflight"
        if not self._origins.known(origin):
            await errors.refuse(send, OriginNotAllowed(), scope, [VARY])
            return
        wanted = dict(scope["headers"]).get(b"access-control-request-headers", b"")
        headers = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", wanted if NAMES.match(wanted) else b"Authorization, Content-Type"),
            (b"access-control-max-age", MAX_AGE),
            (b"vary", b"Origin, Access-Control-Request-Headers"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _marked(self, origin: str, scope: Scope, send: Send) -> Send:
        async def marked(event: Event) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *self._said(origin, scope, event["headers"])]
            await send(event)

        return marked

    def _said(self, origin: str, scope: Scope, headers: RawHeaders) -> RawHeaders:
        if any(name == b"access-control-allow-origin" for name, _ in headers):
            return []  # anybody's
        tenant_id = scope.get("tenant_id")
        allowed = self._origins.known(origin) if tenant_id is None else self._origins.allowed(origin, tenant_id)
        if not allowed:
            return [VARY]
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", EXPOSED),
            VARY,
        ]


def _is_preflight(headers: RawHeaders) -> bool:
    return any(name == b"access-control-request-method" for name, _ in headers)
