"""What every plugin owes the turns it takes part in. A plugin's test inherits `PluginSuite` and says which plugin, with
which settings:

    class TestGlossary(PluginSuite):
        plugin = GlossaryPlugin
        settings = ({"terms": {"PTO": "paid time off"}},)
"""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any, ClassVar

import msgspec
import pytest

from engine.snapshots import Cell
from engine.types import ChatRequest, Choice, Delta, Message, Round, RoundAnswer
from plugins import registry
from plugins.active import Active, PluginTable
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain
from plugins.lifecycle import close
from plugins.run import ChainRun, NoPlugins
from tests.cast import ACME, ALICE

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LONG = "长 long word. " * 8_000  # more than 100 KB

ODD_MESSAGES: dict[str, list[Message]] = {
    "none": [],
    "empty": [Message("user", "")],
    "nothing": [Message("user")],
    "spaces": [Message("user", " \n\t\u3000\u200b")],
    "no user": [Message("system", "Be brief."), Message("assistant", "Hello")],
    "parts": [
        Message("user", [{"type": "text", "text": "你好 hello"}, {"type": "image_url", "image_url": {"url": "data:,"}}])
    ],
    "odd parts": [Message("user", [{}, {"type": "text"}, {"type": "text", "text": 5}, {"text": None}])],
    "tools": [
        Message("user", "Hi"),
        Message("assistant", None, tool_calls=[CALL]),
        Message("tool", "{}", tool_call_id="c1"),
    ],
    "long": [Message("user", LONG)],
    "many": [Message("user", f"message {number}") for number in range(500)],
    "controls": [Message("user", "\x00\x01\x7f\u202e\ufeff\U0010ffff e\u0301 👩‍👩‍👧")],
    "numbers": [Message("user", "１２３ 4567 ٠١٢ 3.14")],
}

ODD_ANSWERS: dict[str, list[Choice]] = {
    "empty": [Choice(Message("assistant", ""), "stop")],
    "nothing": [Choice(Message("assistant"), "stop")],
    "tool calls": [Choice(Message("assistant", None, tool_calls=[CALL]), "tool_calls")],
    "refusal": [Choice(Message("assistant", "", refusal="No."), "content_filter")],
    "reasoning": [Choice(Message("assistant", "So.", reasoning_content="First"), "length")],
    "two": [Choice(Message("assistant", each), "stop", number) for number, each in enumerate(("a", "b"))],
    "parts": [Choice(Message("assistant", [{"type": "text", "text": "Hello"}]), "stop")],
    "long": [Choice(Message("assistant", LONG), "stop")],
    "probabilities": [Choice(Message("assistant", "a"), "stop", logprobs={"content": [{"token": "a"}]})],
}


