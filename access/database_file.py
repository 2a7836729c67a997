"""A tenant's databases in the file of `loadconfig` and `dumpconfig` (`docs/configuration.md`).

A database is known by its name; one that the list does not name is left alone. Addresses are dumped as variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from yaml.nodes import Node, ScalarNode

from plugins.databases import services
from plugins.databases.validation import clean_tables
from plugins.models import DataSource
from routing.configuration import Outcome, placeholder, plain, refuse
from routing.documents import Block, Read, Reader, place_of
from tenants.models import Tenant
from tenants.secrets import SealBroken

COLUMN_KEYS: Final[Mapping[str, Read]] = {"name": Reader.text, "type": Reader.text, "description": Reader.text}


def _column(reader: Reader, node: Node) -> dict[str, Any]:
    if isinstance(node, ScalarNode):
        return {"name": reader.text(node)}
    return reader.block(node, COLUMN_KEYS).values


def _columns(reader: Reader, node: Node) -> list[dict[str, Any]]:
    return [_column(reader, item) for item in reader.items(node)]


TABLE_KEYS: Final[Mapping[str, Read]] = {
    "name": Reader.text,
    "schema": Reader.text,
    "description": Reader.text,
    "columns": _columns,
}


def _tables(reader: Reader, node: Node) -> list[Any]:
    try:
        return clean_tables([reader.block(item, TABLE_KEYS).values for item in reader.items(node)])
    except ValueError as error:
        if hasattr(error, "column"):
            raise  # it knows its place already
        place_of(node).refuse(str(error))


def _cost(reader: Reader, node: Node) -> float | None:
    """0 is no limit: a key without a value is as good as none."""
    return reader.number(node) or None


KEYS: Final[Mapping[str, Read]] = {
    "name": Reader.text,
    "url": Reader.text,
    "description": Reader.text,
    "enabled": Reader.flag,
    "tables": _tables,
    "row_limit": Reader.whole,
    "time_limit": Reader.number,
    "cost_limit": _cost,
}
_ASIDE: Final = ("name", "url")


class DatabaseSection:
    """Implements `routing.configuration.Section`."""

    keys = KEYS

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        known = {row.name: row for row in _rows(tenant)}
        seen: set[str] = set()
        for block in blocks:
            name = block.values.get("name")
            if name is None:
                block.place.refuse("a database needs a name")
            if name in seen:
                block.places["name"].refuse(f"{name!r} is there twice")
            seen.add(name)
            _load(known.get(name) or DataSource(tenant=tenant, name=name), block, outcome)

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        return [_lines(row, taken) for row in _rows(tenant)]


def _load(row: DataSource, block: Block, outcome: Outcome) -> None:
    new, changed = row._state.adding, False
    for key in KEYS:
        if key not in _ASIDE:
            value = block.values.get(key, _default(key))
            changed = changed or getattr(row, key) != value
            setattr(row, key, value)
    url: str | None = block.values.get("url")
    if not new and url == _known_url(row):
        url = None
    if not (new or changed or url):
        outcome.unchanged += 1
        return
    try:
        services.save_source(source=row, url=url)
    except ValidationError as error:
        refuse(error, block)
    outcome.created += new
    outcome.updated += not new


def _lines(row: DataSource, taken: set[str]) -> dict[str, Any]:
    lines: dict[str, Any] = {"name": row.name, "url": placeholder(f"{row.name} URL", taken)}
    for key in KEYS:
        if key not in _ASIDE and (value := getattr(row, key)) != _default(key):
            lines[key] = plain(0.0 if value is None else value)
    return lines


def _default(key: str) -> Any:
    default: Any = DataSource._meta.get_field(key)
    return default.get_default()


def _rows(tenant: Tenant) -> list[DataSource]:
    return list(DataSource.objects.for_tenant(tenant.pk).order_by("name"))


def _known_url(row: DataSource) -> str | None:
    try:
        return services.url_of(row)
    except SealBroken:
        return None
