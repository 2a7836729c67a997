"""How one worker sees a tenant's plugins: what was called, what failed and why, and which of them is left alone."""

from __future__ import annotations

from typing import Literal

import msgspec

from plugins.breaker import Position


class PluginState(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's word of one plugin of a tenant, since its settings last changed or the worker started. `breaker` is
    `missing` where the plugin is not installed or could not be made (`last_error` says why); `retry_in` is in seconds,
    until a plugin whose breaker is open is tried again. `calls` are hooks that were run, `failures` those of them that
    did not run to their end; `outcomes` counts all by outcome (see `plugins.hooks`). `last_error_at` is in Unix
    seconds, `seconds` what the hooks took in all, `slowest` the longest of them."""

    plugin: str
    breaker: Position | Literal["missing"]
    retry_in: float
    required: bool
    calls: int
    failures: int
    outcomes: dict[str, int]
    last_error: str
    last_error_at: float | None
    seconds: float
    slowest: float
