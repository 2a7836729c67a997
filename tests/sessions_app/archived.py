"""Idle sessions in a store, and what puts them away."""

from __future__ import annotations

import time

from django.core.files.storage import default_storage

from compliance.sealing.vault import SubjectVault
from engine.types import Message
from sessions_app.archive import Archive
from sessions_app.layout import Home, idle_member
from sessions_app.records import Record
from sessions_app.recovery import SessionRecovery
from sessions_app.shelf import ROOT, Shelf, rows_of
from sessions_app.sweeping import Sweeper
from sessions_app.writing import SessionFiles
from tests.engine.journal import MemoryJournal
from tests.sessions_app.parts import MemoryPast, sessions

HOUR = 3600


def record(version: int = 2, *, age: float = 2 * HOUR, **fields) -> Record:
    given = {
        "last_active": int(time.time() - age),
        "model_version": "v1",
        "model": "small",
        "instance": 7,
        "user_profile": {"name": "Ada"},
        "system": [Message("system", "Be brief")],
        "turns": [[Message("user", "canary 你好"), Message("assistant", "Hello")]] * version,
    }
    return Record(version=version, **{**given, **fields})


class Place:
    """A tenant's store, its archive, and sessions over both."""

    def __init__(self, stores, tenants, tenant_id: int = 1) -> None:
        self.stores, self.tenant_id = stores, tenant_id
        self.store = stores.tenant(tenant_id)
        self.files = SessionFiles(stores)
        self.shelf = Shelf(SubjectVault())
        self.journal = MemoryJournal()
        self.past = MemoryPast(self.journal)
        self.archive = Archive(SubjectVault(), threads=2)
        self.sessions = sessions(stores, tenants, self.journal, self.past, archive=self.archive)
        self.recovery = SessionRecovery(stores, self.past, archive=self.archive)

    async def put(self, session_id: str, user: str = "1", content: Record | None = None) -> Record:
        """An idle session as its last turn left it."""
        content, home = content or record(), Home(self.tenant_id, user)
        era = self.store.era(home.session(session_id))
        assert await self.files.put(home, session_id, content, ["t1"], era=era, score=float(content.last_active))
        await self.store.call("ZADD", home.idle, content.last_active, idle_member(user, session_id))
        return content

    def sweeper(self, **options) -> Sweeper:
        return Sweeper(self.store, self.shelf, self.tenant_id, self.recovery, **{"rest": 0.0, **options})

    async def sweep(self, idle: int = HOUR, **options):
        return await self.sweeper(**options).sweep(int(time.time()) - idle)

    async def names(self) -> list[str]:
        return sorted([name async for some in self.store.scan() for name in some])

    def rows(self):
        return rows_of(self.tenant_id)

    def objects(self) -> list[str]:
        """All of the tenant's."""
        try:
            folders = default_storage.listdir(f"{ROOT}/{self.tenant_id}")[0]
        except FileNotFoundError:
            return []
        found = [(one, default_storage.listdir(f"{ROOT}/{self.tenant_id}/{one}")[1]) for one in folders]
        return sorted(f"{ROOT}/{self.tenant_id}/{one}/{name}" for one, names in found for name in names)
