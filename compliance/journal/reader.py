"""Reads what all workers wrote, through the ORM. The functions block; `JournalReader` is for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from typing import TypeVar

import msgspec
from django.db import DatabaseError, connections

from compliance.database import ALIAS
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models.journal import AuditEntry, JournalQuerySet
from engine.errors import StoreUnavailable, TurnNotFound
from engine.folding import Fold
from engine.types import Change, Choice, Completion, Intent, Json, Partial, Retry

Kind = AuditEntry.Kind
T = TypeVar("T")


class TurnRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A turn as it was recorded; without a completion it is still in flight. `partial` is what its stream had been sent
    when last recorded, where no completion says what the whole of it was. `erased`: its texts can be read by nobody any
    more, because its user was erased."""

    turn_id: str
    intent: Intent
    completion: Completion | None = None
    partial: list[Choice] = []
    erased: bool = False

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


class VerdictFact(msgspec.Struct, frozen=True):
    """What a word list said, without the word."""

    list: str
    action: str
    where: str


class Facts(msgspec.Struct, frozen=True):
    """What an entry's body tells of it besides its columns and its text: this is read of many entries at a time."""

    edge: str = ""
    verdicts: list[VerdictFact] = []


class _User(msgspec.Struct, frozen=True):
    user: str = ""


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


def record_of(turn_id: str, found: Sequence[AuditEntry]) -> TurnRecord:
    """The turn these entries, with their bodies, are of. Raises TurnNotFound (no intent is among them)."""
    bodies = {entry.kind: bytes(entry.body) for entry in found}
    if Kind.INTENT not in bodies:
        raise TurnNotFound()
    body = bodies.get(Kind.COMPLETION)
    completion = msgspec.json.decode(body, type=Completion) if body is not None else None
    partial: list[Choice] = []
    if completion is None or not completion.choices:
        partial = fold_partials([bytes(entry.body) for entry in _partials(found)])
    return TurnRecord(turn_id, msgspec.json.decode(bodies[Kind.INTENT], type=Intent), completion, partial)


def _partials(found: Sequence[AuditEntry]) -> list[AuditEntry]:
    return sorted((entry for entry in found if entry.kind == Kind.PARTIAL), key=lambda entry: entry.number)


def fold_partials(bodies: Sequence[bytes]) -> list[Choice]:
    """What the entries of a turn's partial output, in order, say that its client had."""
    fold = Fold()
    for body in bodies:
        for delta in msgspec.json.decode(body, type=Partial).deltas:
            fold.add(delta)
    return fold.choices({}, "incomplete") if bodies else []


def facts(entry: AuditEntry) -> Facts:
    """Nothing where the body cannot be read."""
    return _decoded(entry, _facts, Facts())


def user_of(intent: AuditEntry) -> str:
    """The turn's user as it was called; empty where it was erased."""
    return _decoded(intent, _user, _User()).user


def stored_users(tenant_id: int | None, user: str) -> list[str]:
    """What stands in the column `user` for this one: in a tenant's entries, or (None) in anybody's."""
    return [user]


def change_of(entry: AuditEntry) -> Change:
    """With what the columns say where the body cannot be read."""
    known = Change(
        turn_id=entry.turn_id, tenant_id=entry.tenant_id, at=entry.at, actor="", action=entry.state, model=entry.model,
        row=entry.instance, erased=True,
    )  # fmt: skip
    return _decoded(entry, _change, known)


_facts = msgspec.json.Decoder(Facts)
_change = msgspec.json.Decoder(Change)
_user = msgspec.json.Decoder(_User)


def _decoded(entry: AuditEntry, decoder: msgspec.json.Decoder[T], otherwise: T) -> T:
    try:
        return decoder.decode(bytes(entry.body))
    except msgspec.MsgspecError:
        return otherwise


def readable(read: Callable[[], T]) -> T:
    """What `read()` returns. Raises StoreUnavailable where the journal cannot be read."""
    try:
        return read()
    except (DatabaseError, NoSlot) as error:
        raise StoreUnavailable() from error


class JournalReader:
    """The reads a request needs, from the event loop: one thread with its own connection does them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def turn(self, tenant_id: int, turn_id: str) -> TurnRecord:
        """Raises TurnNotFound, StoreUnavailable."""
        return await self._read(bound(turn, tenant_id, turn_id))

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
