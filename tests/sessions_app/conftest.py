from __future__ import annotations

import pytest

from engine.snapshots import Cell
from tenants.isolation import Stores
from tests.cast import tenant_table
from tests.sessions_app.parts import sessions


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
