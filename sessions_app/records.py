"""What a session's bytes mean. A record that cannot be read costs what it held, never the request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from engine.types import Answerer, Json, Message
from sessions_app.layout import FIELDS

log = logging.getLogger(__name__)

SYSTEM_ROLES: Final = ("system", "developer")

encode: Final = msgspec.json.Encoder().encode
decode_turn: Final = msgspec.json.Decoder(list[Message]).decode
decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class ModelChange(msgspec.Struct, frozen=True, rename={"origin": "from"}):
    """The session's answers came from another model (public names) from the turn `turn_id` on. `at`: Unix seconds."""

    at: int
    origin: str
    to: str
    turn_id: str


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A summary that models are sent in place of the first `through` turns. `turn_id` is the turn that wrote it;
    `undone`: models are sent the turns again."""

    id: str
    at: float
    through: int
    summary: str
    model: str = ""
    turn_id: str = ""
    undone: bool = False


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name for a version. `automatic`: nobody asked for it."""

    id: str
    at: float
    version: int
    name: str = ""
    tags: list[str] = []
    automatic: bool = False


decode_changes: Final = msgspec.json.Decoder(list[ModelChange]).decode
decode_pins: Final = msgspec.json.Decoder(list[tuple[int, int]]).decode
decode_layers: Final = msgspec.json.Decoder(list[Layer]).decode
decode_snapshots: Final = msgspec.json.Decoder(list[Snapshot]).decode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is stored. `last_active` is in Unix seconds; `model` and `instance` are who answered last.
    `pinned` are places of messages, turn and message in it; the last of `layers` that is not undone counts."""

    version: int = 0
    last_active: int = 0
    model_version: str = ""
    user_profile: Json = {}
    name: str = ""
    system: list[Message] = []
    model: str = ""
    instance: int = 0
    model_changes: list[ModelChange] = []
    pinned: list[tuple[int, int]] = []
    layers: list[Layer] = []
    snapshots: list[Snapshot] = []
    turns: list[list[Message]] = []

    @property
    def answerer(self) -> Answerer | None:
        """None: no model answered yet, or before sessions noted that."""
        return Answerer(self.model, self.instance, self.model_version) if self.model else None

    @property
    def messages(self) -> list[Message]:
        return [*self.system, *chain.from_iterable(self.turns)]


_DECODERS: Final[tuple[tuple[str, Callable[[bytes], Any]], ...]] = tuple(
    zip(
        FIELDS,
        (
            int, int, bytes.decode, decode_object, bytes.decode, decode_turn, bytes.decode, int, decode_changes,
            decode_pins, decode_layers, decode_snapshots,
        ),
        strict=True,
    )
)  # fmt: skip


def read(session_id: str, fields: Sequence[bytes | None], turns: Sequence[bytes] = ()) -> Record:
    """From the values of `layout.FIELDS`, or only its first ones, and the list."""
    try:
        held = {name: decode(raw) for (name, decode), raw in zip(_DECODERS, fields, strict=False) if raw}
        return Record(turns=[decode_turn(raw) for raw in turns], **held)
    except (msgspec.DecodeError, ValueError):
        log.error("session %s holds bytes that cannot be read", session_id)
        return _tolerant(fields, turns)


def _tolerant(fields: Sequence[bytes | None], turns: Sequence[bytes]) -> Record:
    held: Json = {}
    for (name, decode), raw in zip(_DECODERS, fields, strict=False):
        if raw and (value := _readable(decode, raw)) is not None:
            held[name] = value
    return Record(turns=[_readable(decode_turn, raw) or [] for raw in turns], **held)


def _readable(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return decode(raw)
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
    `name` and `pinned` once it has them. `metadata` has `model_changes` once another model answered, `snapshots` (how
    many) once there are any, and `layers` (their ids) once something was summed up."""
    about = _about(record)
    if record.pinned:
        about["pinned"] = [list(place) for place in record.pinned]
    if record.snapshots:
        about["metadata"]["snapshots"] = len(record.snapshots)
    if record.layers:
        about["metadata"]["layers"] = [layer.id for layer in record.layers]
    if record.model_changes:
        about["metadata"]["model_changes"] = msgspec.to_builtins(record.model_changes)
    return {
        "session_id": session_id,
        "user_profile": record.user_profile,
        "context_stack": [{"content": None, **msgspec.to_builtins(message)} for message in record.messages],
        **about,
    }


def summary(session_id: str, record: Record) -> Json:
    """A session in a list: without what was said."""
    return {"session_id": session_id, "user_profile": record.user_profile, **_about(record)}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An archived session's line of a list. `at`: microseconds."""

    session_id: str
    user: str
    at: int = 0
    version: int = 0
    last_active: int = 0
    model_version: str = ""
    name: str = ""
    user_profile: Json = {}

    def summary(self) -> Json:
        """As that of a live one."""
        about = Record(
            version=self.version,
            last_active=self.last_active,
            model_version=self.model_version,
            name=self.name,
            user_profile=self.user_profile,
        )
        return {**summary(self.session_id, about), "state": "archived"}


def _about(record: Record) -> Json:
    about: Json = {
        "metadata": {"last_active": record.last_active, "model_version": record.model_version},
        "version": record.version,
        "state": "live",
    }
    if record.name:
        about["name"] = record.name
    return about
