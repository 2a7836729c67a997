from __future__ import annotations

import pytest

from engine.snapshots import Cell
from tenants.isolation import Stores
from tests.cast import tenant_table
from tests.engine.journal import MemoryJournal
from tests.services.valkey import ValkeyServer
from tests.sessions_app.parts import MemoryPast, sessions


@pytest.fixture
def tenants():
    return Cell(tenant_table())


@pytest.fixture
async def stores(valkey_url, tenants):
    stores = Stores([valkey_url], tenants)
    yield stores
    await stores.close()


@pytest.fixture
def store(stores, tenants):
    return sessions(stores, tenants)


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def past(journal):
    return MemoryPast(journal)


@pytest.fixture
def saving(tmp_path):
    """A server of the test's own, that keeps its last save only."""
    server = ValkeyServer(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def shaky(saving, tenants, journal, past):
    stores = Stores([saving.url], tenants)
    yield sessions(stores, tenants, journal, past), stores
    await stores.close()
