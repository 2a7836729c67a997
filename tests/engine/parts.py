"""Small parts for an `Engine` in tests: everything in this process, everything visible to the test.

    engine, parts = build(ScriptedModel(["Hel", "lo"]))

`parts.journal.entries`, `parts.sessions.kept`, `parts.limiter.open`, `parts.routes` show what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.engine import Engine
from engine.errors import AuditUnavailable, ModelNotFound, Overloaded, SessionNotFound, StoreUnavailable
from engine.types import (
    ChatRequest,
    Choice,
    Completion,
    Delta,
    End,
    Instance,
    Intent,
    Json,
    Message,
    ModelCall,
    Principal,
    Usage,
    Verdict,
)

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

    def __init__(
        self, pieces: Sequence[Any] = ("Hello",), *, usage: Usage | None = None, finish: str | None = "stop"
    ) -> None:
        self.pieces = pieces
        self.usage = usage or Usage(prompt_tokens=3, completion_tokens=5)
        self.finish = finish
        self.calls: list[ModelCall] = []
        self.closed = 0

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

    def first_token(self) -> None:
        self.first_tokens += 1

    def outcome(self, error: BaseException | None) -> None:
        self.outcomes.append(error)


class OrderedRouter:
    """Takes the first model that was not tried yet; the name `missing` is nobody's."""

    def __init__(self, models: Sequence[ScriptedModel]) -> None:
        self.models = models
        self.routes: list[PlainRoute] = []

    def choose(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Any,
        exclude: Sequence[int] = (),
    ) -> PlainRoute:
        if request.model == "missing":
            raise ModelNotFound()
        for number, model in enumerate(self.models):
            if number not in exclude:
                name = "scripted" if request.model == "auto" else request.model
                route = PlainRoute(Instance(id=number, name=name, version="v1"), model, name, name)
                self.routes.append(route)
                return route
        raise Overloaded()

    def public_models(self, tenant_id: int) -> list[str]:
        return ["auto", "scripted"]


class MemoryJournal:
    """Entries in order. `broken` fails at once, `gate` holds commits until it is set."""

    def __init__(self) -> None:
        self.entries: list[Intent | Completion] = []
        self.broken = False
        self.healthy = True
        self.gate: asyncio.Event | None = None

    def _put(self, entry: Intent | Completion) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._commit(entry))

    async def _commit(self, entry: Intent | Completion) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise AuditUnavailable()
        self.entries.append(entry)

    def intent(self, intent: Intent) -> asyncio.Future[None]:
        return self._put(intent)

    def completion(self, completion: Completion) -> asyncio.Future[None]:
        return self._put(completion)

    @property
    def intents(self) -> list[Intent]:
        return [entry for entry in self.entries if isinstance(entry, Intent)]

    @property
    def completions(self) -> list[Completion]:
        return [entry for entry in self.entries if isinstance(entry, Completion)]

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.completions]


@dataclass
class Kept:
    id: str
    history: list[Message] = field(default_factory=list)
    created: bool = False
    version: int = 0
    user_profile: dict[str, Any] = field(default_factory=dict)


class MemorySessions:
    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.closed = 0
        self.opened: list[Kept] = []
        self.attempts = 0
        self.away = 0  # how many appends fail

    async def open(self, principal: Principal, request: ChatRequest) -> Kept:
        self.opened.append(await self._open(request))
        return self.opened[-1]

    async def _open(self, request: ChatRequest) -> Kept:
        if request.session_id is None:
            return Kept(f"s{len(self.kept) + 1}", created=True)
        if request.session_id in self.kept:
            kept = self.kept[request.session_id]
            return Kept(kept.id, list(kept.history), version=kept.version, user_profile=dict(kept.user_profile))
        if request.create_session:
            return Kept(request.session_id, created=True)
        raise SessionNotFound()

    def window(self, session: Kept | None, messages: Sequence[Message], instance: Instance) -> list[Message]:
        return [*(session.history if session else ()), *messages]

    async def append(self, session: Kept, messages: Sequence[Message], model_version: str, turn_id: str) -> None:
        self.attempts += 1
        if self.away:
            self.away -= 1
            raise StoreUnavailable()
        kept = self.kept.setdefault(session.id, Kept(session.id))
        kept.history.extend(messages)
        kept.version += 1

    async def close(self, session: Kept) -> None:
        self.closed += 1


