"""A tenant's webhooks in the file of `loadconfig` and `dumpconfig` (`docs/configuration.md`).

A webhook is known by its name; one that the list does not name is left alone. Secrets are dumped as variables, and so
are addresses with a query, which may be one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError

from plugins.models import Webhook
from plugins.outbox.signing import save_webhook, secret_of
from routing.configuration import Outcome, placeholder, plain, refuse
from routing.documents import Block, Read, Reader
from tenants.models import Tenant

KEYS: Final[Mapping[str, Read]] = {
    "name": Reader.text,
    "url": Reader.text,
    "secret": Reader.text,
    "events": Reader.texts,
    "content": Reader.flag,
    "enabled": Reader.flag,
}
COLUMNS: Final = ("events", "content", "enabled")


class WebhookSection:
    """Implements `routing.configuration.Section`."""

    keys = KEYS

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        known = {row.name: row for row in _rows(tenant)}
        seen: set[str] = set()
        for block in blocks:
            name = block.values.get("name")
            if name is None:
                block.place.refuse("a webhook needs a name")
            if name in seen:
                block.places["name"].refuse(f"{name!r} is there twice")
            seen.add(name)
            _load(known.get(name) or Webhook(tenant=tenant, name=name), block, outcome)

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        return [_lines(row, taken) for row in _rows(tenant)]


def _load(row: Webhook, block: Block, outcome: Outcome) -> None:
    new = row._state.adding
    wanted = {key: block.values.get(key, _default(key)) for key in COLUMNS}
    wanted["url"] = block.values.get("url", row.url)
    changed = any(getattr(row, key) != value for key, value in wanted.items())
    secret: str = block.values.get("secret", "")
    if not new and secret == secret_of(row):
        secret = ""
    if not (new or changed or secret):
        outcome.unchanged += 1
        return
    for key, value in wanted.items():
        setattr(row, key, value)
    try:
        save_webhook(webhook=row, secret=secret)
    except ValidationError as error:
        refuse(error, block)
    outcome.created += new
    outcome.updated += not new


def _lines(row: Webhook, taken: set[str]) -> dict[str, Any]:
    url = placeholder(f"{row.name} WEBHOOK_URL", taken) if "?" in row.url else plain(row.url)
    lines = {"name": plain(row.name), "url": url}
    if secret_of(row):
        lines["secret"] = placeholder(f"{row.name} WEBHOOK_SECRET", taken)
    for key in COLUMNS:
        if (value := getattr(row, key)) != _default(key):
            lines[key] = plain(value)
    return lines


def _default(key: str) -> Any:
    field: Any = Webhook._meta.get_field(key)
    return field.get_default()


def _rows(tenant: Tenant) -> list[Webhook]:
    return list(Webhook.objects.for_tenant(tenant.pk).order_by("name", "id"))
