"""A site whose sessions are real ones, and OpenAI's client in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.snapshots import Cell
from tenants.isolation import Stores
from tests.access.parts import Site, build
from tests.cast import tenant_table
from tests.engine.journal import MemoryJournal
from tests.engine.parts import ScriptedModel
from tests.sessions_app.parts import MemoryPast, sessions


@asynccontextmanager
async def remembering(valkey_url: str, model: ScriptedModel | None = None, **options: Any) -> AsyncIterator[Site]:
    tenants, journal = Cell(tenant_table()), MemoryJournal()
    stores = Stores([valkey_url], tenants)
    kept = sessions(stores, tenants, journal, MemoryPast(journal))
    try:
        yield build(model or ScriptedModel(), sessions=kept, journal=journal, **options)
    finally:
        await stores.close()


def asked_of(model: ScriptedModel, call: int = -1) -> list[tuple[str, Any]]:
    """What a call was sent, message by message."""
    return [(message.role, message.content) for message in model.calls[call].messages]
