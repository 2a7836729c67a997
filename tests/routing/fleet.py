"""A routing table in memory for tests: no database, a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.errors import UpstreamError
from engine.snapshots import Cell
from engine.types import Answerer, ChatRequest, Constraints, Instance, Message
from routing.breaker import Change
from routing.conditions import compile_condition
from routing.health import Health
from routing.router import RuleRouter
from routing.table import Entry, RoutingTable, Rule
from tests.cast import ALICE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(
    number: int,
    name: str,
    *,
    tenants: frozenset[int] | None = None,
    owner: str = "",
    fingerprint: str = "",
    **fields: Any,
) -> Entry:
    instance = Instance(id=number, name=name, **fields)
    adapter = EchoAdapter(AdapterConfig(), None)  # type: ignore[arg-type]
    return Entry(
        instance=instance,
        adapter=adapter,
        health=Health(jitter=lambda: 0.0),
        fingerprint=fingerprint,
        tenants=tenants,
        owner=owner,
        created=number,
    )


def rule(number: int, model: str, *conditions: str, **fields: Any) -> Rule:
    compiled = tuple(compile_condition(text) for text in conditions)
    return Rule(id=number, name=fields.pop("name", f"rule-{number}"), model=model, conditions=compiled, **fields)


def ask_of(model: str = "auto", text: str = "Hi", **fields: Any) -> tuple[ChatRequest, list[Message]]:
    messages = [Message(role="user", content=text)]
    return ChatRequest(messages=messages, model=model, **fields), messages


class Fleet:
    """A router over these entries and rules; `ask` chooses for Alice unless told otherwise."""

    def __init__(self, entries: Sequence[Entry], rules: Sequence[Rule] = ()) -> None:
        self.clock = Clock()
        self.cell = Cell(RoutingTable(entries, rules))
        self.told: list[tuple[int, Change]] = []
        self.router = RuleRouter(
            self.cell,
            tell=lambda entry, change: self.told.append((entry.instance.id, change)),
            clock=self.clock,
            monotonic=self.clock,
        )

    def ask(
        self, text: str = "Hi", *, by: Any = ALICE, exclude: Sequence[int] = (), found: Any = None,
        outgrown: Sequence[int] = (), needed: Callable[[], int] | None = None, answerer: Answerer | None = None,
        **fields: Any,
    ) -> Any:  # fmt: skip
        """`exclude` are instances that were tried."""
        request, messages = ask_of(text=text, **fields)
        constraints = Constraints(tried=list(exclude), outgrown=list(outgrown), needed=needed, answerer=answerer)
        return self.router.choose(by.principal, request, messages, found or {}, constraints)

    def fail(self, number: int, times: int = 3) -> None:
        """Calls of this instance fail, which opens its breaker."""
        health = self.health(number)
        for _ in range(times):
            health.end(health.begin(self.clock.now), UpstreamError(), self.clock.now)

    def answered(self, count: int, **fields: Any) -> list[str]:
        """The models of so many calls, each over before the next."""
        return [self.answer(**fields) for _ in range(count)]

    def answer(self, **fields: Any) -> str:
        route = self.ask(**fields)
        route.outcome(None)
        return str(route.instance.name)

    def health(self, number: int) -> Health:
        return self.cell.value.entries[number].health
