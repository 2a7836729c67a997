"""Steps 5 to 10 of a turn: an instance is chosen, its price reserved, the conversation trimmed for it, the intent
handed over and the model called; where that fails before the first token, again with another instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from functools import partial
from typing import Any, NoReturn, TypeVar

from engine import caching, retrying
from engine.batching import Batcher, BatchKey
from engine.coalescing import BorrowedRoute, SharedCalls
from engine.errors import ContextTooLong, EngineError, NotFound, Overloaded, UpstreamError
from engine.fencing import Fence
from engine.ports import Answers, Journal, Limiter, Route, Router, Sessions
from engine.turn import Turn
from engine.types import Delta, End, ModelCall, Retry, StoredAnswer, Usage

C = TypeVar("C")
A = TypeVar("A")
Upstream = AsyncGenerator[Delta | End, None]
Prepare = Callable[[Turn, EngineError | None], Awaitable[C]]
Answer = Callable[[Turn, C, asyncio.Future[None]], Awaitable[A]]


class Caller:
    """One an engine."""

    def __init__(
        self, *, limiter: Limiter, sessions: Sessions[Any], router: Router, journal: Journal, answers: Answers
    ) -> None:
        self._limiter = limiter
        self._sessions = sessions
        self.router = router
        self._journal = journal
        self._answers = answers
        self.retries = retrying.RetryBudget()
        self.shared = SharedCalls()
        self._batches: Batcher[ModelCall, StoredAnswer] = Batcher()

    async def begin(self, turn: Turn, in_flight: int) -> tuple[Upstream, Delta | End]:
        """The model's first event and what follows it, with the intent durable. `in_flight`: turns running now."""
        self._constrain(turn)
        return await self.attempt(turn, in_flight, self._prepare, self._answer)

    async def attempt(self, turn: Turn, in_flight: int, prepare: Prepare[C], answer: Answer[C, A]) -> A:
        """What `answer` makes of the call that `prepare` makes ready, on one instance after another while it fails in a
        way that another may not. The intent is handed over before the first call."""
        self.retries.deposit()
        intent: asyncio.Future[None] | None = None
        failure: EngineError | None = None
        while True:
            call = await prepare(turn, failure)
            if intent is None:
                turn.intended = True
                intent = self._journal.intent(turn.intent())
                if not self._journal.healthy:
                    await intent
            began = time.monotonic()
            try:
                return await answer(turn, call, intent)
            except (UpstreamError, ContextTooLong) as error:
                if not retrying.may_retry(turn.tries) or not self._may_afford(turn, in_flight):
                    raise
                failure = error
                self._note(turn, error, time.monotonic() - began)

    def finish(self, turn: Turn) -> None:
        """The turn is whole and recorded: its answer is kept where that was wanted."""
        if turn.keep is not None and not turn.blocked:
            turn.keep()

    def release(self, turn: Turn) -> None:
        """The turn is over, however."""
        if turn.retrying:
            self.retries.give_back()

    def _constrain(self, turn: Turn) -> None:
        session = turn.session
        if session is not None:
            turn.constraints.answerer = session.answerer
            if session.history:
                turn.constraints.needed = partial(self._sessions.needs, session, turn.messages)

    def choose(self, turn: Turn, failure: EngineError | None) -> Route:
        """5. Nobody left after a failure: that failure is what the caller should know."""
        features = turn.plugins.features if turn.plugins is not None else {}
        try:
            route = self.router.choose(turn.principal, turn.request, turn.history(), features, turn.constraints)
        except (Overloaded, NotFound, ContextTooLong):
            if failure is not None:
                raise failure from None
            raise
        turn.route = route
        return route

    async def _prepare(self, turn: Turn, failure: EngineError | None) -> ModelCall:
        """5, 6, 7."""
        while True:
            route = self.choose(turn, failure)
            try:
                messages = self._sessions.window(turn.session, turn.messages, route.instance)
            except ContextTooLong:
                route.unused()
                turn.route = None
                if route.instance.id in turn.constraints.outgrown:
                    raise
                turn.constraints.outgrown.append(route.instance.id)
                continue
            turn.reservation = await self._limiter.reserve(
                turn.principal, route.instance, route.prompt_tokens, turn.request.max_tokens
            )
            return ModelCall(route.upstream_model, messages, turn.request)

    # 8 to 10 -----------------------------------------------------------------------------------------------------

    async def _answer(self, turn: Turn, call: ModelCall, intent: asyncio.Future[None]) -> tuple[Upstream, Delta | End]:
        upstream = await self._upstream(turn, call)
        assert turn.route is not None
        try:
            with Fence(intent):
                first = await anext(upstream, None) or cut_off()
                await intent
        except BaseException as error:
            await upstream.aclose()
            turn.route.outcome(error)
            if turn.reservation is not None:
                turn.reservation.settle(Usage())
            raise
        turn.ttft = time.monotonic() - turn.began
        turn.route.first_token()
        return upstream, first

    async def _upstream(self, turn: Turn, call: ModelCall) -> Upstream:
        """8: an answer that is kept, another turn's call, or a call of its own."""
        route, request, principal = turn.route, turn.request, turn.principal
        assert route is not None
        turn.tries += 1
        turn.source, turn.keep = "model", None
        policy = self._answers.policy(principal)
        key = caching.key_of(principal, route, call) if caching.is_repeatable(policy, request) else None
        if key is None:
            return self._call(turn, route, call)
        if not request.cache:
            if policy.ttl and (stored := await self._answers.get(principal.tenant_id, key)) is not None:
                self._call_nobody(turn)
                turn.source = "cache"
                return caching.replayed(stored)
            if policy.coalesce and (running := self.shared.running(key)) is not None:
                self._call_nobody(turn)
                turn.source = "shared"
                turn.route = BorrowedRoute(running.route, {**route.decision, "shared_with": running.turn_id})
                return running.read()
        upstream = self._call(turn, route, call)
        if policy.ttl:
            upstream = caching.recorded(upstream, partial(turn.keep_by, self._answers.put, key, policy.ttl))
        if policy.coalesce:
            return self.shared.start(key, upstream, route, turn.id).read()
        return upstream

    def _call(self, turn: Turn, route: Route, call: ModelCall) -> Upstream:
        """A call of its own, or a part in one that other turns of the tenant are in."""
        turn.attempts += 1
        instance = route.instance
        if instance.batch_size > 1 and instance.batch_window > 0:
            alike = route.adapter.batch_key(call)
            if alike is not None:
                return self._batched(turn, route, call, alike)
        return route.adapter.stream(call)

    async def _batched(self, turn: Turn, route: Route, call: ModelCall, alike: Hashable) -> Upstream:
        key = BatchKey(turn.principal.tenant_id, route.adapter, alike)
        answer_all, joined = route.adapter.answer_all, partial(lend, turn)
        for answer in await self._batches.run(key, [call], route.instance, answer_all, joined):
            async for event in caching.replayed(answer):
                yield event

    @staticmethod
    def _call_nobody(turn: Turn) -> None:
        assert turn.route is not None
        turn.route.unused()
        if turn.reservation is not None:
            turn.reservation.settle(Usage())

    # Failures ----------------------------------------------------------------------------------------------------

    def _may_afford(self, turn: Turn, in_flight: int) -> bool:
        """A turn that only had a part in another's call has cost its instance nothing."""
        if isinstance(turn.route, BorrowedRoute):
            return True
        if turn.retrying:  # each further call is paid for; the turn is one at a time
            self.retries.give_back()
        turn.retrying = self.retries.take(in_flight)
        return turn.retrying

    @staticmethod
    def _note(turn: Turn, error: EngineError, seconds: float) -> None:
        route = turn.route
        assert route is not None
        instance = route.instance
        constraints = turn.constraints
        (constraints.outgrown if isinstance(error, ContextTooLong) else constraints.tried).append(instance.id)
        turn.retries.append(Retry(instance.id, instance.name, error.code, round(seconds, 4)))


def lend(turn: Turn) -> None:
    """The turn has a part in another's call to the same instance: what becomes of that is for the other one to tell."""
    route = turn.route
    assert route is not None
    route.unused()
    turn.route = BorrowedRoute(route, route.decision)


def cut_off() -> NoReturn:
    raise UpstreamError("The model's service ended its answer without finishing it.")
