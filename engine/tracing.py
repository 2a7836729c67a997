"""Following turns: what the engine tells whoever does, for instance `clawdbot_site.telemetry`; by default nobody."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Final, Protocol

from engine import context
from engine.entries import SkippedHook
from engine.ports import Route
from engine.types import Burst, ChatRequest, Delta, Embedded, End, Principal, Usage, Verdict

Upstream = AsyncGenerator[Delta | Burst | End, None]


class Trace(Protocol):
    """What is followed of one turn. No method raises or waits, and none is told what anybody said. `step`: the turn is
    there now, and the step before is over. `call` and `embed` give what they are given, followed while it runs."""

    def step(self, name: str) -> None: ...

    def event(self, name: str) -> None:
        """Something has happened just now."""

    def call(self, route: Route, upstream: Upstream) -> Upstream: ...

    def embed(self, route: Route, work: Awaitable[Embedded]) -> Awaitable[Embedded]: ...

    def failed(self, error: BaseException) -> None:
        """Why there is no answer; `end` follows."""

    def end(
        self,
        *,
        state: str,
        session_id: str | None,
        route: Route | None,
        source: str,
        usage: Usage,
        ttft: float | None,
        verdicts: Sequence[Verdict],
        skipped: Sequence[SkippedHook],
    ) -> None:
        """The turn is over. `state` as for `Meter.turn`, `source` as in `engine.types`, `ttft` in seconds."""


class Tracer(Protocol):
    """Follows turns, for somebody outside."""

    def turn(self, principal: Principal, request: ChatRequest, turn_id: str, parent: Trace | None = None) -> Trace:
        """`parent`: of a further round, the trace of the turn whose plugin asked for it."""


class NoTrace:
    """A turn that nobody follows."""

    def step(self, name: str) -> None:
        return

    def event(self, name: str) -> None:
        return

    def call(self, route: Route, upstream: Upstream) -> Upstream:
        return upstream

    def embed(self, route: Route, work: Awaitable[Embedded]) -> Awaitable[Embedded]:
        return work

    def failed(self, error: BaseException) -> None:
        return

    def end(
        self,
        *,
        state: str,
        session_id: str | None,
        route: Route | None,
        source: str,
        usage: Usage,
        ttft: float | None,
        verdicts: Sequence[Verdict],
        skipped: Sequence[SkippedHook],
    ) -> None:
        return


class NoTracer:
    """Follows no turn."""

    def turn(self, principal: Principal, request: ChatRequest, turn_id: str, parent: Trace | None = None) -> Trace:
        return NO_TRACE


NO_TRACE: Final = NoTrace()
NO_TRACER: Final = NoTracer()


def follow(tracer: Tracer, principal: Principal, request: ChatRequest, turn_id: str) -> Trace:
    """The trace of a turn that begins now. What the running task logs from now on is this turn's."""
    context.enter(request.request_id, principal.tenant, turn_id)
    return tracer.turn(principal, request, turn_id)
