"""The methods of the service against the suite of all edges."""

from __future__ import annotations

import json
import math

import grpc
import pytest
from google.protobuf.json_format import ParseError

from access.edges.grpc.generated import chat_pb2 as pb
from tests.access.grpc.client import (
    chat,
    converse,
    metadata,
    plain,
    served,
    stream_chat,
    tool_calls,
    transcribed,
    usage,
)
from tests.access.parts import build
from tests.conformance.edges import HI, EdgeSuite, Outcome, within
from tests.engine.parts import ScriptedModel

HTTP = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
OTHERS = {  # what a call may end with when the caller did something wrong, the upstream failed, or we did
    "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL",
}  # fmt: skip


def asked(body, session_id=None):
    """A ChatRequest; where the types cannot say it, the very bytes in its place."""
    if isinstance(body, bytes):
        try:
            body = json.loads(body.decode())
            return transcribed(body, strict=True) if isinstance(body, dict) else b"\x0a" + repr(body).encode()
        except (ParseError, ValueError, RecursionError):
            return body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"session_id": session_id} if session_id not in (None, "new") else {}
    return transcribed({**body, **named})


def refused(error, outcome):
    told = dict(error.trailing_metadata())
    assert told["request-id"] and told["retryable"] in ("true", "false") and error.details()
    outcome.status, outcome.code = HTTP.get(error.code()), told["clawdbot-code"]
    outcome.param, outcome.retry_after = told.get("clawdbot-param"), told.get("retry-after")
    assert error.code() in HTTP or error.code().name in OTHERS
    return outcome


def folded(outcome, events):
    """`start`, `delta` and `done`, whatever they came in."""
    fragments = {}
    for event in events:
        said = getattr(event, event.WhichOneof("kind"))
        match event.WhichOneof("kind"):
            case "start":
                outcome.turn_id, outcome.session_id, outcome.model = said.id, said.session_id, said.model
            case "delta":
                if said.HasField("content"):
                    outcome.pieces.append(said.content)
                for each in said.tool_calls:
                    call = fragments.setdefault(each.index, pb.ToolCall())
                    call.id, call.function.name = each.id or call.id, each.name or call.function.name
                    call.function.arguments += each.arguments
            case "done":
                outcome.finish_reason, outcome.usage = said.finish_reason, usage(said.usage)
                outcome.text = "".join(outcome.pieces)
                assert said.message.content == outcome.text
                outcome.tool_calls = tool_calls(said.message)
                assert list(said.message.tool_calls) == [fragments[index] for index in sorted(fragments)]
            case "error":
                assert said.message and said.request_id
                outcome.code = said.code
                outcome.retry_after = str(math.ceil(said.retry_after)) if said.HasField("retry_after") else None
    return outcome


class OnWire(EdgeSuite):
    """What the bytes of a message may do that JSON's cannot, and the other way round."""

    async def test_it_takes_the_last_of_duplicate_keys(self):
        model = ScriptedModel()
        raw = pb.ChatRequest(message="first").SerializeToString() + pb.ChatRequest(message="last").SerializeToString()
        outcome = await self.ask_raw(build(model).alice, raw)
        assert outcome.code is None
        assert [message.content for message in model.calls[0].messages] == ["last"]

    async def ask_raw(self, client, raw):
        raise NotImplementedError


class TestChat(OnWire):
    async def ask(self, client, body, session_id=None):
        return await self.ask_raw(client, asked(body, session_id))

    async def ask_raw(self, client, raw):
        async with served(client.site) as (_, channel):
            call = chat(channel, raw, metadata=metadata(client))
            try:
                said = await call
            except grpc.aio.AioRpcError as error:
                return refused(error, Outcome())
            told = dict(await call.trailing_metadata())
            assert told["x-clawdbot-decision"] == said.id == said.route.decision
            assert told["x-clawdbot-model"] == said.model and told["request-id"]
            return Outcome(
                text=said.message.content,
                tool_calls=tool_calls(said.message),
                finish_reason=said.finish_reason,
                usage=usage(said.usage),
                model=said.model,
                turn_id=said.id,
                session_id=said.session_id,
            )

    async def leave_early(self, site):
        async with served(site) as (_, channel):
            call = chat(channel, asked({"messages": HI}), metadata=metadata(site.alice))
            await within(1, lambda: site.behind.models[0].calls)
            call.cancel()
            await within(0.1, lambda: site.behind.models[0].closed == 1)


