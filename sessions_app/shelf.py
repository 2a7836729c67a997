"""Sessions at rest: a row for each in SQL, an object for what it holds, both sealed with the keys of its user.

An object is JSON of `Shelved`, deflated, then sealed for the session's place. Its name ends in a few digits of chance:
a newer one never writes over the one that its row still names. Everything here blocks."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import msgspec
from django.core.files.storage import default_storage
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from engine.errors import StoreUnavailable
from engine.ports import Vault
from engine.types import Json, SessionName
from sessions_app.layout import Home
from sessions_app.models import ArchivedSession
from sessions_app.objects import add_objects, discard, inflated, listed, settle
from sessions_app.records import Line, Record
from sessions_app.recovery import Base
from sessions_app.replaying import contents, from_contents
from tenants.scoping import ScopedQuerySet

log = logging.getLogger(__name__)

ROOT: Final = "sessions"
LEVEL: Final = 3  # of zlib: the next ones cost twice the time for a few per cent
KEPT: Final = timedelta(days=2)  # a row outlives its expired session: the journal has its end by then

_SEEN: Final = f"SELECT 1 FROM {ArchivedSession._meta.db_table} WHERE tenant_id = %s AND session_id = %s LIMIT 1"  # noqa: S608
_encode: Final = msgspec.json.Encoder().encode
T = TypeVar("T")


class Shelved(msgspec.Struct, frozen=True, kw_only=True):
    """What an object says."""

    session_id: str
    user: str
    version: int
    record: Json
    recent: list[str] = []


class Idle(NamedTuple):
    """A session to put away. `at`: microseconds; `recent`: the ids of what was last done to it."""

    user: str
    session_id: str
    at: int
    record: Record
    recent: list[str]


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A session sealed as for the archive, with what its row would say."""

    subject: str
    session_id: str
    version: int
    at: int
    key_id: int | None
    content: bytes
    line: bytes


class Expired(NamedTuple):
    """A session past its retention, for whoever journals it. `user` empty: nobody can say, they were erased."""

    row: int
    session_id: str
    user: str
    version: int
    key_id: int | None


