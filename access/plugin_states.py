"""How each worker sees a tenant's plugins; see `plugins.states`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from plugins.chain import PluginChain
from plugins.states import PluginState

PLUGINS: Final = "plugins"


def states(plugins: PluginChain) -> Callable[[str], list[PluginState]]:
    """For `tenants.asking`, whose question's text is the tenant's id: its plugins in their order."""

    def told(text: str) -> list[PluginState]:
        return plugins.states(int(text)) if text.isdecimal() else []

    return told
