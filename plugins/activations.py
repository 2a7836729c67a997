"""From rows to plugins that run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from plugins import registry
from plugins.base import PluginBase
from plugins.chain import PluginTable
from plugins.models import Intent, PluginActivation

log = logging.getLogger(__name__)

IMPLIED: Final = "intent"  # in use without being switched on, before all others, where a tenant defines intents


def compile_plugins(previous: PluginTable | None = None) -> PluginTable:
    """Every tenant's enabled plugins in their order. An instance of `previous` with the same settings goes on, with
    whatever it has opened or remembered. A plugin that is not installed or cannot be made is left out, and logged."""
    before = previous.made if previous is not None else {}
    made: dict[int, tuple[str, bytes, PluginBase]] = {}
    tenants: dict[int, list[PluginBase]] = {}
    for row in [*_implied(), *_switched_on()]:
        settings = msgspec.json.encode(row.settings, order="sorted")
        known = before.get(row.pk)
        if known is not None and known[:2] == (row.plugin, settings):
            plugin: PluginBase | None = known[2]
        else:
            plugin = _make(row)
        if plugin is not None:
            made[row.pk] = (row.plugin, settings, plugin)
            tenants.setdefault(row.tenant_id, []).append(plugin)
    return PluginTable(tenants={tenant_id: tuple(chain) for tenant_id, chain in tenants.items()}, made=made)


def _switched_on() -> Iterable[PluginActivation]:
    return PluginActivation.objects.everywhere().filter(enabled=True).order_by("tenant_id", "position", "id")


def _implied() -> Iterable[PluginActivation]:
    """Rows that nobody saved, with numbers that no saved one has. A tenant's own row, on or off, goes before."""
    tenants = set(Intent.objects.everywhere().filter(enabled=True).values_list("tenant_id", flat=True))
    if not tenants:
        return
    told = PluginActivation.objects.everywhere().filter(plugin=IMPLIED).values_list("tenant_id", flat=True)
    for tenant_id in sorted(tenants - set(told)):
        yield PluginActivation(pk=-tenant_id, tenant_id=tenant_id, plugin=IMPLIED)


def _make(row: PluginActivation) -> PluginBase | None:
    try:
        cls = registry.get(row.plugin)
        return cls(registry.read_settings(cls, row.settings))
    except Exception:  # noqa: BLE001 - border: one company's plugin must not keep the others' from changing
        log.exception("the plugin %s of tenant %s cannot be made", row.plugin, row.tenant_id)
        return None
