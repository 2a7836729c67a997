"""The one way a chat turn is answered. The numbers are the steps of the design:

 1 limits.admit   2 sessions.open   3 guard.input   4 plugins.pre   5 router.choose   6 limits.reserve
 7 sessions.window   8 cache, coalescing   9 journal.intent (runs beside 10)   10 adapter.stream
11 plugins.post, guard.output   12 journal.completion, sessions.append, limits.settle; then the terminal event
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from engine import retrying
from engine.calling import Caller, Upstream, cut_off
from engine.errors import (
    AuditUnavailable,
    ContentBlocked,
    EngineError,
    InvalidRequest,
    RateLimited,
    StoreUnavailable,
    Unavailable,
    UpstreamError,
)
from engine.folding import Fold, as_delta
from engine.ports import Answers, Guard, Journal, Limiter, Meter, Plugins, Router, Session, Sessions
from engine.turn import Turn
from engine.types import ChatRequest, Delta, Done, End, Event, Message, Principal, State, Usage, Verdict

log = logging.getLogger(__name__)

Append = Callable[[], Awaitable[None]]


class Engine:
    """Answers turns. One instance a process; everything it needs is handed in by `clawdbot_site/wiring.py`."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        sessions: Sessions[Any],
        guard: Guard,
        plugins: Plugins,
        router: Router,
        journal: Journal,
        meter: Meter,
        answers: Answers,
    ) -> None:
        self.limiter = limiter
        self.sessions = sessions
        self.guard = guard
        self.plugins = plugins
        self.journal = journal
        self.meter = meter
        self.caller = Caller(limiter=limiter, sessions=sessions, router=router, journal=journal, answers=answers)
        self.active = 0
        self._background: set[asyncio.Task[None]] = set()

    async def complete(self, principal: Principal, request: ChatRequest) -> Done:
        """The fold of `stream`: the same turn, only its terminal event."""
        done: Done | None = None
        async with aclosing(self.stream(principal, request)) as events:
            async for event in events:
                if type(event) is Done:
                    done = event
        assert done is not None, "a turn ends with Done or raises"
        return done

    async def stream(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yields Start, any number of Deltas, Done. Raises EngineError; what was yielded before stays true.

        Leaving early (closing the generator, cancelling the task) cancels the model call and is recorded. Nothing is
        yielded before the intent is durable, nor Done before the completion is."""
        turn = Turn(principal, request)
        self.active += 1
        try:
            await self._open(turn)
            upstream, event = await self._begin(turn)
            yield turn.start()
            if upstream is None:
                pending = [as_delta(choice) for choice in turn.answered()]
            else:
                async with aclosing(upstream):
                    if turn.needs_full_response:
                        pending = await self._rewrite(turn, upstream, event)
                    else:
                        pending = []
                        while type(event) is Delta:
                            delta = turn.release(event)
                            if delta is not None:
                                yield delta
                            if turn.blocked:
                                break
                            event = await anext(upstream, None) or cut_off()
                        else:
                            turn.end = event if type(event) is End else None
            for delta in turn.release_rest(pending):
                yield delta
            yield await self._finish(turn)
        except BaseException as error:
            await self._leave(turn, error)
            raise
        finally:
            self._release(turn)

    def _release(self, turn: Turn) -> None:
        self.active -= 1
        self.caller.release(turn)
        if turn.admission is not None:
            turn.admission.release()

    async def drain(self) -> None:
        """Waits until no turn runs and everything about the past ones is recorded."""
        while self.active or self._background:
            await asyncio.sleep(0.02)

    # 1 to 4 ------------------------------------------------------------------------------------------------------

    async def _open(self, turn: Turn) -> None:
        principal, request = turn.principal, turn.request
        turn.admission = await self.limiter.admit(principal, request, turn.id)
        if request.remember:
            turn.session = await self.sessions.open(principal, request)
        turn.decided = True
        self._check_request(turn)
        self._check_input(turn, request.messages)
        turn.plugins = run = await self.plugins.pre(principal, turn.request, turn.session, turn.messages, turn.id)
        if run.touched:
            self._check_input(turn, run.messages)

    def _check_request(self, turn: Turn) -> None:
        """What reaches the model besides messages: tools and parameters, and the profile as part of the prompt."""
        turn.request, verdicts = self.guard.request(turn.principal, turn.request)
        self._judge(turn, verdicts)
        session = turn.session
        if session is not None and session.user_profile:
            session.user_profile, verdicts = self.guard.profile(turn.principal, session.user_profile)
            self._judge(turn, verdicts)

    def _check_input(self, turn: Turn, messages: Sequence[Message]) -> None:
        turn.messages = messages
        checked, verdicts = self.guard.input(turn.principal, messages)
        self._judge(turn, verdicts)
        turn.messages = checked

    def _check_refusal(self, principal: Principal, error: EngineError) -> None:
        """The model's service may repeat in its refusal what must not be shown."""
        if not self.guard.allows(principal, f"{error.message} {error.param or ''}"):
            error.message, error.param = error.text, None

    def _judge(self, turn: Turn, verdicts: Sequence[Verdict]) -> None:
        if verdicts:
            turn.verdicts.extend(verdict for verdict in verdicts if verdict not in turn.verdicts)
            if any(verdict.action == "block" for verdict in verdicts):
                raise ContentBlocked()

    # 5 to 10 -----------------------------------------------------------------------------------------------------

    async def _begin(self, turn: Turn) -> tuple[Upstream | None, Delta | End | None]:
        """Up to the first event of the model, with the intent durable. (None, None): a plugin answered."""
        turn.output = self.guard.output(turn.principal)
        if turn.answered():
            turn.source = "plugin"
            turn.intended = True
            await self.journal.intent(turn.intent())
            return None, None
        return await self.caller.begin(turn, self.active)

    # 11 ----------------------------------------------------------------------------------------------------------

    async def _rewrite(self, turn: Turn, upstream: Upstream, event: Delta | End | None) -> list[Delta]:
        """Reads the whole answer for the post hooks; what they make of it still passes the guard, which is last."""
        fold = Fold()
        while type(event) is Delta:
            fold.add(event)
            event = await anext(upstream, None) or cut_off()
        assert type(event) is End and turn.plugins is not None
        turn.end = event
        choices = await turn.plugins.post(fold.choices(event.finish_reasons, "stop"))
        return [as_delta(choice) for choice in choices]

    # 12 ----------------------------------------------------------------------------------------------------------

    async def _finish(self, turn: Turn) -> Done:
        choices, usage = turn.choices(), turn.usage()
        if turn.route is not None:
            turn.route.outcome(None)
        if turn.reservation is not None:
            turn.reservation.settle(usage)
        turn.completing = self.journal.completion(turn.completion("completed", "", choices, usage))
        if turn.session is None:
            await turn.completing
        else:
            await asyncio.shield(turn.completing)  # who leaves now must not take the answer from the session
            await self._remember(turn, turn.session)
        self.caller.finish(turn)
        self._count(turn, "completed", usage)
        return turn.done(choices, usage)

    async def _remember(self, turn: Turn, session: Session) -> None:
        """Adds a durable turn to its session. A store that is away does not undo the answer, and a retry by the caller
        would double it: the answer waits a moment, then goes out, and the turn is added when the store is back."""
        said = [*turn.messages, turn.choices()[0].message]
        append = partial(self.sessions.append, session, said, turn.answerer(), turn.id)
        if not await _done_within(append, (0.0, *retrying.STORE_PAUSES)):
            log.warning("turn %s is not in session %s yet: the store is away", turn.id, session.id)
            self._in_background(self._remember_later(append, turn.id, session.id))
        turn.appended = True  # only now: who is cancelled above comes here again, and the same turn is added once

    async def _remember_later(self, append: Append, turn_id: str, session_id: str) -> None:
        if not await _done_within(append, retrying.STORE_LATER):
            log.error("turn %s could not be added to session %s; the journal has it", turn_id, session_id)

    async def _leave(self, turn: Turn, error: BaseException) -> None:
        """How a turn ends without Done. An error is answered only once it is recorded; who leaves is not held up."""
        if isinstance(error, AuditUnavailable):
            self._in_background(self._record_end(turn, "failed", error.code, error))
        elif isinstance(error, EngineError):
            if isinstance(error, InvalidRequest | UpstreamError):
                self._check_refusal(turn.principal, error)
            state: State = "failed" if isinstance(error, UpstreamError | Unavailable) else "refused"
            await self._record_end(turn, state, error.code, error)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._in_background(self._record_end(turn, "cancelled", "", error))
        else:
            log.error("turn %s failed", turn.id, exc_info=error)
            self._in_background(self._record_end(turn, "failed", "internal_error", error))

    async def _record_end(self, turn: Turn, state: State, code: str, error: BaseException) -> None:
        """The same way out for a refusal, a failure and a cancellation: instance, reservation, session, journal."""
        if turn.route is not None:
            turn.route.outcome(error)
        if turn.completing is not None:
            await self._end_completed(turn, turn.completing)
            return
        if turn.session is not None:
            await self.sessions.close(turn.session)
        if not turn.decided:
            self._count(turn, "rate_limited" if isinstance(error, RateLimited) else state, Usage())
            return
        choices, usage = (turn.choices(), turn.usage()) if turn.started else ([], Usage())
        if turn.reservation is not None:
            turn.reservation.settle(usage)
        self._count(turn, state, usage)
        if not turn.intended:
            turn.intended = True
            self.journal.intent(turn.intent())
        await self.journal.completion(turn.completion(state, code, choices, usage))

    async def _end_completed(self, turn: Turn, completing: asyncio.Future[None]) -> None:
        """The answer was whole, but its reader left or the journal failed in that very moment: the session has the turn
        if, and only if, its completion is durable."""
        state = "completed"
        if turn.session is not None and not turn.appended:
            try:
                await completing
                await self._remember(turn, turn.session)
            except EngineError:
                state = "failed"
                await self.sessions.close(turn.session)
        elif completing.done() and not completing.cancelled() and completing.exception() is not None:
            state = "failed"
        self._count(turn, state, turn.usage())

    def _count(self, turn: Turn, state: str, usage: Usage) -> None:
        if turn.counted:  # its reader took Done and left without asking for more
            return
        turn.counted = True
        self.meter.turn(
            tenant=turn.principal.tenant,
            model=turn.route.instance.name if turn.route is not None else "",
            edge=turn.request.edge,
            state=state,
            ttft=turn.ttft,
            duration=time.monotonic() - turn.began,
            usage=usage,
        )

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of a turn could not be recorded: %r", error)


async def _done_within(append: Append, pauses: Sequence[float]) -> bool:
    for pause in pauses:
        if pause:
            await asyncio.sleep(pause)
        try:
            await append()
        except StoreUnavailable:
            continue
        return True
    return False