class Shelf:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def put(self, tenant_id: int, sessions: Sequence[Idle]) -> list[bool]:
        """Object and row of each; once this returns neither is lost with the power. False: its user was erased moments
        ago. What an older row named is no more. Raises StoreUnavailable, OSError, DatabaseError: some may be there."""
        packed = self._packed(tenant_id, sessions)
        self._store(tenant_id, [one for one in packed if one is not None])
        return [one is not None for one in packed]

    def pack(self, tenant_id: int, sessions: Sequence[Idle]) -> list[Packed]:
        """Sealed in the same way, for another place than object storage. Raises StoreUnavailable."""
        return [one for one in self._packed(tenant_id, sessions) if one is not None]

    def unpack(self, tenant_id: int, packed: Sequence[Packed]) -> int:
        """Puts such ones away; one that is here in a later state stays. How many. Raises OSError, DatabaseError."""
        self._store(tenant_id, packed)
        return len(packed)

    def _packed(self, tenant_id: int, sessions: Sequence[Idle]) -> list[Packed | None]:
        subjects = self._vault.pseudonyms(tenant_id, {one.user for one in sessions})
        return [
            Packed(
                subject=subjects[one.user],
                session_id=one.session_id,
                version=one.record.version,
                at=one.at,
                key_id=key_of(one.user),
                content=parts[0],
                line=parts[1],
            )
            if parts is not None
            else None
            for one, parts in zip(sessions, self._sealed(tenant_id, sessions, subjects), strict=True)
        ]

    def _sealed(
        self, tenant_id: int, sessions: Sequence[Idle], subjects: Mapping[str, str]
    ) -> list[tuple[bytes, bytes] | None]:
        items = []
        for user, session_id, at, record, recent in sessions:
            place = place_of(tenant_id, subjects[user], session_id)
            whole = Shelved(
                session_id=session_id, user=user, version=record.version, record=contents(record), recent=recent
            )
            items.append((user, place, zlib.compress(_encode(whole), LEVEL)))
            items.append((user, f"{place}/line", _encode(_line(user, session_id, at, record))))
        found = self._vault.seal_all(tenant_id, items)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [(whole, line) if whole is not None and line is not None else None for whole, line in pairs]

    def _store(self, tenant_id: int, packed: Sequence[Packed]) -> None:
        rows = [_row(tenant_id, one) for one in packed]
        names = add_objects([(row.object_name, one.content) for row, one in zip(rows, packed, strict=True)])
        for row, name in zip(rows, names, strict=True):
            row.object_name = name
        settle([row.object_name for row in rows])
        with transaction.atomic():
            replaced = _write(tenant_id, rows)
        discard(replaced)

    def seen(self, names: Iterable[SessionName]) -> set[SessionName]:
        """Those that anybody's session ever had here. Each new one that is named is asked for, so without the ORM,
        which with the tenant's key took 2 ms. Raises StoreUnavailable."""

        def ask() -> set[SessionName]:
            found: set[SessionName] = set()
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                for name in names:
                    cursor.execute(_SEEN, name)
                    if cursor.fetchone() is not None:
                        found.add(name)
            return found

        return reading(ask)

    def get(self, home: Home, session_id: str) -> Base | None:
        """As it was put away, or, without a record, where it ended; None: it is not here, or cannot be read any more.
        Raises StoreUnavailable: it is here, and the object cannot be had."""
        row = self._row_of(home, session_id) if self.seen([(home.tenant_id, session_id)]) else None
        if row is None:
            return None
        if row.expired_at is not None:
            return Base(None, row.version + 1)
        return self._opened(row, home.user)

    def _row_of(self, home: Home, session_id: str) -> ArchivedSession | None:
        subject = self._vault.pseudonym(home.tenant_id, home.user)
        mine = rows_of(home.tenant_id).filter(subject=subject, session_id=session_id)
        return reading(lambda: mine.defer("summary").first())

    def _opened(self, row: ArchivedSession, user: str) -> Base | None:
        try:
            with default_storage.open(row.object_name) as file:
                sealed = file.read()
        except FileNotFoundError:
            log.error("the object %s of an archived session is not there", row.object_name)
            return None
        except OSError as error:
            log.error("the object %s of an archived session cannot be read: %s", row.object_name, error)
            raise StoreUnavailable from error
        try:
            content = self._vault.open(row.tenant_id, place_of(row.tenant_id, row.subject, row.session_id), sealed)
            if content is None:
                return None
            whole = msgspec.json.decode(inflated(content), type=Shelved)
            if (whole.session_id, whole.user) != (row.session_id, user):
                raise ValueError("it is another session's")
            record = from_contents(whole.record, whole.version)
        except (ValueError, zlib.error) as error:  # msgspec's errors are ValueErrors
            log.error("the object %s of an archived session is broken: %s", row.object_name, error)
            return None
        return Base(record, record.version, whole.recent)

    def whose(self, tenant_id: int, key_id: int, session_id: str) -> Home | None:
        """Which user of an API key has a session of this id; of several the last active one."""
        if not self.seen([(tenant_id, session_id)]):
            return None
        mine = rows_of(tenant_id).filter(key_id=key_id, session_id=session_id, expired_at=None)
        row = reading(lambda: mine.order_by("-last_active").first())
        lines = self.lines([row]) if row is not None else []
        return Home(tenant_id, lines[0].user) if lines else None

    def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        """The user's sessions that were last active before `below` (microseconds), the newest first."""
        mine = rows_of(home.tenant_id).filter(subject=self._vault.pseudonym(home.tenant_id, home.user), expired_at=None)
        if below is not None:
            mine = mine.filter(last_active__lt=below)
        return self.lines(reading(lambda: list(mine[:limit])))

    def held(self, home: Home) -> set[str]:
        """The ids of all the user's sessions here."""
        mine = rows_of(home.tenant_id).filter(subject=self._vault.pseudonym(home.tenant_id, home.user), expired_at=None)
        return reading(lambda: set(mine.order_by().values_list("session_id", flat=True)))

    def _users(self, rows: Sequence[ArchivedSession]) -> dict[int, str]:
        """By the keys of their rows."""
        return {pk: line.user for pk, line in self._read_lines(rows)}

    def lines(self, rows: Sequence[ArchivedSession]) -> list[Line]:
        """Of rows of one tenant, without those that cannot be read. Raises StoreUnavailable."""
        return [line for _, line in self._read_lines(rows)]

    def _read_lines(self, rows: Sequence[ArchivedSession]) -> list[tuple[int, Line]]:
        if not rows:
            return []
        tenant_id = rows[0].tenant_id
        items = [(f"{place_of(tenant_id, row.subject, row.session_id)}/line", bytes(row.summary)) for row in rows]
        opened = self._vault.open_all(tenant_id, items)
        found = []
        for row, line in zip(rows, opened, strict=True):
            if isinstance(line, bytes):
                found.append((row.pk, msgspec.json.decode(line, type=Line)))
            elif line is not None:
                log.error("the line of archived session %s cannot be read: %s", row.pk, line)
        return found

    def drop(self, home: Home, session_ids: Collection[str]) -> int:
        """Rows, then objects: where object storage is away these are found by `tidy`. Raises StoreUnavailable,
        DatabaseError: ask again."""
        subject = self._vault.pseudonym(home.tenant_id, home.user)
        mine = rows_of(home.tenant_id).filter(subject=subject, session_id__in=session_ids)
        names = dict(reading(lambda: list(mine.values_list("pk", "object_name"))))
        if not names:
            return 0
        removed = int(rows_of(home.tenant_id).filter(pk__in=names)._raw_delete(mine.db))
        discard(names.values())
        return removed

    # Retention -------------------------------------------------------------------------------------------------------

    def due(self, tenant_id: int, before: int, skipped: int, most: int) -> list[Expired]:
        """Sessions last active before then (microseconds), the oldest first."""
        mine = rows_of(tenant_id).filter(last_active__lt=before, expired_at=None).order_by("last_active", "pk")
        rows = list(mine[skipped : skipped + most])
        users = self._users(rows)
        return [Expired(row.pk, row.session_id, users.get(row.pk, ""), row.version, row.key_id) for row in rows]

    def expire(self, tenant_id: int, sessions: Iterable[Expired], journal: Callable[[Expired], None]) -> int:
        """Ends them: in one transaction `journal` leaves word of each, and its row says so. Then the objects go."""
        names: list[str] = []
        with transaction.atomic():
            for one in sessions:
                mine = rows_of(tenant_id).filter(pk=one.row, version=one.version, expired_at=None)
                row = mine.select_for_update().first()
                if row is None:  # it went on meanwhile
                    continue
                mine.update(expired_at=timezone.now(), object_name="", size=0, summary=b"")
                names.append(row.object_name)
                if one.user:
                    journal(one)
        discard(names)
        return len(names)


