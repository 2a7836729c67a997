"""`/api/keys`: a tenant's API keys. A key itself is told once, in the answer that made it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.asgi import RawHeaders
from access.authentication import role_of
from access.last_use import last_use_of
from access.lean import JsonReply
from access.management.paging import Page, cut, number, one_of, page_of
from access.views import LeanView
from engine.errors import Conflict, Forbidden, NotFound
from engine.types import Json, Principal
from tenants import roles, services
from tenants.models import ApiKey, Member, Tenant, User
from tenants.scoping import ScopedQuerySet
from tenants.validation import DEFAULT_SCOPES, SCOPES

MISSING: Final = "There is no such API key."
ONCE: Final[RawHeaders] = [(b"cache-control", b"no-store")]
STATES: Final = ("active", "expired", "revoked")

KeyName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ScopeName = Literal["chat", "sessions", "audit", "manage"]
ScopeNames = Annotated[list[ScopeName], Meta(max_length=16)]
Moment = Annotated[float, Meta(ge=0, le=32_503_680_000)]  # Unix seconds, until the year 3000
Grace = Annotated[int, Meta(ge=0, le=30 * 86_400)]


class KeyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """No `scopes`: chat and sessions. `expires_at` in Unix seconds; null: never."""

    name: KeyName
    scopes: ScopeNames = []
    expires_at: Moment | None = None


class KeyPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a key is to change; what is absent stays."""

    name: KeyName | UnsetType = UNSET
    scopes: ScopeNames | UnsetType = UNSET
    expires_at: Moment | None | UnsetType = UNSET


class RotateBody(msgspec.Struct, forbid_unknown_fields=True):
    """How long the old key goes on, at most 30 days; 0: it is revoked at once."""

    grace_seconds: Grace = 0


class KeyAnswer(msgspec.Struct, kw_only=True):
    """A key; `hint` is how it begins, `replaces` the key it was made of, `created_by` the name of who made it, where a
    person did. Times are Unix seconds; `last_used` is null where it never was, or nobody can say now."""

    id: int
    name: str
    hint: str
    scopes: list[str]
    state: Literal["active", "expired", "revoked"]
    created_at: float
    created_by: str | None
    expires_at: float | None
    revoked_at: float | None
    last_used: float | None
    replaces: int | None


class KeyMade(KeyAnswer, kw_only=True):
    """A new key, with the key itself: it is told this once."""

    key: str


class KeyPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    keys: list[KeyAnswer]
    next: int | None


class KeyList(LeanView):
    """GET: the tenant's keys. POST: makes one, 201 with the key itself."""

    area = "keys"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "search", "state")
        state = one_of(page, "state", STATES)
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page, state)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), KeyBody)
        return self.json(await self.parts.rows.run(partial(make, self.principal, asked)), 201, ONCE)


class KeyDetail(LeanView):
    """GET, PATCH (what changes) and DELETE, which revokes: a revoked key stays in the list."""

    area = "keys"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, key_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal.tenant_id, number(key_id, MISSING))))

    async def patch(self, request: Request, key_id: str, **kwargs: Any) -> JsonReply:
        found = number(key_id, MISSING)
        values = schemas.given(schemas.fields(self.body(), KeyPatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal, found, values)))

    async def delete(self, request: Request, key_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(revoke, self.principal, number(key_id, MISSING)))
        return HttpResponse(status=204)


class KeyRotation(LeanView):
    """POST: a new key of the same settings in a key's place, 201 with the key itself."""

    area = "keys"
    http_method_names = ["post"]

    async def post(self, request: Request, key_id: str, **kwargs: Any) -> JsonReply:
        found = number(key_id, MISSING)
        grace = timedelta(seconds=schemas.fields(self.body(), RotateBody).grace_seconds)
        return self.json(await self.parts.rows.run(partial(rotate, self.principal, found, grace)), 201, ONCE)


def listed(tenant_id: int, page: Page, state: str = "") -> KeyPage:
    """One query of the keys, and one of their use."""
    rows = keys_of(tenant_id)
    if search := page.filters["search"]:
        rows = rows.filter(Q(name__icontains=search) | Q(hint__startswith=search))
    over = Q(revoked_at=None, expires_at__lte=timezone.now())
    if state:
        wanted = {"active": Q(revoked_at=None) & ~over, "expired": over, "revoked": ~Q(revoked_at=None)}
        rows = rows.filter(wanted[state])
    found, following = cut(rows, page)
    used = last_use_of(tenant_id, [row.pk for row in found]) or {}
    return KeyPage([KeyAnswer(**_fields(row, used.get(row.pk))) for row in found], following)


