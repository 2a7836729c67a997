"""Small parts for an `Engine` in tests: everything in this process, everything visible to the test.

    engine, parts = build(ScriptedModel(["Hel", "lo"]))

`parts.journal.entries`, `parts.sessions.kept`, `parts.limiter.open`, `parts.routes` show what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.engine import Engine
from engine.errors import Conflict, ContextTooLong, ModelNotFound, Overloaded, SessionNotFound, StoreUnavailable
from engine.tracing import NO_TRACER, Tracer
from engine.types import (
    Answerer,
    CachePolicy,
    ChatRequest,
    Choice,
    Constraints,
    Delta,
    End,
    Instance,
    Message,
    ModelCall,
    Principal,
    StoredAnswer,
    Usage,
)
from tests.engine.journal import MemoryJournal
from tests.engine.limiting import OpenLimiter
from tests.engine.metering import CountingMeter
from tests.engine.words import WordsGuard

ALICE = Principal(
    tenant_id=1,
    tenant="acme",
    kind="key",
    subject="key:1",
    user="key:1",
    scopes=frozenset({"chat", "sessions"}),
    key_id=1,
)


def ask(text: str = "Hi", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text)], **fields)


class ScriptedModel:
    """Yields the given pieces and an End; an exception among them is raised, a float is slept, an Event is awaited."""

    shape = ""

    def __init__(
        self, pieces: Sequence[Any] = ("Hello",), *, usage: Usage | None = None, finish: str | None = "stop"
    ) -> None:
        self.pieces = pieces
        self.usage = usage or Usage(prompt_tokens=3, completion_tokens=5)
        self.finish = finish
        self.calls: list[ModelCall] = []
        self.closed = 0

    def bursts(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        return self.stream(call)

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        self.calls.append(call)
        try:
            for piece in self.pieces:
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                elif isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    yield piece if isinstance(piece, Delta) else Delta(content=piece)
            if self.finish is not None:
                yield End({0: self.finish}, self.usage)
        finally:
            self.closed += 1

    async def close(self) -> None: ...


@dataclass
class PlainRoute:
    instance: Instance
    adapter: ScriptedModel
    model: str
    upstream_model: str
    prompt_tokens: int = 3
    rules: list[str] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    outcomes: list[BaseException | None] = field(default_factory=list)
    first_tokens: int = 0
    unused_calls: int = 0
    routes: list[PlainRoute] = field(default_factory=list, repr=False, compare=False)

    def unused(self) -> None:
        self.unused_calls += 1

    def again(self, prompt_tokens: int) -> PlainRoute:
        """Stands behind the chosen ones in `Parts.routes`."""
        route = PlainRoute(self.instance, self.adapter, self.model, self.upstream_model, prompt_tokens)
        route.routes = self.routes
        self.routes.append(route)
        return route

    def first_token(self) -> None:
        assert not self.unused_calls, "a call that was never made has no first token"
        self.first_tokens += 1

    @property
    def told(self) -> bool:
        return bool(self.outcomes or self.unused_calls)

    def outcome(self, error: BaseException | None) -> None:
        self.outcomes.append(error)


class OrderedRouter:
    """Takes the first model that was not tried yet; the name `missing` is nobody's."""

    def __init__(self, models: Sequence[ScriptedModel]) -> None:
        self.models = models
        self.routes: list[PlainRoute] = []
        self.settings: dict[str, Any] = {}  # of every instance
        self.minds_budgets = False

    def choose(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Any,
        constraints: Constraints | None = None,
    ) -> PlainRoute:
        if request.model == "missing":
            raise ModelNotFound()
        for number, model in enumerate(self.models):
            if constraints is None or number not in [*constraints.tried, *constraints.outgrown]:
                name = "scripted" if request.model == "auto" else request.model
                route = PlainRoute(Instance(id=number, name=name, version="v1", **self.settings), model, name, name)
                if self._is_busy(route.instance) or not self._fits(route.instance, constraints):
                    continue
                route.decision = {"instance_id": number}
                route.routes = self.routes
                self.routes.append(route)
                return route
        if constraints is not None and constraints.outgrown and not constraints.tried:
            raise ContextTooLong()
        raise Overloaded()

    def _is_busy(self, instance: Instance) -> bool:
        running = sum(route.instance.id == instance.id and not route.told for route in self.routes)
        return instance.max_concurrency is not None and running >= instance.max_concurrency

    def _fits(self, instance: Instance, constraints: Constraints | None) -> bool:
        affords = constraints.affords if constraints is not None and self.minds_budgets else None
        return affords is None or affords(instance)

    def public_models(self, tenant_id: int) -> list[str]:
        return ["auto", "scripted"]


class MemoryAnswers:
    """What `engine.ports.Answers` keeps; `chosen` is every tenant's policy."""

    def __init__(self) -> None:
        self.chosen = CachePolicy()
        self.kept: dict[tuple[int, str], StoredAnswer] = {}
        self.puts = 0
        self.gate: asyncio.Event | None = None

    def policy(self, principal: Principal) -> CachePolicy:
        return self.chosen

    async def get(self, tenant_id: int, key: str) -> StoredAnswer | None:
        await self.gate.wait() if self.gate is not None else None
        return self.kept.get((tenant_id, key))

    def put(self, tenant_id: int, key: str, answer: StoredAnswer, ttl: int) -> None:
        self.kept[tenant_id, key] = answer
        self.puts += 1


