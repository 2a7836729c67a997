"""The plugins of a turn, in order and back. Implements `engine.ports.Plugins`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from engine.ports import PluginRun, Session
from engine.snapshots import Cell
from engine.types import ChatRequest, Choice, Json, Message, Principal
from plugins.base import PluginBase, TurnContext, TurnResponse, copied
from plugins.hooks import HookRunner, HookSkipped
from plugins.states import PluginState

log = logging.getLogger(__name__)

UNUSABLE: Final = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)  # what copying a hook's leavings raises


class PluginTable(msgspec.Struct, frozen=True):
    """Every tenant's plugins in their order, ready to run, and by their row what they were made from."""

    tenants: dict[int, tuple[PluginBase, ...]] = {}
    made: dict[int, tuple[str, bytes, PluginBase]] = {}


class PluginChain:
    """Runs the plugins of whoever is calling. `skipped` counts the hooks that did not run to their end, by plugin and
    reason (`failed`, `slow`, `stuck`)."""

    def __init__(self, cell: Cell[PluginTable], runner: HookRunner | None = None) -> None:
        self.skipped: Counter[tuple[str, str]] = Counter()
        self._cell = cell
        self._runner = runner or HookRunner()
        self._nothing = NoPlugins()

    async def pre(
        self,
        principal: Principal,
        request: ChatRequest,
        session: Session | None,
        messages: Sequence[Message],
        turn_id: str,
    ) -> PluginRun:
        """Runs the hooks before the model. When one answers, those after it do not run, and the hooks after the model
        have already run over the answer."""
        plugins = self._cell.value.tenants.get(principal.tenant_id)
        if not plugins:
            return self._nothing
        run = ChainRun(self, messages)
        for plugin in plugins:
            context = TurnContext(
                principal=principal,
                request=request,
                session=session,
                messages=run.messages,
                features=run.features,
                turn_id=turn_id,
            )
            await self.call(plugin, "pre_process", context, partial(run.take, plugin, context))
            if run.answer is not None:
                choices = await run.post([Choice(message=run.answer, finish_reason="stop")])
                run.answer = choices[0].message
                break
        return run

    def states(self, tenant_id: int) -> list[PluginState]:
        """This worker's, in the tenant's order."""
        return []

    async def call(
        self, plugin: PluginBase, hook: str, argument: TurnContext | TurnResponse, take: Callable[[], None]
    ) -> None:
        """Runs the hook, then takes over what it left; nothing of it if it fails or leaves what cannot be used."""
        try:
            if overrides(plugin, hook):
                await self._runner.run(plugin, getattr(plugin, hook), argument)
            take()
        except (HookSkipped, *UNUSABLE) as error:
            reason = error.reason if isinstance(error, HookSkipped) else "failed"
            self.skipped[plugin.name, reason] += 1
            log.warning("plugin %s: %s skipped, %s", plugin.name, hook, reason, exc_info=error.__cause__ or error)


class ChainRun:
    """The plugins of one turn: what they made of it so far, and those whose hook before the model ran to its end."""

    def __init__(self, chain: PluginChain, messages: Sequence[Message]) -> None:
        self.answer: Message | None = None
        self.messages = messages
        self.features: Json = {}
        self.touched = False
        self.needs_full_response = False
        self._chain = chain
        self._ran: list[tuple[PluginBase, TurnContext]] = []

    def take(self, plugin: PluginBase, context: TurnContext) -> None:
        """Copies: what the plugin does to its context from now on changes nothing."""
        messages = copied(context.messages, list[Message])
        features = copied(context.features, Json)
        answer = None if context.answered is None else copied(context.answered, Message)
        self.touched = self.touched or messages != list(self.messages)
        self.messages, self.features, self.answer = messages, features, answer
        self.needs_full_response = self.needs_full_response or overrides(plugin, "post_process")
        self._ran.append((plugin, context))

    async def post(self, choices: list[Choice]) -> list[Choice]:
        for plugin, context in reversed(self._ran):
            if overrides(plugin, "post_process"):
                response = TurnResponse(choices, context)
                changed: list[Choice] = []
                await self._chain.call(plugin, "post_process", response, partial(_take_choices, response, changed))
                choices = changed or choices
        return choices


def _take_choices(response: TurnResponse, changed: list[Choice]) -> None:
    choices = copied(response.choices, list[Choice])
    if not choices:
        raise ValueError("the hook left no choice")
    changed.extend(choices)


class NoPlugins:
    """The run of a tenant without plugins. It has no state, so all turns share one."""

    needs_full_response = False
    touched = False

    def __init__(self) -> None:
        self.answer: Message | None = None
        self.messages: Sequence[Message] = ()
        self.features: Json = {}

    async def post(self, choices: list[Choice]) -> list[Choice]:
        return choices


def overrides(plugin: PluginBase, hook: str) -> bool:
    return getattr(type(plugin), hook) is not getattr(PluginBase, hook)
