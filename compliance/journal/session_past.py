"""What the journal knows of one session: `engine.ports.SessionPast`, in threads of its own with their own connections.

A session is found by the index of its turns and by the one of what else was done to it, both by tenant and session id.
Its user is in the column `user` as a pseudonym, in the oldest entries as they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from threading import Barrier, BrokenBarrierError
from typing import Any, Final, TypeVar

import msgspec
from django.db import DatabaseError, connections
from django.db.models import Max

from compliance.database import ALIAS, renew
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing import opening
from compliance.sealing.opening import Opened, Opener
from engine.entries import PastEvent, PastTurn, SessionEntry
from engine.errors import StoreUnavailable
from engine.types import Answerer, Choice, Json, Message, SessionName
from tenants.keyring import KeysOf

THREADS: Final = 2
CHUNK: Final = 500  # turns in memory; a query for their ends
ENDS: Final = ("deleted", "expired")
SKEW: Final = 1_000  # ms by which ids of two workers, or of one millisecond, may be in the wrong order
WAIT: Final = 90_000  # ms between the id of a turn and its being let into its session, at most
OWNERS: Final = 20  # users of an API key that are looked at for one session id

Kind = AuditEntry.Kind
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
_ANY: Final = f"SELECT 1 FROM {AuditEntry._meta.db_table} WHERE tenant_id = %s AND session_id = %s AND kind = "  # noqa: S608
_SEEN: Final = f"{_ANY}'{Kind.INTENT.value}' UNION ALL {_ANY}'{Kind.SESSION.value}' LIMIT 1"

_READ: Final = ("turn_id", "kind", "number", "tenant_id", "at", "user", "key_id", "session_id", "state", "body")


class _Place(msgspec.Struct):
    parent: int = 0


class _Asked(msgspec.Struct):
    user: str
    messages: list[Message] = []
    parent: int = 0
    profile: Json | None = None


class _Answered(msgspec.Struct):
    choices: list[Choice] = []
    answerer: Answerer | None = None


_place: Final = msgspec.json.Decoder(_Place)
_asked: Final = msgspec.json.Decoder(_Asked)
_answered: Final = msgspec.json.Decoder(_Answered)
_entry: Final = msgspec.json.Decoder(SessionEntry)


class JournalPast:
    """`keys_of` gives a tenant's key; the calls of it come from threads."""

    def __init__(self, keys_of: KeysOf, *, threads: int = THREADS) -> None:
        self._keys_of = keys_of
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="session-past")

    async def events(
        self, tenant_id: int, session_id: str, *, user: str | None = None, key_id: int | None = None, after: int = 0
    ) -> list[PastEvent]:
        """See `engine.ports.SessionPast`."""
        read = bound(events, tenant_id, session_id, self._keys_of, user=user, key_id=key_id, after=after)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _fresh, read)

    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        """See `engine.ports.SessionPast`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _fresh, bound(seen, names))

    async def known(self, tenant_id: int, user: str) -> list[tuple[str, float]]:
        """See `engine.ports.SessionPast`."""
        read = bound(known, tenant_id, user, self._keys_of)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _fresh, read)

    def close(self) -> None:
        """Blocking."""
        barrier = Barrier(self._threads)
        for _ in range(self._threads):
            self._pool.submit(_leave, barrier)
        self._pool.shutdown()


def _leave(barrier: Barrier) -> None:
    """Every thread closes its own connections: none may do it twice before another has."""
    connections.close_all()
    try:
        barrier.wait(5.0)
    except BrokenBarrierError:
        return


def _fresh(read: Callable[[], T]) -> T:
    renew(ALIAS)
    try:
        return read()
    except (DatabaseError, NoSlot) as error:
        connections[ALIAS].close()
        raise StoreUnavailable() from error


def events(
    tenant_id: int, session_id: str, keys_of: KeysOf, *, user: str | None, key_id: int | None = None, after: int = 0
) -> list[PastEvent]:
    """Blocking. Raises django.db.DatabaseError, slots.NoSlot, StoreUnavailable (the tenant's key is not at hand)."""
    if not seen([(tenant_id, session_id)]):
        return []
    keys = keys_of(tenant_id)
    if keys is None:
        raise StoreUnavailable()
    opener = Opener(keys_of)
    entries = _entries(tenant_id, session_id)
    if user is None:
        user = _owner(entries.filter(key_id=key_id), opener)
        if user is None:
            return []
    mine = entries.filter(user__in=[user, keys.pseudonym(user)])
    found = [event for chunk in _chunks(mine, after) for event in _opened(tenant_id, chunk, opener)]
    return sorted(found, key=lambda event: (event.parent, event.at, event.turn_id))


def known(tenant_id: int, user: str, keys_of: KeysOf) -> list[tuple[str, float]]:
    """Blocking. Raises like `events`. Reads an index of the user's turns, and one of what made sessions and ended
    them."""
    see_all_slots(connections[ALIAS])
    keys = keys_of(tenant_id)
    if keys is None:
        raise StoreUnavailable()
    mine = AuditEntry.objects.for_tenant(tenant_id).filter(user__in=[user, keys.pseudonym(user)]).order_by()
    turns, changes = _kinds(mine.filter(session_id__isnull=False))
    last = _last(turns)
    for session_id, turn_id in _last(changes.filter(state="branched")).items():
        last[session_id] = max(turn_id, last.get(session_id, ""))
    ended = _last(changes.filter(state__in=ENDS))
    recent = [name for name in ended if name in last and -SKEW <= _moment(ended[name]) - _moment(last[name]) <= WAIT]
    begun = {
        name for start in range(0, len(recent), CHUNK) for name in _begun_after(mine, recent[start : start + CHUNK])
    }
    over = {name for name in recent if name not in begun}
    found = [
        (name, turn_id)
        for name, turn_id in last.items()
        if name in begun or (name not in over and turn_id > ended.get(name, ""))
    ]
    return [(name, _moment(turn_id) / 1000) for name, turn_id in found]


def _begun_after(mine: JournalQuerySet, names: Sequence[str]) -> Iterator[str]:
    """Those that began once more after they had ended, though the ids do not say so: a turn may have waited for its
    session meanwhile, or be of the same millisecond. Then the versions tell."""
    ends, made = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for kind in _kinds(mine.filter(session_id__in=names).only(*_READ)):
        for entry in kind.iterator(CHUNK):
            name = str(entry.session_id)
            if entry.state in ENDS:
                ends[name] = max(ends[name], _parent(entry))
            elif entry.kind == Kind.INTENT or entry.state == "branched":
                made[name] = max(made[name], _parent(entry))
    return (name for name in names if made[name] > ends[name])


def _moment(turn_id: str) -> int:
    """In milliseconds."""
    return int(turn_id[:12], 16)


def _last(entries: JournalQuerySet) -> dict[str, str]:
    """The highest id of each session; ids sort by time."""
    return dict(entries.values_list("session_id").annotate(Max("turn_id")))


def seen(names: Iterable[SessionName]) -> set[SessionName]:
    """Blocking. Whoever names a new session asks, so without the ORM: it took 2 ms. Raises django.db.DatabaseError,
    slots.NoSlot."""
    see_all_slots(connections[ALIAS])
    found: set[SessionName] = set()
    with connections[ALIAS].cursor() as cursor:
        for name in names:
            cursor.execute(_SEEN, [*name, *name])
            if cursor.fetchone() is not None:
                found.add(name)
    return found


def _entries(tenant_id: int, session_id: str) -> JournalQuerySet:
    """Turns' intents and what else was done."""
    entries = AuditEntry.objects.for_tenant(tenant_id).filter(session_id=session_id).only(*_READ)
    return entries.order_by("turn_id")


def _kinds(entries: JournalQuerySet) -> tuple[JournalQuerySet, JournalQuerySet]:
    """Each has an index of its own, and a condition on both would use neither."""
    return entries.filter(kind=Kind.INTENT), entries.filter(kind=Kind.SESSION)


def _owner(entries: JournalQuerySet, opener: Opener) -> str | None:
    """Who did the last of it, of those who were not erased."""
    seen: list[str] = []
    while len(seen) < OWNERS:
        others = entries.exclude(user__in=seen).order_by("-turn_id")
        newest = max(
            (entry for kind in _kinds(others) for entry in kind[:1]), key=lambda entry: entry.turn_id, default=None
        )
        if newest is None:
            return None
        (told,) = opener.open([newest])
        if told.text and (user := msgspec.json.decode(told.json, type=dict[str, Any]).get("user")):
            return str(user)
        seen.append(newest.user)
    return None


def _chunks(entries: JournalQuerySet, after: int) -> Iterator[list[AuditEntry]]:
    """Those of them that were made upon the version `after` or a later one: their clear part says that."""
    for kind in _kinds(entries):
        last = ""
        while found := list(kind.filter(turn_id__gt=last)[:CHUNK]):
            kept = [entry for entry in found if _parent(entry) >= after] if after else found
            if kept:
                yield kept
            if len(found) < CHUNK:
                break
            last = found[-1].turn_id


def _parent(entry: AuditEntry) -> int:
    try:
        return _place.decode(opening.clear(entry)).parent
    except msgspec.MsgspecError:
        return 0


def _opened(tenant_id: int, entries: Sequence[AuditEntry], opener: Opener) -> Iterator[PastEvent]:
    asked = [entry for entry in entries if entry.kind == Kind.INTENT]
    ends = AuditEntry.objects.for_tenant(tenant_id).filter(
        kind=Kind.COMPLETION, state=AuditEntry.State.COMPLETED, turn_id__in=[entry.turn_id for entry in asked]
    )
    answered = {entry.turn_id: entry for entry in ends.only(*_READ).order_by()} if asked else {}
    turns = [(entry, answered[entry.turn_id]) for entry in asked if entry.turn_id in answered]
    others = [entry for entry in entries if entry.kind == Kind.SESSION]
    bodies = iter(opener.open([*(each for turn in turns for each in turn), *others]))
    for intent, completion in turns:
        if (turn := _turn(intent, completion, next(bodies), next(bodies))) is not None:
            yield turn
    for entry in others:
        if (change := _change(entry, next(bodies))) is not None:
            yield change


def _turn(intent: AuditEntry, completion: AuditEntry, question: Opened, answer: Opened) -> PastTurn | None:
    """None: it was erased, or altered: nobody can say any more what it was."""
    asked, answered = _decoded(_asked, question), _decoded(_answered, answer)
    if asked is None or answered is None or not answered.choices:
        return None
    return PastTurn(
        turn_id=intent.turn_id,
        at=completion.at,
        parent=asked.parent,
        user=asked.user,
        said=[*(message for message in asked.messages if not message.passing), answered.choices[0].message],
        profile=asked.profile,
        answerer=answered.answerer,
    )


def _change(entry: AuditEntry, opened: Opened) -> SessionEntry | None:
    """That a session ended counts also where the rest cannot be read: what was deleted must not come back."""
    change = _decoded(_entry, opened)
    if change is None and entry.state in ENDS:
        known = {name: getattr(entry, name) for name in ("turn_id", "tenant_id", "at", "session_id", "user", "key_id")}
        return msgspec.convert({**known, "action": entry.state, "parent": _parent(entry), "subject": ""}, SessionEntry)
    return change


def _decoded(decoder: msgspec.json.Decoder[S], opened: Opened) -> S | None:
    if not opened.text:
        return None
    try:
        return decoder.decode(opened.json)
    except msgspec.MsgspecError:
        return None
