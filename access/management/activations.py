"""`/api/plugins`: the plugins there are, and which of them a tenant has switched on, with which settings."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.views import LeanView
from engine.errors import InvalidRequest, NotFound
from engine.types import Json
from plugins import registry
from plugins.describing import traits_of
from plugins.models import PluginActivation
from tenants import roles

MISSING: Final = "There is no such plugin."

Position = Annotated[int, Meta(ge=0, le=32_767)]
PluginName = Annotated[str, Meta(min_length=1, max_length=64)]


class PluginBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How a plugin is switched on; what is left out gets its default. A lower `position` runs earlier before the model
    and later after it. `required`: a turn in which it cannot do its work fails. `timeout` is in seconds, of each of its
    hooks; null: what the plugin itself says."""

    enabled: bool = True
    position: Position = 0
    required: bool = False
    timeout: Annotated[float, Meta(ge=0.01, le=60)] | None = None
    settings: Json = {}


class PluginAnswer(msgspec.Struct, kw_only=True):
    """A plugin. `active`: it is switched on. `settings` are shown to those who may change them, as they may hold
    passwords; `schema` is the JSON Schema of what can be set. `hooks` are those it has; `needs_full_response`: streams
    come in one piece while it is on; `default_timeout` is what holds without a `timeout`, in seconds; `rehearses`: dry
    runs of it have no effect outside of their turns."""

    plugin: str
    label: str
    installed: bool
    active: bool
    enabled: bool
    position: int
    required: bool
    timeout: float | None
    settings: Json | None
    schema: Json
    about: str
    hooks: list[str]
    needs_full_response: bool
    default_timeout: float
    rehearses: bool


class PluginPage(msgspec.Struct):
    """Those of the tenant in their order, then the others that are installed, by name."""

    plugins: list[PluginAnswer]


class PluginList(LeanView):
    """GET: the plugins there are, with what the tenant made of each."""

    area = "plugins"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        work = partial(listed, self.principal.tenant_id, _shown(self))
        return self.json(PluginPage(await self.parts.rows.run(work)))


class PluginDetail(LeanView):
    """GET, PUT (switches it on, or sets it anew) and DELETE (switches it off and forgets its settings)."""

    area = "plugins"
    http_method_names = ["get", "put", "delete"]

    async def get(self, request: Request, plugin: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal.tenant_id, plugin, _shown(self))))

    async def put(self, request: Request, plugin: str, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), PluginBody)
        return self.json(await self.parts.rows.run(partial(put, self.principal.tenant_id, plugin, asked)))

    async def delete(self, request: Request, plugin: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, plugin))
        return HttpResponse(status=204)


def listed(tenant_id: int, shown: bool) -> list[PluginAnswer]:
    """One query."""
    own = list(_rows(tenant_id))
    others = sorted(set(registry.names()) - {row.plugin for row in own})
    return [*(answer(row, shown) for row in own), *(answer(_unused(tenant_id, name), shown) for name in others)]


def read(tenant_id: int, plugin: str, shown: bool) -> PluginAnswer:
    """Raises NotFound."""
    row = _rows(tenant_id).filter(plugin=plugin[:100]).first() if "\0" not in plugin else None
    if row is None:
        row = _unused(tenant_id, installed(plugin))
    return answer(row, shown)


def put(tenant_id: int, plugin: str, asked: PluginBody) -> PluginAnswer:
    """Raises NotFound, InvalidRequest at the setting, ValidationError."""
    check_settings(installed(plugin), asked.settings)
    with transaction.atomic():
        row = _rows(tenant_id).select_for_update().filter(plugin=plugin).first()
        if row is None:
            row = PluginActivation(tenant_id=tenant_id, plugin=plugin)
        wanted = msgspec.structs.asdict(asked)
        if row._state.adding or any(getattr(row, name) != value for name, value in wanted.items()):
            for name, value in wanted.items():
                setattr(row, name, value)
            row.full_clean()
            row.save()
    return answer(row, True)


def remove(tenant_id: int, plugin: str) -> None:
    """Raises NotFound: it is not switched on."""
    row = _rows(tenant_id).filter(plugin=plugin[:100]).first() if "\0" not in plugin else None
    if row is None:
        raise NotFound(MISSING)
    row.delete()


def check_settings(plugin: str, settings: Json) -> None:
    """Raises InvalidRequest with the setting's own place as `param`."""
    try:
        schemas.fields(settings, registry.get(plugin).Settings)
    except InvalidRequest as error:
        param = f"settings.{error.param}" if error.param else "settings"
        raise InvalidRequest(f"settings.{error.message}", param=param) from None


def answer(row: PluginActivation, shown: bool) -> PluginAnswer:
    traits = traits_of(row.plugin)
    there = traits is not None
    return PluginAnswer(
        plugin=row.plugin,
        label=registry.labels()[row.plugin] if there else row.plugin,
        installed=there,
        active=not row._state.adding and row.enabled and there,
        enabled=row.enabled,
        position=row.position,
        required=row.required,
        timeout=row.timeout,
        settings=row.settings if shown else None,
        schema=settings_schema(row.plugin) if there else {},
        about=traits.about if traits is not None else "",
        hooks=traits.hooks if traits is not None else [],
        needs_full_response=traits is not None and traits.needs_full_response,
        default_timeout=traits.timeout if traits is not None else 0.0,
        rehearses=traits is not None and traits.rehearses,
    )


def settings_schema(plugin: str) -> Json:
    """JSON Schema of a plugin's settings."""
    try:
        return msgspec.json.schema(registry.get(plugin).Settings)
    except TypeError:  # a type JSON Schema has no word for
        return {}


def _rows(tenant_id: int) -> Any:
    return PluginActivation.objects.for_tenant(tenant_id).order_by("position", "id")


def _unused(tenant_id: int, plugin: str) -> PluginActivation:
    return PluginActivation(tenant_id=tenant_id, plugin=plugin, enabled=False)


def installed(plugin: str) -> str:
    """Raises NotFound."""
    if plugin not in registry.names():
        raise NotFound(MISSING)
    return plugin


def _shown(view: LeanView) -> bool:
    return roles.may(role_of(view.principal), "plugins", "change")
