"""Our JSON Web Tokens (RFC 7519): signed for `access.management.tokens`, verified on the request path.

Algorithm, keys, issuer and audience are fixed: nothing a token says of itself chooses how it is checked (RFC 8725). So
there is no `kid`: while a key is replaced, each of the few is tried."""

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
from tenants.token_keys import TokenKeys

MAX_LENGTH = 4096  # ours have about 400 characters
MAX_HEADER = 256  # the header is parsed before the signature is checked: too short to be nested deep

Kind = Literal["access", "refresh"]


class Claims(msgspec.Struct, frozen=True):
    """Who a token was issued to. `exp` is in Unix seconds; `stamp` is the person's of that moment, see `stamp_of`;
    `mfa`: they had a second factor."""

    member: int
    tenant: str
    exp: float
    stamp: str = ""
    mfa: bool = False


def stamp_of(key: str, password: str, signed_out_at: datetime | None) -> str:
    """What every token of a person carries, and what ends them all once it is another: with another password, and
    when they sign out everywhere. `key` is Django's SECRET_KEY, or one of its fallbacks; `password` is its stored hash,
    of which the stamp tells nothing."""
    said = f"{password}|{'' if signed_out_at is None else signed_out_at.timestamp()}"
    return hmac.new(key.encode(), b"clawdbot stamp|" + said.encode(), hashlib.sha256).hexdigest()[:16]


class OperatorClaims(msgspec.Struct, frozen=True):
    """Of a token of one of the platform's operators, which is good for no tenant: their user's id, and what changes
    with their password."""

    operator: int
    stamp: str
    exp: float
    mfa: bool = False


class TokenVerifier:
    """`options` are Django's SIMPLE_JWT settings. A good token is remembered by its SHA-256 until it expires."""

    def __init__(
        self, options: Mapping[str, Any], *, capacity: int = 20_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys_of(options)
        self._known = self._keys.all()
        self._algorithm: str = options["ALGORITHM"]
        self._issuer: str = options["ISSUER"]
        self._audience: str = options["AUDIENCE"]
        self._clock = clock
        self._good: dict[Kind, Recent[bytes, Claims]] = {"access": Recent(capacity), "refresh": Recent(capacity)}

    def verify(self, token: str, kind: Kind = "access") -> Claims:
        """Raises Unauthenticated. Whether the member is still one is the caller's to ask."""
        if (keys := self._keys.all()) is not self._known:
            self._forget(keys)
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

    def _forget(self, keys: tuple[str, ...]) -> None:
        """What was signed with a key that is none any more must be checked again."""
        for good in self._good.values():
            good.clear()
        self._known = keys

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
        payload = self._decoded(token)
        if payload.get("token_type") != kind:
            raise Unauthenticated
        return payload

    def _decoded(self, token: str) -> dict[str, Any]:
        for key in self._keys.all():
            try:
                payload: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[self._algorithm],
                    issuer=self._issuer,
                    audience=self._audience,
                    options={"require": ["exp", "iat", "iss", "aud", "jti"], "verify_iat": False},
                )
            except jwt.ExpiredSignatureError:
                raise Unauthenticated("The token has expired.") from None
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                break
            return payload
        raise Unauthenticated


def signed(claims: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The token of these claims; issuer and audience are added. `options` are Django's SIMPLE_JWT settings."""
    said = {**claims, "iss": options["ISSUER"], "aud": options["AUDIENCE"]}
    return jwt.encode(said, keys_of(options).all()[0], algorithm=options["ALGORITHM"])


def keys_of(options: Mapping[str, Any]) -> TokenKeys:
    """Those that Django's SIMPLE_JWT settings name."""
    found: TokenKeys | None = options.get("KEYS")
    return found or TokenKeys([options.get("VERIFYING_KEY") or options["SIGNING_KEY"]])
