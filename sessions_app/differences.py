"""What one version of a session has that another has not. Pure.

Conversations only grow, and go back: two versions of a session have their first turns in common and nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

import msgspec

from engine.types import Json, Message
from sessions_app.records import Record

MOST: Final = 200  # messages each way
FIELDS: Final = ("name", "model", "model_version")


def difference(before: Record, after: Record) -> Json:
    """`messages` `{kept, removed, added, removed_total, added_total}`, each message with its place `[turn, message]`,
    at most `MOST` of them each way; `system`, `user_profile` and `settings` with what differs, empty where nothing
    does."""
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before.turns, after.turns, strict=False)))
    removed, added = _from(before, common), _from(after, common)
    return {
        "messages": {
            "kept": sum(len(turn) for turn in before.turns[:common]),
            "removed": removed[:MOST],
            "added": added[:MOST],
            "removed_total": len(removed),
            "added_total": len(added),
        },
        "system": _system(before.system, after.system),
        "user_profile": _keys(before.user_profile, after.user_profile),
        "settings": _settings(before, after),
    }


def _from(record: Record, first: int) -> list[Json]:
    return [
        {"place": [first + number, index], **_said(message)}
        for number, turn in enumerate(record.turns[first:])
        for index, message in enumerate(turn)
    ]


def _said(message: Message) -> Json:
    said: Json = {"content": None, **msgspec.to_builtins(message)}
    return said


def _system(before: Sequence[Message], after: Sequence[Message]) -> Json:
    if before == after:
        return {}
    return {"before": [_said(message) for message in before], "after": [_said(message) for message in after]}


def _keys(before: Json, after: Json) -> Json:
    """Of a profile: `added`, `removed`, and `changed` with both values."""
    found: Json = {}
    if added := {key: value for key, value in after.items() if key not in before}:
        found["added"] = added
    if removed := {key: value for key, value in before.items() if key not in after}:
        found["removed"] = removed
    changed = {key: _pair(before[key], after[key]) for key in before if key in after and before[key] != after[key]}
    if changed:
        found["changed"] = changed
    return found


def _settings(before: Record, after: Record) -> Json:
    found = {name: _pair(getattr(before, name), getattr(after, name)) for name in FIELDS}
    found["pinned"] = _pair([list(place) for place in before.pinned], [list(place) for place in after.pinned])
    found["layers"] = _pair([layer.id for layer in before.layers], [layer.id for layer in after.layers])
    return {name: pair for name, pair in found.items() if pair["before"] != pair["after"]}


def _pair(before: Any, after: Any) -> Json:
    return {"before": before, "after": after}
