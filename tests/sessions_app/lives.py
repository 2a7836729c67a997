"""A store that came back with less than it had."""

from __future__ import annotations

import asyncio

from engine.errors import StoreUnavailable
from tests.cast import ACME


async def back_in_time(saving, stores):
    """Killed and started again: it has what it last saved."""
    saving.kill()
    saving.start()
    for _ in range(200):
        try:
            await stores.tenant(ACME.id).call("PING")
            return
        except StoreUnavailable:
            await asyncio.sleep(0.02)


async def save(stores):
    await stores.tenant(ACME.id).call("SAVE")
