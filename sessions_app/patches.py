"""What people change of a session: its name, the user's profile, and which messages models are always sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.errors import InvalidRequest
from engine.types import Json
from sessions_app.records import Record

FIELDS: Final = ("user_profile", "name", "pinned")


def detail(record: Record, changes: Json) -> Json:
    """Those of `FIELDS` that are to change, as their entry in the journal has it. Raises InvalidRequest."""
    found: Json = {name: changes[name] for name in FIELDS if name in changes}
    if "pinned" in found:
        found["pinned"] = _pinned(record, found["pinned"] or ())
    return found


def _pinned(record: Record, places: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The places `[turn, message]`, each once and in the order of the conversation."""
    found = sorted({(turn, message) for turn, message in places})
    for turn, message in found:
        if turn >= len(record.turns) or message >= len(record.turns[turn]):
            raise InvalidRequest(f"pinned: the session has no message [{turn}, {message}].", param="pinned")
    return [list(place) for place in found]
