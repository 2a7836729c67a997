"""What the journal holds of a ledger's turns, read as any reader reads it; runs with the settings of the instance."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from clawdbot_site.selftest.ledger import MARK, Found
from compliance.journal import spans
from engine.types import Choice, Message
from tenants.models import Tenant


class Asked(msgspec.Struct):
    turn_id: str
    messages: list[Message] = []


class Ended(msgspec.Struct):
    state: str
    choices: list[Choice] = []


class Recorded(msgspec.Struct):
    """A line of `manage.py selftest recorded`."""

    mark: str
    turn_id: str
    state: str = ""
    text: str = ""


def recorded() -> Iterator[Recorded]:
    """The marked turns of all tenants. Blocking."""
    for tenant_id in Tenant.objects.values_list("pk", flat=True):
        for asked, ended in spans.turns(tenant_id, 0.0, time.time() + 3600, intent=Asked, completion=Ended):
            if asked is None:
                continue
            for mark in {mark for message in asked.messages for mark in MARK.findall(str(message.content))}:
                yield Recorded(mark, asked.turn_id, *_end(ended))


def _end(ended: Ended | None) -> tuple[str, str]:
    if ended is None:
        return "", ""
    return ended.state, "".join(str(choice.message.content or "") for choice in ended.choices[:1])


def found(lines: Iterator[str]) -> dict[str, Found]:
    """The other way round: what `recorded` said, by mark."""
    decode = msgspec.json.Decoder(Recorded).decode
    each = (decode(line) for line in lines if line.strip())
    return {one.mark: Found(one.turn_id, one.state, one.text) for one in each}
