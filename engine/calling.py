"""Steps 5 to 10 of a turn: an instance is chosen, its price reserved, the conversation trimmed for it, the intent
handed over and the model called; where that fails before the first token, again with another instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, TypeVar

from engine import caching, estimating, retrying
from engine.aside import Aside, length, length_of
from engine.batching import Batcher, BatchKey
from engine.coalescing import BorrowedRoute, LentReservation, LentRoute, SharedCalls
from engine.entries import Retry
from engine.errors import ContextTooLong, EngineError, Overloaded, RateLimited, UpstreamError
from engine.fencing import Fence
from engine.ports import Answers, Journal, Limiter, Privacy, Route, Router, Sessions
from engine.privacy import restored
from engine.turn import Turn
from engine.types import CachePolicy, Delta, End, Message, ModelCall, Source, StoredAnswer, Usage
from engine.worker import Worker

C = TypeVar("C")
A = TypeVar("A")
Upstream = AsyncGenerator[Delta | End, None]
Prepare = Callable[[Turn], Awaitable[C]]
Answer = Callable[[Turn, C, asyncio.Future[None]], Awaitable[A]]


class Caller:
    """One an engine."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        sessions: Sessions[Any],
        router: Router,
        journal: Journal,
        answers: Answers,
        privacy: Privacy,
        aside: Aside,
        worker: Worker,
    ) -> None:
        self.worker = worker
        self._limiter = limiter
        self._sessions = sessions
        self.router = router
        self._journal = journal
        self._answers = answers
        self._privacy = privacy
        self._aside = aside
        self.retries = retrying.RetryBudget()
        self.shared = SharedCalls()
        self._batches: Batcher[ModelCall, StoredAnswer] = Batcher()

    async def begin(self, turn: Turn, in_flight: int) -> tuple[Upstream, Delta | End]:
        """The model's first event and what follows it, with the intent durable. `in_flight`: turns running now."""
        self.constrain(turn)
        policy = self._answers.policy(turn.principal)
        if caching.is_repeatable(policy, turn.request):
            turn.policy = policy
        return await self.attempt(turn, in_flight, self._prepare, self._answer)

    async def attempt(self, turn: Turn, in_flight: int, prepare: Prepare[C], answer: Answer[C, A]) -> A:
        """What `answer` makes of the call that `prepare` makes ready, on one instance after another while it fails in a
        way that another may not. The intent is handed over before the first call.

        When nobody is left, or no more may be asked, the first failure is what the caller should know; that a
        conversation is too long for one instance says less than that another one failed."""
        self.retries.deposit()
        intent: asyncio.Future[None] | None = None
        failure: EngineError | None = None
        retry: Retry | None = None
        while True:
            asked = turn.route
            try:
                call = await prepare(turn)
            except EngineError:
                if failure is None:
                    raise
                turn.route = asked
                self._take_back(turn)
                raise failure from None
            if retry is not None:
                turn.retries.append(retry)
            if intent is None:
                turn.intended = True
                intent = self._journal.intent(turn.intent(), turn.claim)
                if turn.claim is not None or not self._journal.healthy:  # who holds the key must be known before
                    await intent
            self.worker.prepared(turn)
            began = time.monotonic()
            try:
                return await answer(turn, call, intent)
            except RateLimited:
                if failure is None:
                    raise
                turn.route = asked
                self._take_back(turn)
                raise failure from None
            except (UpstreamError, ContextTooLong) as error:
                if failure is None or (isinstance(failure, ContextTooLong) and isinstance(error, UpstreamError)):
                    failure = error
                if not retrying.may_retry(turn.tries) or not self._may_afford(turn, in_flight):
                    raise failure from None
                retry = self._note(turn, error, time.monotonic() - began)

    def finish(self, turn: Turn) -> None:
        """The turn is whole and recorded: its answer is kept where that was wanted."""
        if turn.keep is not None and not turn.blocked:
            turn.keep()

    def release(self, turn: Turn) -> None:
        """The turn is over, however."""
        if turn.retrying:
            self.retries.give_back()
        self.worker.leave(turn)

    def constrain(self, turn: Turn) -> None:
        """What of its session, and of its size, the router is to know."""
        session = turn.session
        if session is not None:
            turn.constraints.answerer = session.answerer
        turn.constraints.needed = partial(self._sessions.needs, session, turn.messages)

    async def choose(self, turn: Turn) -> Route:
        """5. Where all that fit are full the turn waits for a place."""
        try:
            try:
                turn.route = self._chosen(turn)
            except Overloaded as error:
                if not error.full:
                    raise
                turn.route = await self._waited_for(turn, error)
        except EngineError as error:
            turn.refused = error.decision or {}
            raise
        if turn.waited:
            turn.route.decision["waited"] = round(turn.waited, 3)
        return turn.route

    def _chosen(self, turn: Turn) -> Route:
        features = turn.plugins.features if turn.plugins is not None else {}
        return self.router.choose(turn.principal, turn.request, turn.history(), features, turn.constraints)

    async def _waited_for(self, turn: Turn, full: Overloaded) -> Route:
        """The first place that is left by somebody goes to whose turn it is. Raises Overloaded with what the router had
        found and the seconds that waiting would take."""
        self.worker.prepared(turn)
        queue = self.worker.queue
        clock = queue.monotonic
        owner, decision = turn.principal.tenant_id, full.decision or {}
        tokens: int = decision.get("features", {}).get("prompt_tokens", 0)
        answer = estimating.answer_tokens(turn.request.max_tokens) if turn.request.task == "chat" else 0
        cost = max(1, tokens + answer)
        while True:
            began = clock()
            try:
                place = await queue.wait("instance", full.full, turn.principal, cost, turn.waited)
            except Overloaded as error:
                error.decision = {**decision, "waited": round(turn.waited + clock() - began, 3)}
                raise
            finally:
                turn.waited += clock() - began
            place.claim(owner)
            try:
                return self._chosen(turn)
            except Overloaded as error:
                if not error.full:
                    raise
                full = error
            finally:
                place.freed()  # for the next one, if this turn went elsewhere

    async def reserve(self, turn: Turn, route: Route, max_tokens: int | None) -> None:
        """6."""
        try:
            turn.reservation = await self._limiter.reserve(
                turn.principal, route.instance, route.prompt_tokens, max_tokens
            )
        except EngineError:
            route.unused()
            raise

    async def _prepare(self, turn: Turn) -> ModelCall:
        """5, 7, and 6 unless the call may be another's."""
        while True:
            route = await self.choose(turn)
            try:
                messages = await self._sessions.window(
                    turn.session, turn.messages, route.instance, route.upstream_model, turn.request
                )
            except ContextTooLong:
                route.unused()
                turn.route = None
                if route.instance.id in turn.constraints.outgrown:
                    raise
                turn.constraints.outgrown.append(route.instance.id)
                continue
            if turn.policy is None:
                await self.reserve(turn, route, turn.request.max_tokens)
            return await self._masked(turn, route, messages)

    async def _masked(self, turn: Turn, route: Route, messages: list[Message]) -> ModelCall:
        """What is sent, kept and shared has no personal data in it; whose values stand for what is this turn's own."""
        asked = turn.request
        size = length(messages) + length_of(asked.tools) + length_of(asked.params)
        masked, request, turn.restorer = await self._aside.read(
            size, lambda: self._privacy.mask(turn.principal, messages, asked)
        )
        turn.personal = turn.restorer.counts if turn.restorer is not None else {}
        return ModelCall(route.upstream_model, masked, request)

    # 8 to 10 -----------------------------------------------------------------------------------------------------

    async def _answer(self, turn: Turn, call: ModelCall, intent: asyncio.Future[None]) -> tuple[Upstream, Delta | End]:
        upstream: Upstream | None = None
        try:
            with Fence(intent):
                upstream = await self._upstream(turn, call)
                if turn.restorer is not None:
                    upstream = restored(upstream, turn.restorer)
                first = await anext(upstream, None) or cut_off()
                await intent
        except BaseException as error:
            if upstream is not None:
                await upstream.aclose()
            if turn.route is not None:
                turn.route.outcome(error)
            if turn.reservation is not None:
                turn.reservation.settle(Usage())
            raise
        turn.ttft = time.monotonic() - turn.began
        assert turn.route is not None
        turn.route.first_token()
        return upstream, first

    async def _upstream(self, turn: Turn, call: ModelCall) -> Upstream:
        """8: an answer that is kept, another turn's call, or a call of its own; only for this anything is set aside."""
        route, principal, policy = turn.route, turn.principal, turn.policy
        assert route is not None
        turn.tries += 1
        turn.source, turn.keep = "model", None
        if policy is None:
            return self._call(turn, route, call)
        key = caching.key_of(principal, route, call)
        if key is not None and not turn.request.cache:
            if policy.ttl and (stored := await self._answers.get(principal.tenant_id, key)) is not None:
                self._call_nobody(turn, "cache", BorrowedRoute(route, route.decision))
                return caching.replayed(stored)
            if (upstream := self._joined(turn, key)) is not None:
                return upstream
        await self.reserve(turn, route, turn.request.max_tokens)
        if key is None:
            return self._call(turn, route, call)
        return self._joined(turn, key) or self._begun(turn, route, call, key, policy)

    def _joined(self, turn: Turn, key: str) -> Upstream | None:
        """A call like this one that runs already."""
        running, route = self.shared.running(key), turn.route
        if running is None or turn.request.cache:
            return None
        assert route is not None
        decision = {**route.decision, "shared_with": running.turn_id}
        self._call_nobody(turn, "shared", BorrowedRoute(running.route, decision, running.toll))
        turn.keep = running.keep
        return running.read()

    def _begun(self, turn: Turn, route: Route, call: ModelCall, key: str, policy: CachePolicy) -> Upstream:
        """A call of its own whose answer may be kept and that others may join, as the tenant wants it."""
        upstream = self._call(turn, route, call)
        if policy.ttl:
            turn.keep = caching.Keeping(partial(self._answers.put, turn.principal.tenant_id, key, ttl=policy.ttl))
            upstream = caching.recorded(upstream, turn.keep)
        if not policy.coalesce:
            return upstream
        assert turn.route is not None
        shared = self.shared.start(key, upstream, turn.route, turn.id)
        shared.keep = turn.keep
        turn.route = LentRoute(shared)
        if turn.reservation is not None:
            turn.reservation = LentReservation(shared, turn.reservation)
        return shared.read()

    def _call(self, turn: Turn, route: Route, call: ModelCall) -> Upstream:
        """A call of its own, or a part in one that other turns of the tenant are in."""
        turn.attempts += 1
        instance = route.instance
        if instance.batch_size > 1 and instance.batch_window > 0:
            alike = route.adapter.batch_key(call)
            if alike is not None:
                key = BatchKey(turn.principal.tenant_id, route.adapter, alike)
                return self._batched(key, call, borrow(turn))
        return route.adapter.stream(call)

    async def _batched(self, key: BatchKey, call: ModelCall, route: BorrowedRoute) -> Upstream:
        for answer in await self._batches.run(key, [call], route, route.adapter.answer_all):
            async for event in caching.replayed(answer):
                yield event

    @staticmethod
    def _call_nobody(turn: Turn, source: Source, route: BorrowedRoute) -> None:
        assert turn.route is not None
        turn.route.unused()
        if turn.reservation is not None:
            turn.reservation.settle(Usage())
        turn.source, turn.route = source, route

    # Failures ----------------------------------------------------------------------------------------------------

    def _may_afford(self, turn: Turn, in_flight: int) -> bool:
        """Each further call is paid for; the turn is one at a time. For a call that several turns had a part in one of
        them pays."""
        toll = turn.route.toll if isinstance(turn.route, BorrowedRoute | LentRoute) else None
        if toll is not None and toll.paid is not None:
            return toll.paid
        if turn.retrying:
            self.retries.give_back()
        turn.retrying = self.retries.take(in_flight)
        if toll is not None:
            toll.paid = turn.retrying
        return turn.retrying

    def _take_back(self, turn: Turn) -> None:
        """There was nobody to ask: a pool of one that is down must not use up what other pools retry with."""
        if turn.retrying:
            self.retries.give_back(unused=True)
            turn.retrying = False

    @staticmethod
    def _note(turn: Turn, error: EngineError, seconds: float) -> Retry:
        route = turn.route
        assert route is not None
        instance = route.instance
        constraints = turn.constraints
        (constraints.outgrown if isinstance(error, ContextTooLong) else constraints.tried).append(instance.id)
        return Retry(instance.id, instance.name, error.code, round(seconds, 4))


def borrow(turn: Turn) -> BorrowedRoute:
    """The turn is to have a part in a call for several, which takes its own place at the instance when it begins."""
    route = turn.route
    assert route is not None
    route.unused()
    turn.route = borrowed = BorrowedRoute(route, route.decision)
    return borrowed


def cut_off() -> NoReturn:
    raise UpstreamError("The model's service ended its answer without finishing it.")
