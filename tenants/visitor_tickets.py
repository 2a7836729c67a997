"""Tickets of visitors: who may chat with a tenant without being a member of it.

A ticket is `cv_` and a JSON Web Token (RFC 7519). It is signed with a key of its own, made from the platform's, and has
its own audience and type, so that no ticket passes for a member's token and no token for a ticket."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
import msgspec

from engine.errors import Unauthenticated
from tenants.recent import Recent
from tenants.tokens import keys_of

PREFIX: Final = "cv_"
MAX_LENGTH: Final = 2048  # ours have about 400 characters
MAX_HEADER: Final = 256
AUDIENCE: Final = "clawdbot-visitor"
TYPE: Final = "visitor"
ALGORITHM: Final = "HS256"
RENEWABLE: Final = 30 * 24 * 3600  # seconds after its end that a ticket still says who its visitor was
UNNAMED: Final = "anon-"  # what the ids of visitors nobody vouches for begin with
NAMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,119}\Z")
_NEEDED: Final = ["exp", "iat", "iss", "aud"]


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket says. `signed`: the tenant itself vouches for `visitor`, who else is nobody but whoever holds this
    ticket. `exp` is in Unix seconds; `name` is for people to read."""

    tenant: str
    visitor: str
    exp: float
    signed: bool = False
    name: str = ""


class VisitorTickets:
    """`options` are Django's SIMPLE_JWT settings. A good ticket is remembered by its SHA-256 until it expires."""

    def __init__(
        self, options: Mapping[str, Any], *, capacity: int = 20_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._platforms = keys_of(options)
        self._known: tuple[str, ...] = ()
        self._keys: list[bytes] = []
        self._issuer: str = options["ISSUER"]
        self._clock = clock
        self._good: Recent[bytes, Visitor] = Recent(capacity)

    def issue(self, *, tenant: str, visitor: str, life: int, signed: bool = False, name: str = "") -> str:
        """A ticket that is good for `life` seconds."""
        now = int(self._clock())
        claims = {
            "iss": self._issuer, "aud": AUDIENCE, "token_type": TYPE, "iat": now, "exp": now + life,
            "tenant": tenant, "visitor": visitor, "signed": signed, "name": name,
        }  # fmt: skip
        return PREFIX + jwt.encode(claims, self._current()[0], algorithm=ALGORITHM)

    def _current(self) -> list[bytes]:
        """The keys of tickets, the first of which signs. With others nothing that was good is remembered."""
        platforms = self._platforms.all()
        if platforms is not self._known:
            self._keys = [hmac.digest(key.encode(), b"visitor tickets", "sha256") for key in platforms]
            self._good.clear()
            self._known = platforms
        return self._keys

    def verify(self, ticket: str) -> Visitor:
        """Raises Unauthenticated. Whether the tenant takes visitors is the caller's to ask."""
        self._current()
        digest = hashlib.sha256(ticket.encode("utf-8", "replace")).digest()
        visitor = self._good.get(digest)
        if visitor is None:
            visitor = self._check(ticket)
            self._good.put(digest, visitor)
        if visitor.exp <= self._clock():
            self._good.drop(digest)
            raise Unauthenticated("The ticket has expired.")
        return visitor

    def previous(self, ticket: str) -> Visitor | None:
        """Who an older ticket was for, up to 30 days after its end; None: nobody we know."""
        try:
            visitor = self._check(ticket)
        except Unauthenticated:
            return None
        return visitor if visitor.exp + RENEWABLE > self._clock() else None

    def _check(self, ticket: str) -> Visitor:
        """Everything but its age."""
        token = ticket.removeprefix(PREFIX)
        if token == ticket or len(token) > MAX_LENGTH or len(token.partition(".")[0]) > MAX_HEADER:
            raise Unauthenticated
        if not token.isascii():
            raise Unauthenticated
        claims = self._decoded(token)
        if claims.get("token_type") != TYPE:
            raise Unauthenticated
        try:
            return msgspec.convert(claims, Visitor)
        except msgspec.ValidationError:
            raise Unauthenticated from None

    def _decoded(self, token: str) -> dict[str, Any]:
        for key in self._current():
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    issuer=self._issuer,
                    audience=AUDIENCE,
                    options={"require": _NEEDED, "verify_iat": False, "verify_exp": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                break
            return claims
        raise Unauthenticated
