"""Routing keys made of what an event says."""

from __future__ import annotations

from string import Formatter
from typing import Final

from plugins.outbox.events import Event

LONGEST: Final = 255  # bytes: AMQP's short string
NAMES: Final = frozenset({"tenant", "type", "kind", "state", "session"})


def check_template(template: str) -> None:
    """Raises ValueError."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("routing_key: a brace is open; {{ and }} are braces") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in NAMES or form or conversion):
            raise ValueError(f"routing_key: {{{name}}} is none of {', '.join(sorted(NAMES))}")


def routing_key(template: str, event: Event) -> str:
    """Without a template the type. What an event does not have is empty."""
    if not template:
        return event.type
    kind, _, state = event.type.removeprefix("clawdbot.").partition(".")
    made = template.format(
        tenant=event.source.rpartition("/")[2], type=event.type, kind=kind, state=state, session=event.partitionkey
    )
    return made.encode()[:LONGEST].decode(errors="ignore")