_WRITTEN: Final = (
    "version", "last_active", "key_id", "object_name", "size", "summary", "archived_at", "expired_at",
)  # fmt: skip
_KEY_USER: Final = re.compile(r"key:(\d+):")


def place_of(tenant_id: int, subject: str, session_id: str) -> str:
    """What an object is sealed for."""
    return f"{ROOT}/{tenant_id}/{subject}/{session_id}"


def key_of(user: str) -> int | None:
    """The API key that speaks for this user (`access.authentication.with_user`), if one does."""
    found = _KEY_USER.match(user)
    return int(found[1]) if found is not None else None


def rows_of(tenant_id: int) -> ScopedQuerySet[ArchivedSession]:
    return ArchivedSession.objects.for_tenant(tenant_id)


def _write(tenant_id: int, rows: Sequence[ArchivedSession]) -> list[str]:
    """The names of objects that are of no use any more."""
    mine = rows_of(tenant_id).filter(
        subject__in={row.subject for row in rows}, session_id__in={row.session_id for row in rows}
    )
    known = {(before.subject, before.session_id): before for before in mine.select_for_update().defer("summary")}
    unused, new = [], []
    for row in rows:
        before = known.get((row.subject, row.session_id))
        if before is None:
            new.append(row)
        elif before.version > row.version:  # somebody was faster, with a later state
            unused.append(row.object_name)
        else:
            rows_of(tenant_id).filter(pk=before.pk).update(**{name: getattr(row, name) for name in _WRITTEN})
            unused.append(before.object_name)
    ArchivedSession.objects.bulk_create(new)
    return unused


