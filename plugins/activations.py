"""From rows to plugins that run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import connections

from plugins import registry
from plugins.active import Active, Loaded, PluginTable, overrides
from plugins.base import PluginBase
from plugins.hooks import ordinary
from plugins.models import Intent, PluginActivation

log = logging.getLogger(__name__)

IMPLIED: Final = "intent"  # in use without being switched on, before all others, where a tenant defines intents

OPENING: Final = 5.0  # seconds


def compile_plugins(previous: PluginTable | None = None) -> PluginTable:
    """Every tenant's enabled plugins in their order. An instance of `previous` with the same settings goes on, with
    whatever it has opened or remembered. A plugin that is not installed or cannot be made keeps its place without an
    instance, and is logged."""
    before = previous.made if previous is not None else {}
    made: dict[int, tuple[str, bytes, Loaded]] = {}
    tenants: dict[int, list[Active]] = {}
    for row in [*_implied(), *_switched_on()]:
        settings, gathered = _given(row)
        known = before.get(row.pk)
        if known is not None and known[:2] == (row.plugin, settings) and _goes_on(known[2].plugin, gathered):
            loaded = known[2]
        else:
            loaded = _loaded(row, settings, gathered)
        made[row.pk] = (row.plugin, settings, loaded)
        timeout = row.timeout or (loaded.plugin.timeout if loaded.plugin is not None else 1.0)
        tenants.setdefault(row.tenant_id, []).append(Active(loaded, timeout, row.required))
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


def _goes_on(plugin: PluginBase | None, gathered: Any) -> bool:
    return plugin is not None and bool(plugin.gathered == gathered)


def _given(row: PluginActivation) -> tuple[bytes, Any]:
    """Its settings as JSON and what it works with; or the error, which keeps it from being made."""
    try:
        settings = json.dumps(row.opened_settings(), sort_keys=True).encode()
        return settings, registry.get(row.plugin).gather(row.tenant_id)
    except Exception as error:  # noqa: BLE001 - border: one company's plugin must not keep the others' from changing
        return b"", error


def _loaded(row: PluginActivation, settings: bytes, gathered: Any) -> Loaded:
    try:
        return Loaded(row.plugin, _opened(row, settings, gathered))
    except Exception as error:  # noqa: BLE001 - border: one company's plugin must not keep the others' from changing
        log.exception("the plugin %s of tenant %s cannot be made", row.plugin, row.tenant_id)
        return Loaded(row.plugin, None, error)


def _opened(row: PluginActivation, settings: bytes, gathered: Any) -> PluginBase:
    if isinstance(gathered, Exception):
        raise gathered
    cls = registry.get(row.plugin)
    plugin = cls(registry.read_settings(cls, json.loads(settings)))
    plugin.gathered = gathered
    if overrides(plugin, "open"):
        _within(OPENING, plugin.open)
    return plugin


def _within(seconds: float, work: Callable[[], None]) -> None:
    """One that hangs must not keep the others' from changing, nor the process from starting. Raises TimeoutError, and
    what `work` raises."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - border: whatever a plugin raises is its own failure
            failed.append(ordinary(error))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="plugin-open", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"it was not open after {seconds:g} s")
    if failed:
        raise failed[0]