class PluginSuite:
    """`settings` are such as people would choose, each as JSON. `patience`: seconds that one hook may take on a busy
    machine."""

    plugin: ClassVar[type[PluginBase]]
    settings: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    patience: ClassVar[float] = 30.0

    def make(self, settings: dict[str, Any]) -> PluginBase:
        """Ready to run. Override it where there must be something around it."""
        made = self.plugin(registry.read_settings(self.plugin, settings))
        made.open()
        return made

    # What it says of itself

    def test_it_can_be_found_and_named(self) -> None:
        plugin = self.plugin
        assert issubclass(plugin, PluginBase) and issubclass(plugin.Settings, PluginSettings)
        assert plugin.name and plugin.name == plugin.name.strip() and len(plugin.name) <= 64
        assert plugin.label and inspect.getdoc(plugin) not in (None, inspect.getdoc(PluginBase))
        assert 0 < plugin.timeout <= 60

    def test_its_settings_come_back_as_they_went(self) -> None:
        for given in self.settings:
            read = registry.read_settings(self.plugin, given)
            stored = json.loads(msgspec.json.encode(read))
            assert registry.read_settings(self.plugin, stored) == read
            with pytest.raises(registry.InvalidSettings):
                registry.read_settings(self.plugin, {**given, "no such setting": 1})
        for odd in (None, [], "x", 5):
            with pytest.raises(registry.InvalidSettings):
                registry.read_settings(self.plugin, odd)

    def test_its_settings_have_a_schema(self) -> None:
        schema = msgspec.json.schema(self.plugin.Settings)
        assert json.loads(json.dumps(schema)) == schema

    # What its hooks do

    @pytest.mark.parametrize("odd", ODD_MESSAGES)
    def test_it_survives_odd_messages(self, odd: str) -> None:
        self._each(lambda chain: self._turn(chain, ODD_MESSAGES[odd], [Choice(Message("assistant", "Hello"), "stop")]))

    @pytest.mark.parametrize("odd", ODD_ANSWERS)
    def test_it_survives_odd_answers(self, odd: str) -> None:
        self._each(lambda chain: self._turn(chain, [Message("user", "Hi")], ODD_ANSWERS[odd]))

    def test_it_survives_an_answer_in_many_pieces(self) -> None:
        async def streamed(chain: PluginChain) -> None:
            run = await self._begun(chain, [Message("user", "Hi")])
            for piece in ("He", "", "l", "lo ", "你", "\n\n"):
                await run.delta(Delta(content=piece))
            await run.delta(Delta(tool_calls=[{"index": 0, **CALL}]))
            await run.delta(Delta(content="other", index=1))
            await run.rest()
            self._done(run)

        self._each(streamed)

    def test_it_changes_nothing_that_others_share(self) -> None:
        async def compared(chain: PluginChain) -> None:
            for messages in ODD_MESSAGES.values():
                for choices in ODD_ANSWERS.values():
                    before = msgspec.json.encode([messages, choices])
                    await self._turn(chain, messages, choices)
                    assert msgspec.json.encode([messages, choices]) == before
                    break

        self._each(compared)

    def test_it_serves_turns_at_the_same_time(self) -> None:
        async def together(chain: PluginChain) -> None:
            hi, hello = [Message("user", "Hi")], [Choice(Message("assistant", "Hello"), "stop")]
            alone = await self._turn(chain, hi, hello)
            runs = await asyncio.gather(*(self._turn(chain, hi, hello) for _ in range(6)))
            assert all(self._left(run) == self._left(alone) for run in runs)

        self._each(together)

    def test_it_leaves_the_event_loop_to_others(self) -> None:
        async def timed(chain: PluginChain) -> None:
            await self._turn(chain, [Message("user", "Hi")], [Choice(Message("assistant", "Hello"), "stop")])
            for _ in range(2):  # on a busy machine one turn may be unlucky
                await self._turn(chain, [Message("user", "Hi")], [Choice(Message("assistant", "Hello"), "stop")])
            assert all(state.outcomes.get("blocked", 0) < 3 for state in chain.states(ACME.id))

        self._each(timed)

    def test_it_has_no_effect_where_it_says_so(self) -> None:
        if not self.plugin.pure:
            return

        async def rehearsed(chain: PluginChain) -> None:
            hi = [Message("user", "Hi")]
            run = chain.run(ALICE.principal, ChatRequest(messages=hi), None, hi, "", rehearsal=True)
            await run.pre()
            assert not run.skipped
            assert self._left(run)[1:] == self._left(await self._begun(chain, hi))[1:]

        self._each(rehearsed)

    def test_it_can_be_closed(self) -> None:
        async def closed() -> None:
            for given in self.settings:
                await close([Active.of(self.make(given)).loaded])

        asyncio.run(closed())

    # How

    def _each(self, check: Any) -> None:
        """With each of the settings."""

        async def checked(given: dict[str, Any]) -> None:
            active = Active.of(self.make(given), timeout=self.patience)
            try:
                await check(PluginChain(Cell(PluginTable({ACME.id: (active,)}))))
            finally:
                await close([active.loaded], wait=0.01)

        for given in self.settings:
            asyncio.run(checked(given))

    async def _begun(self, chain: PluginChain, messages: list[Message]) -> ChainRun | NoPlugins:
        run = chain.run(ALICE.principal, ChatRequest(messages=messages), None, messages, "t" * 32)
        await run.pre()
        assert isinstance(run, ChainRun | NoPlugins)
        return run

    async def _turn(self, chain: PluginChain, messages: list[Message], choices: list[Choice]) -> ChainRun | NoPlugins:
        run = await self._begun(chain, messages)
        if run.answer is None:

            async def ask(asked: Round) -> RoundAnswer:
                return RoundAnswer(choices, asked.added, "r" * 32)

            left = await run.post(choices, ask)
            assert left and all(isinstance(each, Choice) for each in left)
            await run.observe(left)
        self._done(run)
        return run

    @staticmethod
    def _done(run: ChainRun | NoPlugins) -> None:
        run.release()
        assert [each for each in run.skipped if each.reason != "rounds"] == []

    @staticmethod
    def _left(run: Any) -> tuple[Any, ...]:
        return sorted(run.metadata), run.features, list(run.messages), run.answer
