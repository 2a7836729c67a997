"""One sequencer leads at a time: the others stand by until its lock is free.

On SQLite the lock is the flock of the sequencer's own file; on PostgreSQL an advisory lock of the connection it works
with, so that whoever loses the connection no longer leads."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, Self

from django.db import connections
from django.db.utils import InterfaceError, OperationalError

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.tree.database import open_file

LOCK: Final = 0x636C6177_7472_6565  # "clawtree"; any number nobody else takes


class Leader:
    """Leads until it is closed. `alias` is where the tree is written; `slot` the file on SQLite, else None."""

    def __init__(self, alias: str, slot: slots.Slot | None, stack: ExitStack) -> None:
        self.alias = alias
        self.slot = slot
        self._stack = stack

    def leads(self) -> bool:
        """Whether it still does."""
        if self.slot is not None:
            return True
        try:
            with connections[self.alias].cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted "
                    "AND classid = %s AND objid = %s",
                    [LOCK >> 32, LOCK & 0xFFFFFFFF],
                )
                return cursor.fetchone() is not None
        except (OperationalError, InterfaceError):
            return False

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lead() -> Leader | None:
    """None: another process does. Blocking; raises django.db.Error: the database is away."""
    first = first_file()
    with ExitStack() as stack:
        if first is None:
            connection = connections[ALIAS]
            stack.callback(connection.close)  # and with it the lock
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
                if not cursor.fetchone()[0]:
                    return None
            return Leader(ALIAS, None, stack.pop_all())
        slot = slots.take(first, slots.SEQUENCER)
        if slot is None:
            return None
        stack.callback(slot.release)
        tables.migrate_slot(first, slots.SEQUENCER)
        alias = stack.enter_context(open_file(slot.path))
        return Leader(alias, slot, stack.pop_all())
