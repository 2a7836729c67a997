"""`/api/addresses`: where a tenant's callers may come from. Without one: from everywhere."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.paging import Line, Page, cut, number, page_of
from access.views import LeanView
from engine.errors import NotFound
from tenants import services
from tenants.models import IpRule, Tenant

MISSING: Final = "There is no such address."


class AddressBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An IPv4 or IPv6 address or network, such as 10.0.0.0/8."""

    network: Annotated[str, Meta(min_length=1, max_length=64)]
    note: Line = ""


class AddressPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another network is another row: delete this one."""

    note: Line


class AddressAnswer(msgspec.Struct, kw_only=True):
    """`created_at` is in Unix seconds."""

    id: int
    network: str
    note: str
    created_at: float


class AddressPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    addresses: list[AddressAnswer]
    next: int | None


class AddressList(LeanView):
    """GET: the tenant's addresses. POST: allows one more, 201. Live within a second."""

    area = "addresses"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page_of(request))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), AddressBody)
        return self.json(await self.parts.rows.run(partial(make, self.principal.tenant_id, asked)), status=201)


class AddressDetail(LeanView):
    """GET, PATCH (its note) and DELETE. Unknown and foreign ids alike are 404."""

    area = "addresses"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, address_id: str, **kwargs: Any) -> JsonReply:
        work = partial(_own, self.principal.tenant_id, number(address_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def patch(self, request: Request, address_id: str, **kwargs: Any) -> JsonReply:
        found = number(address_id, MISSING)
        note = schemas.fields(self.body(), AddressPatch).note
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, note)))

    async def delete(self, request: Request, address_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, number(address_id, MISSING)))
        return HttpResponse(status=204)


def listed(tenant_id: int, page: Page) -> AddressPage:
    found, following = cut(IpRule.objects.for_tenant(tenant_id), page)
    return AddressPage([answer(row) for row in found], following)


def make(tenant_id: int, asked: AddressBody) -> AddressAnswer:
    """Raises ValidationError."""
    tenant = Tenant.objects.get(pk=tenant_id)
    return answer(services.allow_network(tenant=tenant, network=asked.network, note=asked.note.strip()))


def change(tenant_id: int, address_id: int, note: str) -> AddressAnswer:
    """Raises NotFound."""
    row = _own(tenant_id, address_id)
    if row.note != note.strip():
        row.note = note.strip()
        row.save(update_fields=["note"])
    return answer(row)


def remove(tenant_id: int, address_id: int) -> None:
    """Raises NotFound."""
    _own(tenant_id, address_id).delete()


def answer(row: IpRule) -> AddressAnswer:
    return AddressAnswer(id=row.pk, network=row.network, note=row.note, created_at=row.created_at.timestamp())


def _own(tenant_id: int, address_id: int) -> IpRule:
    row = IpRule.objects.for_tenant(tenant_id).filter(pk=address_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
