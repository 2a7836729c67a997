"""What the edges are handed, and what they ask of it. `clawdbot_site/wiring.py` fills it once a process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from access.connections import Authenticator, Connections
from access.generations import Generations
from access.management.rows import Rows
from access.metrics import Metrics
from access.observing import UNOBSERVED, Observer
from access.resuming import Resuming
from access.tickets import Tickets
from access.turns import Canceller, RunningTurns, TurnReader
from access.visiting import Visiting
from access.watching import Watching
from compliance.guard import GuardTable
from engine.engine import Engine
from engine.snapshots import Cell
from engine.types import ChatRequest, Constraints, Json, Message, Principal
from routing.table import PublicModel
from sessions_app.browsing import Active
from tenants.limits.standing import Standing
from tenants.origins import Origins


class SessionStore(Protocol):
    """The sessions of a tenant (see `sessions_app.store`). Unknown and foreign ids alike raise SessionNotFound."""

    async def list(self, principal: Principal, limit: int, cursor: str | None) -> Json: ...

    async def read(self, principal: Principal, session_id: str) -> Json: ...

    async def patch(self, principal: Principal, session_id: str, changes: Json) -> Json: ...

    async def delete(self, principal: Principal, session_id: str) -> None: ...


class SessionSummaries(Protocol):
    """Summaries of a session's older turns (see `sessions_app.summarising`)."""

    async def list(self, principal: Principal, session_id: str) -> Json: ...

    async def make(self, principal: Principal, session_id: str, through: int | None = None) -> Json: ...

    async def undo(self, principal: Principal, session_id: str, layer_id: str) -> None: ...


class SessionSight(Protocol):
    """What of a session a model would be sent (see `sessions_app.sight`)."""

    async def read(self, principal: Principal, session_id: str, model: str) -> Json: ...


class VersionReader(Protocol):
    """What sessions were (see `sessions_app.versions`). A place is a version, or a snapshot's id; one that is not there
    raises VersionNotFound."""

    async def list(self, principal: Principal, session_id: str, limit: int, before: int | None) -> Json: ...

    async def read(self, principal: Principal, session_id: str, place: int | str) -> Json: ...

    async def diff(self, principal: Principal, session_id: str, before: int | str, after: int | str | None) -> Json: ...

    async def restore(
        self, principal: Principal, session_id: str, place: int | str, if_version: int | None
    ) -> Json: ...

    async def patch(self, principal: Principal, session_id: str, changes: Json, if_version: int) -> Json: ...

    async def branch(
        self, principal: Principal, session_id: str, place: int | str | None, new_id: str | None
    ) -> Json: ...

    async def after_turn(self, principal: Principal, session_id: str, turn_id: str) -> Json: ...

    async def withdraw(self, principal: Principal, session_id: str, turn_id: str) -> None: ...


class SnapshotKeeper(Protocol):
    """Names for versions of sessions (see `sessions_app.snapshots`)."""

    async def list(self, principal: Principal, session_id: str, limit: int, cursor: str | None) -> Json: ...

    async def read(self, principal: Principal, session_id: str, snapshot_id: str) -> Json: ...

    async def make(self, principal: Principal, session_id: str, name: str, tags: Sequence[str]) -> Json: ...

    async def change(self, principal: Principal, session_id: str, snapshot_id: str, changes: Json) -> Json: ...


class SessionFinder(Protocol):
    """Sessions of a whole tenant (see `sessions_app.browsing`)."""

    async def recent(self, tenant_id: int, user: str | None = None) -> Sequence[Active]: ...

    async def users(self, tenant_id: int, session_id: str) -> Sequence[str]: ...


class KeptAnswers(Protocol):
    """Answers kept for repeated requests (see `tenants.answers`)."""

    async def forget(self, tenant_id: int) -> int:
        """Deletes all of the tenant's; how many there were. Raises StoreUnavailable, TenantSuspended."""


class LimitsReader(Protocol):
    """How limits stand (see `tenants.limits.standing.tenant_standing`)."""

    async def __call__(
        self,
        tenant_id: int,
        *,
        keys: Collection[int] = (),
        members: Collection[int] = (),
        models: Collection[str] | None = None,
    ) -> list[Standing]: ...


async def nothing_limited(
    tenant_id: int,
    *,
    keys: Collection[int] = (),
    members: Collection[int] = (),
    models: Collection[str] | None = None,
) -> list[Standing]:
    """Where nobody limits anybody."""
    return []


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
    connections: Connections
    sessions: SessionStore
    summaries: SessionSummaries
    sight: SessionSight
    versions: VersionReader
    snapshots: SnapshotKeeper
    answers: KeptAnswers
    limits: LimitsReader = nothing_limited
    router: RouteReader
    read_turn: TurnReader
    tickets: Tickets
    visiting: Visiting
    origins: Origins
    metrics: Metrics
    observer: Observer = UNOBSERVED
    running: RunningTurns
    generations: Generations
    resuming: Resuming
    canceller: Canceller
    watching: Watching
    rows: Rows = field(default_factory=Rows)
    trials: Rows = field(default_factory=lambda: Rows(1))  # of word lists: what takes long holds up nothing else
    dry_runs: Rows = field(default_factory=lambda: Rows(1))  # of plugins, whose hooks may take their time
    words: Cell[GuardTable] = field(default_factory=lambda: Cell(GuardTable()))  # for reading
