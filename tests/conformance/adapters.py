"""What every adapter must hold. Inherit `AdapterConformance` (and `WireConformance` for adapters that read bytes).

class TestMine(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer): ...
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.base import BaseModelAdapter
from engine.errors import ContextTooLong, EngineError, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.folding import Fold
from engine.types import Burst, ChatRequest, Choice, Delta, End, Message, ModelCall, Usage

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}
FAILURES = {
    "down": UpstreamError,
    "busy": UpstreamBusy,
    "late": UpstreamTimeout,
    "rejected": UpstreamRejected,
    "key": UpstreamError,
    "long": ContextTooLong,
}
RETRY_AFTER = 3.0  # seconds, what the busy service asks for
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
IMAGES = [f"data:image/png;base64,{PIXEL}", "https://example.com/cat.jpg"]


@dataclass(frozen=True)
class Answer:
    """What the model's service is to do: say `pieces`, then finish, fail or hang."""

    pieces: tuple[str, ...] = ("Grüße ", "aus ", "北京 😀")
    tool_calls: tuple[dict[str, Any], ...] = ()
    reasoning: tuple[str, ...] = ()  # before the pieces
    finish: str = "stop"
    usage: Usage = Usage(prompt_tokens=7, completion_tokens=2)
    failure: str = ""  # of FAILURES, before the first piece
    breaks: bool = False  # the stream is cut off after the pieces
    hangs: bool = False  # nothing follows the pieces

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass
class Heard:
    deltas: list[Delta] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)

    @property
    def choices(self) -> list[Choice]:
        fold = Fold()
        for delta in self.deltas:
            fold.add(delta)
        return fold.choices(self.ends[-1].finish_reasons, "none")


def call(text: str = "Hi", *, stream: bool = True, **fields: Any) -> ModelCall:
    messages = fields.pop("messages", None) or [Message(role="user", content=text)]
    return ModelCall("upstream-name", messages, ChatRequest(messages=messages, stream=stream, **fields))


async def listen(adapter: BaseModelAdapter, to: ModelCall) -> Heard:
    heard = Heard()
    async with asyncio.timeout(20), aclosing(adapter.stream(to)) as stream:
        async for item in stream:
            assert not heard.ends, "something follows the End"
            if isinstance(item, End):
                heard.ends.append(item)
            else:
                assert item != Delta(index=item.index), "an empty delta"
                heard.deltas.append(item)
    assert heard.ends, "no End"
    return heard


async def listen_in_bursts(adapter: BaseModelAdapter, to: ModelCall) -> Heard:
    """The same as the engine hears it: what came together, together."""
    heard = Heard()
    async with asyncio.timeout(20), aclosing(adapter.bursts(to)) as stream:
        async for item in stream:
            if isinstance(item, End):
                heard.ends.append(item)
            elif isinstance(item, Burst):
                assert item.last or len(item.deltas) > 1, "a burst of one"
                heard.deltas += item.deltas
            else:
                heard.deltas.append(item)
    return heard


