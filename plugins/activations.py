"""From rows to plugins that run."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from plugins import registry
from plugins.base import PluginBase
from plugins.chain import PluginTable
from plugins.models import PluginActivation

log = logging.getLogger(__name__)


def compile_plugins(previous: PluginTable | None = None) -> PluginTable:
    """Every tenant's enabled plugins in their order. An instance of `previous` with the same settings goes on, with
    whatever it has opened or remembered. A plugin that is not installed or cannot be made is left out, and logged."""
    before = previous.made if previous is not None else {}
    made: dict[int, tuple[str, bytes, PluginBase]] = {}
    tenants: dict[int, list[PluginBase]] = {}
    rows = PluginActivation.objects.everywhere().filter(enabled=True).order_by("tenant_id", "position", "id")
    for row in rows:
        settings = msgspec.json.encode(row.settings, order="sorted")
        known = before.get(row.pk)
        gathered = _gather(row)
        if known is not None and known[:2] == (row.plugin, settings) and known[2].gathered == gathered:
            plugin: PluginBase | None = known[2]
        else:
            plugin = _make(row, gathered)
        if plugin is not None:
            made[row.pk] = (row.plugin, settings, plugin)
            tenants.setdefault(row.tenant_id, []).append(plugin)
    return PluginTable(tenants={tenant_id: tuple(chain) for tenant_id, chain in tenants.items()}, made=made)


def _gather(row: PluginActivation) -> Any:
    """None too where it cannot be: then the plugin cannot be made either."""
    try:
        return registry.get(row.plugin).gather(row.tenant_id)
    except Exception:  # noqa: BLE001 - border: as below
        log.exception("the plugin %s of tenant %s cannot gather what it needs", row.plugin, row.tenant_id)
        return None


def _make(row: PluginActivation, gathered: Any) -> PluginBase | None:
    try:
        cls = registry.get(row.plugin)
        plugin = cls(registry.read_settings(cls, row.settings))
        plugin.gathered = gathered
        return plugin
    except Exception:  # noqa: BLE001 - border: one company's plugin must not keep the others' from changing
        log.exception("the plugin %s of tenant %s cannot be made", row.plugin, row.tenant_id)
        return None
