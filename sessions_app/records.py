"""What a session's bytes mean. A record that cannot be read costs what it held, never the request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from engine.types import Json, Message
from sessions_app.layout import FIELDS

log = logging.getLogger(__name__)

SYSTEM_ROLES: Final = ("system", "developer")

T = TypeVar("T")

encode: Final = msgspec.json.Encoder().encode
decode_turn: Final = msgspec.json.Decoder(list[Message]).decode
decode_turns: Final = msgspec.json.Decoder(list[list[Message]]).decode
decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is stored. `last_active` is in Unix seconds."""

    version: int
    last_active: int = 0
    model_version: str = ""
    user_profile: Json = {}
    name: str = ""
    system: list[Message] = []
    turns: list[list[Message]] = []

    @property
    def messages(self) -> list[Message]:
        return [*self.system, *(message for turn in self.turns for message in turn)]


def read(session_id: str, fields: Sequence[bytes | None], turns: Sequence[bytes] = ()) -> Record:
    """From the values of `layout.FIELDS` and the list."""
    values = dict(zip(FIELDS, fields, strict=True))

    def value(name: str, decode: Callable[[bytes], T], empty: T) -> T:
        raw = values[name]
        return empty if not raw else _tolerant(session_id, decode, raw, empty)

    return Record(
        version=value("version", int, 0),
        last_active=value("last_active", int, 0),
        model_version=value("model_version", bytes.decode, ""),
        user_profile=value("user_profile", decode_object, {}),
        name=value("name", bytes.decode, ""),
        system=value("system", decode_turn, []),
        turns=_read_turns(session_id, turns),
    )


def _read_turns(session_id: str, turns: Sequence[bytes]) -> list[list[Message]]:
    """All in one go; one by one only where that fails, to lose no more than the broken ones."""
    if not turns:
        return []
    try:
        return decode_turns(b"[%b]" % b",".join(turns))
    except (msgspec.DecodeError, UnicodeDecodeError):
        nothing: list[Message] = []
        return [turn for raw in turns if (turn := _tolerant(session_id, decode_turn, raw, nothing))]


def _tolerant(session_id: str, decode: Callable[[bytes], T], raw: bytes, empty: T) -> T:
    try:
        return decode(raw)
    except (msgspec.DecodeError, ValueError):
        log.error("session %s holds %d bytes that cannot be read", session_id, len(raw))
        return empty


def split_system(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The leading system messages, and the rest."""
    count = 0
    while count < len(messages) and messages[count].role in SYSTEM_ROLES:
        count += 1
    return list(messages[:count]), list(messages[count:])


def whole(session_id: str, record: Record) -> Json:
    """A session as it is read: the four keys `session_id user_profile context_stack metadata`, `version`, `state`, and
    `name` once it has one."""
    return {
        "session_id": session_id,
        "user_profile": record.user_profile,
        "context_stack": [{"content": None, **msgspec.to_builtins(message)} for message in record.messages],
        **_about(record),
    }


def summary(session_id: str, record: Record) -> Json:
    """A session in a list: without what was said."""
    return {"session_id": session_id, "user_profile": record.user_profile, **_about(record)}


def _about(record: Record) -> Json:
    about: Json = {
        "metadata": {"last_active": record.last_active, "model_version": record.model_version},
        "version": record.version,
        "state": "live",
    }
    if record.name:
        about["name"] = record.name
    return about
