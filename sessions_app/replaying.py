"""What a session is, by what the journal says happened to it. Pure.

Events are in the order of (`parent`, `at`, id). Each but a snapshot and a tag makes the next version. A deletion ends
the session: what was begun before it and comes after it in that order is not part of anything; a later session of the
same id counts on from it, so that the order holds across them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from engine.entries import PastEvent, PastTurn, SessionEntry
from engine.types import Json
from sessions_app.layout import CHANGES
from sessions_app.records import Layer, ModelChange, Record, Snapshot, split_system

ENDS: Final = frozenset({"deleted", "expired"})
NOTES: Final = frozenset({"snapshot", "tagged"})  # they change nothing of what was said, nor the version
MAX_LAYERS: Final = 50  # in a session's list; the journal has all
MAX_SNAPSHOTS: Final = 1_000  # in a session's list; the journal has all

_replace = msgspec.structs.replace


class Replayed(NamedTuple):
    """`record` None: there is no such session, and one of this id that begins now goes on from `version`."""

    record: Record | None
    version: int


def replay(base: Record | None, events: Iterable[PastEvent]) -> Replayed:
    """`base` is the session as it was before these events; None: they are all there is."""
    record, version, ended = base, base.version if base is not None else 0, 0
    for event in sorted(events, key=order):
        if event.parent < ended:
            continue
        if isinstance(event, SessionEntry) and event.action in NOTES:
            record = _noted(record, event) if record is not None else None
            continue
        version = max(version, event.parent) + 1
        if isinstance(event, SessionEntry) and event.action in ENDS:
            record, ended = None, version
            continue
        record = _replace(_after(record, event), version=version, last_active=_active(record, event))
    return Replayed(record, version)


def amended(record: Record, entry: SessionEntry, later: Iterable[PastEvent]) -> Record | None:
    """`record` with an entry that was made upon an earlier version of it. `later` are what it has already of what comes
    after the entry: it prevails, as if the entry had been there first."""
    over = list(later)
    if any(isinstance(event, SessionEntry) and event.action == "restored" for event in over):
        return _replace(record, version=record.version + 1)  # nothing of before is left
    again = [_without_talk(event) if isinstance(event, PastTurn) else event for event in over]
    after = replay(record, [entry, *again]).record
    if after is None:
        return None
    return _replace(after, version=record.version + 1, last_active=record.last_active)


def _without_talk(turn: PastTurn) -> PastTurn:
    """What a turn sets: system prompt, profile, model. It can be set again."""
    return _replace(turn, said=split_system(turn.said)[0])


def order(event: PastEvent) -> tuple[int, float, str]:
    return event.parent, event.at, event.turn_id


def contents(record: Record) -> Json:
    """All of a session but its version, as JSON: what `restored` and `branched` entries carry, and archives."""
    found: Json = msgspec.to_builtins(record)
    del found["version"]
    return found


def from_contents(content: Json, version: int = 0) -> Record:
    """Raises msgspec.ValidationError."""
    return msgspec.convert({**content, "version": version}, Record)


def _active(record: Record | None, event: PastEvent) -> int:
    """Only turns are activity; a session that begins otherwise was active then."""
    return int(event.at) if record is None or isinstance(event, PastTurn) else record.last_active


def _after(record: Record | None, event: PastEvent) -> Record:
    before = record if record is not None else Record(version=0)
    if isinstance(event, PastTurn):
        return _with_turn(before, event)
    return CHANGED[event.action](before, event)


def _with_turn(record: Record, turn: PastTurn) -> Record:
    """As `layout.APPEND` does it."""
    system, said = split_system(turn.said)
    changed: dict[str, Any] = {}
    if system:
        changed["system"] = system
    if said:
        changed["turns"] = [*record.turns, said]
    if turn.profile is not None:
        changed["user_profile"] = turn.profile
    if (by := turn.answerer) is not None:
        changed |= {"model": by.model, "instance": by.instance_id, "model_version": by.version}
        if by.model and record.model and record.model != by.model:
            change = ModelChange(int(turn.at), record.model, by.model, turn.turn_id)
            changed["model_changes"] = [*record.model_changes, change][-CHANGES:]
    return _replace(record, **changed)


def _patched(record: Record, entry: SessionEntry) -> Record:
    """`detail`: those of `name`, `user_profile` and `pinned` that were set."""
    detail = entry.detail
    changed: dict[str, Any] = {}
    if "name" in detail:
        changed["name"] = detail["name"] or ""
    if "user_profile" in detail:
        changed["user_profile"] = detail["user_profile"] or {}
    if "pinned" in detail:
        changed["pinned"] = [(turn, message) for turn, message in detail["pinned"] or []]
    return _replace(record, **changed)


def _restored(record: Record, entry: SessionEntry) -> Record:
    """`detail["record"]` is what the session holds from now on; its snapshots stay."""
    return _replace(from_contents(entry.detail["record"]), snapshots=record.snapshots, last_active=record.last_active)


def _branched(record: Record, entry: SessionEntry) -> Record:
    """`detail["record"]` is what the new session begins with."""
    return from_contents(entry.detail["record"])


def _summarised(record: Record, entry: SessionEntry) -> Record:
    """`detail["layer"]` is a `records.Layer`."""
    layer = msgspec.convert(entry.detail["layer"], Layer)
    others = [each for each in record.layers if each.id != layer.id]
    return _replace(record, layers=[*others, layer][-MAX_LAYERS:])


def _unsummarised(record: Record, entry: SessionEntry) -> Record:
    """`detail["layer"]` is the id of one; that it was undone is remembered."""
    undone = entry.detail["layer"]
    layers = [_replace(each, undone=True) if each.id == undone else each for each in record.layers]
    return _replace(record, layers=layers)


def _withdrawn(record: Record, entry: SessionEntry) -> Record:
    """`detail["turn"]` is the id of one that nothing goes on from any more; what was said stays said."""
    return record


CHANGED: Final[dict[str, Callable[[Record, SessionEntry], Record]]] = {
    "patched": _patched,
    "restored": _restored,
    "branched": _branched,
    "summarised": _summarised,
    "unsummarised": _unsummarised,
    "withdrawn": _withdrawn,
}


def _noted(record: Record, entry: SessionEntry) -> Record:
    """A snapshot's `detail`: `snapshot` (its id), `of` (the version), `name`, `tags`, `automatic`. A tag's: `snapshot`,
    and those of `name` and `tags` that were set."""
    detail = entry.detail
    if entry.action == "snapshot":
        made = Snapshot(
            id=detail["snapshot"],
            at=entry.at,
            version=detail["of"],
            name=detail.get("name", ""),
            tags=list(detail.get("tags", [])),
            automatic=bool(detail.get("automatic", False)),
        )
        if any(each.id == made.id for each in record.snapshots):
            return record
        return _replace(record, snapshots=_bounded([*record.snapshots, made]))
    changed = {name: detail[name] for name in ("name", "tags") if name in detail}
    named = [_replace(each, **changed) if each.id == detail["snapshot"] else each for each in record.snapshots]
    return _replace(record, snapshots=named)


def _bounded(snapshots: list[Snapshot]) -> list[Snapshot]:
    """The oldest automatic ones leave the list first."""
    excess = len(snapshots) - MAX_SNAPSHOTS
    if excess <= 0:
        return snapshots
    leaving = {each.id for each in [each for each in snapshots if each.automatic][:excess]}
    return [each for each in snapshots if each.id not in leaving][-MAX_SNAPSHOTS:]
