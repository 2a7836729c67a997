"""Step 12 of a turn, and the one way out of it for refusals, failures and cancellations: instance, reservation,
journal, session, meter. A turn ends here whatever it asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from math import inf
from typing import Any

import msgspec

from engine import retrying
from engine.calling import Caller
from engine.coalescing import LentRoute
from engine.entries import State
from engine.errors import (
    AuditUnavailable,
    Conflict,
    EngineError,
    InvalidRequest,
    RateLimited,
    StoreUnavailable,
    Unavailable,
    UpstreamError,
)
from engine.outliving import outlived
from engine.ports import Guard, Journal, Meter, Session, Sessions
from engine.turn import Turn
from engine.types import Choice, Principal, RateLimits, Usage

log = logging.getLogger(__name__)

Append = Callable[[], Awaitable[None]]


class Endings:
    """One an engine. `active`: turns that are running now; who begins one adds it, `release` takes it away."""

    def __init__(
        self, *, sessions: Sessions[Any], guard: Guard, journal: Journal, meter: Meter, caller: Caller
    ) -> None:
        self.active = 0
        self._sessions = sessions
        self._guard = guard
        self._journal = journal
        self._meter = meter
        self._caller = caller
        self._background: set[asyncio.Task[None]] = set()

    async def complete(self, turn: Turn, choices: list[Choice], usage: Usage) -> None:
        """The answer is whole. Returns once its completion is durable; only then may its end be told. Raises Conflict
        if another turn has been let into the session."""
        if turn.route is not None:
            turn.route.outcome(None)
        if turn.reservation is not None:
            turn.reservation.settle(usage)
        if turn.session is not None:
            await self._sessions.confirm(turn.session)
        turn.trace.step("journal.completion")
        turn.completing = self._journal.completion(turn.completion("completed", "", choices, usage))
        if turn.session is None:
            await turn.completing
        else:
            await outlived(turn.completing)  # who leaves now must not take the answer from the session
            await self._remember(turn, turn.session, choices[0])
        self._count(turn, "completed", usage)

    async def leave(self, turn: Turn, error: BaseException) -> None:
        """How a turn ends without an answer. An error is told only once it is recorded; who leaves is not held up."""
        turn.trace.failed(error)
        if isinstance(error, AuditUnavailable):
            self._in_background(self._record_end(turn, "failed", error.code, error))
        elif isinstance(error, EngineError):
            if isinstance(error, InvalidRequest | UpstreamError):
                self._check_refusal(turn.principal, error)
            elif isinstance(error, RateLimited):
                self._meter.refused(tenant=turn.principal.tenant, limit=error.limit)
            overtaken = type(error) is Conflict  # by another turn, after the model had answered
            state: State = "failed" if overtaken or isinstance(error, UpstreamError | Unavailable) else "refused"
            work = self._record_end(turn, state, error.code, error)
            if isinstance(turn.route, LentRoute) and not turn.route.call.over:
                work = self._whatever_comes(work)  # it waits for the call: who is cancelled meanwhile is recorded too
            await work
            if turn.decided:
                error.turn_id = turn.id
            if (limits := turn.limits()) is not None:
                told = error.limits or limits
                error.limits = RateLimits(told.requests or limits.requests, told.tokens or limits.tokens)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._in_background(self._record_end(turn, "cancelled", "", error))
        else:
            log.error("turn %s failed", turn.id, exc_info=error)
            self._in_background(self._record_end(turn, "failed", "internal_error", error))

    def release(self, turn: Turn) -> None:
        """The turn is over, however."""
        self.active -= 1
        found = [*turn.verdicts, *turn.output.verdicts] if turn.output is not None else turn.verdicts
        if found:
            self._guard.ended(turn.principal, found)
        self._caller.release(turn)
        if turn.plugins is not None:
            turn.plugins.release()
        if turn.admission is not None:
            turn.admission.release()

    async def drain(self) -> None:
        """Waits until no turn runs and everything about the past ones is recorded."""
        while self.active or self._background:
            await asyncio.sleep(0.02)

    def _check_refusal(self, principal: Principal, error: EngineError) -> None:
        """The model's service may repeat in its refusal what must not be shown."""
        if not self._guard.allows(principal, f"{error.message} {error.param or ''}"):
            error.message, error.param = error.text, None

    async def _remember(self, turn: Turn, session: Session, answer: Choice) -> None:
        """Adds a durable turn to its session. A store that is away does not undo the answer, and a retry by the caller
        would double it: the answer waits a moment, then goes out, and the turn is added when the store is back."""
        said = [*(message for message in turn.messages if not message.passing), answer.message]
        append = partial(self._sessions.append, session, said, turn.answerer(), turn.id)
        if not await _done_within(append, (0.0, *retrying.STORE_PAUSES), patience=retrying.STORE_PATIENCE):
            log.warning("turn %s is not in session %s yet: the store is away", turn.id, session.id)
            self._in_background(self._remember_later(append, turn.id, session))
        turn.appended = True  # only now: who is cancelled above comes here again, and the same turn is added once

    async def _remember_later(self, append: Append, turn_id: str, session: Session) -> None:
        if not await _done_within(append, retrying.STORE_LATER):
            log.error("turn %s could not be added to session %s; the journal has it", turn_id, session.id)
            await self._sessions.close(session, unsure=True)

    async def _record_end(self, turn: Turn, state: State, code: str, error: BaseException) -> None:
        """The same way out for a refusal, a failure and a cancellation: instance, reservation, session, journal."""
        if turn.route is not None:
            turn.route.outcome(error)
        if turn.completing is not None:
            await self._end_completed(turn, turn.completing)
            return
        if turn.session is not None:
            await self._sessions.close(turn.session)
        if not turn.decided:
            self._count(turn, "rate_limited" if isinstance(error, RateLimited) else state, Usage())
            return
        ended = "error" if state == "failed" else state
        choices, usage = (turn.choices(ended), turn.usage()) if turn.started else ([], turn.unanswered)
        if turn.reservation is not None:
            turn.reservation.settle(usage)
        self._count(turn, state, usage)
        if not turn.intended:
            turn.intended = True
            self._journal.intent(turn.intent())
        completion = turn.completion(state, code, choices, usage)
        if isinstance(turn.route, LentRoute) and not turn.route.call.over:  # others read on, and this turn pays for it
            paid = await turn.route.call.cost()
            completion = msgspec.structs.replace(completion, usage=paid, cost=turn.cost(paid))
        await self._journal.completion(completion)

    async def _end_completed(self, turn: Turn, completing: asyncio.Future[None]) -> None:
        """The answer was whole, but its reader left or the journal failed in that very moment: the session has the turn
        if, and only if, its completion is durable."""
        state = "completed"
        if turn.session is not None and not turn.appended:
            try:
                await completing
                await self._remember(turn, turn.session, turn.choices()[0])
            except EngineError:
                state = "failed"
                await self._sessions.close(turn.session, unsure=True)
        elif completing.done() and not completing.cancelled() and completing.exception() is not None:
            state = "failed"
        self._count(turn, state, turn.usage())

    def _count(self, turn: Turn, state: str, usage: Usage) -> None:
        if turn.counted:  # its reader took Done and left without asking for more
            return
        turn.counted = True
        self._trace_end(turn, state, usage)
        self._count_words(turn)
        route = turn.route
        count = partial(self._measure, turn, state, time.monotonic() - turn.began)
        if isinstance(route, LentRoute) and not route.call.over:
            call = route.call
            call.afterwards(lambda: count(call.used()))
        else:
            count(usage if turn.source == "model" else Usage())  # nobody was paid for another call's tokens

    def _measure(self, turn: Turn, state: str, duration: float, usage: Usage) -> None:
        tenant = turn.principal.tenant
        model = turn.route.instance.name if turn.route is not None else ""
        self._meter.turn(
            tenant=tenant, model=model, edge=turn.request.edge, state=state, ttft=turn.ttft, duration=duration,
            usage=usage,
        )  # fmt: skip
        if cost := turn.cost(usage):
            self._meter.spent(tenant=tenant, model=model, cost=cost)

    @staticmethod
    def _trace_end(turn: Turn, state: str, usage: Usage) -> None:
        output = turn.output
        turn.trace.end(
            state=state,
            session_id=turn.session_id,
            route=turn.route,
            source=turn.source,
            usage=usage,
            ttft=turn.ttft,
            verdicts=turn.verdicts if output is None else [*turn.verdicts, *output.verdicts],
            skipped=turn.plugins.skipped if turn.plugins is not None else (),
        )

    def _count_words(self, turn: Turn) -> None:
        verdicts, held = turn.verdicts, None
        if turn.output is not None:
            verdicts, held = [*verdicts, *turn.output.verdicts], turn.output.held
        if verdicts or held is not None:
            self._meter.guard(edge=turn.request.edge, verdicts=verdicts, held=held)

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._over)

    async def _whatever_comes(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        await asyncio.shield(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of a turn could not be recorded: %r", error)


async def _done_within(append: Append, pauses: Sequence[float], *, patience: float = inf) -> bool:
    """One more try is made within `patience` seconds: a store that does not even refuse takes long over each."""
    until = time.monotonic() + patience
    for pause in pauses:
        if time.monotonic() > until:
            break
        if pause:
            await asyncio.sleep(pause)
        try:
            await append()
        except StoreUnavailable:
            continue
        return True
    return False