@dataclass
class Kept:
    id: str
    history: list[Message] = field(default_factory=list)
    created: bool = False
    version: int = 0
    user_profile: dict[str, Any] = field(default_factory=dict)
    answerer: Answerer | None = None
    profile_brought: dict[str, Any] | None = None


class MemorySessions:
    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.closed = 0
        self.opened: list[Kept] = []
        self.attempts = 0
        self.away = 0  # how many appends fail
        self.taken_over = False
        self.small: set[int] = set()  # instances without room for anything

    async def open(self, principal: Principal, request: ChatRequest, turn_id: str) -> Kept:
        self.opened.append(await self._open(request))
        return self.opened[-1]

    async def _open(self, request: ChatRequest) -> Kept:
        if request.session_id is None:
            return Kept(f"s{len(self.kept) + 1}", created=True)
        if request.session_id in self.kept:
            kept = self.kept[request.session_id]
            return replace(kept, history=list(kept.history), user_profile=dict(kept.user_profile))
        if request.create_session:
            return Kept(request.session_id, created=True)
        raise SessionNotFound()

    async def window(
        self,
        session: Kept | None,
        messages: Sequence[Message],
        instance: Instance,
        model: str = "",
        request: ChatRequest | None = None,
    ) -> list[Message]:
        if instance.id in self.small:
            raise ContextTooLong()
        return [*(session.history if session else ()), *messages]

    def needs(self, session: Kept | None, messages: Sequence[Message]) -> int:
        return len(messages)

    async def append(self, session: Kept, messages: Sequence[Message], answerer: Answerer | None, turn_id: str) -> None:
        self.attempts += 1
        if self.away:
            self.away -= 1
            raise StoreUnavailable()
        kept = self.kept.setdefault(session.id, Kept(session.id))
        kept.history.extend(messages)
        kept.version += 1
        kept.answerer = answerer

    async def confirm(self, session: Kept) -> None:
        if self.taken_over:
            raise Conflict("Another turn took over this session.")

    async def close(self, session: Kept, *, unsure: bool = False) -> None:
        self.closed += 1


@dataclass
class Run:
    answer: Message | None = None
    messages: Sequence[Message] = ()
    features: dict[str, Any] = field(default_factory=dict)
    touched: bool = False
    needs_full_response: bool = False
    prefix: str = ""

    metadata: dict[str, Any] = field(default_factory=dict)
    skipped: list[Any] = field(default_factory=list)
    sees_deltas: bool = False
    sees_end: bool = False
    released: int = 0

    async def pre(self) -> None: ...

    async def delta(self, delta: Delta) -> Delta | None:
        return delta

    async def rest(self) -> list[Delta]:
        return []

    async def observe(self, choices: list[Choice]) -> None: ...

    def release(self) -> None:
        self.released += 1

    async def post(self, choices: list[Choice], ask: Any) -> list[Choice]:
        return [
            Choice(Message("assistant", self.prefix + str(choice.message.content)), choice.finish_reason, choice.index)
            for choice in choices
        ]


class OnePlugin:
    def __init__(self, run: Run | None = None) -> None:
        self.made = run or Run()

    def spoken(self, principal, request):
        return None

    def run(
        self,
        principal: Any,
        request: Any,
        session: Any,
        messages: Sequence[Message],
        turn_id: str,
        *,
        rehearsal: bool = False,
    ) -> Run:
        return self.made


@dataclass
class Parts:
    models: Sequence[ScriptedModel]
    limiter: OpenLimiter = field(default_factory=OpenLimiter)
    sessions: MemorySessions = field(default_factory=MemorySessions)
    guard: WordsGuard = field(default_factory=WordsGuard)
    plugins: Any = field(default_factory=OnePlugin)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    meter: CountingMeter = field(default_factory=CountingMeter)
    answers: MemoryAnswers = field(default_factory=MemoryAnswers)

    def __post_init__(self) -> None:
        self.router = OrderedRouter(self.models)

    @property
    def routes(self) -> list[PlainRoute]:
        return self.router.routes


async def nothing_left(engine: Engine, parts: Parts) -> None:
    """Asserts that no turn left anything behind: slots, reservations, routes, calls upstream, payments for retries."""
    await engine.drain()
    assert engine.active == parts.limiter.open == len(engine.caller.shared) == 0
    assert all(slot.used is not None for slot in parts.limiter.reserved)
    assert all(route.told for route in parts.routes)
    assert all(model.closed == len(model.calls) for model in parts.models)
    assert engine.caller.retries.running == 0


def build(
    *models: ScriptedModel,
    words: Sequence[str] = (),
    run: Run | None = None,
    sessions: Any = None,
    journal: Any = None,
    once: Any = None,
    plugins: Any = None,
    router: Any = None,
    tracer: Tracer = NO_TRACER,
) -> tuple[Engine, Parts]:
    """`journal` and `once` are the real ones, or one in memory is both. `plugins` and `router` are the engine's in
    place of those of the parts."""
    parts = Parts(
        models or [ScriptedModel()],
        sessions=sessions or MemorySessions(),
        journal=journal or MemoryJournal(),
        guard=WordsGuard(words),
        plugins=plugins or OnePlugin(run),
    )
    engine = Engine(
        limiter=parts.limiter,
        sessions=parts.sessions,
        guard=parts.guard,
        plugins=plugins or parts.plugins,
        router=router or parts.router,
        journal=parts.journal,
        meter=parts.meter,
        answers=parts.answers,
        once=once or parts.journal,
        tracer=tracer,
    )
    return engine, parts
