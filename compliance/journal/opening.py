"""How a process gets its writer: a slot, its file with the current tables, a name."""

from __future__ import annotations

import os
import secrets
import socket

from django.core.exceptions import ImproperlyConfigured

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.journal.sqlite import SqliteStore
from compliance.journal.writer import JournalWriter
from compliance.sealing.sealer import Sealer


def open_journal(sealer: Sealer) -> JournalWriter:
    """This process's writer, not started yet. Blocking; call it after forking and outside the event loop.

    Raises ImproperlyConfigured (no SQLite file, or not migrated), slots.NoSlot."""
    first = first_file()
    if first is None:
        raise ImproperlyConfigured("JOURNAL_URL: the journal is written to SQLite files only")
    if not tables.migrated(first):
        raise ImproperlyConfigured(f"{first} has no tables: run `manage.py migrate --database {ALIAS}`")
    slot = slots.claim(first)
    try:
        if slot.number:
            tables.migrate_slot(first, slot.number)
        worker = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        return JournalWriter(SqliteStore(slot, worker), sealer)
    except BaseException:
        slot.release()
        raise
