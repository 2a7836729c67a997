"""Steps 5 to 10 of a turn: an instance is chosen, its price reserved, the conversation trimmed for it, the intent
handed over and the model called; where that fails before the first token, again with another instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from engine import caching, retrying
from engine.aside import Aside, length, length_of
from engine.batching import Batcher, BatchKey
from engine.bursts import singly
from engine.choosing import Chooser
from engine.coalescing import BorrowedRoute, LentReservation, LentRoute, SharedCalls
from engine.entries import Retry
from engine.errors import (
    BudgetExceeded,
    ContextTooLong,
    EngineError,
    RateLimited,
    StoreUnavailable,
    UpstreamError,
)
from engine.estimating import BYTES_PER_TOKEN
from engine.fencing import Fence
from engine.ports import Answers, Journal, Limiter, Meter, Privacy, Route, Router, Sessions
from engine.privacy import restored
from engine.turn import NO_END, NOTHING, Turn
from engine.types import Burst, CachePolicy, ChatRequest, Delta, End, Message, ModelCall, Source, StoredAnswer, Usage
from engine.worker import Worker

C = TypeVar("C")
A = TypeVar("A")
Upstream = AsyncGenerator[Delta | Burst | End, None]
Prepare = Callable[[Turn], Awaitable[C]]
Answer = Callable[[Turn, C, asyncio.Future[None]], Awaitable[A]]

CHEAPER: Final = 2  # times that a turn looks for an instance its budget has room for


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
        meter: Meter,
        aside: Aside,
        worker: Worker,
    ) -> None:
        self.worker = worker
        self.chooser = Chooser(router, worker)
        self._limiter = limiter
        self._sessions = sessions
        self._journal = journal
        self._answers = answers
        self._privacy = privacy
        self._meter = meter
        self._aside = aside
        self.retries = retrying.RetryBudget()
        self.shared = SharedCalls()
        self._batches: Batcher[ModelCall, StoredAnswer] = Batcher()

    async def begin(self, turn: Turn, in_flight: int) -> tuple[Upstream, Delta | Burst | End]:
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
                call = await self._prepared(turn, prepare)
            except EngineError as error:
                self._give_up(turn, asked, failure or error)
            if retry is not None:
                turn.retries = [*turn.retries, retry]
            if intent is None:
                turn.intended = True
                intent = self._journal.intent(turn.intent(), turn.claim)
                if turn.claim is not None or not self._journal.healthy:  # who holds the key must be known before
                    await intent
            self.worker.prepared(turn)
            began = time.monotonic()
            try:
                return await answer(turn, call, intent)
            except RateLimited as error:
                if not self._may_go_cheaper(turn, error):
                    self._give_up(turn, asked, failure or error)
                retry = self._noted(turn, error, time.monotonic() - began)
            except (UpstreamError, ContextTooLong) as error:
                if failure is None or (isinstance(failure, ContextTooLong) and isinstance(error, UpstreamError)):
                    failure = error
                if not retrying.may_retry(turn.tries) or not self._may_afford(turn, in_flight):
                    raise failure from None
                retry = self._note(turn, error, time.monotonic() - began)

    async def _prepared(self, turn: Turn, prepare: Prepare[C]) -> C:
        """A call that the budget has room for."""
        while True:
            try:
                return await prepare(turn)
            except BudgetExceeded as error:
                if not self._may_go_cheaper(turn, error):
                    raise

    def _give_up(self, turn: Turn, asked: Route | None, failure: EngineError) -> NoReturn:
        """Nobody is left. `asked` failed last; None: nobody did, it is a refusal."""
        if asked is not None:
            turn.route = asked
            self._take_back(turn)
        raise failure from None

    def finish(self, turn: Turn) -> None:
        """The turn is whole and recorded: its answer is kept where that was wanted."""
        if turn.keep is not None and not turn.blocked and not turn.cut and turn.keep():
            self._meter.cache(tenant=turn.principal.tenant, outcome="stored")

    def release(self, turn: Turn) -> None:
        """The turn is over, however."""
        if turn.retrying:
            self.retries.give_back()
        self.worker.leave(turn)

    def constrain(self, turn: Turn) -> None:
        """What of its session, and of its size, the router is to know."""
        session = turn.conversation
        if session is not None:
            turn.constraints.answerer = session.answerer
        turn.constraints.needed = partial(self._sessions.needs, session, turn.messages)

    @staticmethod
    def _may_go_cheaper(turn: Turn, error: EngineError) -> bool:
        """Whether another instance is to be chosen, for which the budget has room. Twice at most: meanwhile others use
        up what was left."""
        if not isinstance(error, BudgetExceeded) or error.affords is None or turn.cheaper >= CHEAPER:
            return False
        turn.cheaper += 1
        turn.over_budget = error
        turn.constraints.affords = error.affords
        return True

    async def reserve(self, turn: Turn, route: Route, max_tokens: int | None) -> None:
        """6."""
        try:
            turn.reservation = reservation = await self._limiter.reserve(
                turn.principal,
                route.instance,
                route.prompt_tokens,
                max_tokens,
                model=route.model,
                choices=_choices(turn.request),
            )
        except EngineError:
            route.unused()
            raise
        turn.room = min(reservation.room, NO_END // BYTES_PER_TOKEN) * BYTES_PER_TOKEN

    async def extend(self, turn: Turn, size: int = 0) -> bool:
        """6 again, for an answer of `size` bytes (0: what was let out) that has grown beyond what was set aside for it.
        False: it is cut off here."""
        reservation, size = turn.reservation, size or turn.fold.size
        while reservation is not None and size > turn.room:
            try:
                turn.cut = not await reservation.extend()
            except StoreUnavailable:  # what cannot be known to be there is not spent
                turn.cut = True
            if turn.cut:
                return False
            turn.room = min(reservation.room, NO_END // BYTES_PER_TOKEN) * BYTES_PER_TOKEN
        return True

    async def _prepare(self, turn: Turn) -> ModelCall:
        """5, 7, and 6 unless the call may be another's."""
        turn.trace.step("route")
        while True:
            route = await self.chooser.choose(turn)
            try:
                messages = await self._sessions.window(
                    turn.conversation, turn.messages, route.instance, route.upstream_model, turn.request
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
        turn.personal = turn.restorer.counts if turn.restorer is not None else NOTHING
        return ModelCall(route.upstream_model, masked, request, route.model if turn.passes else "")

    # 8 to 10 -----------------------------------------------------------------------------------------------------

    async def _answer(
        self, turn: Turn, call: ModelCall, intent: asyncio.Future[None]
    ) -> tuple[Upstream, Delta | Burst | End]:
        upstream: Upstream | None = None
        try:
            with Fence(intent):
                upstream = await self._upstream(turn, call)
                if turn.restorer is not None:
                    upstream = restored(singly(upstream), turn.restorer)
                first = await anext(upstream, None) or cut_off()
                await intent
        except BaseException as error:
            if upstream is not None:
                await upstream.aclose()
            if turn.route is not None:
                turn.route.outcome(error)
            if upstream is not None and isinstance(error, asyncio.CancelledError):
                turn.unanswered = asked(turn)
            if turn.reservation is not None:
                turn.reservation.settle(turn.unanswered)
            raise
        turn.first_token()
        if not (turn.retries or isinstance(turn.route, BorrowedRoute | LentRoute)):  # else the completion tells it, too
            assert turn.route is not None
            turn.route.decision = NOTHING
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
                self._meter.cache(tenant=principal.tenant, outcome="hit")
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
        self._meter.cache(tenant=turn.principal.tenant, outcome="coalesced")
        decision = {**route.decision, "shared_with": running.turn_id}
        self._call_nobody(turn, "shared", BorrowedRoute(running.route, decision, running.toll))
        turn.keep = running.keep
        return running.read()

    def _begun(self, turn: Turn, route: Route, call: ModelCall, key: str, policy: CachePolicy) -> Upstream:
        """A call of its own whose answer may be kept and that others may join, as the tenant wants it."""
        self._meter.cache(tenant=turn.principal.tenant, outcome="miss")
        upstream = singly(self._call(turn, route, call))
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
                return turn.trace.call(route, self._batched(key, call, borrow(turn)))
        adapter = route.adapter
        return turn.trace.call(route, adapter.bursts(call) if turn.takes_bursts else adapter.stream(call))

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

    @classmethod
    def _note(cls, turn: Turn, error: EngineError, seconds: float) -> Retry:
        assert turn.route is not None
        constraints = turn.constraints
        tried = constraints.outgrown if isinstance(error, ContextTooLong) else constraints.tried
        tried.append(turn.route.instance.id)
        return cls._noted(turn, error, seconds)

    @staticmethod
    def _noted(turn: Turn, error: EngineError, seconds: float) -> Retry:
        assert turn.route is not None
        instance = turn.route.instance
        return Retry(instance.id, instance.name, error.code, round(seconds, 4))


def borrow(turn: Turn) -> BorrowedRoute:
    """The turn is to have a part in a call for several, which takes its own place at the instance when it begins."""
    route = turn.route
    assert route is not None
    route.unused()
    turn.route = borrowed = BorrowedRoute(route, route.decision)
    return borrowed


def asked(turn: Turn) -> Usage:
    """What is paid for a call that its turn leaves before an answer began: the service has read the prompt, and who
    leaves again and again would get that for nothing. What others have a part in is paid for by those."""
    route = turn.route.call.route if isinstance(turn.route, LentRoute) else turn.route
    if route is None or turn.source != "model" or isinstance(route, BorrowedRoute):
        return Usage()
    return Usage(prompt_tokens=route.prompt_tokens, estimated=True)


def _choices(request: ChatRequest) -> int:
    """How many answers the model is asked for."""
    number = request.params.get("n")
    return number if type(number) is int and number > 1 else 1


def cut_off() -> NoReturn:
    raise UpstreamError("The model's service ended its answer without finishing it.")
