"""The section `intents` of `loadconfig` and `dumpconfig`: all intents of a tenant, in the place of those it had."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError

from plugins.intents import services
from routing.configuration import Outcome, plain
from routing.documents import Block, Read, Reader
from tenants.models import Tenant

KEYS: Final[dict[str, Read]] = {
    "name": Reader.text,
    "description": Reader.text,
    "enabled": Reader.flag,
    "utterances": Reader.texts,
}


class IntentSection:
    """Implements `routing.configuration.Section`."""

    keys = KEYS

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        wanted: dict[str, dict[str, Any]] = {}
        for block in blocks:
            name = block.values.get("name")
            if name is None:
                block.place.refuse("an intent needs a name")
            if name in wanted:
                block.places["name"].refuse(f"{name!r} is there twice")
            wanted[name] = {key: value for key, value in block.values.items() if key != "name"}
        try:
            made, changed, same, removed = services.replace_all(tenant=tenant, wanted=wanted)
        except ValidationError as error:
            blocks[0].place.refuse(f"intents: {error.messages[0]}")
        outcome.created += made
        outcome.updated += changed + removed  # what is said of removed ones is said of rules
        outcome.unchanged += same

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        lines = []
        for row in services.intents_of(tenant.pk):
            line: dict[str, Any] = {"name": row.name}
            if row.description:
                line["description"] = plain(row.description)
            if not row.enabled:
                line["enabled"] = False
            lines.append({**line, "utterances": plain(row.examples)})
        return lines
