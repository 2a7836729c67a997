"""How a tenant's plugin fares at every worker, for people."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.utils.translation import gettext as _

from access.console.bridge import live_of
from access.console.recorded_turn import duration, moment
from access.console.sessions import asked
from access.plugin_states import PLUGINS
from engine.errors import EngineError
from engine.types import Json
from plugins.states import PluginState


def states_table(request: HttpRequest, tenant_id: int, plugin: str) -> Json:
    """`table` for django-unfold with a row for each worker, `count` of those that answered; or `trouble`."""
    try:
        bridge, live = live_of(request)
        workers = len(asked(bridge, live.turns.workers()))
        told = asked(bridge, live.asking.ask(PLUGINS, str(tenant_id), workers=workers))
    except EngineError as error:
        return {"trouble": f"{error.message} ({error.code})"}
    rows = [
        _row(worker, state)
        for worker, said in sorted(told.items())
        for state in msgspec.convert(said or [], list[PluginState])
        if state.plugin == plugin
    ]
    headers = [
        _("Worker"), _("State"), _("Hooks run"), _("Skipped"), _("Slowest"), _("Average"), _("Last error"), _("At"),
    ]  # fmt: skip
    return {"table": {"headers": headers, "rows": rows}, "count": len(told), "all": workers}


def _row(worker: str, state: PluginState) -> list[Any]:
    skipped = {outcome: count for outcome, count in state.outcomes.items() if outcome != "ok" and count}
    return [
        worker,
        _standing(state),
        state.calls,
        ", ".join(f"{outcome} {count}" for outcome, count in sorted(skipped.items())) or "—",
        duration(state.slowest) if state.calls else "—",
        duration(state.seconds / state.calls) if state.calls else "—",
        state.last_error or "—",
        moment(state.last_error_at) if state.last_error_at is not None else "—",
    ]


def _standing(state: PluginState) -> str:
    if state.breaker == "missing":
        return _("not installed, or cannot be made")
    if state.breaker == "closed":
        return _("ready")
    if state.breaker == "open":
        return _("left alone for another %(seconds)s s") % {"seconds": round(state.retry_in)}
    return _("being tried again")
