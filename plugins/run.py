"""The plugins of one turn. Implements `engine.ports.PluginRun`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from engine.entries import SkippedHook
from engine.errors import EngineError
from engine.folding import Fold, as_delta
from engine.ports import AskAgain
from engine.types import Choice, Delta, Json, Message, Round
from plugins.active import Active
from plugins.base import MOST_METADATA, MOST_ROUNDS, Asked, TurnContext, TurnResponse, copied
from plugins.deltas import DeltaSeat

if TYPE_CHECKING:
    from plugins.chain import PluginChain


DEEPEST: Final = 32  # levels of metadata: protobuf takes no more than 100, two of them for one of ours

_encode: Final = msgspec.json.Encoder().encode


class ChainRun:
    """What the plugins of a turn made of it so far, and those whose hook before the model ran to its end."""

    def __init__(
        self,
        chain: PluginChain,
        plugins: Sequence[Active],
        messages: Sequence[Message],
        context: Callable[[ChainRun], TurnContext],
        *,
        rehearsal: bool,
    ) -> None:
        self.answer: Message | None = None
        self.messages = messages
        self.features: Json = {}
        self.touched = False
        self.metadata: dict[str, Json] = {}
        self.skipped: list[SkippedHook] = []
        self.rehearsal = rehearsal
        self._chain = chain
        self._plugins = plugins
        self._context = context
        self._ran: list[tuple[Active, TurnContext]] = []
        self._rounds = 0
        self._seats: list[DeltaSeat] | None = None
        for each in plugins:
            each.loaded.take()

    def release(self) -> None:
        plugins, self._plugins = self._plugins, ()
        for seat in self._seats or ():
            seat.leave()
        for each in plugins:
            each.loaded.let_go()

    @property
    def needs_full_response(self) -> bool:
        return any(active.loaded.whole for active, context in self._ran if not context.left)

    @property
    def sees_deltas(self) -> bool:
        return any(active.loaded.sees_deltas for active, context in self._ran if not context.left)

    @property
    def sees_end(self) -> bool:
        return any(active.loaded.sees_end for active, context in self._ran if not context.left)

    # Before the model ---------------------------------------------------------------------------------------------

    async def pre(self) -> None:
        for active in self._plugins:
            context = self._context(self)
            await self._chain.call(self, active, "pre_process", context, partial(self._take, active, context))
            if self.answer is not None:
                if not self.rehearsal:
                    choices = await self.post([Choice(message=self.answer, finish_reason="stop")], None)
                    self.answer = choices[0].message
                break

    def _take(self, active: Active, context: TurnContext) -> None:
        """Copies: what the plugin does to its context from now on changes nothing."""
        changed = context.messages != list(self.messages)
        messages = copied(context.messages, list[Message]) if changed else self.messages
        features = copied(context.features, Json)
        answer = None if context.answered is None else copied(context.answered, Message)
        metadata = _metadata(context)
        self.touched = self.touched or changed
        self.messages, self.features, self.answer = messages, features, answer
        self._keep(active, metadata)
        self._ran.append((active, context))

    def _keep(self, active: Active, metadata: Json) -> None:
        if metadata:
            self.metadata[active.name] = metadata
        else:
            self.metadata.pop(active.name, None)

    # Over the whole answer ----------------------------------------------------------------------------------------

    async def post(self, choices: list[Choice], ask: AskAgain | None = None) -> list[Choice]:
        """See `engine.ports.PluginRun`. `ask` None: there is no model to ask again."""
        for active, context in reversed(self._ran):
            if context.left:
                continue
            if active.loaded.changes_answer:
                choices = await self._rewritten(active, context, choices, ask)
            elif active.loaded.sees_deltas:
                choices = await self._in_one_piece(DeltaSeat(self._chain, self, active, context), choices)
        return choices

    async def _rewritten(
        self, active: Active, context: TurnContext, choices: list[Choice], ask: AskAgain | None
    ) -> list[Choice]:
        """The answer as the plugin's hook leaves it, called again with the answer of each round it asks for."""
        said: list[Message] = []
        number = 0
        while True:
            left = MOST_ROUNDS - self._rounds if ask is not None else 0
            response = TurnResponse(choices, context, round=number, rounds_left=left)
            changed: list[Choice] = []
            asked: list[Asked] = []
            take = partial(self._take_response, active, response, choices, changed, asked)
            if not await self._chain.call(self, active, "post_process", response, take):
                return choices
            if not asked:
                return changed
            if ask is None or not left:
                self._chain.skip(self, active, "post_process", "rounds")
                return changed
            self._rounds += 1
            number += 1
            said.append(choices[0].message)
            added = asked[0].messages
            again = Round(
                plugin=active.name, said=said, added=added, tools=asked[0].tools, max_tokens=asked[0].max_tokens
            )
            try:
                answer = await ask(again)
            except EngineError as error:
                self._chain.skip(self, active, "post_process", "round_failed", error=error)
                return changed
            said = [*said, *answer.added]
            choices = answer.choices

    def _take_response(
        self, active: Active, response: TurnResponse, given: list[Choice], changed: list[Choice], asked: list[Asked]
    ) -> None:
        same = response.choices == given
        choices = given if same else copied(response.choices, list[Choice])
        if not choices:
            raise ValueError("the hook left no choice")
        if response.asked is not None:
            again = copied(response.asked, Asked)
            if not again.messages:
                raise ValueError("the hook asked for a round without a message")
            asked.append(again)
        metadata = _metadata(response.context)
        changed.extend(choices)
        self._keep(active, metadata)

    async def _in_one_piece(self, seat: DeltaSeat, choices: list[Choice]) -> list[Choice]:
        """The answer for a hook over pieces that gets it whole, since another plugin needs it so."""
        fold = Fold()
        try:
            for choice in choices:
                for delta, last in ((as_delta(choice), False), (Delta(index=choice.index), True)):
                    if (piece := await seat.piece(delta, last=last)) is not None:
                        fold.add(piece)
            seat.end()
        finally:
            seat.leave()
        reasons = {choice.index: choice.finish_reason for choice in choices}
        indexes = {choice.index for choice in choices}
        return [choice for choice in fold.choices(reasons, "stop") if choice.index in indexes]

    # Over its pieces ----------------------------------------------------------------------------------------------

    async def delta(self, delta: Delta) -> Delta | None:
        """See `engine.ports.PluginRun`."""
        piece: Delta | None = delta
        for seat in self._seated():
            if piece is None:
                break
            piece = await seat.piece(piece)
        return piece

    async def rest(self) -> list[Delta]:
        """See `engine.ports.PluginRun`."""
        pending: list[Delta] = []
        for seat in self._seated():
            found = [await seat.piece(each) for each in pending]
            found += [await seat.piece(Delta(index=index), last=True) for index in sorted(seat.indexes)]
            pending = [each for each in found if each is not None]
            seat.end()
        return pending

    def _seated(self) -> list[DeltaSeat]:
        if self._seats is None:
            seeing = (pair for pair in reversed(self._ran) if pair[0].loaded.sees_deltas and not pair[1].left)
            self._seats = [DeltaSeat(self._chain, self, *pair) for pair in seeing]
        return self._seats

    # When it was sent ---------------------------------------------------------------------------------------------

    async def observe(self, choices: list[Choice]) -> None:
        """See `engine.ports.PluginRun`."""
        for active, context in reversed(self._ran):
            if active.loaded.sees_end and not context.left:
                response = TurnResponse(choices, context, rounds_left=0, sent=True)
                take = partial(self._take_seen, active, context)
                await self._chain.call(self, active, "post_process", response, take)

    def _take_seen(self, active: Active, context: TurnContext) -> None:
        self._keep(active, _metadata(context))


