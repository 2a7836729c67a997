"""The journal entry by entry, for who works off what happened: in one order that never changes, from a place that can
be kept, with nothing left out.

The order is that of a tenant's tree (`compliance.tree`): the sequencer numbers the entries of every tenant from 0
without a gap, and gives an entry that becomes visible late (in another worker's file, by a transaction that began
earlier) a later number. So a reader keeps one number a tenant, and an entry can be followed as soon as it is in the
tree, within about a second. What was stored before something else was begun, as the turns of a session are, comes
before it; `compliance.tree.folding` says how.

What retention removed is told, as a number of entries that are gone. Keeping the place is the reader's own matter."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
from django.db import connections

from compliance.database import ALIAS, first_file, renew
from compliance.journal import slots, tables
from compliance.models import TreeHead, TreeRun
from compliance.tree.database import tree_database

MOST: Final = 4000  # entries of a page unless told otherwise
RUN: Final = 256  # leaves of a row of the tree at most
CHUNK: Final = 1000  # ids of a query

_READ: Final = (
    "id", "turn_id", "kind", "number", "tenant_id", "at", "session_id", "user", "key_id", "model", "instance", "state",
    "body",
)  # fmt: skip
_NAMES: Final = ", ".join(f'"{name}"' for name in _READ)
_IN_FILE: Final = f"SELECT {_NAMES} FROM compliance_auditentry WHERE id IN"  # noqa: S608  # our own names
_ON_SERVER: Final = f"SELECT {_NAMES} FROM compliance_auditentry WHERE id = ANY(%s)"  # noqa: S608  # our own names
_SHAPES: Final = frozenset(
    (int, str, str, int, int, float, session, str, key, str, str, str, bytes)
    for session in (str, type(None))
    for key in (int, type(None))
)


class Followed(msgspec.Struct, frozen=True, gc=False):
    """An entry and its `position`. `user` is a pseudonym, or empty (see `AuditEntry`). `body` as it is stored, sealed:
    `compliance.sealing.opening.clear` reads its figures without a key, an `Opener` opens many at once."""

    position: int
    id: int
    turn_id: str
    kind: str
    number: int
    tenant_id: int
    at: float
    session_id: str | None
    user: str
    key_id: int | None
    model: str
    instance: str
    state: str
    body: bytes


class Page(NamedTuple):
    """The entries, in order, and `end`: the position to go on from. `gone` of those between are not there any more,
    nearly always because retention removed them."""

    entries: list[Followed]
    end: int
    gone: int


class SourceAway(RuntimeError):
    """A file that holds entries of the page is not there: nothing was read, since nothing may be left out."""


class Follower:
    """Belongs to one thread, and opens what it needs. Blocking; raises django.db.Error, sqlite3.Error, SourceAway."""

    def __init__(self) -> None:
        self._first = first_file()
        self._stack = ExitStack()
        self._alias: str | None = None
        self._files: dict[int, sqlite3.Connection] = {}

    def written(self) -> int:
        """How many entries all trees have: a cheap way to ask whether there is anything new."""
        with connections[self._tree()].cursor() as cursor:
            cursor.execute("SELECT coalesce(sum(size), 0) FROM compliance_treehead")
            return int(cursor.fetchone()[0])

    def heads(self) -> dict[int, int]:
        """Of every tenant with entries (0: the platform): the position behind the last one."""
        return dict(TreeHead.objects.using(self._tree()).everywhere().values_list("tenant_id", "size"))

    def follow(self, tenant_id: int, after: int, most: int = MOST) -> Page:
        """The entries from position `after` on, of at most `most` positions. The page is empty and ends at `after`
        where there are none yet."""
        head = TreeHead.objects.using(self._tree()).for_tenant(tenant_id).first()
        if head is None or after >= head.size:
            return Page([], after, 0)
        start = max(after, min(head.pruned, head.size))
        end = min(start + most, head.size)
        places = self._places(tenant_id, start, end)
        found = self._entries(places)
        entries = []
        for position in range(start, end):
            row = found.get(places.get(position, (0, 0)))
            if row is not None and tuple(map(type, row)) in _SHAPES and row[4] == tenant_id:
                entries.append(Followed(position, *row))
        return Page(entries, end, end - after - len(entries))

    def close(self) -> None:
        for database in self._files.values():
            database.close()
        self._files.clear()
        self._stack.close()
        self._alias = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tree(self) -> str:
        """The sequencer's file may be made after this was."""
        if self._alias is None or (self._alias == ALIAS and self._first is not None):
            self._stack.close()
            self._alias = self._stack.enter_context(tree_database())
        renew(self._alias)
        return self._alias

    def _places(self, tenant_id: int, start: int, end: int) -> dict[int, tuple[int, int]]:
        """Source and id of the entry at every position."""
        runs = TreeRun.objects.using(self._tree()).for_tenant(tenant_id)
        runs = runs.filter(position__gt=start - RUN, position__lt=end).order_by("position")
        places: dict[int, tuple[int, int]] = {}
        for position, count, source, first_id, offsets in runs.values_list(
            "position", "count", "source", "first_id", "offsets"
        ):
            for offset, above in enumerate(struct.unpack(f">{count}I", bytes(offsets)), position):
                if start <= offset < end:
                    places[offset] = source, first_id + above
        return places

    def _entries(self, places: dict[int, tuple[int, int]]) -> dict[tuple[int, int], tuple[Any, ...]]:
        by_source: dict[int, list[int]] = {}
        for source, number in places.values():
            by_source.setdefault(source, []).append(number)
        found: dict[tuple[int, int], tuple[Any, ...]] = {}
        for source, ids in by_source.items():
            rows = self._on_server(ids) if self._first is None else self._in_file(source, ids)
            found.update(((source, row[0]), row) for row in rows)
        return found

    def _on_server(self, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        renew(ALIAS)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_ON_SERVER, [list(ids)])
            return [(*row[:-1], bytes(row[-1])) for row in cursor]

    def _in_file(self, source: int, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        database = self._file(source)
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            with closing(database.execute(f"{_IN_FILE} ({', '.join('?' * len(some))})", some)) as cursor:
                found += cursor.fetchall()
        return found

    def _file(self, source: int) -> sqlite3.Connection:
        if source not in self._files:
            assert self._first is not None
            self._files[source] = _opened(slots.slot_path(self._first, source))
        return self._files[source]


def _opened(path: Path) -> sqlite3.Connection:
    if not tables.migrated(path):
        raise SourceAway(f"{path} is not there, or has no journal")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    database.text_factory = _text
    return database


def _text(stored: bytes) -> str:
    """What was altered into no text must not stop who follows."""
    return stored.decode(errors="replace")
