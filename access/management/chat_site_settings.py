"""`/api/chat-site/settings`: how a tenant's web chat looks, whom it takes and whose pages may show it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from django.db import transaction
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.views import LeanView
from engine.types import Json
from tenants.models import ChatSite

Title = Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Greeting = Annotated[str, Meta(max_length=1000)]
Colour = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}\Z")]
Takes = Literal["off", "signed", "anyone"]
Texts = Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=50)]
Minutes = Annotated[int, Meta(ge=1, le=1440)]
Rate = Annotated[int, Meta(ge=0, le=6000)]


class ChatSiteBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All of it: what is left out gets its default. `origins` are pages that may embed the chat and call the API from a
    browser; `visitor_models` are models visitors may choose, none: the rules decide."""

    name: Title = ""
    greeting: Greeting = ""
    accent: Colour = "#2563eb"
    background: Colour = "#ffffff"
    visitors: Takes = "off"
    origins: Texts = []
    visitor_models: Texts = []
    ticket_minutes: Minutes = 60
    visitor_requests_per_minute: Rate = 10
    address_requests_per_minute: Rate = 30


class ChatSitePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of it is to change; what is absent stays."""

    name: Title | UnsetType = UNSET
    greeting: Greeting | UnsetType = UNSET
    accent: Colour | UnsetType = UNSET
    background: Colour | UnsetType = UNSET
    visitors: Takes | UnsetType = UNSET
    origins: Texts | UnsetType = UNSET
    visitor_models: Texts | UnsetType = UNSET
    ticket_minutes: Minutes | UnsetType = UNSET
    visitor_requests_per_minute: Rate | UnsetType = UNSET
    address_requests_per_minute: Rate | UnsetType = UNSET


class ChatSiteSettingsAnswer(msgspec.Struct, kw_only=True):
    """What holds, whether it was ever chosen or not."""

    name: str
    greeting: str
    accent: str
    background: str
    visitors: Takes
    origins: list[str]
    visitor_models: list[str]
    ticket_minutes: int
    visitor_requests_per_minute: int
    address_requests_per_minute: int


class ChatSiteSettings(LeanView):
    """GET: what holds. PUT: all of it. PATCH: what changes. Live in every worker within a second."""

    area = "chat_site"
    http_method_names = ["get", "put", "patch"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal.tenant_id)))

    async def put(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return await self._change(ChatSiteBody)

    async def patch(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return await self._change(ChatSitePatch)

    async def _change(self, kind: type[ChatSiteBody] | type[ChatSitePatch]) -> JsonReply:
        values = schemas.given(schemas.fields(self.body(), kind))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, values)))


def read(tenant_id: int) -> ChatSiteSettingsAnswer:
    row = ChatSite.objects.for_tenant(tenant_id).first()
    return answer(row or ChatSite(tenant_id=tenant_id))


def change(tenant_id: int, values: Json) -> ChatSiteSettingsAnswer:
    """Raises ValidationError."""
    with transaction.atomic():
        row = ChatSite.objects.for_tenant(tenant_id).select_for_update().first() or ChatSite(tenant_id=tenant_id)
        before = answer(row)
        for name, value in values.items():
            setattr(row, name, value)
        row.full_clean()
        if row._state.adding or answer(row) != before:
            row.save()
    return answer(row)


def answer(row: ChatSite) -> ChatSiteSettingsAnswer:
    values = {name: getattr(row, name) for name in ChatSiteSettingsAnswer.__struct_fields__}
    return ChatSiteSettingsAnswer(**values)
