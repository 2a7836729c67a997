"""A tenant's journal as events (`docs/events.md`): what `plugins.outbox` publishes. Blocking, in threads of its own.

An event is made of the entry whenever it is sent, so nothing of it is stored a second time, and what was erased
meanwhile is not sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from django.db import connections
from django.db.models import Min

from compliance.database import ALIAS, renew
from compliance.journal import reader
from compliance.journal.following import Followed, Follower
from compliance.journal.reader import TurnRecord
from compliance.journal.union import see_all_slots
from compliance.models import AuditEntry, TreeHead, TreeRun
from compliance.sealing.opening import Opener
from compliance.tree.database import tree_database
from engine.entries import Change, SessionEntry
from engine.errors import TurnNotFound
from engine.types import Json
from plugins.outbox.events import CONFIGURATION, STARTED, Event, moment, source_of, wanted
from plugins.outbox.sources import Batch, Placed
from tenants.limits.money import money

Kind = AuditEntry.Kind
SESSION: Final = "clawdbot.session."
TURN: Final = "clawdbot.turn."


class JournalEvents:
    """Implements `plugins.outbox.sources.EventSource`; every thread that uses it has what it opens for itself."""

    def __init__(self) -> None:
        self._local = threading.local()

    def heads(self) -> dict[int, int]:
        return self._follower().heads()

    def position_at(self, tenant_id: int, at: float) -> int:
        with tree_database() as alias:
            runs = TreeRun.objects.using(alias).for_tenant(tenant_id).filter(last_at__gte=at)
            first: int | None = runs.aggregate(first=Min("position"))["first"]
            if first is not None:
                return first
            head = TreeHead.objects.using(alias).for_tenant(tenant_id).first()
            return head.size if head is not None else 0

    def read(
        self, tenant_id: int, slug: str, position: int, most: int, *, types: Sequence[str], content: bool
    ) -> Batch:
        page = self._follower().follow(tenant_id, position, most)
        found = [(entry, type_) for entry in page.entries if wanted(type_ := type_of(entry), types)]
        made = _Maker(tenant_id, slug, content, [entry for entry, _ in found])
        placed = [Placed(entry.position, made.event(entry, type_), entry.at) for entry, type_ in found]
        return Batch(placed, page.end, page.gone)

    def age(self, tenant_id: int, position: int) -> float:
        entries = self._follower().follow(tenant_id, position, 1).entries
        return max(0.0, time.time() - entries[0].at) if entries else 0.0

    def _follower(self) -> Follower:
        found: Follower | None = getattr(self._local, "follower", None)
        if found is None:
            found = self._local.follower = Follower()
        return found


def type_of(entry: Followed) -> str:
    """Of the event that tells of this entry; empty: none does."""
    if entry.kind == Kind.COMPLETION:
        return TURN + entry.state
    if entry.kind == Kind.INTENT:
        return STARTED
    if entry.kind == Kind.SESSION:
        return SESSION + entry.state
    return CONFIGURATION if entry.kind == Kind.CHANGE else ""


class _Maker:
    """Makes the events of one page of a tenant's."""

    def __init__(self, tenant_id: int, slug: str, content: bool, entries: Sequence[Followed]) -> None:
        self._slug = slug
        self._content = content
        self._opener = Opener()
        turns = [entry.turn_id for entry in entries if entry.kind == Kind.COMPLETION]
        self._intents = {row.turn_id: row for row in _intents(tenant_id, turns)}

    def event(self, entry: Followed, type_: str) -> Event:
        make = {Kind.COMPLETION: self._turn, Kind.INTENT: self._turn, Kind.SESSION: self._session}
        data = make.get(Kind(entry.kind), self._change)(entry)
        return Event(
            id=f"{entry.turn_id}.{entry.kind}",
            source=source_of(self._slug),
            type=type_,
            subject=_subject(entry),
            time=moment(entry.at),
            partitionkey=entry.session_id or "",
            data=data,
        )

    def _turn(self, entry: Followed) -> Json:
        stored = self._intents.get(entry.turn_id) if entry.kind == Kind.COMPLETION else None
        found = [entry] if stored is None else [cast(Any, stored), entry]
        try:
            record = reader.record_of(entry.turn_id, cast(Any, found), self._opener)
        except (TurnNotFound, msgspec.MsgspecError):
            return _bare(entry)
        return turn_data(record, self._content)

    def _session(self, entry: Followed) -> Json:
        data: Json = {"session_id": entry.session_id or "", "action": entry.state}
        (told,) = self._opener.open([entry])
        if not told.text:
            return {**data, "erased": True} if told.erased else data
        try:
            known = msgspec.json.decode(told.json, type=SessionEntry)
        except msgspec.MsgspecError:
            return data
        data |= {"version": known.parent + 1, "user": known.user, "subject": known.subject}
        return _present({**data, "key_id": known.key_id, "detail": known.detail if self._content else None})

    def _change(self, entry: Followed) -> Json:
        """What it was before and is after is content: names and addresses of people may be in it."""
        data: Json = {"action": entry.state, "model": entry.model, "row": entry.instance}
        (told,) = self._opener.open([entry])
        if not told.text:
            return {**data, "erased": True} if told.erased else data
        try:
            known = msgspec.json.decode(told.json, type=Change)
        except msgspec.MsgspecError:
            return data
        data |= {"actor": known.actor}
        if self._content:
            data |= {"label": known.label, "actor_label": known.actor_label}
            data |= {"before": known.before, "after": known.after}
        return _present(data)


