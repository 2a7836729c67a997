"""Reads what all workers wrote, through the ORM. The functions block; `JournalReader` is for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from typing import Any, TypeVar

import msgspec
from django.db import DatabaseError, connections
from django.db.models import Count

from compliance.database import ALIAS
from compliance.journal.union import see_all_slots
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing.opening import Opened, Opener
from engine.errors import StoreUnavailable, TurnNotFound
from engine.folding import Fold
from engine.types import Choice, Completion, Intent, Json, Partial, Retry
from tenants import stored_keys
from tenants.models import Tenant

Kind = AuditEntry.Kind
T = TypeVar("T")


class TurnRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A turn as it was recorded; without a completion it is still in flight. `partial` is what its stream had been sent
    when last recorded, where no completion says what the whole of it was. `erased`: its texts can be read by nobody any
    more, because its user was erased; `unreadable`: nor can they now, because they were altered or their tenant's key
    cannot be opened. Then they are empty here, and the intent's `user` is the pseudonym."""

    turn_id: str
    intent: Intent
    completion: Completion | None = None
    partial: list[Choice] = []
    erased: bool = False
    unreadable: bool = False

    @property
    def sent(self) -> list[Choice]:
        """What the caller got, as far as is known."""
        return (self.completion.choices if self.completion is not None else []) or self.partial

    @property
    def decision(self) -> Json:
        """The one that counts in the end: after retries the last, else the first. Empty: the turn was not routed."""
        return (self.completion.decision if self.completion is not None else {}) or self.intent.decision

    @property
    def retries(self) -> list[Retry]:
        """The calls that failed before the one that counts."""
        return self.completion.retries if self.completion is not None else []


class TurnSummary(msgspec.Struct, frozen=True):
    """A line of a listing. `user` is the pseudonym, but in the oldest entries. `state` is `in_flight` until the
    completion is there; then `ended` is its time."""

    turn_id: str
    tenant_id: int
    at: float
    user: str
    key_id: int | None
    session_id: str | None
    model: str
    instance: str
    state: str
    ended: float | None


class Page(msgspec.Struct, frozen=True):
    """`next` is the `before` of the following page, None at the end."""

    turns: list[TurnSummary]
    next: str | None


def entries() -> JournalQuerySet:
    """All entries, still to be scoped (`for_tenant`, or `everywhere` for the platform); bodies come when asked for."""
    see_all_slots(connections[ALIAS])
    return AuditEntry.objects.defer("body")


def entries_of(tenant_id: int, turn_id: str) -> list[AuditEntry]:
    """The entries of one turn, with their bodies, in the order they were written."""
    see_all_slots(connections[ALIAS])
    return list(AuditEntry.objects.for_tenant(tenant_id).filter(turn_id=turn_id).order_by("id"))


def turn(tenant_id: int, turn_id: str) -> TurnRecord:
    """Raises TurnNotFound, also for a turn of another tenant."""
    return record_of(turn_id, entries_of(tenant_id, turn_id))


def record_of(turn_id: str, found: Sequence[AuditEntry], opener: Opener | None = None) -> TurnRecord:
    """The turn these entries, with their bodies, are of. Raises TurnNotFound (no intent is among them)."""
    opened = (opener or Opener()).open(found)
    by_kind = {entry.kind: (entry, told) for entry, told in zip(found, opened, strict=True)}
    if Kind.INTENT not in by_kind:
        raise TurnNotFound()
    completion = _completion(*by_kind[Kind.COMPLETION]) if Kind.COMPLETION in by_kind else None
    return TurnRecord(
        turn_id,
        _intent(*by_kind[Kind.INTENT]),
        completion,
        _partial(found, opened) if completion is None or not completion.choices else [],
        erased=any(told.erased for told in opened),
        unreadable=any(not told.text and not told.erased for told in opened),
    )


def _partial(found: Sequence[AuditEntry], opened: Sequence[Opened]) -> list[Choice]:
    mine = [(entry.number, told.json) for entry, told in zip(found, opened, strict=True) if entry.kind == Kind.PARTIAL]
    return fold_partials([json for _, json in sorted(mine) if json != b"{}"])


def fold_partials(bodies: Sequence[bytes]) -> list[Choice]:
    """What the entries of a turn's partial output, in order, say that its client had."""
    fold = Fold()
    for body in bodies:
        for delta in msgspec.json.decode(body, type=Partial).deltas:
            fold.add(delta)
    return fold.choices({}, "incomplete") if bodies else []