class TestStreamChat(OnWire):
    streams = partial = True

    async def ask(self, client, body, session_id=None):
        return await self.ask_raw(client, asked(body, session_id))

    async def ask_raw(self, client, raw):
        async with served(client.site) as (_, channel):
            call = stream_chat(channel, raw, metadata=metadata(client))
            events, outcome = [], Outcome()
            try:
                async for event in call:
                    events.append(event)
            except grpc.aio.AioRpcError as error:
                return refused(error, folded(outcome, events))
            told = dict(await call.initial_metadata())
            assert told["x-clawdbot-decision"] == events[0].start.id
            assert told["x-clawdbot-model"] == events[0].start.model
            return folded(outcome, events)

    async def leave_early(self, site):
        async with served(site) as (_, channel):
            call = stream_chat(channel, asked({"messages": HI}), metadata=metadata(site.alice))
            assert (await call.read()).WhichOneof("kind") == "start"
            assert (await call.read()).delta.content == "Hel"
            call.cancel()
            await within(0.1, lambda: site.behind.models[0].closed == 1)


@pytest.mark.usefixtures("kind")
class TestConverse(OnWire):
    streams = partial = True

    async def ask(self, client, body, session_id=None):
        return await self.ask_raw(client, asked(body, session_id))

    async def ask_raw(self, client, given):
        raw = plain(given)
        named = pb.ClientFrame(ref="r1").SerializeToString()
        async with served(client.site) as (_, channel):
            call = converse(channel, metadata=metadata(client))
            outcome, events = Outcome(), []
            try:
                await call.write(named + b"\x12" + varint(len(raw)) + raw)
                await call.done_writing()
                async for event in call:
                    events.append(event)
            except grpc.aio.AioRpcError as error:
                if "execute_batch" not in (error.debug_error_string() or ""):
                    return refused(error, outcome)
                outcome = None  # refused before it was sent, which this client cannot tell from a fault of its own
            if outcome is None:
                return await self.ask_raw(client, given)
            if not outcome.code and events[0].WhichOneof("kind") == "start":
                turn_id = events[0].start.id
                assert {event.ref for event in events} == {"r1"}
                assert [event.event_id for event in events] == [f"{turn_id}.{n}" for n in range(len(events))]
            return folded(outcome, events)

    async def leave_early(self, site):
        async with served(site) as (_, channel):
            call = converse(channel, metadata=metadata(site.alice))
            await call.write(pb.ClientFrame(chat=asked({"messages": HI})))
            await within(1, lambda: site.behind.models[0].calls)
            call.cancel()
            await within(0.5, lambda: site.behind.models[0].closed == 1)


def varint(number):
    """Base 128, the low bits first."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


WRONG = {
    "a string that is no UTF-8": b"\x0a\x01\xff",
    "a surrogate": b"\x0a\x03\xed\xa0\x80",
    "NUL": b"\x0a\x03a\x00b",
    "half a field": b"\x0a\x7fabc",
    "a group without an end": b"\x7b\x08\x01",
    "a negative length": b"\x0a\xff\xff\xff\xff\x0f",
    "NaN": pb.ChatRequest(message="Hi", temperature=float("nan")),
    "infinity": pb.ChatRequest(message="Hi", top_p=float("inf")),
    "both messages": pb.ChatRequest(message="Hi", messages=[pb.Message(role="user", content="Hi")]),
    "content and parts": pb.ChatRequest(
        messages=[pb.Message(role="user", content="Hi", parts=[pb.ContentPart(text="Hi")])]
    ),
    "a part of no kind": pb.ChatRequest(messages=[pb.Message(role="user", parts=[pb.ContentPart()])]),
    "an unknown wish": pb.ChatRequest(message="Hi", cache="always"),
    "a key with a line break": pb.ChatRequest(message="Hi", idempotency_key="a\nb"),
}


@pytest.mark.parametrize("raw", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("edge", [TestChat(), TestStreamChat(), TestConverse()], ids=lambda edge: type(edge).__name__)
async def test_it_refuses_bytes_that_are_no_request(edge, raw):
    model = ScriptedModel()
    site = build(model)
    outcome = await edge.ask_raw(site.alice, plain(raw))
    assert outcome.code == "invalid_request"
    assert not model.calls and not site.behind.journal.entries
