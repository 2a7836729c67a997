"""A plugin asks the model once more in its turn. A further round takes the steps from the guard on as a turn of its
own, with entries of its own for its usage and cost. It is no request of the caller's, so it takes no place at the
worker and counts against no limit of requests; and it is no part of the session, so nothing is remembered there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from engine.aside import Aside, length, length_of
from engine.calling import Caller, cut_off
from engine.ending import Endings
from engine.errors import ContentBlocked
from engine.folding import Fold, as_delta
from engine.ports import Guard
from engine.tracing import Tracer
from engine.turn import Turn
from engine.types import Burst, ChatRequest, Choice, Delta, End, Message, Round, RoundAnswer

EDGE: Final = "round"
OF_THE_TURN: Final = frozenset({"n", "tool_choice", "parallel_tool_calls"})  # parameters that are not a round's


class Rounds:
    """One an engine."""

    def __init__(self, *, guard: Guard, caller: Caller, endings: Endings, aside: Aside, tracer: Tracer) -> None:
        self._guard = guard
        self._caller = caller
        self._endings = endings
        self._aside = aside
        self._tracer = tracer

    async def ask(self, parent: Turn, answered: list[Choice], asked: Round) -> RoundAnswer:
        """The model's answer, as it came. `answered` is the one of the turn's own call. Raises EngineError."""
        self._give_back(parent, answered)
        turn = Turn(parent.principal, _request(parent.request, asked), parent=parent)
        turn.trace = self._tracer.turn(turn.principal, turn.request, turn.id, parent.trace)
        turn.decided = True
        self._endings.active += 1
        try:
            added = await self._checked(turn, asked.added)
            turn.messages = [*parent.messages, *self._let_out(turn, asked.said), *added]
            choices = await self._answer(turn)
            await self._endings.complete(turn, turn.choices(), turn.usage())
            self._caller.finish(turn)
        except BaseException as error:
            await self._endings.leave(turn, error)
            raise
        finally:
            if turn.started:
                parent.rounds += turn.usage()
            self._endings.release(turn)
        return RoundAnswer(choices, list(added), turn.id)

    @staticmethod
    def _give_back(parent: Turn, answered: list[Choice]) -> None:
        """What the turn's own call held, which is over: a round may need the very same."""
        used = parent.usage(answered)
        if parent.end is None or parent.end.usage is None:
            parent.end = msgspec.structs.replace(parent.end or End({}), usage=used)
        if parent.route is not None:
            parent.route.outcome(None)
        if parent.reservation is not None:
            parent.reservation.settle(used)

    async def _checked(self, turn: Turn, added: Sequence[Message]) -> Sequence[Message]:
        """What the plugin brings with it. Raises ContentBlocked."""
        turn.messages = added
        request, principal = turn.request, turn.principal
        weight = self._guard.weight(principal)
        if request.tools:
            size = weight and weight * length_of(request.tools)
            turn.request, verdicts = await self._aside.read(size, lambda: self._guard.request(principal, request))
            turn.judge(verdicts)
        size = weight and weight * length(added)
        checked, verdicts = await self._aside.read(size, lambda: self._guard.input(principal, added))
        turn.judge(verdicts)
        return checked

    def _let_out(self, turn: Turn, said: Sequence[Message]) -> list[Message]:
        """What the model said goes back to it, and on record, as the caller might be told it. Raises ContentBlocked."""
        checked: list[Message] = []
        for message in said:
            if message.role != "assistant":
                checked.append(message)
                continue
            output, fold = self._guard.output(turn.principal), Fold()
            for delta in (output.feed(as_delta(Choice(message, "stop"))), *output.flush()):
                if delta is not None:
                    fold.add(delta)
            if output.blocked:
                raise ContentBlocked()
            checked.append(fold.choices({}, "stop")[0].message)
        return checked

    async def _answer(self, turn: Turn) -> list[Choice]:
        """The model's answer as it came; the turn is left with what of it the guard lets out, for the journal."""
        if turn.parent is not None and turn.parent.route is not None:
            turn.constraints.answerer = turn.parent.answerer()
        turn.output = self._guard.output(turn.principal)
        upstream, event = await self._caller.begin(turn, self._endings.active)
        turn.started = True
        fold = Fold()
        last: Delta | Burst | End | None = event
        async with aclosing(upstream):
            while type(last) is Delta:
                fold.add(last)
                if not turn.blocked:
                    turn.release(last)
                if fold.size > turn.room and not await self._caller.extend(turn, fold.size):
                    break
                last = await anext(upstream, None) or cut_off()
        turn.release_rest([])
        turn.end = last if type(last) is End else None
        reasons = turn.end.finish_reasons if turn.end is not None else {}
        return fold.choices(reasons, "length" if turn.cut else "stop")


def _request(request: ChatRequest, asked: Round) -> ChatRequest:
    """The turn's own, but for what belongs to the turn alone."""
    return msgspec.structs.replace(
        request,
        messages=asked.added,
        tools=asked.tools,
        max_tokens=request.max_tokens if asked.max_tokens is None else asked.max_tokens,
        params={name: value for name, value in request.params.items() if name not in OF_THE_TURN},
        session_id=None,
        remember=False,
        create_session=False,
        follows=None,
        user_profile=None,
        echo={},
        idempotency="",
        resumable=False,
        edge=EDGE,
    )