def _intent(entry: AuditEntry, opened: Opened) -> Intent:
    if opened.text:
        return msgspec.json.decode(opened.json, type=Intent)
    about = {"request_id": "", "subject": "", "user": entry.user, "key_id": entry.key_id, "edge": ""}
    return msgspec.convert({**about, **_columns(entry), **msgspec.json.decode(opened.json)}, Intent)


def _completion(entry: AuditEntry, opened: Opened) -> Completion:
    if opened.text:
        return msgspec.json.decode(opened.json, type=Completion)
    return msgspec.convert({"state": entry.state, **_columns(entry), **msgspec.json.decode(opened.json)}, Completion)


def _columns(entry: AuditEntry) -> Json:
    return {name: getattr(entry, name) for name in ("turn_id", "tenant_id", "at", "session_id", "model", "instance")}


def users(tenant_id: int) -> list[tuple[str, int]]:
    """Who stands in the column `user` of a tenant's turns, and how many they are: pseudonyms, and the users themselves
    of what was recorded before anything was sealed. Reads an index from end to end."""
    mine = entries().for_tenant(tenant_id).filter(kind=Kind.INTENT)
    return list(mine.order_by().values_list("user").annotate(Count("id")))


def stored_users(tenant_id: int | None, user: str) -> list[str]:
    """What may stand in the column `user` for this one: in a tenant's entries, or (None) in anybody's. Who is called
    by the pseudonym is found too."""
    found = [tenant_id] if tenant_id is not None else [0, *Tenant.objects.values_list("pk", flat=True)]
    keys = [stored_keys.stored(each) for each in found]
    return [user, *(each.pseudonym(user) for each in keys if each is not None)]


def turns(
    tenant_id: int,
    *,
    before: str | None = None,
    limit: int = 50,
    session_id: str | None = None,
    user: str | None = None,
) -> Page:
    """A tenant's turns, newest first, `limit` a page, those started before the turn `before`."""
    found = entries().for_tenant(tenant_id).filter(kind=Kind.INTENT).order_by("-turn_id")
    users = stored_users(tenant_id, user) if user is not None else None
    named: dict[str, Any] = {"turn_id__lt": before, "session_id": session_id, "user__in": users}
    found = found.filter(**{name: value for name, value in named.items() if value is not None})
    intents = list(found[: limit + 1])
    shown = intents[:limit]
    ends = _completions(tenant_id, [intent.turn_id for intent in shown])
    return Page(
        [_summary(intent, ends.get(intent.turn_id)) for intent in shown],
        shown[-1].turn_id if len(intents) > limit else None,
    )


def _completions(tenant_id: int, turn_ids: Sequence[str]) -> dict[str, AuditEntry]:
    found = entries().for_tenant(tenant_id).filter(turn_id__in=turn_ids, kind=Kind.COMPLETION)
    return {entry.turn_id: entry for entry in found}


def _summary(intent: AuditEntry, completion: AuditEntry | None) -> TurnSummary:
    return TurnSummary(
        turn_id=intent.turn_id,
        tenant_id=intent.tenant_id,
        at=intent.at,
        user=intent.user,
        key_id=intent.key_id,
        session_id=intent.session_id,
        model=completion.model if completion else intent.model,
        instance=completion.instance if completion else intent.instance,
        state=completion.state if completion else "in_flight",
        ended=completion.at if completion else None,
    )


class JournalReader:
    """The reads a request needs, from the event loop: one thread with its own connection does them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def turn(self, tenant_id: int, turn_id: str) -> TurnRecord:
        """Raises TurnNotFound, StoreUnavailable."""
        return await self._read(bound(turn, tenant_id, turn_id))

    async def turns(self, tenant_id: int, **filters: Any) -> Page:
        """The arguments of `turns`. Raises StoreUnavailable."""
        return await self._read(bound(turns, tenant_id, **filters))

    def close(self) -> None:
        """Blocking."""
        self._thread.submit(connections.close_all)
        self._thread.shutdown()

    async def _read(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _fresh, read)


def _fresh(read: Callable[[], T]) -> T:
    connections[ALIAS].close_if_unusable_or_obsolete()
    try:
        return read()
    except DatabaseError as error:
        connections[ALIAS].close()
        raise StoreUnavailable() from error
