"""Single-use tickets for WebSocket clients that cannot send a header, browsers above all.

A ticket stands for the credential it was issued to, so the socket is checked again and again like any other. Valkey
holds the credential sealed (AES-256-GCM) with a key that only the ticket itself gives, under the ticket's digest: who
reads the store learns nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from access.asgi import RawHeaders
from engine.errors import Unauthenticated

LIFETIME = 60  # seconds
CREDENTIALS = frozenset({b"authorization", b"x-api-key"})
_NONCE = bytes(12)  # every key seals one message


class Store(Protocol):
    async def call(self, *words: Any) -> Any:
        """One command of Valkey. Raises StoreUnavailable."""


class Tickets:
    """`store` is the platform's own database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def issue(self, headers: RawHeaders) -> str:
        """A ticket for the credential of these headers."""
        ticket = secrets.token_urlsafe(32)
        held = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers if name in CREDENTIALS]
        name, key = _derive(ticket)
        await self._store.call("SET", name, AESGCM(key).encrypt(_NONCE, orjson.dumps(held), None), "EX", LIFETIME)
        return ticket

    async def redeem(self, ticket: str) -> RawHeaders:
        """The headers it was issued for, once. Raises Unauthenticated."""
        name, key = _derive(ticket)
        sealed = await self._store.call("GETDEL", name)
        if sealed is None:
            raise Unauthenticated("The ticket is unknown, used or expired.")
        try:
            held = orjson.loads(AESGCM(key).decrypt(_NONCE, sealed, None))
        except (InvalidTag, orjson.JSONDecodeError):
            raise Unauthenticated from None
        return [(header.encode("latin-1"), value.encode("latin-1")) for header, value in held]


def _derive(ticket: str) -> tuple[str, bytes]:
    """Where the credential lies and what opens it."""
    secret = ticket.encode("utf-8", "replace")
    return f"ticket:{hashlib.sha256(b'name' + secret).hexdigest()}", hashlib.sha256(b"key" + secret).digest()
