"""The versions a session has had, by what the journal says happened to it. Pure.

Only those of the session as it lives now: what was before a deletion is nobody's any more, also where the id is used
again. Where the oldest entries are gone (see retention in `docs/journal.md`), so are the versions they made, and all
that rest upon them up to the next entry that holds a whole session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.entries import PastEvent, PastTurn, SessionEntry
from engine.errors import VersionNotFound
from engine.types import Json
from sessions_app.records import Record
from sessions_app.replaying import ENDS, NOTES, order, replay

HOLDS_ALL: Final = frozenset({"restored", "branched"})  # whose entry carries a whole session


class Step(NamedTuple):
    """What made a version. `whole`: it can be read, all it rests upon is there."""

    version: int
    event: PastEvent
    whole: bool


def steps(events: Iterable[PastEvent]) -> list[Step]:
    """The oldest first. Versions count as `replaying.replay` counts them."""
    found: list[Step] = []
    version, ended, whole = 0, 0, True
    for event in sorted(events, key=order):
        if event.parent < ended or action_of(event) in NOTES:
            continue
        gap = event.parent > version
        version = max(version, event.parent) + 1
        if action_of(event) in ENDS:
            found, ended, whole = [], version, True
            continue
        whole = action_of(event) in HOLDS_ALL or (whole and not gap)
        found.append(Step(version, event, whole))
    return found


def content(made: Sequence[Step], version: int) -> Record | None:
    """The session as it was at this version, without its list of snapshots. None: no such version is kept."""
    upto = [step for step in made if step.version <= version]
    if not upto or upto[-1].version != version or not upto[-1].whole:
        return None
    first = 0
    if not all(step.whole for step in upto):
        first = max(place for place, step in enumerate(upto) if action_of(step.event) in HOLDS_ALL)
    record = replay(None, [step.event for step in upto[first:]]).record
    return msgspec.structs.replace(record, version=version, snapshots=[]) if record is not None else None


def of_turn(made: Sequence[Step], turn_id: str) -> Step:
    """What the turn made. Raises VersionNotFound: it is not among them, or it was withdrawn."""
    found = None
    for step in made:
        event = step.event
        if isinstance(event, PastTurn):
            if event.turn_id == turn_id:
                found = step
        elif event.action == "withdrawn" and event.detail.get("turn") == turn_id:
            raise VersionNotFound
    if found is None:
        raise VersionNotFound
    return found


def talked_since(made: Sequence[Step], step: Step) -> bool:
    """Whether the conversation is another one since: settings and summaries leave it what it is."""
    later = [each.event for each in made if each.version > step.version]
    return any(isinstance(event, PastTurn) or event.action in HOLDS_ALL for event in later)


def action_of(event: PastEvent) -> str:
    return event.action if isinstance(event, SessionEntry) else "turn"


def line(step: Step) -> Json:
    """A version in a list. `turn_id` is the turn's, or the entry's own id; `of` is where its content came from, if from
    another version: `{version, session_id?}`; `changed` what a patch set."""
    event = step.event
    about: Json = {
        "version": step.version,
        "at": event.at,
        "action": action_of(event),
        "turn_id": event.turn_id,
        "readable": step.whole,
    }
    if isinstance(event, PastTurn):
        about["messages"] = len(event.said)
        return about
    about["by"] = event.subject
    if "of" in event.detail:
        about["of"] = event.detail["of"]
    if event.action == "patched":
        about["changed"] = sorted({"name", "user_profile", "pinned"} & set(event.detail))
    return about
