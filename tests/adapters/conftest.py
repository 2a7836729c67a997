"""Either HTTP client before a raw server that says what it is told. Modules may have their own fixtures instead."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aiohttp_client import AiohttpClient
from engine.http1 import DirectClient
from tests.adapters.upstream import Upstream


@pytest.fixture(params=[DirectClient, AiohttpClient])
async def http(request: pytest.FixtureRequest) -> Any:
    client = request.param(private=True)
    yield client
    await client.close()


@pytest.fixture
async def upstream() -> Any:
    async with Upstream() as server:
        yield server
