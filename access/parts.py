"""What the edges are handed, and what they ask of it. `clawdbot_site/wiring.py` fills it once a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from access.asgi import RawHeaders
from access.generations import Generations
from access.management.rows import Rows
from access.metrics import Metrics
from access.resuming import Resuming
from access.tickets import Tickets
from access.turns import Canceller, RunningTurns, TurnReader
from access.watching import Watching
from compliance.guard import GuardTable
from engine.engine import Engine
from engine.snapshots import Cell
from engine.types import ChatRequest, Constraints, Json, Message, Principal
from routing.table import PublicModel


class Authenticator(Protocol):
    """Who is calling (see `access.authentication`)."""

    def cached(self, headers: RawHeaders, peer: str | None) -> Principal | None:
        """The answer from memory alone; None: it takes `authenticate`. Raises like that."""

    async def authenticate(self, headers: RawHeaders, peer: str | None) -> Principal:
        """Raises Unauthenticated, IpNotAllowed, TenantSuspended, StoreUnavailable."""


class SessionStore(Protocol):
    """The sessions of a tenant (see `sessions_app.store`). Unknown and foreign ids alike raise SessionNotFound."""

    async def list(self, principal: Principal, limit: int, cursor: str | None) -> Json: ...

    async def read(self, principal: Principal, session_id: str) -> Json: ...

    async def patch(self, principal: Principal, session_id: str, changes: Json) -> Json: ...

    async def delete(self, principal: Principal, session_id: str) -> None: ...


class KeptAnswers(Protocol):
    """Answers kept for repeated requests (see `tenants.answers`)."""

    async def forget(self, tenant_id: int) -> int:
        """Deletes all of the tenant's; how many there were. Raises StoreUnavailable, TenantSuspended."""


class RouteReader(Protocol):
    """What the router tells people (see `routing.router`)."""

    def public_models(self, tenant_id: int) -> Sequence[PublicModel]: ...

    def explain(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Json | None = None,
        constraints: Constraints | None = None,
    ) -> Json: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    engine: Engine
    authenticator: Authenticator
    sessions: SessionStore
    answers: KeptAnswers
    router: RouteReader
    read_turn: TurnReader
    tickets: Tickets
    metrics: Metrics
    running: RunningTurns
    generations: Generations
    resuming: Resuming
    canceller: Canceller
    watching: Watching
    rows: Rows = field(default_factory=Rows)
    trials: Rows = field(default_factory=lambda: Rows(1))  # of word lists: what takes long holds up nothing else
    words: Cell[GuardTable] = field(default_factory=lambda: Cell(GuardTable()))  # for reading