class WordsOutput:
    """Blocks from the listed word on, as soon as one whole delta holds it; enough for the engine's own tests."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.verdicts: list[Verdict] = []
        self.blocked = False

    def feed(self, delta: Delta) -> Delta | None:
        for word in self.words:
            if delta.content and word in delta.content:
                self.blocked = True
                self.verdicts.append(Verdict("list", 1, word, "block", "output"))
                return None
        return delta

    def flush(self) -> list[Delta]:
        return []


class WordsGuard:
    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        self.masks: dict[str, str] = {}

    def input(self, principal: Principal, messages: Sequence[Message]) -> tuple[Sequence[Message], list[Verdict]]:
        found = [
            Verdict("list", 1, word, "block", "input")
            for word in self.words
            for message in messages
            if isinstance(message.content, str) and word in message.content
        ]
        return [self._masked(message) for message in messages], found

    def _masked(self, message: Message) -> Message:
        content = message.content
        for word, mask in self.masks.items():
            content = content.replace(word, mask) if isinstance(content, str) else content
        return msgspec.structs.replace(message, content=content)

    def request(self, principal: Principal, request: ChatRequest) -> tuple[ChatRequest, list[Verdict]]:
        safe, found = self._encoded([request.tools, request.params])
        return msgspec.structs.replace(request, tools=safe[0], params=safe[1]), found

    def profile(self, principal: Principal, profile: Json) -> tuple[Json, list[Verdict]]:
        return self._encoded(profile)

    def _encoded(self, value: Any) -> tuple[Any, list[Verdict]]:
        text = msgspec.json.encode(value).decode()
        found = [Verdict("list", 1, word, "block", "input") for word in self.words if word in text]
        for word, mask in self.masks.items():
            text = text.replace(word, mask)
        return msgspec.json.decode(text), found

    def allows(self, principal: Principal, text: str) -> bool:
        return not any(word in text for word in [*self.words, *self.masks])

    def output(self, principal: Principal) -> WordsOutput:
        return WordsOutput(self.words)


@dataclass
class Slot:
    limiter: OpenLimiter
    released: bool = False
    used: Usage | None = None

    def release(self) -> None:
        if not self.released:
            self.released = True
            self.limiter.open -= 1

    def settle(self, usage: Usage) -> None:
        if self.used is None:
            self.used = usage
            self.limiter.settled.append(usage)


class OpenLimiter:
    def __init__(self) -> None:
        self.open = 0
        self.settled: list[Usage] = []
        self.refusal: BaseException | None = None

    async def admit(self, principal: Principal, request: ChatRequest, turn_id: str) -> Slot:
        if self.refusal is not None:
            raise self.refusal
        self.open += 1
        return Slot(self)

    async def reserve(
        self, principal: Principal, instance: Instance, prompt_tokens: int, max_tokens: int | None
    ) -> Slot:
        return Slot(self)


@dataclass
class Run:
    answer: Message | None = None
    messages: Sequence[Message] = ()
    features: dict[str, Any] = field(default_factory=dict)
    touched: bool = False
    needs_full_response: bool = False
    prefix: str = ""

    async def post(self, choices: list[Choice]) -> list[Choice]:
        return [
            Choice(Message("assistant", self.prefix + str(choice.message.content)), choice.finish_reason, choice.index)
            for choice in choices
        ]


class OnePlugin:
    def __init__(self, run: Run | None = None) -> None:
        self.run = run or Run()

    async def pre(self, principal: Any, request: Any, session: Any, messages: Sequence[Message], turn_id: str) -> Run:
        return self.run


class CountingMeter:
    def __init__(self) -> None:
        self.states: list[str] = []

    def turn(self, *, state: str, **_: Any) -> None:
        self.states.append(state)


@dataclass
class Parts:
    models: Sequence[ScriptedModel]
    limiter: OpenLimiter = field(default_factory=OpenLimiter)
    sessions: MemorySessions = field(default_factory=MemorySessions)
    guard: WordsGuard = field(default_factory=WordsGuard)
    plugins: OnePlugin = field(default_factory=OnePlugin)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    meter: CountingMeter = field(default_factory=CountingMeter)

    def __post_init__(self) -> None:
        self.router = OrderedRouter(self.models)

    @property
    def routes(self) -> list[PlainRoute]:
        return self.router.routes


def build(*models: ScriptedModel, words: Sequence[str] = (), run: Run | None = None) -> tuple[Engine, Parts]:
    parts = Parts(models or [ScriptedModel()], guard=WordsGuard(words), plugins=OnePlugin(run))
    engine = Engine(
        limiter=parts.limiter,
        sessions=parts.sessions,
        guard=parts.guard,
        plugins=parts.plugins,
        router=parts.router,
        journal=parts.journal,
        meter=parts.meter,
    )
    return engine, parts
