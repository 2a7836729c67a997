"""The platform's operators in the management API: tokens of their own, which are good for no tenant, and views that
take nothing else.

A token is one of `POST /api/token/` with `operator`: for people who are superusers, with all that stands between them
and signing in. Each call looks at their row: who is no operator any more is refused at the next one, and a new password
ends every token made before it."""

from __future__ import annotations

import hmac
from functools import partial
from typing import ClassVar, Final

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from access.asgi import Scope, peer
from access.authentication import credential
from access.people import second_factor
from access.views import LeanView
from compliance import changes
from engine.errors import Forbidden, Unauthenticated
from engine.types import Json, Principal
from tenants import actors, walls
from tenants.actors import Actor
from tenants.models import User
from tenants.tokens import Kind, OperatorClaims, TokenVerifier, signed

SIGNED_IN: Final = "operator_token"
REFUSED: Final = "Only an operator of the platform may do this."

VERIFIER: Final = TokenVerifier(settings.SIMPLE_JWT)


class OperatorView(LeanView):
    """For operators with a token of theirs. A credential of a tenant's, however good, is 403."""

    verifier: ClassVar[TokenVerifier] = VERIFIER

    async def identify(self, scope: Scope, request_id: str) -> None:
        try:
            claims = self.verifier.operator(credential(scope["headers"]))
        except Unauthenticated:
            await self.parts.authenticator.authenticate(scope["headers"], peer(scope))
            raise Forbidden(REFUSED) from None
        walls.become(None)
        user = await self.parts.rows.run(partial(operator_of, claims))
        name = f"operator:{user.pk}"
        self.principal = Principal(
            tenant_id=0, tenant="platform", kind="system", subject=name, user=name, role="operator"
        )
        self.request.user = self.principal  # type: ignore[assignment]
        actors.become(Actor(name, user.get_username(), request_id))

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """An operator has no scopes."""


def pair(user: User) -> Json:
    """`{access, refresh}` for an operator. It is recorded who got them. Raises Forbidden."""
    if not user.is_superuser:
        raise Forbidden(REFUSED)
    actor = Actor(f"operator:{user.pk}", user.get_username())
    changes.record(
        action=SIGNED_IN, model=User._meta.label_lower, row=str(user.pk), label=user.get_username(), actor=actor
    )
    return {"access": _token(AccessToken(), user), "refresh": _token(RefreshToken(), user)}


def is_operators(token: str, kind: Kind = "refresh") -> bool:
    """Whether it is a good token of an operator's, and not a member's or nonsense."""
    try:
        VERIFIER.operator(token, kind)
    except Unauthenticated:
        return False
    return True


def renewed(refresh: str) -> str:
    """Another access token. Raises Unauthenticated."""
    claims = VERIFIER.operator(refresh, "refresh")
    user = operator_of(claims)
    second_factor.check_renewal(user, with_factor=claims.mfa)
    return _token(AccessToken(), user)


def operator_of(claims: OperatorClaims) -> User:
    """Raises Unauthenticated: they are none any more, or have another password since."""
    user = User.objects.filter(pk=claims.operator, is_active=True, is_superuser=True).first()
    if user is None or not any(hmac.compare_digest(each, claims.stamp) for each in _stamps(user)):
        raise Unauthenticated
    return user


def _token(token: Token, user: User) -> str:
    token["user_id"] = str(user.pk)
    token["operator"] = user.pk
    token["stamp"] = _stamps(user)[0]
    token["mfa"] = is_mfa_enabled(user)
    return signed(token.payload, settings.SIMPLE_JWT)


def _stamps(user: User) -> list[str]:
    """A part of an HMAC of the password's hash: enough to tell that it changed. The first is of SECRET_KEY, the others
    are of its fallbacks."""
    return [each[:32] for each in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())]
