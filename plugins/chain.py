"""The plugins of a turn, in order and back. Implements `engine.ports.Plugins`."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from engine.entries import SkippedHook
from engine.errors import PluginUnavailable
from engine.ports import PluginRun, Session
from engine.snapshots import Cell
from engine.types import ChatRequest, Message, Principal
from plugins.active import Active, PluginTable, overrides
from plugins.base import TurnContext, TurnResponse
from plugins.hooks import HookRunner, HookSkipped
from plugins.run import ChainRun, NoPlugins
from plugins.states import PluginState

log = logging.getLogger(__name__)

UNUSABLE: Final = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)  # what copying a hook's leavings raises
QUIET: Final = frozenset({"open", "missing", "stuck"})  # told when it began: not again with every turn


class HookMeter(Protocol):
    def hook(self, *, plugin: str, hook: str, outcome: str, seconds: float) -> None:
        """Counts what became of a hook; see `plugins.hooks`."""


class Uncounted:
    def hook(self, *, plugin: str, hook: str, outcome: str, seconds: float) -> None:
        """Nobody wants to know."""


class PluginChain:
    """Runs the plugins of whoever is calling. `skipped` counts the hooks that did not run to their end, by plugin and
    outcome."""

    def __init__(
        self, cell: Cell[PluginTable], runner: HookRunner | None = None, meter: HookMeter | None = None
    ) -> None:
        self.skipped: Counter[tuple[str, str]] = Counter()
        self._cell = cell
        self._runner = runner or HookRunner()
        self._meter = meter or Uncounted()
        self._nothing = NoPlugins()

    def run(
        self,
        principal: Principal,
        request: ChatRequest,
        session: Session | None,
        messages: Sequence[Message],
        turn_id: str,
        *,
        rehearsal: bool = False,
    ) -> PluginRun:
        """See `engine.ports.Plugins`."""
        plugins = self._cell.value.turns.get(principal.tenant_id)
        if rehearsal and plugins:
            plugins = tuple(each for each in plugins if each.loaded.plugin is not None and each.loaded.plugin.pure)
        if not plugins:
            return self._nothing

        def context(run: ChainRun) -> TurnContext:
            return TurnContext(
                principal=principal,
                request=request,
                session=session,
                messages=run.messages,
                features=run.features,
                turn_id=turn_id,
            )

        return ChainRun(self, plugins, messages, context, rehearsal=rehearsal)

    def spoken(self, principal: Principal, request: ChatRequest) -> str | None:
        """See `engine.ports.Plugins`. The first plugin that has a method of this name says it."""
        for active in self._cell.value.tenants.get(principal.tenant_id, ()):
            ask = getattr(active.loaded.plugin, "spoken", None)
            if ask is not None:
                try:
                    found = ask(request)
                except Exception:  # noqa: BLE001 - border: an error is told in English rather than not at all
                    log.exception("plugin %s cannot say the language of a request", active.name)
                    return None
                return found if isinstance(found, str) and found else None
        return None

    def states(self, tenant_id: int) -> list[PluginState]:
        """This worker's, in the tenant's order."""
        return [each.state() for each in self._cell.value.tenants.get(tenant_id, ())]

    async def call(
        self,
        run: ChainRun,
        active: Active,
        hook: str,
        argument: TurnContext | TurnResponse,
        take: Callable[[], None],
    ) -> bool:
        """Runs the hook, then takes over what it left; nothing of it, and False, if it fails or leaves what cannot be
        used. Raises PluginUnavailable where the plugin is required."""
        loaded = active.loaded
        if loaded.plugin is None:
            self.skip(run, active, hook, "missing")
            return False
        if not overrides(loaded.plugin, hook):
            take()
            return True
        if not loaded.breaker.enter():
            self.skip(run, active, hook, "open")
            return False
        began = time.monotonic()
        try:
            blocked = await self._runner.run(loaded, getattr(loaded.plugin, hook), argument, active.timeout)
            take()
        except (HookSkipped, *UNUSABLE) as error:
            reason = error.reason if isinstance(error, HookSkipped) else "failed"
            cause = error.__cause__ if isinstance(error, HookSkipped) else error
            if reason == "stuck":
                loaded.breaker.left()
            self.skip(run, active, hook, reason, error=cause, seconds=time.monotonic() - began)
            return False
        except BaseException:
            loaded.breaker.left()
            raise
        self.ran(active, hook, "blocked" if blocked else "ok", time.monotonic() - began)
        return True

    def ran(self, active: Active, hook: str, outcome: str, seconds: float) -> None:
        if outcome == "blocked":
            log.warning("plugin %s: %s kept the event loop busy", active.name, hook)
        active.loaded.note(hook, outcome, seconds, None)
        self._meter.hook(plugin=active.name, hook=hook, outcome=outcome, seconds=seconds)

    def skip(
        self,
        run: ChainRun,
        active: Active,
        hook: str,
        reason: str,
        *,
        error: BaseException | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Raises PluginUnavailable where the plugin is required."""
        self.skipped[active.name, reason] += 1
        if reason not in QUIET:
            log.warning("plugin %s: %s skipped, %s", active.name, hook, reason, exc_info=error)
        active.loaded.note(hook, reason, seconds, error)
        self._meter.hook(plugin=active.name, hook=hook, outcome=reason, seconds=seconds)
        run.skipped.append(SkippedHook(active.name, hook, reason))
        if active.required and not run.rehearsal:
            raise PluginUnavailable() from error
