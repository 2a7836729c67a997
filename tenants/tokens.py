"""Verifies our JSON Web Tokens (RFC 7519) on the request path; `access.management.tokens` issues them.

Algorithm, key, issuer and audience are fixed: nothing a token says of itself chooses how it is checked (RFC 8725)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import jwt
import msgspec

from engine.errors import Unauthenticated
from tenants.recent import Recent

MAX_LENGTH = 4096  # ours have about 400 characters
MAX_HEADER = 256  # the header is parsed before the signature is checked: too short to be nested deep

Kind = Literal["access", "refresh"]


class Claims(msgspec.Struct, frozen=True):
    """Who a token was issued to. `exp` is in Unix seconds; `stamp` is the person's of that moment, see `stamp_of`."""

    member: int
    tenant: str
    exp: float
    stamp: str = ""


def stamp_of(key: str, password: str, signed_out_at: datetime | None) -> str:
    """What every token of a person carries, and what ends them all once it is another: with another password, and
    when they sign out everywhere. `password` is its stored hash, of which the stamp tells nothing."""
    said = f"{password}|{'' if signed_out_at is None else signed_out_at.timestamp()}"
    return hmac.new(key.encode(), b"clawdbot stamp|" + said.encode(), hashlib.sha256).hexdigest()[:16]


class OperatorClaims(msgspec.Struct, frozen=True):
    """Of a token of one of the platform's operators, which is good for no tenant: their user's id, and what changes
    with their password."""

    operator: int
    stamp: str
    exp: float


class TokenVerifier:
    """`options` are Django's SIMPLE_JWT settings. A good token is remembered by its SHA-256 until it expires."""

    def __init__(
        self, options: Mapping[str, Any], *, capacity: int = 20_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._key: str = options.get("VERIFYING_KEY") or options["SIGNING_KEY"]
        self._algorithm: str = options["ALGORITHM"]
        self._issuer: str = options["ISSUER"]
        self._audience: str = options["AUDIENCE"]
        self._clock = clock
        self._good: dict[Kind, Recent[bytes, Claims]] = {"access": Recent(capacity), "refresh": Recent(capacity)}

    def verify(self, token: str, kind: Kind = "access") -> Claims:
        """Raises Unauthenticated. Whether the member is still one is the caller's to ask."""
        good = self._good[kind]
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        claims = good.get(digest)
        if claims is None:
            claims = self._check(token, kind)
            good.put(digest, claims)
        elif claims.exp <= self._clock():
            good.drop(digest)
            raise Unauthenticated("The token has expired.")
        return claims

    def operator(self, token: str, kind: Kind = "access") -> OperatorClaims:
        """Of an operator's token. Raises Unauthenticated. Whether they are still one is the caller's to ask."""
        try:
            return msgspec.convert(self._payload(token, kind), OperatorClaims)
        except msgspec.ValidationError:
            raise Unauthenticated from None

    def _check(self, token: str, kind: Kind) -> Claims:
        try:
            return msgspec.convert(self._payload(token, kind), Claims)
        except msgspec.ValidationError:
            raise Unauthenticated from None

    def _payload(self, token: str, kind: Kind) -> dict[str, Any]:
        if len(token) > MAX_LENGTH or len(token.partition(".")[0]) > MAX_HEADER or not token.isascii():
            raise Unauthenticated
        try:
            payload: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iat", "iss", "aud", "jti"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthenticated from None
        if payload.get("token_type") != kind:
            raise Unauthenticated
        return payload
