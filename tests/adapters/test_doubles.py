"""The two adapters without a service: echo and scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from adapters import registry
from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.echo import EchoAdapter
from adapters.scripted import HANG, Script, ScriptedAdapter
from engine.errors import ContextTooLong, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.estimating import messages_tokens, text_tokens
from engine.types import Delta, Message
from tests.adapters.replay import ReplayClient
from tests.conformance.adapters import AdapterConformance, Answer, call, listen

ERRORS = {
    "down": UpstreamError(),
    "busy": UpstreamBusy(retry_after=3),
    "late": UpstreamTimeout(),
    "rejected": UpstreamRejected("no"),
    "key": UpstreamError(),
    "long": ContextTooLong(),
}


class TestEchoConformance(AdapterConformance):
    scriptable = False

    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        yield EchoAdapter(AdapterConfig(), ReplayClient())


class TestScriptedConformance(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        steps: list[Any] = [Delta(reasoning=piece) for piece in answer.reasoning]
        steps += [ERRORS[answer.failure]] if answer.failure else answer.pieces
        if answer.tool_calls:
            calls = [{"index": index, **one} for index, one in enumerate(answer.tool_calls)]
            steps.append(Delta(tool_calls=calls))
        if answer.breaks:
            steps.append(UpstreamError())
        if answer.hangs:
            steps.append(HANG)
        self.adapter = ScriptedAdapter(queue=[Script(steps, answer.finish, answer.usage)])
        yield self.adapter

    async def released(self) -> None:
        assert (self.adapter.running, self.adapter.cancelled, self.adapter.ended) == (0, 1, 1)

    def tools_sent(self) -> Any:
        return self.adapter.calls[-1].request.tools


def echo() -> EchoAdapter:
    return EchoAdapter(AdapterConfig(), ReplayClient())


@pytest.mark.parametrize("text", ["", " ", "one", " two  words \n", "北京 is 😀\n\nhere", "a\tb "])
@pytest.mark.parametrize("stream", [True, False])
async def test_it_echoes_every_sign(text: str, stream: bool) -> None:
    heard = await listen(echo(), call(messages=[Message(role="user", content=text)], stream=stream))
    assert "".join(delta.content or "" for delta in heard.deltas) == text
    assert len(heard.deltas) == (len(text.split()) or bool(text) if stream else bool(text))


async def test_it_echoes_the_last_user_message() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [
        Message(role="user", content="first"),
        Message(role="user", content=parts),
        Message(role="assistant", content="second"),
    ]
    heard = await listen(echo(), call(messages=messages))
    assert heard.choices[0].message.content == "look"
    usage = heard.ends[0].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (messages_tokens(messages), text_tokens("look"))
    assert (await listen(echo(), call(messages=[Message(role="system", content="x")]))).deltas == []


async def test_it_follows_one_script_a_call_and_the_last_for_the_rest() -> None:
    adapter = ScriptedAdapter(queue=[Script(["one"]), Script(["two"])])
    said = [(await listen(adapter, call(str(number)))).choices[0].message.content for number in range(3)]
    assert said == ["one", "two", "two"]
    assert [made.messages[0].content for made in adapter.calls] == ["0", "1", "2"]
    assert (adapter.ended, adapter.cancelled, adapter.closed) == (3, 0, False)
    await adapter.close()
    assert adapter.closed


async def test_it_waits_for_an_event_and_may_say_any_word() -> None:
    go = asyncio.Event()
    adapter = ScriptedAdapter.saying("hang", go, 0.001, Delta(reasoning="so"), "on")
    async with aclosing(adapter.stream(call())) as stream:
        assert await anext(stream) == Delta(content="hang")
        later = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not later.done()
        go.set()
        assert await later == Delta(reasoning="so")
        assert await anext(stream) == Delta(content="on")
    assert (adapter.cancelled, adapter.running) == (1, 0)


async def test_it_is_scripted_by_options() -> None:
    options = {"text": "abcdef", "chunk": 2, "delay": 0.001, "finish": "length"}
    adapter = registry.build("scripted", AdapterConfig(options=options), ReplayClient())
    heard = await listen(adapter, call())
    assert [delta.content for delta in heard.deltas] == ["ab", "cd", "ef"]
    assert heard.ends[0].finish_reasons == {0: "length"}


@pytest.mark.parametrize("delay", [0, 0.001])
async def test_it_fails_by_options_after_some_pieces(delay: float) -> None:
    options = {"text": "abc", "chunk": 1, "delay": delay, "error": "upstream_timeout", "after": 2}
    adapter = registry.build("scripted", AdapterConfig(options=options), ReplayClient())
    said = []
    with pytest.raises(UpstreamTimeout):
        async for item in adapter.stream(call()):
            said.append(item)
    assert said == [Delta(content="a"), Delta(content="b")]


async def test_it_calls_tools_by_options() -> None:
    made = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    adapter = ScriptedAdapter(AdapterConfig(options={"text": "", "tool_calls": [made]}))
    choice = (await listen(adapter, call())).choices[0]
    assert (choice.message.tool_calls, choice.finish_reason) == ([made], "tool_calls")


@pytest.mark.parametrize("options", [{"txt": "a"}, {"error": "no_such_code"}, {"delay": "long"}])
def test_it_refuses_options_it_does_not_know(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidAdapterConfig, match="options"):
        ScriptedAdapter(AdapterConfig(options=options))
