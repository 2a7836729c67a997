"""What a session's bytes mean. A record that cannot be read costs what it held, never the request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from engine.types import Json, Message

log = logging.getLogger(__name__)

SYSTEM_ROLES: Final = ("system", "developer")

T = TypeVar("T")

encode: Final = msgspec.json.Encoder().encode
decode_turn: Final = msgspec.json.Decoder(list[Message]).decode
decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Reading(Protocol):
    """Decodes one value, if there is any."""

    def __call__(self, decode: Callable[[bytes], T], raw: bytes | None) -> T | None: ...


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
    try:
        return _read(fields, turns, _strict)
    except (msgspec.DecodeError, ValueError):
        log.error("session %s holds bytes that cannot be read", session_id)
        return _read(fields, turns, _tolerant)


def _read(fields: Sequence[bytes | None], turns: Sequence[bytes], value: Reading) -> Record:
    version, last_active, model_version, user_profile, name, system = fields
    return Record(
        version=value(int, version) or 0,
        last_active=value(int, last_active) or 0,
        model_version=value(bytes.decode, model_version) or "",
        user_profile=value(decode_object, user_profile) or {},
        name=value(bytes.decode, name) or "",
        system=value(decode_turn, system) or [],
        turns=[value(decode_turn, raw) or [] for raw in turns],
    )


def _strict(decode: Callable[[bytes], T], raw: bytes | None) -> T | None:
    return decode(raw) if raw else None


def _tolerant(decode: Callable[[bytes], T], raw: bytes | None) -> T | None:
    try:
        return decode(raw) if raw else None
    except (msgspec.DecodeError, ValueError):
        return None


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
