from __future__ import annotations

import pytest

from engine.snapshots import Cell
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.quotas import AllowanceTable
from tests.cast import tenant_table
from tests.tenants.limits.spending import RecordedSpending


@pytest.fixture
def tenants():
    return Cell(tenant_table())


@pytest.fixture
def allowances():
    return Cell(AllowanceTable())


@pytest.fixture
def spending():
    return RecordedSpending()


@pytest.fixture
async def stores(valkey_url, tenants):
    stores = Stores([valkey_url], tenants)
    yield stores
    await stores.close()


@pytest.fixture
async def limits(stores, tenants, allowances, spending):
    limits = Limits(stores, tenants, allowances, spending=spending)
    yield limits
    limits.close()
