"""`/api/models` and `/api/adapters`: a tenant's own model instances with their keys at providers, and what it can use
of the platform's. A provider's key goes in and never comes out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.management.instance_fields import (
    ABSENT,
    AdapterAnswer,
    AdapterPage,
    InstanceAnswer,
    InstanceBody,
    InstancePage,
    InstancePatch,
    given,
)
from access.management.paging import Page, cut, number, one_of, page_of
from access.views import LeanView
from adapters import registry
from engine.errors import Forbidden, NotFound
from engine.types import Json, Principal
from routing import services
from routing.models import ModelGrant, ModelInstance
from tenants import roles
from tenants.scoping import ScopedQuerySet

MISSING: Final = "There is no such model."
SCOPES: Final = ("tenant", "platform")
OWN_ALONE: Final = (
    "endpoint", "upstream_model", "weight", "max_concurrency", "timeout", "connect_timeout", "first_token_timeout",
    "idle_timeout", "total_timeout", "probe_interval", "batch_window", "batch_size",
)  # fmt: skip


class InstanceList(LeanView):
    """GET: the tenant's instances and those of the platform it can use. POST: makes one of its own, 201."""

    area = "models"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "search", "scope")
        scope = one_of(page, "scope", SCOPES)
        return self.json(await self.parts.rows.run(partial(listed, self.principal, page, scope)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = given(schemas.fields(self.body(), InstanceBody))
        return self.json(await self.parts.rows.run(partial(make, self.principal, values)), status=201)


class InstanceDetail(LeanView):
    """GET, PUT (a whole instance), PATCH (what changes) and DELETE of one. Unknown and foreign ids alike are 404; one
    of the platform's that the tenant can use can be read, changing it is 403."""

    area = "models"
    http_method_names = ["get", "put", "patch", "delete"]

    async def get(self, request: Request, instance_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal, number(instance_id, MISSING))))

    async def put(self, request: Request, instance_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(instance_id, InstanceBody)

    async def patch(self, request: Request, instance_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(instance_id, InstancePatch)

    async def delete(self, request: Request, instance_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal, number(instance_id, MISSING)))
        return HttpResponse(status=204)

    async def _change(self, instance_id: str, kind: type[InstanceBody] | type[InstancePatch]) -> JsonReply:
        found = number(instance_id, MISSING)
        values = given(schemas.fields(self.body(), kind))
        return self.json(await self.parts.rows.run(partial(change, self.principal, found, values)))


class AdapterList(LeanView):
    """GET: the wire formats an instance can speak."""

    area = "models"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        names = registry.labels().items()
        found = [AdapterAnswer(name, label, sorted(registry.get(name).capabilities)) for name, label in names]
        return self.json(AdapterPage(found))


def listed(principal: Principal, page: Page, scope: str = "") -> InstancePage:
    """Two queries at most."""
    rows = usable(principal.tenant_id)
    if scope:
        rows = rows.filter(tenant__isnull=scope == "platform")
    if search := page.filters["search"]:
        rows = rows.filter(Q(name__icontains=search) | Q(label__icontains=search))
    found, following = cut(rows, page)
    return InstancePage(answers(found, principal), following)


def read(principal: Principal, instance_id: int) -> InstanceAnswer:
    """Raises NotFound."""
    return answers([_visible(principal.tenant_id, instance_id)], principal)[0]


def make(principal: Principal, values: Json) -> InstanceAnswer:
    """Raises ValidationError."""
    return _saved(principal, ModelInstance(tenant_id=principal.tenant_id), values)


def change(principal: Principal, instance_id: int, values: Json) -> InstanceAnswer:
    """Raises NotFound, Forbidden, ValidationError."""
    with transaction.atomic():
        return _saved(principal, own(principal.tenant_id, instance_id), values)


def remove(principal: Principal, instance_id: int) -> None:
    """Raises NotFound, Forbidden."""
    with transaction.atomic():
        own(principal.tenant_id, instance_id).delete()


def usable(tenant_id: int) -> ScopedQuerySet[ModelInstance]:
    """The tenant's own, and those of the platform in service that are shared with all or granted to it."""
    granted = ModelGrant.objects.for_tenant(tenant_id).values("instance_id")
    shared = Q(sharing=ModelInstance.Sharing.ALL) | Q(pk__in=granted)
    rows = ModelInstance.objects.filter(Q(tenant_id=tenant_id) | Q(tenant__isnull=True))
    return rows.filter(Q(tenant_id=tenant_id) | (Q(enabled=True) & shared))


def own(tenant_id: int, instance_id: int, *, lock: bool = True) -> ModelInstance:
    """`lock`: until the transaction ends, which there must be. Raises NotFound, Forbidden."""
    rows = ModelInstance.objects.for_tenant(tenant_id)
    row: ModelInstance | None = (rows.select_for_update() if lock else rows).filter(pk=instance_id).first()
    if row is not None:
        return row
    _visible(tenant_id, instance_id)
    raise Forbidden("This model is the platform's: its operators change it.")


def answers(rows: Iterable[ModelInstance], principal: Principal) -> list[InstanceAnswer]:
    """`options` may hold what is as good as a key: they are for those who could change them."""
    whole = roles.may(role_of(principal), "models", "change")
    return [_answer(row, whole) for row in rows]


def _answer(row: ModelInstance, whole: bool) -> InstanceAnswer:
    mine = row.tenant_id is not None
    values = {name: getattr(row, name) if mine else None for name in OWN_ALONE}
    return InstanceAnswer(
        id=row.pk,
        scope="tenant" if mine else "platform",
        name=row.name,
        label=row.label if mine else "",
        enabled=row.enabled,
        task=row.task,
        adapter=row.adapter if mine else None,
        has_key=bool(row.sealed_key) if mine else None,
        options=row.options if mine and whole else None,
        version=row.version,
        context_window=row.context_window,
        languages=row.languages,
        price_in=float(row.price_in),
        price_out=float(row.price_out),
        created_at=row.created_at.timestamp(),
        **values,
    )


def _visible(tenant_id: int, instance_id: int) -> ModelInstance:
    row = usable(tenant_id).filter(pk=instance_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row


def _saved(principal: Principal, row: ModelInstance, values: Json) -> InstanceAnswer:
    api_key = values.pop("api_key", ABSENT)
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if row._state.adding or changed or api_key is not ABSENT:
        services.save_instance(instance=row, api_key=None if api_key is ABSENT else api_key, by_tenant=True)
    return answers([row], principal)[0]
