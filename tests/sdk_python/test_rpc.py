"""The client of `sdk/python` over gRPC, against our own server."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_client import ClawdbotError, Delta, Disconnected
from clawdbot_client.rpc import GrpcClient

from engine.errors import RateLimited
from tests.access.grpc.client import served
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import FRAGMENTS, TOOL_CALL, TOOLS, within
from tests.engine.parts import ScriptedModel
from tests.sdk_python.test_rest import collected


async def test_it_chats_and_streams():
    model = ScriptedModel(["Hel", "lo"])
    site = build(model)
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        first = await client.chat("Hi", temperature=0.5, stop="x", metadata={"a": 1})
        events = await collected(client.stream("And now?", session_id=first.session_id))
    assert (first.text, first.usage["total_tokens"], first.route["decision"]) == ("Hello", 8, first.id)
    assert [event.content for event in events[1:-1]] == ["Hel", "lo"] and events[-1].text == "Hello"
    assert model.calls[0].request.params == {"stop": ["x"]} and model.calls[0].request.metadata == {"a": 1}
    assert [message.content for message in model.calls[1].messages] == ["Hi", "Hello", "And now?"]


async def test_messages_are_what_they_are_over_http():
    model = ScriptedModel(FRAGMENTS, finish="tool_calls")
    site = build(model)
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    marked = {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    asked = [
        {"role": "user", "content": [marked, image]},
        {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        answer = await client.chat(asked, tools=TOOLS)
        events = await collected(client.stream(asked, tools=TOOLS))
    assert answer.message["tool_calls"] == [TOOL_CALL] == events[-1].message["tool_calls"]
    assert [event.tool_calls[0]["function"] for event in events if type(event) is Delta] == [
        piece.tool_calls[0]["function"] for piece in FRAGMENTS
    ]
    sent = model.calls[0].messages
    assert sent[0].content == [marked, image] and sent[1].tool_calls == [TOOL_CALL] and sent[2].tool_call_id == "c1"


async def test_it_says_why_it_was_refused():
    site = build()
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        with pytest.raises(ClawdbotError) as refused:
            await client.chat("Hi", temperature=3)
        assert (refused.value.code, refused.value.param) == ("invalid_request", "temperature")
        for asked, fields in (("Hi", {"temperature": "hot"}), (["Hi"], {}), ("Hi", {"tools": ["look"]})):
            with pytest.raises(ClawdbotError) as unsaid:
                await client.chat(asked, **fields)
            assert unsaid.value.code == "invalid_request"
        site.behind.limiter.refusal = RateLimited(retry_after=6.2)
        with pytest.raises(ClawdbotError) as limited:
            await collected(client.stream("Hi"))
        assert (limited.value.code, limited.value.retry_after, limited.value.retryable) == ("rate_limited", 7.0, True)
    async with GrpcClient("127.0.0.1:9", ALICE.key) as client:
        with pytest.raises(Disconnected):
            await client.chat("Hi", timeout=5)


async def test_its_timeout_bounds_the_turn():
    model = ScriptedModel(["one ", asyncio.Event()])
    site = build(model)
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        with pytest.raises(ClawdbotError) as late:
            await client.chat("Hi", timeout=0.3)
        assert late.value.code == "deadline_exceeded"
        await within(0.5, lambda: model.closed == 1)


async def test_who_stops_to_read_cancels():
    model = ScriptedModel(["one ", asyncio.Event()])
    site = build(model, grace=60)
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        for closed, events in enumerate((client.stream("Hi"), (talk := client.conversation()).chat("Hi")), 1):
            async with talk if closed == 2 else served_nothing():
                async for event in events:
                    if type(event) is Delta:
                        break
                await events.aclose()
                await within(0.5, lambda closed=closed: model.closed == closed)


def served_nothing():
    return asyncio.Lock()


async def test_a_conversation_runs_turns_side_by_side_and_resumes():
    release = asyncio.Event()
    site = build(ScriptedModel(["one ", release, "two"]), grace=60)
    async with served(site) as (_, channel), GrpcClient(channel.target, ALICE.key) as client:
        async with client.conversation() as talk:
            turns = [asyncio.ensure_future(collected(talk.chat("Hi"))) for _ in range(3)]
            await within(5, lambda: len(site.behind.models[0].calls) == 3)
            release.set()
            answers = await asyncio.gather(*turns)
            assert [events[-1].text for events in answers] == ["one two"] * 3
            with pytest.raises(ClawdbotError) as unknown:
                await collected(talk.resume("0" * 32))
            assert unknown.value.code == "turn_not_found"
        with pytest.raises(Disconnected):
            await collected(talk.chat("Hi"))
        async with client.conversation() as talk:
            first = answers[0]
            assert await collected(talk.resume(first[0].id, first[0].event_id)) == first[1:]
            assert await collected(talk.resume(first[0].id, first[-1].event_id)) == []
