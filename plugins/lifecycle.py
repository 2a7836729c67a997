"""A plugin that was replaced or switched off is closed once no turn uses it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from plugins.active import Loaded, PluginTable
from plugins.hooks import settled

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0  # seconds that a plugin has to close,
MOST_WAIT: Final = 600.0  # and that its last turns have to end


async def close_replaced(replaced: PluginTable, table: PluginTable) -> None:
    """Those of `replaced` that `table` does not have. On the event loop whose turns use them."""
    kept = {id(each) for each in table.loaded()}
    await close(each for each in replaced.loaded() if id(each) not in kept)


async def close(plugins: Iterable[Loaded], *, wait: float = MOST_WAIT) -> None:
    await asyncio.gather(*(_close(each, wait) for each in plugins if each.plugin is not None))


async def _close(loaded: Loaded, wait: float) -> None:
    if loaded.uses:
        free = asyncio.Event()
        loaded.free = free.set
        try:
            await asyncio.wait_for(free.wait(), wait)
        except TimeoutError:
            log.warning("plugin %s is closed while turns use it", loaded.name)
    assert loaded.plugin is not None
    try:
        await asyncio.wait_for(settled(loaded.plugin.close()), PATIENCE)
    except Exception as error:  # noqa: BLE001 - border: a plugin that cannot close harms nobody but itself
        log.warning("plugin %s could not be closed: %r", loaded.name, error)