def read(tenant_id: int, key_id: int) -> KeyAnswer:
    """Raises NotFound."""
    return answer(_found(keys_of(tenant_id), key_id))


def make(principal: Principal, asked: KeyBody) -> KeyMade:
    """Raises ValidationError, Forbidden."""
    _check_scopes(principal, asked.scopes)
    row, plain = services.create_api_key(
        tenant=Tenant.objects.get(pk=principal.tenant_id),
        name=asked.name,
        scopes=asked.scopes,
        expires_at=_moment(asked.expires_at),
        created_by=person(principal),
    )
    return _made(row, plain)


def change(principal: Principal, key_id: int, values: Json) -> KeyAnswer:
    """Raises NotFound, Forbidden, Conflict, ValidationError."""
    with transaction.atomic():
        row = _changeable(principal, key_id)
        if row.revoked_at is not None:
            raise Conflict("This key is revoked.")
        if "scopes" in values:
            _check_scopes(principal, values["scopes"])
            values["scopes"] = [scope for scope in SCOPES if scope in values["scopes"]]
        if "expires_at" in values:
            values["expires_at"] = _moment(values["expires_at"])
        return answer(services.change_api_key(key=row, **values))


def revoke(principal: Principal, key_id: int) -> None:
    """Raises NotFound, Forbidden."""
    with transaction.atomic():
        services.revoke_api_key(key=_changeable(principal, key_id))


def rotate(principal: Principal, key_id: int, grace: timedelta) -> KeyMade:
    """Raises NotFound, Forbidden, Conflict."""
    with transaction.atomic():
        row = _changeable(principal, key_id)
        if _state(row) != "active":
            raise Conflict("This key has ended.")
        return _made(*services.rotate_api_key(key=row, grace=grace, created_by=person(principal)))


def keys_of(tenant_id: int) -> ScopedQuerySet[ApiKey]:
    return ApiKey.objects.for_tenant(tenant_id).select_related("created_by")


def person(principal: Principal) -> User | None:
    """Who asks, if it is somebody who signed in."""
    if principal.member_id is None:
        return None
    member = Member.objects.for_tenant(principal.tenant_id).filter(pk=principal.member_id).select_related("user")
    found = member.first()
    return found.user if found is not None else None


def answer(row: ApiKey) -> KeyAnswer:
    used = last_use_of(row.tenant_id, [row.pk]) or {}
    return KeyAnswer(**_fields(row, used.get(row.pk)))


def _changeable(principal: Principal, key_id: int) -> ApiKey:
    """Locked until the transaction ends. A key is only for those to change who could have made it."""
    rows = ApiKey.objects.for_tenant(principal.tenant_id).select_related("tenant").select_for_update(of=("self",))
    row = _found(rows, key_id)
    if not roles.may_give(role_of(principal), row.scopes):
        raise Forbidden("This key may do more than you may give.")
    return row


def _found(rows: ScopedQuerySet[ApiKey], key_id: int) -> ApiKey:
    row = rows.filter(pk=key_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row


def _check_scopes(principal: Principal, scopes: Sequence[str]) -> None:
    if not roles.may_give(role_of(principal), scopes):
        raise Forbidden("scopes: more than you may give.", param="scopes")


def _made(row: ApiKey, plain: str) -> KeyMade:
    return KeyMade(**_fields(row, None), key=plain)


def _fields(row: ApiKey, last_used: float | None) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes or [scope for scope in SCOPES if scope in DEFAULT_SCOPES],
        "state": _state(row),
        "created_at": row.created_at.timestamp(),
        "created_by": row.created_by.get_username() if row.created_by is not None else None,
        "expires_at": row.expires_at.timestamp() if row.expires_at is not None else None,
        "revoked_at": row.revoked_at.timestamp() if row.revoked_at is not None else None,
        "last_used": last_used,
        "replaces": row.replaces_id,
    }


def _state(row: ApiKey) -> Literal["active", "expired", "revoked"]:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= timezone.now() else "active"


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