def turn_data(record: TurnRecord, content: bool) -> Json:
    """Of a turn that began, or ended. Without content there are no words of anybody's in it."""
    intent, end = record.intent, record.completion
    hidden = record.erased or record.unreadable
    features = record.decision.get("features")
    data: Json = {
        "turn_id": record.turn_id,
        "session_id": intent.session_id,
        "user": None if hidden else intent.user,
        "subject": None if hidden else intent.subject,
        "key_id": intent.key_id,
        "edge": intent.edge,
        "parent_turn": intent.parent_turn or None,
        "requested_model": intent.model,
        "rules": list(intent.rules),
        "features": _plain(features) if isinstance(features, dict) and not hidden else None,
        "personal": dict(intent.personal),
        "erased": record.erased or None,
        "verdicts": _verdicts([*intent.verdicts, *(end.verdicts if end is not None else [])]),
    }
    if end is not None:
        choices = end.choices
        data |= {
            "state": end.state,
            "error": end.error or None,
            "member_id": end.member_id,
            "model": end.model,
            "instance": end.instance,
            "answered_by": end.source,
            "finish_reason": choices[0].finish_reason if choices else None,
            "attempts": end.attempts,
            "usage": {
                **msgspec.to_builtins(end.usage),
                "prompt_tokens": end.usage.prompt_tokens,
                "completion_tokens": end.usage.completion_tokens,
                "total_tokens": end.usage.total_tokens,
            },
            "cost": money(end.cost),
            "timings": _present({"first_token": end.ttft, "total": end.duration}),
        }
    if content and not hidden:
        data["messages"] = msgspec.to_builtins(intent.messages)
        if end is not None:
            data["choices"] = msgspec.to_builtins(record.sent)
    return _present(data)


def _intents(tenant_id: int, turns: Sequence[str]) -> list[AuditEntry]:
    if not turns:
        return []
    renew(ALIAS)
    see_all_slots(connections[ALIAS])
    return list(AuditEntry.objects.for_tenant(tenant_id).filter(turn_id__in=turns, kind=Kind.INTENT))


def _bare(entry: Followed) -> Json:
    """What the columns say, where nothing more can be read."""
    names = ("turn_id", "session_id", "state", "model", "instance", "key_id")
    return _present({name: getattr(entry, name) for name in names})


def _verdicts(verdicts: Sequence[Any]) -> list[Json]:
    """How often which list said what. Never the words."""
    counts: dict[tuple[str, str, str], int] = {}
    for each in verdicts:
        key = (each.list, each.action, each.where)
        counts[key] = counts.get(key, 0) + 1
    return [{"list": a, "action": b, "where": c, "count": number} for (a, b, c), number in counts.items()]


def _plain(features: Json) -> Json:
    """Figures and short names; no headers, and nothing a caller could put words into."""
    kept = ("intent", "language", "complexity_score", "prompt_tokens", "stream", "has_tools", "has_images", "hour")
    return _present({name: features.get(name) for name in kept})


def _subject(entry: Followed) -> str:
    if entry.kind == Kind.SESSION:
        return f"sessions/{entry.session_id}"
    if entry.kind == Kind.CHANGE:
        return f"{entry.model}/{entry.instance}" if entry.instance else entry.model
    return f"turns/{entry.turn_id}"


def _present(values: Json) -> Json:
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}
