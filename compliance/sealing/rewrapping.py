"""Replaces the tenants' keys: users' data keys are wrapped anew, entries stay as they are. Copies of the data keys as
they were, in old backups say, then open with nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from django.db import Error as DatabaseFailure
from django.db import connections, transaction
from django.utils import timezone

from compliance.analysis import questions
from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.journal.store import StoreAway
from compliance.sealing.destroying import PATIENCE, cut
from compliance.sealing.sealer import label
from tenants import stored_keys
from tenants.keyring import PLATFORM, SECRET, TenantKeys
from tenants.models import TenantKey

HEARD: Final = 3.0  # seconds until every worker wraps with a new key
SPARED: Final = timedelta(hours=1)  # what a worker could not store in this time is given up

_SELECT: Final = (
    "SELECT id, wrapped FROM compliance_subjectkey WHERE tenant_id = {0} AND id > {0} ORDER BY id LIMIT 200"
)
_UPDATE: Final = "UPDATE compliance_subjectkey SET wrapped = {0} WHERE id = {0}"

Wrapped = tuple[str, bytes]
Reading = Callable[[str], list[Wrapped]]


class Rewrapped(msgspec.Struct):
    """How many tenants' keys were made or dropped, and how many data keys wrapped anew."""

    tenants: int = 0
    keys: int = 0


def rotate(*, heard: float = HEARD) -> Rewrapped:
    """A new key for every tenant and the platform; the old ones still open what living workers wrap with them.

    Blocking, safe to repeat. Raises StoreAway, SealBroken."""
    owners = sorted({row.tenant_id or PLATFORM for row in TenantKey.objects.everywhere()})
    for owner in owners:
        _add(owner)
    time.sleep(heard)
    return Rewrapped(len(owners), sum(_rewrap(owner) for owner in owners))


def drop_retired(*, spared: timedelta = SPARED) -> Rewrapped:
    """Removes keys that were replaced so long ago, once nothing is wrapped with them any more. Raises StoreAway."""
    told = Rewrapped()
    before = timezone.now() - spared
    rows: dict[int, list[TenantKey]] = {}
    for row in TenantKey.objects.everywhere().order_by("number"):
        rows.setdefault(row.tenant_id or PLATFORM, []).append(row)
    for owner, mine in rows.items():
        if len(mine) > 1 and mine[-1].created_at <= before:
            told.keys += _rewrap(owner)
            for row in mine[:-1]:
                row.delete()
                told.tenants += 1
    return told


def _add(owner: int) -> None:
    """The naming secret stays: pseudonyms are what they were."""
    with transaction.atomic():
        rows = TenantKey.objects.everywhere().filter(tenant_id=owner or None).order_by("-number")
        last = rows.select_for_update()[0]
        naming, _ = stored_keys.opened_secrets(last)
        stored_keys.add(owner or None, last.number + 1, naming, os.urandom(SECRET))


def _rewrap(owner: int) -> int:
    keys = stored_keys.stored(owner)
    if keys is None:
        raise StoreAway(f"the key of tenant {owner} cannot be opened")
    if owner != PLATFORM:
        questions.rewrap(owner, keys)
    first = first_file()
    if first is None:
        return _on_server(owner, keys)
    paths = [slots.slot_path(first, number) for number in slots.existing(first)]
    return sum(_in_file(path, owner, keys) for path in paths if tables.migrated(path))


def _anew(owner: int, keys: TenantKeys, rows: Sequence[Wrapped]) -> list[tuple[bytes, str]]:
    """Of those that another key than the newest wrapped. Raises SealBroken."""
    old = [(key_id, bytes(wrapped)) for key_id, wrapped in rows if keys.outdated(bytes(wrapped))]
    return [
        (keys.wrap(keys.unwrap(wrapped, label(owner, key_id)), label(owner, key_id)), key_id) for key_id, wrapped in old
    ]


def _in_file(path: Path, owner: int, keys: TenantKeys) -> int:
    changed = 0
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        ) as database:
            database.execute("PRAGMA secure_delete = ON")
            database.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
            for rows in _chunks(lambda last: database.execute(_SELECT.format("?"), (owner, last)).fetchall()):
                if anew := _anew(owner, keys, rows):
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany(_UPDATE.format("?"), anew)
                    database.execute("COMMIT")
                    changed += len(anew)
            if changed:
                cut(database, path)
    except sqlite3.Error as error:
        raise StoreAway(f"{path}: {error}") from error
    return changed


def _on_server(owner: int, keys: TenantKeys) -> int:
    changed = 0
    try:
        with connections[ALIAS].cursor() as cursor:

            def read(last: str) -> list[Wrapped]:
                cursor.execute(_SELECT.format("%s"), (owner, last))
                found: list[Wrapped] = cursor.fetchall()
                return found

            for rows in _chunks(read):
                if anew := _anew(owner, keys, rows):
                    cursor.executemany(_UPDATE.format("%s"), anew)
                    changed += len(anew)
            if changed and connections[ALIAS].vendor == "postgresql" and not connections[ALIAS].in_atomic_block:
                cursor.execute("VACUUM compliance_subjectkey")
    except DatabaseFailure as error:
        raise StoreAway(str(error)) from error
    return changed


def _chunks(read: Reading) -> Iterator[list[Wrapped]]:
    last = ""
    while rows := read(last):
        yield rows
        last = rows[-1][0]
