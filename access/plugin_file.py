"""A tenant's plugins in the file of `loadconfig` and `dumpconfig` (`docs/configuration.md`), in the order they run in.

Where the list is there, it is all that are in use: what it does not name is switched off and keeps its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from msgspec import inspect

from plugins import registry
from plugins.models import PluginActivation
from plugins.settings_types import SECRET
from routing.configuration import Outcome, masked, placeholder, plain, refuse
from routing.documents import Block, Read, Reader
from tenants.models import Tenant

KEYS: Final[Mapping[str, Read]] = {
    "plugin": Reader.text,
    "enabled": Reader.flag,
    "required": Reader.flag,
    "timeout": Reader.number,
    "settings": Reader.mapping,
}
COLUMNS: Final[dict[str, Any]] = {"enabled": True, "required": False, "timeout": None, "settings": {}}


class PluginSection:
    """Implements `routing.configuration.Section`."""

    keys = KEYS

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        left = {row.plugin: row for row in _rows(tenant)}
        seen: set[str] = set()
        for position, block in enumerate(blocks):
            name = block.values.get("plugin")
            if name is None:
                block.place.refuse("a plugin needs its name: plugin")
            if name in seen:
                block.places["plugin"].refuse(f"{name!r} is there twice")
            seen.add(name)
            row = left.pop(name, None)
            new = row is None
            row = row or PluginActivation(tenant=tenant, plugin=name)
            wanted = {key: block.values.get(key, default) for key, default in COLUMNS.items()}
            _settle(row, {**wanted, "position": position}, block, outcome, new=new)
        for position, row in enumerate(left.values(), len(blocks)):
            _settle(row, {"enabled": False, "position": position}, None, outcome, new=False)

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        return [_lines(row, taken) for row in _rows(tenant)]


def _settle(row: PluginActivation, wanted: dict[str, Any], block: Block | None, outcome: Outcome, *, new: bool) -> None:
    """`block` None: nothing is set that could be wrong."""
    if not new and all(getattr(row, key) == value for key, value in wanted.items()):
        outcome.unchanged += 1
        return
    for key, value in wanted.items():
        setattr(row, key, value)
    if block is not None:
        try:
            row.full_clean()
        except ValidationError as error:
            refuse(error, block)
    row.save()
    outcome.created += new
    outcome.updated += not new


def _rows(tenant: Tenant) -> list[PluginActivation]:
    return list(PluginActivation.objects.for_tenant(tenant.pk).order_by("position", "id"))


def _lines(row: PluginActivation, taken: set[str]) -> dict[str, Any]:
    lines: dict[str, Any] = {"plugin": row.plugin}
    for key, default in COLUMNS.items():
        if (value := getattr(row, key)) != default:
            lines[key] = plain(value)
    if "settings" in lines:
        settings = lines["settings"]
        if row.plugin in registry.names():
            kind = inspect.type_info(registry.get(row.plugin).Settings)
            settings = _hidden(settings, kind, row.plugin, taken)
        lines["settings"] = masked(settings, row.plugin, taken)
    return lines


def _hidden(value: Any, kind: inspect.Type, words: str, taken: set[str]) -> Any:
    """With a variable's name where a setting's type says that it is a secret."""
    if isinstance(kind, inspect.Metadata):
        if (kind.extra or {}).get(SECRET) and isinstance(value, str) and value:
            return placeholder(words, taken)
        return _hidden(value, kind.type, words, taken)
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            value = _hidden(value, each, words, taken)
        return value
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        kinds = {field.encode_name: field.type for field in kind.fields}
        return {
            key: _hidden(inner, kinds[key], f"{words} {key}", taken) if key in kinds else inner
            for key, inner in value.items()
        }
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        return [_hidden(each, kind.item_type, words, taken) for each in value]
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _hidden(inner, kind.value_type, f"{words} {key}", taken) for key, inner in value.items()}
    return value
