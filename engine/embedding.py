"""Embeddings take the steps of a chat turn, where these apply: there is no session, no plugin, no window to trim for
and nothing to stream. The numbers are those of `engine.engine`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from engine.aside import Aside, length
from engine.batching import Batcher, BatchKey, in_pieces, shared_usage, total_usage
from engine.calling import Caller, asked, borrow
from engine.ending import Endings
from engine.entries import Claim
from engine.errors import InvalidRequest, NotSupported, UpstreamError
from engine.estimating import message_tokens, text_tokens
from engine.fencing import Fence
from engine.idempotency import MOST_INPUTS, packed
from engine.ports import Adapter, Guard, Limiter, Privacy, Route
from engine.tracing import Tracer, follow
from engine.turn import Turn
from engine.types import ChatRequest, EmbedCall, Embedded, Embeddings, End, Message, Principal, Usage

LARGEST_CALL: Final = 256  # inputs, where the instance does not say: the answer to 2,048 holds up all other turns

Counted = tuple[list[float], Usage | None]  # a vector, and its part of what its call was counted as


class Embedder:
    """Makes vectors of texts. One an engine, whose retry budget and way out it shares."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        guard: Guard,
        privacy: Privacy,
        caller: Caller,
        endings: Endings,
        aside: Aside,
        tracer: Tracer,
    ) -> None:
        self._limiter = limiter
        self._guard = guard
        self._privacy = privacy
        self._caller = caller
        self._endings = endings
        self._aside = aside
        self._tracer = tracer
        self._batches: Batcher[str, Counted] = Batcher()

    async def embed(self, principal: Principal, request: ChatRequest, claim: Claim | None = None) -> Embeddings:
        """One vector a message of the request, whose task is `embeddings`; of its `params` only `dimensions` counts.

        Raises EngineError. Returns once intent and completion are durable. Cancelling it cancels the call upstream,
        unless other turns have a part in that."""
        if claim is not None and len(request.messages) > MOST_INPUTS:
            raise NotSupported(f"With an idempotency key send at most {MOST_INPUTS} inputs.", param="input")
        turn = Turn(principal, request, claim)
        turn.trace = follow(self._tracer, principal, request, turn.id)
        self._endings.active += 1
        try:
            turn.trace.step("admit")
            await self._caller.worker.enter(turn)
            turn.admission = await self._limiter.admit(principal, request, turn.id)
            turn.decided = True
            turn.trace.step("guard.input")
            checked = await self._checked(turn)
            texts, turn.personal = await self._aside.read(
                sum(map(len, checked)), lambda: self._privacy.mask_each(principal, checked)
            )
            turn.constraints.needed = partial(_longest, turn.messages)
            answer = partial(self._answer, texts)
            embedded = await self._caller.attempt(turn, self._endings.active, self._prepare, answer)
            return await self._finish(turn, embedded)
        except BaseException as error:
            await self._endings.leave(turn, error)
            raise
        finally:
            self._endings.release(turn)

    async def _checked(self, turn: Turn) -> list[str]:
        """3."""
        messages = turn.messages
        weight = self._guard.weight(turn.principal)
        checked, verdicts = await self._aside.read(
            weight and weight * length(messages), lambda: self._guard.input(turn.principal, messages)
        )
        turn.judge(verdicts)
        turn.messages = checked
        texts = [message.content for message in checked if isinstance(message.content, str)]
        if not texts or len(texts) < len(checked):
            raise InvalidRequest("Embeddings are made of texts.", param="input")
        return texts

    async def _prepare(self, turn: Turn) -> Route:
        """5, 6."""
        turn.trace.step("route")
        route = await self._caller.chooser.choose(turn)
        await self._caller.reserve(turn, route, 0)
        return route

    # 10 ----------------------------------------------------------------------------------------------------------

    async def _answer(self, texts: list[str], turn: Turn, route: Route, intent: asyncio.Future[None]) -> Embedded:
        turn.tries += 1
        turn.attempts += 1
        assert turn.route is not None
        try:
            with Fence(intent):
                embedded = await turn.trace.embed(route, self._call(texts, turn, route))
                await intent
        except BaseException as error:
            turn.route.outcome(error)
            if isinstance(error, asyncio.CancelledError):
                turn.unanswered = asked(turn)
            if turn.reservation is not None:
                turn.reservation.settle(turn.unanswered)
            raise
        turn.ttft = time.monotonic() - turn.began
        turn.route.first_token()
        return embedded

    async def _call(self, texts: list[str], turn: Turn, route: Route) -> Embedded:
        """All at once, together with others', or in several calls, as its instance takes them."""
        instance, dimensions = route.instance, turn.request.params.get("dimensions")
        size = instance.batch_size if instance.batch_size > 1 else LARGEST_CALL
        call = partial(_counted, route.adapter, route.upstream_model, dimensions)
        if len(texts) < instance.batch_size and instance.batch_window > 0:
            key = BatchKey(turn.principal.tenant_id, route.adapter, (route.upstream_model, dimensions))
            found = await self._batches.run(key, texts, borrow(turn), call)
        elif len(texts) <= size:
            return await _embedded(route.adapter, EmbedCall(route.upstream_model, texts, dimensions))
        else:
            found = await in_pieces(texts, size, call)
        return Embedded([vector for vector, _ in found], total_usage([usage for _, usage in found]))

    # 12 ----------------------------------------------------------------------------------------------------------

    async def _finish(self, turn: Turn, embedded: Embedded) -> Embeddings:
        turn.end = End({}, embedded.usage or _estimate(turn.messages))
        usage = turn.usage()
        if turn.claim is not None:
            turn.vectors = [packed(vector) for vector in embedded.vectors]
        await self._endings.complete(turn, [], usage)
        done = turn.done([], usage)
        return Embeddings(done.id, done.model, embedded.vectors, usage, done.route, limits=turn.limits())


async def _embedded(adapter: Adapter, call: EmbedCall) -> Embedded:
    embedded = await adapter.embed(call)
    if len(embedded.vectors) != len(call.inputs):
        raise UpstreamError("The model's service answered another number of inputs than were sent.")
    return embedded


async def _counted(adapter: Adapter, model: str, dimensions: int | None, texts: list[str]) -> list[Counted]:
    embedded = await _embedded(adapter, EmbedCall(model, texts, dimensions))
    usages = shared_usage(embedded.usage, [text_tokens(text) for text in texts], [0] * len(texts))
    return list(zip(embedded.vectors, usages, strict=True))


def _longest(messages: Sequence[Message]) -> int:
    """The tokens a model must have room for: it reads every input by itself."""
    return max(map(message_tokens, messages))


def _estimate(messages: Sequence[Message]) -> Usage:
    return Usage(prompt_tokens=sum(text_tokens(str(message.content)) for message in messages), estimated=True)
