"""How large a request may be: what everybody may send, what a tenant's callers may, what pages take."""

from __future__ import annotations

from typing import Final

from access import asgi, errors
from access.asgi import App, Event, Receive, Scope, Send, peer
from access.bodies import MAX_BYTES
from access.connections import Authenticator
from engine.errors import EngineError

PAGE_BYTES: Final = 32 * 1024 * 1024  # of a form with files in it; who may upload them is the page's to say


class BodyLimits:
    """One a process."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def of(self, scope: Scope) -> int:
        """Bytes this caller may send. Whoever is nobody may send what everybody may: the refusal is the edge's."""
        try:
            principal = await self._authenticator.authenticate(scope["headers"], peer(scope))
        except EngineError:
            return MAX_BYTES
        return self._authenticator.body_limit(principal.tenant_id) or MAX_BYTES


class Bounded:
    """An application that is handed at most `limit` bytes of a body: Django puts all of one on the disk before it asks
    who sent it."""

    def __init__(self, app: App, limit: int = PAGE_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if asgi.announced(dict(scope["headers"])) > self._limit:
                raise asgi.too_large(self._limit)
        except EngineError as error:
            await errors.refuse(send, error, scope, [])
            return
        size, refused = 0, False

        async def counted() -> Event:
            nonlocal size, refused
            event = await receive()
            size += len(event.get("body", b""))
            refused = refused or size > self._limit
            return {"type": "http.disconnect"} if refused else event

        async def unless_refused(event: Event) -> None:
            if not refused:
                await send(event)

        await self._app(scope, counted, unless_refused)
        if refused:
            await errors.refuse(send, asgi.too_large(self._limit), scope, [])
