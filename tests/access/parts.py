"""The whole gateway around the small in-memory parts of `tests.engine.parts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from access.asgi import RawHeaders, respond
from access.connections import Connections
from access.gateway import Gateway
from access.generations import Generations
from access.health import Health
from access.metrics import Metrics
from access.observing import UNOBSERVED, Observer
from access.parts import LimitsReader, Parts, nothing_limited
from access.resuming import Resuming
from access.shelf import Shelf
from access.tickets import Tickets
from access.turns import Canceller, RunningTurns, Tell, TurnReader
from access.visiting import Visiting
from access.watching import Watching
from compliance.journal.reader import TurnRecord
from engine.errors import EngineError, TurnNotFound, Unauthenticated
from engine.snapshots import Cell
from engine.types import ChatRequest, Constraints, Message, Principal
from routing.table import PublicModel
from sessions_app.sight import Sight
from sessions_app.summarising import Summaries
from sessions_app.windows import Windows
from tenants.directory import TenantTable
from tenants.origins import Origins
from tenants.visitor_limits import VisitorLimits
from tenants.visitor_tickets import VisitorTickets
from tests.access.asgi_client import Client
from tests.cast import ALICE, BOB, CHARLIE
from tests.engine import parts as engine_parts
from tests.engine.parts import MemoryAnswers, MemoryJournal, ScriptedModel

VISITOR_TICKETS = VisitorTickets({"SIGNING_KEY": "k" * 64, "ISSUER": "clawdbot"})
CHAT_ONLY = "cb_chat_only"


class KnownKeys:
    """Authenticates the cast by their API keys. `revoked` holds keys that are refused, `away` an error for all."""

    def __init__(self) -> None:
        self.people: dict[str, Principal] = {person.key: person.key_principal for person in (ALICE, BOB, CHARLIE)}
        self.people[CHAT_ONLY] = Principal(
            tenant_id=1, tenant="acme", kind="key", subject="key:9", user="key:9", scopes=frozenset({"sessions"})
        )
        self.revoked: set[str] = set()
        self.away: EngineError | None = None
        self.expiry = math.inf
        self.body_limits: dict[int, int] = {}  # by tenant

    def cached(self, headers: RawHeaders, peer: str | None) -> Principal | None:
        if self.away is not None:
            raise self.away
        named = dict(headers)
        given = named.get(b"x-api-key", named.get(b"authorization", b"")).decode("latin-1").removeprefix("Bearer ")
        if given not in self.people or given in self.revoked:
            raise Unauthenticated
        return self.people[given]

    async def authenticate(self, headers: RawHeaders, peer: str | None) -> Principal:
        principal = self.cached(headers, peer)
        assert principal is not None
        return principal

    def changes(self) -> int:
        return hash((frozenset(self.revoked), self.away))

    def body_limit(self, tenant_id: int) -> int | None:
        return self.body_limits.get(tenant_id)

    def expires_at(self, headers: RawHeaders) -> float:
        return self.expiry


class PlainRoutes:
    def __init__(self, names: Sequence[str]) -> None:
        self.models = [PublicModel(name, 1_700_000_000, "platform") for name in names]

    def public_models(self, tenant_id: int) -> list[PublicModel]:
        return self.models

    def explain(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Any = None,
        constraints: Constraints | None = None,
    ) -> dict[str, Any]:
        """With what it was asked: the texts and the session's last answerer."""
        session = constraints.answerer if constraints is not None else None
        said = [message.content for message in messages]
        return {"model": request.model, "instance": "scripted", "features": {"said": said, **(features or {})},
                "session": session and session.model}  # fmt: skip


class Forgetful:
    """Lets go of what the engine's answers in memory hold."""

    def __init__(self, answers: MemoryAnswers) -> None:
        self.answers = answers

    async def forget(self, tenant_id: int) -> int:
        gone = [place for place in self.answers.kept if place[0] == tenant_id]
        for place in gone:
            del self.answers.kept[place]
        return len(gone)


