"""The sections `intents` and `intent_settings` of `loadconfig` and `dumpconfig`: all intents of a tenant, in the place
of those it had, and when a text is none of them."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError

from plugins.intents import services
from routing.configuration import Outcome, plain, refuse
from routing.documents import Block, Read, Reader
from tenants.models import Tenant

KEYS: Final[dict[str, Read]] = {
    "name": Reader.text,
    "description": Reader.text,
    "enabled": Reader.flag,
    "utterances": Reader.texts,
}

SETTINGS_KEYS: Final[dict[str, Read]] = {"threshold": Reader.number, "outside": Reader.texts}


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


class IntentSettingsSection:
    """Implements `routing.configuration.Section`: a list of one, like the others; of none, the defaults."""

    keys = SETTINGS_KEYS

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        if len(blocks) > 1:
            blocks[1].place.refuse("intent settings are there once")
        row = services.settings_of(tenant.pk)
        values = blocks[0].values if blocks else {}
        new, before = row._state.adding, (row.threshold, row.outside)
        try:
            row.threshold = values.get("threshold")
            row.outside = services.lines(values.get("outside", ()), "outside")
            if (row.threshold, row.outside) == before:
                outcome.unchanged += bool(blocks)
                return
            services.save_settings(settings=row)
        except ValidationError as error:
            refuse(error, blocks[0])
        outcome.created += new
        outcome.updated += not new

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        row = services.settings_of(tenant.pk)
        line: dict[str, Any] = {}
        if row.threshold is not None:
            line["threshold"] = row.threshold
        if row.outside:
            line["outside"] = plain(row.outside.splitlines())
        return [line] if line else []
