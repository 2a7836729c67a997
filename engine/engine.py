"""The one way a chat turn is answered. The numbers are the steps of the design:

 1 a place at the worker, limits.admit   2 sessions.open   3 guard.input   4 plugins.pre
 5 router.choose, and a place at the instance   6 limits.reserve
 7 sessions.window, privacy.mask   8 cache, coalescing   9 journal.intent (runs beside 10)   10 adapter.stream
11 what was masked is restored, plugins.post, guard.output
12 journal.completion, sessions.append, limits.settle; then the terminal event
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

from engine import metadata
from engine.aside import Aside, length, length_of
from engine.bursts import singly
from engine.calling import Caller, Upstream, cut_off
from engine.checkpoints import UNWATCHED, Checkpoints, Unwatched
from engine.embedding import Embedder
from engine.ending import Endings
from engine.entries import Claim
from engine.errors import EngineError
from engine.folding import Fold, as_delta
from engine.idempotency import Never, Once, Recorded, Repeats, embeddings_of, replayed
from engine.ports import Answers, Guard, Journal, Limiter, Meter, Plugins, Privacy, Router, Sessions
from engine.privacy import OpenPrivacy
from engine.rounds import Rounds
from engine.spacing import Spaced, spaced, spacing
from engine.tracing import NO_TRACER, Tracer, follow
from engine.turn import Turn
from engine.types import Burst, ChatRequest, Delta, Done, Embeddings, End, Event, Message, Principal, Start
from engine.worker import Worker

OPEN_PRIVACY: Final = OpenPrivacy()
NEVER: Final = Never()


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
        privacy: Privacy = OPEN_PRIVACY,
        once: Once = NEVER,
        worker: Worker | None = None,
        tracer: Tracer = NO_TRACER,
        interval: Callable[[int], int] = lambda tenant_id: 0,
    ) -> None:
        """`interval`: the milliseconds that a tenant wants between two pieces of a stream."""
        self.limiter = limiter
        self.sessions = sessions
        self.guard = guard
        self.plugins = plugins
        self.journal = journal
        self._tracer = tracer
        self._interval = interval
        self._aside = Aside()
        self.worker = worker or Worker()
        self.caller = Caller(
            limiter=limiter,
            sessions=sessions,
            router=router,
            journal=journal,
            answers=answers,
            privacy=privacy,
            meter=meter,
            aside=self._aside,
            worker=self.worker,
        )
        self.endings = Endings(sessions=sessions, guard=guard, journal=journal, meter=meter, caller=self.caller)
        self.embedder = Embedder(
            limiter=limiter,
            guard=guard,
            privacy=privacy,
            caller=self.caller,
            endings=self.endings,
            aside=self._aside,
            tracer=tracer,
        )
        self.rounds = Rounds(guard=guard, caller=self.caller, endings=self.endings, aside=self._aside, tracer=tracer)
        self.checkpoints = Checkpoints(journal)
        self.repeats = Repeats(once, meter, self._aside)

    async def complete(
        self, principal: Principal, request: ChatRequest, started: Callable[[Start], None] = lambda start: None
    ) -> Done:
        """The same turn as `stream`'s for who reads nothing before its end; `started` is told its Start. Raises
        EngineError."""
        if not request.idempotency:
            return await self._complete(principal, request, None, started)
        async with self.repeats.of(principal, request) as found:
            if isinstance(found, Recorded):
                start, *_, done = replayed(found)
                assert type(start) is Start and type(done) is Done
                started(start)
                return done
            return await self._complete(principal, request, found, started)

    async def _complete(
        self, principal: Principal, request: ChatRequest, claim: Claim | None, started: Callable[[Start], None]
    ) -> Done:
        """`_answer` without a generator: those, and what closes them, are a good part of what a short turn costs."""
        turn = self._begun(principal, request, claim)
        watched = UNWATCHED
        try:
            await self._open(turn)
            upstream, event = await self._begin(turn)
            started(turn.start())
            if upstream is None:
                pending = [as_delta(choice) for choice in turn.answered()]
            else:
                watched = self.checkpoints.watch(turn)
                try:
                    pending = await self._read(turn, upstream, event, watched)
                finally:
                    await upstream.aclose()
            turn.release_rest(pending)
            return await self._finish(turn)
        except BaseException as error:
            await self._leave(turn, error)
            raise
        finally:
            self.checkpoints.forget(watched)
            self.endings.release(turn)

    async def _read(
        self, turn: Turn, upstream: Upstream, event: Delta | Burst | End | None, watched: Unwatched
    ) -> list[Delta]:
        """A model's whole answer, as far as guard and budget let it through; what is still to pass the guard."""
        if turn.needs_full_response:
            return await self._rewrite(turn, upstream, event)
        event = event or await anext(upstream, None) or cut_off()
        while not isinstance(event, End):
            turn.let_out(event)
            if turn.fold.size >= watched.full:
                watched.take()
            if turn.blocked or (turn.fold.size > turn.room and not await self.caller.extend(turn)):
                return []
            event = await anext(upstream, None) or cut_off()
        turn.end = event
        return []

    def _begun(self, principal: Principal, request: ChatRequest, claim: Claim | None) -> Turn:
        turn = Turn(principal, request, claim)
        turn.trace = follow(self._tracer, principal, request, turn.id)
        self.endings.active += 1
        return turn

    def stream(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Yields Start, any number of Deltas, Done. Raises EngineError; what was yielded before stays true.

        Leaving early (closing the generator, cancelling the task) cancels the model call and is recorded. Nothing is
        yielded before the intent is durable, nor Done before the completion is. A request with an idempotency key that
        was answered before is answered as it was (see `engine.idempotency`)."""
        return singly(self.bursts(principal, request))

    def bursts(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[Event | Burst, None]:
        """The same events as `stream`'s, where deltas that leave together are yielded together."""
        return self._answer_once(principal, request) if request.idempotency else self._answer(principal, request)

    async def _answer_once(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[Event | Burst, None]:
        async with self.repeats.of(principal, request) as found:
            if isinstance(found, Recorded):
                for past in replayed(found):
                    yield past
                return
            async with aclosing(self._answer(principal, request, found)) as events:
                async for event in events:
                    yield event

    async def _answer(
        self, principal: Principal, request: ChatRequest, claim: Claim | None = None
    ) -> AsyncGenerator[Event | Burst, None]:
        turn = self._begun(principal, request, claim)
        watched = UNWATCHED
        try:
            await self._open(turn)
            upstream, event = await self._begin(turn)
            if upstream is None:
                yield turn.start()
                pending = [as_delta(choice) for choice in turn.answered()]
            else:
                watched = self.checkpoints.watch(turn)
                events = spaced(turn, upstream)
                async with aclosing(events):
                    yield turn.start()
                    if turn.needs_full_response:
                        pending = await self._rewrite(turn, events, event)
                    else:
                        pending = []
                        event = event or await anext(events, None) or cut_off()
                        fold = turn.fold
                        while not isinstance(event, End):
                            said = turn.let_out(event)
                            if said is not None:
                                if fold.size >= watched.full:
                                    watched.take()
                                yield said
                            if turn.blocked or (fold.size > turn.room and not await self.caller.extend(turn)):
                                break
                            event = await anext(events, None) or cut_off()
                        else:
                            turn.end = event
            for delta in turn.release_rest(pending):
                yield delta
            yield await self._finish(turn)
        except BaseException as error:
            await self._leave(turn, error)
            raise
        finally:
            self.checkpoints.forget(watched)
            self.endings.release(turn)

    async def _leave(self, turn: Turn, error: BaseException) -> None:
        """Without an answer. Where the turn does not say in which language to tell the error: as a plugin found, or
        would have."""
        if isinstance(error, EngineError) and turn.request.language is None:
            found = turn.plugins.features.get("language") if turn.plugins is not None else None
            error.language = found if isinstance(found, str) else self.plugins.spoken(turn.principal, turn.request)
        await self.endings.leave(turn, error)

    @asynccontextmanager
    async def rehearsed(self, principal: Principal, request: ChatRequest) -> AsyncIterator[Turn]:
        """A turn as it is when the router is asked (5), but for the limiter, which is not, and the plugins, of which
        only those are that do nothing else; nothing is written and nobody called. Raises EngineError where the turn
        would."""
        turn = Turn(principal, request)
        try:
            await self._enter(turn, "")
            await self._prepare(turn, rehearsal=True)
            self.caller.constrain(turn)
            yield turn
        finally:
            if turn.plugins is not None:
                turn.plugins.release()
            if turn.session is not None:
                await self.sessions.close(turn.session)

    async def embed(self, principal: Principal, request: ChatRequest) -> Embeddings:
        """The vectors of a request with the task `embeddings`; see `Embedder.embed`."""
        if not request.idempotency:
            return await self.embedder.embed(principal, request)
        async with self.repeats.of(principal, request) as found:
            if isinstance(found, Recorded):
                return embeddings_of(found)
            return await self.embedder.embed(principal, request, found)

    @property
    def active(self) -> int:
        """Turns that are running now."""
        return self.endings.active

    async def drain(self) -> None:
        """Waits until no turn runs and everything about the past ones is recorded."""
        await self.endings.drain()

    # 1 to 4 ------------------------------------------------------------------------------------------------------

    async def _open(self, turn: Turn) -> None:
        principal, request = turn.principal, turn.request
        turn.trace.step("admit")
        await self.worker.enter(turn)
        turn.admission = await self.limiter.admit(principal, request, turn.id)
        await self._enter(turn, turn.id)
        await self._prepare(turn)

    async def _enter(self, turn: Turn, turn_id: str) -> None:
        """2, 3. `turn_id` is what the session is opened for, empty for a look."""
        if turn.request.remember:
            turn.trace.step("session.open")
            turn.session = await self.sessions.open(turn.principal, turn.request, turn_id)
        turn.decided = True
        turn.trace.step("guard.input")
        await self._check_request(turn)
        await self._check_input(turn, turn.request.messages)

    async def _prepare(self, turn: Turn, *, rehearsal: bool = False) -> None:
        """4."""
        turn.trace.step("plugins.pre")
        turn.plugins = run = self.plugins.run(
            turn.principal, turn.request, turn.session, turn.messages, turn.id, rehearsal=rehearsal
        )
        await run.pre()
        if run.touched:
            await self._check_input(turn, run.messages)

    async def _check_request(self, turn: Turn) -> None:
        """What reaches the model besides messages: tools and parameters, and the profile as part of the prompt."""
        request = turn.request
        weight = self.guard.weight(turn.principal)
        if request.tools or request.params:
            size = weight and weight * (length_of(request.tools) + length_of(request.params))
            turn.request, verdicts = await self._aside.read(size, lambda: self.guard.request(turn.principal, request))
            turn.judge(verdicts)
        session = turn.session
        if session is not None and session.user_profile:
            profile = session.user_profile
            session.user_profile, verdicts = await self._aside.read(
                weight and weight * length_of(profile), lambda: self.guard.profile(turn.principal, profile)
            )
            turn.judge(verdicts)

    async def _check_input(self, turn: Turn, messages: Sequence[Message]) -> None:
        turn.messages = messages
        weight = self.guard.weight(turn.principal)
        checked, verdicts = await self._aside.read(
            weight and weight * length(messages), lambda: self.guard.input(turn.principal, messages)
        )
        turn.judge(verdicts)
        turn.messages = checked

    # 5 to 10 -----------------------------------------------------------------------------------------------------

    async def _begin(self, turn: Turn) -> tuple[Upstream | None, Delta | Burst | End | None]:
        """Up to the first event of the model, with the intent durable. Without that event: it is to be asked for.
        (None, None): a plugin answered."""
        turn.output = self.guard.output(turn.principal)
        turn.spaced = spacing(turn, self._interval)
        if turn.answered():
            turn.source = "plugin"
            turn.refused = {"features": found} if (found := metadata.facts(turn.features)) else {}
            turn.intended = True
            self.worker.prepared(turn)
            await self.journal.intent(turn.intent(), turn.claim)
            return None, None
        upstream, event = await self.caller.begin(turn, self.endings.active)
        if turn.needs_full_response or not turn.sees_deltas:
            return upstream, event
        seen = self._pieces(turn, upstream, event)
        await anext(seen)  # from here on it closes what it reads
        return seen, None

    # 11 ----------------------------------------------------------------------------------------------------------

    async def _pieces(self, turn: Turn, upstream: Upstream, event: Delta | Burst | End) -> Upstream:
        """What plugins make of an answer that they see piece by piece, after an event that says nothing."""
        run, whole = turn.plugins, Fold()
        assert run is not None
        async with aclosing(upstream):
            yield event
            while type(event) is Delta:
                whole.add(event)
                if whole.size > turn.room and not await self.caller.extend(turn, whole.size):
                    event = End({})
                    break
                piece = await run.delta(event)
                if piece is not None:
                    yield piece
                event = await anext(upstream, None) or cut_off()
            for piece in await run.rest():
                yield piece
            yield event

    async def _rewrite(self, turn: Turn, upstream: Upstream | Spaced, event: Delta | Burst | End | None) -> list[Delta]:
        """Reads the whole answer for the post hooks; what they make of it still passes the guard, which is last."""
        fold = Fold()
        while type(event) is Delta:
            fold.add(event)
            if fold.size > turn.room and not await self.caller.extend(turn, fold.size):
                break
            event = await anext(upstream, None) or cut_off()
        assert turn.plugins is not None
        await upstream.aclose()
        turn.end = event if type(event) is End else None
        reasons = turn.end.finish_reasons if turn.end is not None else {}
        answered = fold.choices(reasons, "length" if turn.cut else "stop")
        turn.trace.step("plugins.post")
        choices = await turn.plugins.post(answered, partial(self.rounds.ask, turn, answered))
        return [as_delta(choice) for choice in choices]

    # 12 ----------------------------------------------------------------------------------------------------------

    async def _finish(self, turn: Turn) -> Done:
        choices, usage = turn.choices(), turn.usage()
        run = turn.plugins
        if run is not None and (run.sees_end or run.metadata):
            await metadata.hear(self.guard, self._aside, turn, run, choices)
        await self.endings.complete(turn, choices, usage)
        self.caller.finish(turn)
        return turn.done(choices, usage)
