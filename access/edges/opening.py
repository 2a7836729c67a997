"""How a WebSocket opens: the credential its handshake shows, and the answer where it is refused."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from access import errors
from access.asgi import RawHeaders, Scope, Send
from access.tickets import CREDENTIALS, Tickets
from engine.errors import EngineError, InvalidRequest, Unauthenticated
from tenants import keys, visitor_tickets

_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*\Z", re.ASCII)
_NAMES: Final = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "authorization", "bearer", "jwt", "key", "token", "x-api-key"}
)
_SECRETS: Final = (keys.PREFIX, visitor_tickets.PREFIX)


async def credential(scope: Scope, tickets: Tickets) -> tuple[RawHeaders, str | None]:
    """The handshake's headers with its credential among them: a header, the sub-protocols `bearer, <token>`, or what a
    `?ticket=` stands for; and the sub-protocol to select. Raises Unauthenticated, InvalidRequest, StoreUnavailable."""
    headers: RawHeaders = scope["headers"]
    offered = scope.get("subprotocols") or []
    ticket = _ticket_in(scope.get("query_string", b""))
    if any(name in CREDENTIALS for name, _ in headers):
        return headers, "bearer" if "bearer" in offered else None
    if len(offered) > 1 and offered[0] == "bearer":
        return [*headers, (b"authorization", b"Bearer " + offered[1].encode("latin-1", "replace"))], "bearer"
    if not ticket:
        raise Unauthenticated
    return [*headers, *await tickets.redeem(ticket)], None


def _ticket_in(query: bytes) -> str | None:
    """Raises InvalidRequest where the query has what lives longer than a ticket: URLs are logged, kept in histories and
    sent on."""
    ticket = None
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        secret = value.strip().removeprefix("Bearer ").removeprefix("bearer ")
        if name.lower() in _NAMES or secret.startswith(_SECRETS) or _JWT.match(secret):
            raise InvalidRequest(
                "A key or token must not be in a URL, where it is logged: replace it. Send the new one as a header or "
                "sub-protocol, or get a ticket from POST /api/ws-ticket."
            )
        if name == "ticket" and ticket is None:
            ticket = value
    return ticket


async def refuse(send: Send, error: EngineError, scope: Scope) -> None:
    """An HTTP answer in place of the handshake, where the server can (ASGI's denial response)."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await errors.deny(send, error, scope)
    else:
        await send({"type": "websocket.close", "code": errors.translation(error).close})
