"""A tenant's plugins as they run: each with its time, whether it is required, and what became of its hooks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import msgspec

from plugins.base import PluginBase
from plugins.breaker import Breaker
from plugins.states import PluginState

HOOKS: Final = ("pre_process", "process_delta", "post_process")  # in the order they run
LONGEST_ERROR: Final = 300  # characters
AT_ONCE: Final = 8  # `def` hooks of one plugin of one tenant that run at the same time; others wait within their time
RAN: Final = ("ok", "blocked")  # outcomes of hooks that ran to their end,
FAILED: Final = ("failed", "slow")  # and of those that did not
NOT_CALLED: Final = frozenset({"missing", "open", "stuck"})
STRIKES: Final = frozenset({"failed", "slow", "blocked"})  # what opens the breaker


class Loaded:
    """A plugin of a tenant with its settings, as long as they stay the same. `plugin` None: it is not installed or
    could not be made, `last_error` says why. `uses`: turns that have it now."""

    __slots__ = (
        "breaker", "changes_answer", "free", "gate", "given_up", "hooked", "last_error", "last_error_at", "name",
        "outcomes", "plugin", "seconds", "sees_deltas", "sees_end", "slowest", "uses", "whole",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        plugin: PluginBase | None,
        error: BaseException | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.breaker = Breaker(monotonic)
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.given_up: list[Future[None] | asyncio.Future[None]] = []
        self.uses = 0
        self.free: Callable[[], None] | None = None  # called when the last turn lets go of it
        self.outcomes: Counter[str] = Counter()
        self.seconds = self.slowest = 0.0
        self.last_error = "" if error is None else told(error)
        self.last_error_at = None if error is None else time.time()
        post = plugin is not None and overrides(plugin, "post_process")
        said = plugin.needs_full_response if plugin is not None else None
        self.whole = post if said is None else said
        self.hooked = plugin is None or self.whole or any(overrides(plugin, each) for each in HOOKS)
        self.changes_answer = post and self.whole
        self.sees_end = post and not self.whole
        self.sees_deltas = plugin is not None and overrides(plugin, "process_delta") and not self.changes_answer

    def take(self) -> None:
        self.uses += 1

    def let_go(self) -> None:
        self.uses -= 1
        if not self.uses and self.free is not None:
            self.free()

    def note(self, hook: str, outcome: str, seconds: float, error: BaseException | None) -> None:
        """What became of a hook. Tells the breaker, unless the plugin was not called."""
        self.outcomes[outcome] += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        if outcome not in RAN and outcome not in NOT_CALLED:
            self.last_error, self.last_error_at = told(error, outcome), time.time()
        if outcome == "ok":
            self.breaker.succeeded(hook)
        elif outcome in STRIKES:
            self.breaker.failed(hook)


class Active(msgspec.Struct, frozen=True, eq=False):
    """A plugin in a tenant's chain. `timeout` is in seconds, for each hook."""

    loaded: Loaded
    timeout: float = 1.0
    required: bool = False

    @classmethod
    def of(cls, plugin: PluginBase, *, required: bool = False, timeout: float | None = None) -> Active:
        """A plugin that was made just now."""
        return cls(Loaded(plugin.name, plugin), plugin.timeout if timeout is None else timeout, required)

    @property
    def name(self) -> str:
        return self.loaded.name

    def state(self) -> PluginState:
        loaded = self.loaded
        outcomes = loaded.outcomes
        return PluginState(
            plugin=loaded.name,
            breaker="missing" if loaded.plugin is None else loaded.breaker.position,
            retry_in=round(loaded.breaker.retry_in, 1),
            required=self.required,
            calls=sum(outcomes[each] for each in (*RAN, *FAILED)),
            failures=sum(outcomes[each] for each in FAILED),
            outcomes=dict(outcomes),
            last_error=loaded.last_error,
            last_error_at=loaded.last_error_at,
            seconds=round(loaded.seconds, 4),
            slowest=round(loaded.slowest, 4),
        )


class PluginTable(msgspec.Struct, frozen=True):
    """Every tenant's plugins in their order, ready to run, and by their row what they were made from. `turns` are those
    that a turn goes through: one without hooks has no business there, one that could not be made does, as a skipped
    hook."""

    tenants: dict[int, tuple[Active, ...]] = {}
    made: dict[int, tuple[str, bytes, Loaded]] = {}
    turns: dict[int, tuple[Active, ...]] = {}

    def __post_init__(self) -> None:
        for tenant_id, plugins in self.tenants.items():
            if hooked := tuple(each for each in plugins if each.loaded.hooked):
                self.turns[tenant_id] = hooked

    def loaded(self) -> list[Loaded]:
        return [each for _, _, each in self.made.values()]


def overrides(plugin: PluginBase, hook: str) -> bool:
    return getattr(type(plugin), hook) is not getattr(PluginBase, hook)


def told(error: BaseException | None, outcome: str = "") -> str:
    """One line for whoever looks after the plugin."""
    text = f"{type(error).__name__}: {error}" if error is not None else outcome
    return " ".join(text.split())[:LONGEST_ERROR]