class NoPlugins:
    """The run of a tenant without plugins. It has no state, so all turns share one."""

    needs_full_response = sees_deltas = sees_end = False
    touched = False

    def __init__(self) -> None:
        self.answer: Message | None = None
        self.messages: Sequence[Message] = ()
        self.features: Json = {}
        self.metadata: dict[str, Json] = {}
        self.skipped: list[SkippedHook] = []

    async def pre(self) -> None:
        """There are none."""

    async def post(self, choices: list[Choice], ask: AskAgain | None = None) -> list[Choice]:
        return choices

    async def delta(self, delta: Delta) -> Delta | None:
        return delta

    async def rest(self) -> list[Delta]:
        return []

    async def observe(self, choices: list[Choice]) -> None:
        """Nobody looks."""

    def release(self) -> None:
        """Nothing is held."""


def _metadata(context: TurnContext) -> Json:
    """A copy. Raises what copying raises, and ValueError: it is too large or too deep."""
    if context.metadata == {}:
        return {}
    metadata = copied(context.metadata, Json)
    if len(_encode(metadata)) > MOST_METADATA:
        raise ValueError(f"the metadata is larger than {MOST_METADATA} bytes")
    if _depth(metadata) > DEEPEST:
        raise ValueError(f"the metadata is deeper than {DEEPEST} levels")
    return metadata


def _depth(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)
