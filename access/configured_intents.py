"""The section `intents` of `loadconfig` and `dumpconfig`: all intents of a tenant, in the place of those it had."""

from __future__ import annotations

from typing import Any, Final

from yaml.nodes import Node

from plugins.intents import services
from routing.configuration import Outcome, Section, add_section
from routing.documents import Read, Reader
from tenants.models import Tenant

KEYS: Final[dict[str, Read]] = {
    "name": Reader.text,
    "description": Reader.text,
    "enabled": Reader.flag,
    "utterances": Reader.texts,
}


def connect() -> None:
    """Called once all models are loaded."""
    add_section("intents", Section(read, load, dump))


def read(reader: Reader, node: Node) -> dict[str, dict[str, Any]]:
    """Fields by name."""
    found: dict[str, dict[str, Any]] = {}
    for item in reader.items(node):
        block = reader.block(item, KEYS)
        name = block.values.pop("name", None)
        if name is None:
            block.place.refuse("an intent needs a name")
        if name in found:
            block.place.refuse(f"{name!r} is there twice")
        found[name] = block.values
    return found


def load(tenant: Tenant, wanted: dict[str, dict[str, Any]], outcome: Outcome) -> None:
    """Raises ValidationError."""
    made, changed, same, removed = services.replace_all(tenant=tenant, wanted=wanted)
    outcome.created += made
    outcome.updated += changed + removed  # what is said of removed ones is said of rules
    outcome.unchanged += same


def dump(tenant: Tenant) -> list[dict[str, Any]]:
    lines = []
    for row in services.intents_of(tenant.pk):
        line: dict[str, Any] = {"name": row.name}
        if row.description:
            line["description"] = row.description
        if not row.enabled:
            line["enabled"] = False
        lines.append({**line, "utterances": row.examples})
    return lines
