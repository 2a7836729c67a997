"""What is told of turns, sessions and configuration: CloudEvents 1.0 in the structured mode of JSON
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). `docs/events.md` explains the
types, `docs/events.schema.json` holds them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.types import Json

CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"
PREFIX: Final = "clawdbot."
STARTED: Final = "clawdbot.turn.started"
TURN_TYPES: Final = (
    "clawdbot.turn.completed",
    "clawdbot.turn.refused",
    "clawdbot.turn.failed",
    "clawdbot.turn.cancelled",
    "clawdbot.turn.aborted",
)
SESSIONS: Final = "clawdbot.session.*"
CONFIGURATION: Final = "clawdbot.configuration.changed"
TEST: Final = "clawdbot.test"
CHOICES: Final = (STARTED, *TURN_TYPES, "clawdbot.turn.*", SESSIONS, CONFIGURATION)
"""What a sink can ask for; `.*` stands for all of a kind."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is the same whenever the same event is sent again; `partitionkey` is the same for all events whose order
    means something (a session's). `resent`: somebody asked for it after it had been given up, so that later events of
    its session may have come before."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: Json
    partitionkey: str = ""
    resent: bool = False
    specversion: str = "1.0"
    datacontenttype: str = "application/json"

    @property
    def is_test(self) -> bool:
        return self.type == TEST

    def marked(self, *, resent: bool) -> Event:
        return msgspec.structs.replace(self, resent=True) if resent else self

    def encoded(self) -> bytes:
        fields = {name: getattr(self, name) for name in _ALWAYS}
        if self.partitionkey:
            fields["partitionkey"] = self.partitionkey
        if self.resent:
            fields["resent"] = True
        return msgspec.json.encode({**fields, "data": self.data})


_ALWAYS: Final = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")


def wanted(type_: str, asked: Collection[str]) -> bool:
    """Whether who asks for these types is told of one of this type. A test is for everybody."""
    return type_ in asked or type_ == TEST or f"{type_.rpartition('.')[0]}.*" in asked


def check_types(types: Any) -> None:
    """Raises ValueError for what is no list of types a sink can ask for."""
    if not isinstance(types, list | tuple) or not types:
        raise ValueError(f"a list of event types is needed; there are {', '.join(CHOICES)}")
    for each in types:
        if each not in CHOICES:
            raise ValueError(f"{str(each)[:100]!r} is no event type; there are {', '.join(CHOICES)}")


def source_of(slug: str) -> str:
    return f"/tenants/{slug}"


def moment(at: float) -> str:
    """Unix seconds as RFC 3339 has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_event(event_id: str, slug: str, at: float) -> Event:
    return Event(
        id=event_id,
        source=source_of(slug),
        type=TEST,
        subject=event_id,
        time=moment(at),
        data={"message": "This is a test of the way events take."},
    )


def sorted_types(types: Sequence[str]) -> list[str]:
    """Each once, in the order they are offered in."""
    return [each for each in CHOICES if each in types]
