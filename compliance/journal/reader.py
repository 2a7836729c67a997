"""Reads what all workers wrote, through the ORM. The functions block; `JournalReader` is for the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from typing import TypeVar

import msgspec
from django.db import DatabaseError, connections
from django.db.models import Count

from compliance.database import ALIAS, renew
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing import opening
from compliance.sealing.opening import Opened, Opener
from engine.entries import Change, Completion, Intent, Partial, Retry
from engine.errors import StoreUnavailable, TurnNotFound
from engine.folding import Fold
from engine.types import Choice, Json
from tenants import stored_keys
from tenants.models import Tenant

log = logging.getLogger(__name__)

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
    known = {"state": entry.state, "key_id": entry.key_id, **_columns(entry)}
    return msgspec.convert({**known, **msgspec.json.decode(opened.json)}, Completion)


def _columns(entry: AuditEntry) -> Json:
    return {name: getattr(entry, name) for name in ("turn_id", "tenant_id", "at", "session_id", "model", "instance")}


def facts(entry: AuditEntry) -> Facts:
    """Nothing where the body cannot be read. It takes no key."""
    return _decoded(opening.clear(entry), _facts, Facts())


def users_of(intents: Sequence[AuditEntry]) -> list[str]:
    """The users of turns as they were called, of all at once; empty where they were erased."""
    return [_decoded(told.json, _user, _User()).user if told.text else "" for told in Opener().open(intents)]


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


def change_of(entry: AuditEntry, opener: Opener | None = None) -> Change:
    """With what the columns say where the body cannot be read."""
    (told,) = (opener or Opener()).open([entry])
    known = Change(
        turn_id=entry.turn_id, tenant_id=entry.tenant_id, at=entry.at, actor="", action=entry.state, model=entry.model,
        row=entry.instance, erased=True,
    )  # fmt: skip
    return _decoded(told.json, _change, known) if told.text else known


_facts = msgspec.json.Decoder(Facts)
_change = msgspec.json.Decoder(Change)
_user = msgspec.json.Decoder(_User)


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T], otherwise: T) -> T:
    try:
        return decoder.decode(body)
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
    renew(ALIAS)
    try:
        return read()
    except DatabaseError as error:
        log.warning("the journal cannot be read: %s", error)
        connections[ALIAS].close()
        raise StoreUnavailable() from error
