"""`POST /api/token/` and `/api/token/refresh/`: JSON Web Tokens for members, issued by simplejwt.

A token carries `member` (id), `tenant` (slug) and `role`; what a member may do is read from their row at each use, so
that a change counts before the token expires."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest
from django.urls import re_path
from drf_spectacular.utils import extend_schema
from msgspec import Meta
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from access import bodies, schemas
from access.errors import exception_handler
from access.management import operators
from access.people import second_factor, signing_in
from engine.errors import (
    Forbidden,
    InvalidRequest,
    RateLimited,
    StoreUnavailable,
    TenantRequired,
    TenantSuspended,
    Unauthenticated,
)
from engine.types import Json
from tenants.attempts import CannotCount
from tenants.credentials import stamps_of
from tenants.models import Member, User
from tenants.tokens import MAX_LENGTH, TokenVerifier, signed

Body = TypeVar("Body")

Word = Annotated[str, Meta(min_length=1, max_length=1024)]


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(min_length=1, max_length=150)]
    password: Word
    tenant: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    otp: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    operator: bool = False


class Membership(msgspec.Struct, forbid_unknown_fields=True):
    tenant: Annotated[str, Meta(min_length=1, max_length=63)] | None = None


class Refresh(msgspec.Struct, forbid_unknown_fields=True):
    refresh: Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)]


class AccessGranted(msgspec.Struct):
    access: str


class TokenPair(AccessGranted):
    refresh: str


FAILURES: Final = {
    (status, "application/json"): {"$ref": "#/components/schemas/ErrorAnswer"}
    for status in (400, 401, 403, 413, 429, 503)
}


def _schema(kind: type) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([kind])
    return {"application/json": components[kind.__name__]}


class _TokenView(APIView):
    """Reads through the same guard as every edge and answers every error in the one shape."""

    def get_exception_handler(self) -> Any:
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(StoreUnavailable() if isinstance(exc, OperationalError) else exc)

    def parse(self, request: Request, kind: type[Body]) -> Body:
        body: Body = schemas.fields(bodies.parse(request._request.read(bodies.MAX_BYTES + 1)), kind)
        return body


class TokenView(_TokenView):
    @extend_schema(
        operation_id="token_create",
        summary="Sign in",
        request=_schema(SignIn),
        responses={(200, "application/json"): _schema(TokenPair)["application/json"], **FAILURES},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """`tenant` (a slug) is needed by whoever belongs to several, `otp` by whoever has a second factor: a code of
        the authenticator app, or a recovery code. `username` may be an e-mail address. With `operator` an operator of
        the platform gets tokens for `/api/tenants` instead."""
        body = self.parse(request, SignIn)
        if body.operator and body.tenant is not None:
            raise InvalidRequest("tenant: an operator's token is good for no tenant.", param="tenant")
        user = _signed_in(request._request, body)
        return Response(operators.pair(user) if body.operator else pair(membership(user, body.tenant)))


class TokenRefreshView(_TokenView):
    verifier = TokenVerifier(settings.SIMPLE_JWT)

    @extend_schema(
        operation_id="token_refresh",
        summary="A new access token",
        request=_schema(Refresh),
        responses={(200, "application/json"): _schema(AccessGranted)["application/json"], **FAILURES},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """For the same member or operator as the refresh token, as long as they are one."""
        refresh = self.parse(request, Refresh).refresh
        if operators.is_operators(refresh):
            return Response({"access": operators.renewed(refresh)})
        claims = self.verifier.verify(refresh, "refresh")
        members = Member.objects.everywhere().select_related("tenant", "user")
        member = members.filter(pk=claims.member, is_active=True, user__is_active=True).first()
        if member is None or member.tenant.slug != claims.tenant or claims.stamp not in _stamps(member.user):
            raise Unauthenticated
        if not member.tenant.is_active:
            raise TenantSuspended
        second_factor.check_renewal(member.user, with_factor=claims.mfa)
        return Response({"access": _token(AccessToken(), member)})


def _signed_in(request: HttpRequest, body: SignIn) -> User:
    try:
        found = signing_in.sign_in(request, body.username, body.password)
        if found is None:
            raise Unauthenticated("Wrong username or password.")
        user, attempt = found
        second_factor.check(user, body.otp)
        attempt.succeeded(user)
    except signing_in.Locked as locked:
        raise RateLimited("Too many failed attempts.", retry_after=locked.wait) from None
    except CannotCount:
        raise StoreUnavailable from None
    return user


def _stamps(user: User) -> list[str]:
    return stamps_of(user.password, user.signed_out_at)


def membership(user: User, slug: str | None) -> Member:
    """The membership the user signs in to. Whether a tenant exists is not told to outsiders. Raises TenantRequired,
    TenantSuspended, Forbidden."""
    members = Member.objects.everywhere().filter(user=user, is_active=True).select_related("tenant", "user")
    found = [member for member in members.order_by("id") if slug in (None, member.tenant.slug)]
    active = [member for member in found if member.tenant.is_active]
    if len(active) > 1:
        raise TenantRequired(param="tenant")
    if active:
        return active[0]
    raise TenantSuspended if found else Forbidden("You do not belong to this tenant.")


def pair(member: Member) -> Json:
    """`{access, refresh}` for a member."""
    return {"access": _token(AccessToken(), member), "refresh": _token(RefreshToken(), member)}


def _token(token: Token, member: Member) -> str:
    token["user_id"] = str(member.user_id)
    token["member"] = member.pk
    token["tenant"] = member.tenant.slug
    token["role"] = member.role
    token["stamp"] = _stamps(member.user)[0]
    token["mfa"] = is_mfa_enabled(member.user)
    return signed(token.payload, settings.SIMPLE_JWT)


urlpatterns = [
    re_path(r"^token/?$", TokenView.as_view(), name="token"),
    re_path(r"^token/refresh/?$", TokenRefreshView.as_view(), name="token-refresh"),
]
