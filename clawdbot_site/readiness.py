"""What `/readyz` asks before it says that a process may be sent work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from access.health import Health, Held, Probe
from compliance.journal.writer import JournalWriter
from engine.snapshots import Cell
from routing.table import Entry, RoutingTable
from tenants.handles import Store

KEY: Final = f"clawdbot:probe:{os.uname().nodename}"  # one a machine, so that none is left behind
LIFE: Final = 60  # seconds it stays
LOOK: Final = 2.0  # seconds between two looks whether the databases have been migrated


def health(
    *,
    started: Callable[[], bool],
    accepts: Callable[[], bool],
    journal: JournalWriter,
    store: Store,
    routes: Cell[RoutingTable],
) -> Health:
    """Every probe that asks somebody else is held: who asks without pause, whoever it is, causes two questions a second
    at most, and no row."""

    migrated = Migrated(settings.DATABASES)
    migrated.begin()

    def said(true: Callable[[], bool]) -> Probe:
        async def probe() -> bool:
            return true()

        return probe

    async def stores() -> bool:
        """A write, as one is what a full store, or one that became a replica, refuses."""
        return bool(await store.call("SET", KEY, b"1", "EX", LIFE) == b"OK")

    return Health(
        ready={
            "accepting": said(accepts),
            "journal": Held(journal.takes),
            "store": Held(stores),
            "models": said(lambda: some_model(routes.value.entries.values(), time.monotonic())),
            "migrations": migrated,
        },
        started={"started": said(started)},
        degraded={
            "journal_spool": lambda: journal.waiting.spooled > 0,
            "no_model": lambda: not routes.value.entries,
        },
    )


def some_model(entries: Iterable[Entry], now: float) -> bool:
    """Whether a call could be made: of an instance whose breaker is closed, or open for long enough that a call may
    try it, since an instance that is asked by nobody else would never be found to be back. Where there are none at all
    there is nothing to wait for, and the console where the first is made is behind the same address. Tenants' own do
    not count: no tenant's is to take a gateway from the others, nor to speak for the model they lack."""
    shared = [entry for entry in entries if entry.instance.tenant_id is None]
    chatting = [entry.health for entry in shared if entry.instance.task == "chat"]
    return not chatting or any(not health.breaker.blocks(now) for health in chatting)


class Migrated:
    """Whether every migration this code came with is in the databases; what is there beyond is a newer code's. Once
    they are, nobody asks again."""

    def __init__(self, aliases: Iterable[str]) -> None:
        self._lacking = list(aliases)
        self._look = Held(self._nothing_lacks, LOOK)

    def begin(self) -> None:
        """Looks before anybody asks: a worker that is asked first while a database is away has seen it."""
        self._first = asyncio.get_running_loop().create_task(self())

    async def __call__(self) -> bool:
        return not self._lacking or await self._look()

    async def _nothing_lacks(self) -> bool:
        await asyncio.to_thread(self._ask)
        return not self._lacking

    def _ask(self) -> None:
        """Raises DatabaseError: nobody can say."""
        wanted = set(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())
        for alias in list(self._lacking):
            try:
                if wanted <= MigrationRecorder(connections[alias]).applied_migrations().keys():
                    self._lacking.remove(alias)
            finally:
                connections[alias].close()