def parsed(made: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool with its arguments as a value: formats that carry them so write them down in their own way."""
    function = made["function"]
    call_of = {key: made[key] for key in ("id", "type")}
    return {**call_of, "function": {**function, "arguments": json.loads(function["arguments"])}}


class AdapterConformance(ABC):
    """Tests are left out where the adapter's `capabilities` say so, or where it says only what it was told (echo)."""

    scriptable = True  # the service behind it can be made to say and do anything

    @abstractmethod
    def serving(self, answer: Answer) -> AbstractAsyncContextManager[BaseModelAdapter]:
        """An adapter whose model's service does as `answer` says, at every call."""

    async def released(self) -> None:
        """Returns once the service has seen that the call was given up."""
        raise NotImplementedError

    def tools_sent(self) -> Any:
        """The tools as the service got them at the last call."""
        return None

    image_addresses = True  # images may be elsewhere, not only in the request

    def images_sent(self) -> list[str] | None:
        """The images as the service got them at the last call, as `data:` or http addresses; None: not looked at."""
        return None

    def results_sent(self) -> list[tuple[str, str]] | None:
        """Ids and texts of the results of tools as the service got them at the last call; None: not looked at."""
        return None

    def _needs(self, adapter: BaseModelAdapter, *capabilities: str) -> None:
        missing = set(capabilities) - adapter.capabilities
        if missing:
            pytest.skip(f"{adapter.name} has no {', '.join(missing)}")

    def _scripted(self) -> None:
        if not self.scriptable:
            pytest.skip("says only what it was told")

    async def test_it_describes_itself(self) -> None:
        async with self.serving(Answer()) as adapter:
            assert adapter.name
            assert adapter.label
            assert "chat" in adapter.capabilities

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_says_the_text_and_ends_once(self, stream: bool) -> None:
        answer = Answer()
        async with self.serving(answer) as adapter:
            heard = await listen(adapter, call(answer.text, stream=stream))
        assert [choice.message.content for choice in heard.choices] == [answer.text]
        assert heard.ends[0].finish_reasons == {0: "stop"}

    async def test_it_streams_in_pieces(self) -> None:
        answer = Answer()
        async with self.serving(answer) as adapter:
            heard = await listen(adapter, call(answer.text))
        assert len(heard.deltas) > 1
        if self.scriptable:
            assert [delta.content for delta in heard.deltas] == list(answer.pieces)

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_reports_usage(self, stream: bool) -> None:
        async with self.serving(Answer()) as adapter:
            self._needs(adapter, "usage")
            heard = await listen(adapter, call(stream=stream))
        assert heard.ends[0].usage is not None
        if self.scriptable:
            assert heard.ends[0].usage == Answer().usage

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
    async def test_it_passes_the_finish_reason(self, finish: str, stream: bool) -> None:
        self._scripted()
        async with self.serving(Answer(finish=finish)) as adapter:
            heard = await listen(adapter, call(stream=stream))
        assert heard.ends[0].finish_reasons == {0: finish}

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_passes_tools_in_and_calls_out(self, stream: bool) -> None:
        answer = Answer(pieces=(), tool_calls=(TOOL_CALL, {**TOOL_CALL, "id": "call_2"}), finish="tool_calls")
        async with self.serving(answer) as adapter:
            self._needs(adapter, "tools")
            heard = await listen(adapter, call(stream=stream, tools=[TOOL]))
        assert [parsed(made) for made in heard.choices[0].message.tool_calls or []] == list(
            map(parsed, answer.tool_calls)
        )
        assert heard.choices[0].finish_reason == "tool_calls"
        assert self.tools_sent() == [TOOL]

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("failure", FAILURES)
    async def test_it_tells_failures_apart(self, failure: str, stream: bool) -> None:
        self._scripted()
        async with self.serving(Answer(failure=failure)) as adapter:
            with pytest.raises(EngineError) as caught:
                await listen(adapter, call(stream=stream))
        assert type(caught.value) is FAILURES[failure]

    async def test_it_says_how_long_to_wait(self) -> None:
        self._scripted()
        async with self.serving(Answer(failure="busy")) as adapter:
            with pytest.raises(UpstreamBusy) as caught:
                await listen(adapter, call())
        assert caught.value.retry_after == RETRY_AFTER

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_keeps_reasoning_apart(self, stream: bool) -> None:
        self._scripted()
        answer = Answer(reasoning=("Erst — ", "北京?"))
        async with self.serving(answer) as adapter:
            self._needs(adapter, "reasoning")
            heard = await listen(adapter, call(stream=stream))
        message = heard.choices[0].message
        assert (message.reasoning_content, message.content) == ("".join(answer.reasoning), answer.text)

    async def test_it_passes_images(self) -> None:
        images = IMAGES if self.image_addresses else IMAGES[:1]
        parts = [{"type": "image_url", "image_url": {"url": image}} for image in images]
        async with self.serving(Answer()) as adapter:
            if self.images_sent() is None:
                pytest.skip("nobody looks at images")
            await listen(adapter, call(messages=[Message("user", [{"type": "text", "text": "What?"}, *parts])]))
            assert self.images_sent() == images

    async def test_it_passes_results_of_tools(self) -> None:
        messages = [
            Message("user", "Weather?"),
            Message("assistant", tool_calls=[TOOL_CALL, {**TOOL_CALL, "id": "call_2"}]),
            Message("tool", "Regen", tool_call_id="call_1"),
            Message("tool", [{"type": "text", "text": "晴"}], tool_call_id="call_2"),
        ]
        async with self.serving(Answer()) as adapter:
            if self.results_sent() is None:
                pytest.skip("nobody looks at results of tools")
            await listen(adapter, call(messages=messages, tools=[TOOL]))
            assert self.results_sent() == [("call_1", "Regen"), ("call_2", "晴")]

    async def test_it_says_the_same_where_deltas_come_together(self) -> None:
        async with self.serving(Answer()) as adapter:
            alone = await listen(adapter, call())
            together = await listen_in_bursts(adapter, call())
        assert together.deltas == alone.deltas
        assert [end.finish_reasons for end in together.ends] == [end.finish_reasons for end in alone.ends]

    async def test_it_does_not_pass_a_cut_off_answer_as_whole(self) -> None:
        self._scripted()
        said: list[str | None] = []
        async with self.serving(Answer(breaks=True)) as adapter:
            with pytest.raises(UpstreamError):
                async with aclosing(adapter.stream(call())) as stream:
                    async for item in stream:
                        assert isinstance(item, Delta)
                        said.append(item.content)
        assert said == list(Answer().pieces)

    async def test_it_lets_go_when_the_reader_leaves(self) -> None:
        self._scripted()
        async with self.serving(Answer(hangs=True)) as adapter:
            async with aclosing(adapter.stream(call())) as stream:
                assert isinstance(await anext(stream), Delta)
            await self.released()

    @pytest.mark.parametrize("stream", [True, False])
    async def test_it_lets_go_when_cancelled(self, stream: bool) -> None:
        self._scripted()
        async with self.serving(Answer(pieces=(), hangs=True)) as adapter:
            task = asyncio.create_task(listen(adapter, call(stream=stream)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await self.released()

    async def test_it_keeps_calls_apart(self) -> None:
        async with self.serving(Answer()) as adapter:
            heard = await asyncio.gather(
                *(listen(adapter, call(Answer().text, stream=number % 2 == 0)) for number in range(20))
            )
        assert {one.choices[0].message.content for one in heard} == {Answer().text}

    @pytest.mark.parametrize(
        ("failure", "kind"),
        [("", None), ("busy", None), ("rejected", None), ("down", UpstreamError), ("late", UpstreamTimeout)],
    )
    async def test_it_can_be_probed(self, failure: str, kind: type[EngineError] | None) -> None:
        """A service that answers is there, be it to refuse or to ask to wait."""
        if failure:
            self._scripted()
        async with self.serving(Answer(failure=failure)) as adapter:
            self._needs(adapter, "probe")
            if kind is None:
                await adapter.probe()
                return
            with pytest.raises(EngineError) as caught:
                await adapter.probe()
        assert type(caught.value) is kind

    async def test_it_can_be_closed(self) -> None:
        async with self.serving(Answer()) as adapter:
            await adapter.close()
            await adapter.close()


class WireConformance(ABC):
    """For adapters that read a byte stream: however it is cut, the same comes out."""

    @abstractmethod
    def reading(self, *pieces: bytes) -> BaseModelAdapter:
        """An adapter whose service streams exactly these pieces."""

    @abstractmethod
    def recorded(self) -> bytes:
        """A stream with all the format knows: text outside ASCII, reasoning, tool calls, usage, several choices."""

    async def test_it_reads_the_same_at_every_cut(self) -> None:
        stream = self.recorded()
        expected = await listen(self.reading(stream), call())
        assert expected.deltas
        for cut in range(1, len(stream)):
            assert await listen(self.reading(stream[:cut], stream[cut:]), call()) == expected, f"cut at {cut}"

    async def test_it_reads_the_same_byte_by_byte(self) -> None:
        stream = self.recorded()
        bytewise = [stream[at : at + 1] for at in range(len(stream))]
        assert await listen(self.reading(*bytewise), call()) == await listen(self.reading(stream), call())

    async def test_it_never_invents_an_end(self) -> None:
        """Cut off anywhere, the answer is whole or an UpstreamError; what was said before is a beginning of it."""
        stream = self.recorded()
        expected = await listen(self.reading(stream), call())
        failures = 0
        for cut in range(len(stream)):
            deltas: list[Delta] = []
            try:
                async with aclosing(self.reading(stream[:cut]).stream(call())) as items:
                    async for item in items:
                        if isinstance(item, Delta):
                            deltas.append(item)
            except UpstreamError:
                failures += 1
                assert deltas == expected.deltas[: len(deltas)]
            else:
                assert deltas == expected.deltas
        assert failures > len(stream) // 2