class TicketStore:
    """SET and GETDEL of Valkey, and scripts, which answer `verdict`."""

    verdict = 0

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def call(self, *words: Any) -> Any:
        if words[0] == "SET":
            self.values[words[1]] = words[2]
            return b"OK"
        assert words[0] == "GETDEL"
        return self.values.pop(words[1], None)

    async def run(self, script: Any, keys: Any, *arguments: Any) -> Any:
        return self.verdict


class Recorded:
    """Reads turns back from the journal in memory."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal

    async def __call__(self, tenant_id: int, turn_id: str) -> TurnRecord:
        for intent in self.journal.intents:
            if (intent.tenant_id, intent.turn_id) == (tenant_id, turn_id):
                ends = [end for end in self.journal.completions if end.turn_id == turn_id]
                return TurnRecord(turn_id, intent, ends[0] if ends else None)
        raise TurnNotFound


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """Stands where Django's stock handler is."""
    await respond(send, 404, b"{}", [])


@dataclass
class Site:
    """A gateway, what is behind it, and Alice in front of it."""

    app: Gateway
    parts: Parts
    behind: engine_parts.Parts
    keys: KnownKeys
    tickets: TicketStore

    @property
    def alice(self) -> Client:
        return self.client(ALICE.key)

    def client(self, key: str) -> Client:
        return Client(self.app, {"Authorization": f"Bearer {key}"}, self)

    @property
    def stranger(self) -> Client:
        return Client(self.app, site=self)


def summarised(sessions: Any, engine: Any) -> Any:
    return Summaries(sessions.finder, sessions.changes, engine.complete) if hasattr(sessions, "changes") else None


def sighted(sessions: Any, behind: Any) -> Any:
    return Sight(sessions.finder, Windows(), behind.router) if hasattr(sessions, "changes") else None


def build(
    *models: ScriptedModel,
    sessions: Any = None,
    health: Health | None = None,
    read_turn: TurnReader | None = None,
    grace: float = 0,
    shelf: Shelf | None = None,
    tell: Tell = lambda kind, text: None,
    watching: Watching | None = None,
    tenants: Cell[TenantTable] | None = None,
    limits: LimitsReader = nothing_limited,
    observer: Observer = UNOBSERVED,
    **options: Any,
) -> Site:
    engine, behind = engine_parts.build(*models, sessions=sessions, **options)
    keys, store = KnownKeys(), TicketStore()
    running, reader = RunningTurns(), read_turn or Recorded(behind.journal)
    watching = watching or Watching()
    tenants = tenants or Cell(TenantTable())
    origins = Origins(tenants)
    generations = Generations(
        engine,
        running,
        grace=lambda tenant_id: grace,
        shelf=shelf,
        begun=watching.tell,
    )
    parts = Parts(
        engine=engine,
        running=running,
        generations=generations,
        resuming=Resuming(generations, reader, tell),
        canceller=Canceller(running, reader, tell),
        watching=watching,
        authenticator=keys,
        connections=Connections(keys),
        sessions=sessions,
        versions=getattr(sessions, "versions", None),
        summaries=summarised(sessions, engine),
        sight=sighted(sessions, behind),
        snapshots=getattr(sessions, "snapshots", None),
        answers=Forgetful(behind.answers),
        limits=limits,
        router=PlainRoutes(["auto", "scripted", "openai/gpt-4o"]),
        read_turn=reader,
        tickets=Tickets(store),
        visiting=Visiting(
            tenants, VISITOR_TICKETS, origins, lambda tenant, headers, peer: peer or "", VisitorLimits(store)
        ),
        origins=origins,
        metrics=Metrics(),
        observer=observer,
    )
    app = Gateway(
        parts,
        django=elsewhere,
        lifespan=elsewhere,
        health=health or Health(ready={}, started={}),
        metrics_token="scrape me",
    )
    return Site(app, parts, behind, keys, store)