def _row(tenant_id: int, one: Packed) -> ArchivedSession:
    digest = hashlib.sha256(one.session_id.encode()).hexdigest()[:32]
    return ArchivedSession(
        tenant_id=tenant_id,
        subject=one.subject,
        session_id=one.session_id,
        version=one.version,
        last_active=one.at,
        key_id=one.key_id,
        object_name=f"{ROOT}/{tenant_id}/{one.subject}/{digest}-{os.urandom(4).hex()}.v1",
        size=len(one.content),
        summary=one.line,
        archived_at=datetime.now(UTC),
    )


def _line(user: str, session_id: str, at: int, record: Record) -> Line:
    return Line(
        session_id=session_id,
        user=user,
        at=at,
        version=record.version,
        last_active=record.last_active,
        model_version=record.model_version,
        name=record.name,
        user_profile=record.user_profile,
    )


def reading(read: Callable[[], T]) -> T:
    """Raises StoreUnavailable."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "sqlite" and not connection.in_atomic_block:  # a file anew costs more than the query
        connection.close_if_unusable_or_obsolete()
    try:
        return read()
    except DatabaseError as error:
        raise StoreUnavailable from error


def remove(mine: ScopedQuerySet[ArchivedSession]) -> int:
    """These sessions, objects first: a row without its object is found again. Raises OSError, DatabaseError."""
    removed = 0
    while found := list(mine.values_list("pk", "object_name")[:500]):
        for _, name in found:
            if name:
                default_storage.delete(name)
        removed += int(mine.filter(pk__in=[pk for pk, _ in found])._raw_delete(mine.db))
    return removed


def figures(tenant_id: int | None = None) -> tuple[int, int]:
    """How many sessions are archived, of a tenant or of all, and their bytes."""
    rows = ArchivedSession.objects.everywhere() if tenant_id is None else rows_of(tenant_id)
    found = rows.filter(expired_at=None).aggregate(count=Count("pk"), size=Sum("size"))
    return found["count"], found["size"] or 0


def tidy(tenant_id: int, *, young: timedelta = timedelta(hours=1), kept: timedelta = KEPT) -> int:
    """Removes objects that no row names, unless they are so young that one may be about to, and rows of sessions that
    ended long ago. How many objects. Raises OSError, DatabaseError."""
    rows_of(tenant_id).filter(expired_at__lt=timezone.now() - kept)._raw_delete(DEFAULT_DB_ALIAS)
    removed = 0
    for subject in listed(f"{ROOT}/{tenant_id}", 0):
        folder = f"{ROOT}/{tenant_id}/{subject}"
        named = set(rows_of(tenant_id).filter(subject=subject).values_list("object_name", flat=True))
        for name in listed(folder, 1):
            whole = f"{folder}/{name}"
            if whole not in named and default_storage.get_modified_time(whole) < timezone.now() - young:
                default_storage.delete(whole)
                removed += 1
    return removed
