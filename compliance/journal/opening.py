"""How a process gets its writer: on SQLite a slot and its file with the current tables, on PostgreSQL an address."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.journal.answering import ANSWER, address_of
from compliance.journal.postgres import PostgresStore, Sweeper
from compliance.journal.replaying import Spools
from compliance.journal.spool import SpoolStore
from compliance.journal.sqlite import SqliteStore, sweep_files
from compliance.journal.store import NoBacklog, Store
from compliance.journal.writer import JournalWriter
from compliance.sealing.forgetting import living
from compliance.sealing.sealer import Sealer

ANSWER_BEFORE_SPOOL: Final = 1.0  # seconds: what waits longer for the database goes to the disk within its own 2 s


def open_journal(sealer: Sealer) -> JournalWriter:
    """This process's writer, not started yet. Blocking; call it after forking and outside the event loop.

    Raises ImproperlyConfigured (no such database, or not migrated), slots.NoSlot."""
    worker = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
    if connections[ALIAS].vendor == "postgresql":
        address = address_of(settings.JOURNAL_WRITER or connections[ALIAS].settings_dict)
        answer = ANSWER_BEFORE_SPOOL if settings.JOURNAL_SPOOL else ANSWER
        return JournalWriter(_with_spool(PostgresStore(address, worker, answer=answer)), sealer)
    first = first_file()
    if first is None:
        raise ImproperlyConfigured("JOURNAL_URL: the journal is written to SQLite files or to PostgreSQL")
    if not tables.migrated(first):
        raise ImproperlyConfigured(f"{first} has no tables: run `manage.py migrate --database {ALIAS}`")
    slot = slots.claim(first)
    try:
        if slot.number:
            tables.migrate_slot(first, slot.number)
        return JournalWriter(_with_spool(SqliteStore(slot, worker)), sealer)
    except BaseException:
        slot.release()
        raise


def sweeper(worker: str) -> Callable[[], int]:
    """Ends what dead workers left open, for a process that writes no turns, with the rights of `JOURNAL_URL`: to be
    called every few seconds, by one thread; how many turns were ended. The calls raise StoreAway."""
    backlog = Spools(Path(settings.JOURNAL_SPOOL), living=living) if settings.JOURNAL_SPOOL else NoBacklog()
    first = first_file()
    if first is not None:
        return partial(sweep_files, first, worker, backlog)
    return partial(Sweeper(address_of(connections[ALIAS].settings_dict), worker).sweep, backlog)


def _with_spool(store: Store) -> Store:
    if not settings.JOURNAL_SPOOL:
        return store
    return SpoolStore(store, Path(settings.JOURNAL_SPOOL), limit=settings.JOURNAL_SPOOL_MB << 20, living=living)
