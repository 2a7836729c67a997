"""The client of `sdk/python` over HTTP, against our own gateway."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from clawdbot_client import ClawdbotError, Client, Delta, Disconnected, Done, Start
from clawdbot_client.sse import parsed

from engine.errors import RateLimited
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import FRAGMENTS, TOOL_CALL, TOOLS, within
from tests.engine.parts import ScriptedModel
from tests.sdk_python.serving import Wire, listening


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("clawdbot_client.backoff.FIRST", 0.01)


async def test_it_chats_and_remembers():
    model = ScriptedModel(["Hello"])
    site = build(model)
    async with listening(site) as port, Client(f"http://127.0.0.1:{port}", ALICE.key) as client:
        first = await client.chat("Hi", temperature=0.5, model=None)
        assert (first.text, first.finish_reason, first.usage["total_tokens"]) == ("Hello", "stop", 8)
        await client.chat([{"role": "user", "content": "And now?"}], session_id=first.session_id)
    assert model.calls[0].request.temperature == 0.5
    assert [message.content for message in model.calls[1].messages] == ["Hi", "Hello", "And now?"]


async def test_it_streams():
    site = build(ScriptedModel(["你", "好", "\n\n", '"']))
    async with listening(site) as port, Client(f"http://127.0.0.1:{port}", ALICE.key) as client:
        start, *deltas, done = [event async for event in client.stream("Hi")]
    assert type(start) is Start and type(done) is Done
    assert [delta.content for delta in deltas] == ["你", "好", "\n\n", '"']
    assert done.text == '你好\n\n"' and done.event_id == f"{start.id}.5"


async def test_it_hands_tool_calls_out():
    site = build(ScriptedModel(FRAGMENTS, finish="tool_calls"))
    async with listening(site) as port, Client(f"http://127.0.0.1:{port}", ALICE.key) as client:
        events = [event async for event in client.stream("Hi", tools=TOOLS)]
    assert events[-1].message["tool_calls"] == [TOOL_CALL]
    assert [event.tool_calls for event in events if type(event) is Delta] == [piece.tool_calls for piece in FRAGMENTS]


async def test_it_says_why_it_was_refused():
    site = build()
    site.behind.limiter.refusal = RateLimited(retry_after=6.2)
    async with listening(site) as port, Client(f"http://127.0.0.1:{port}", ALICE.key, language="zh") as client:
        for ask in (client.chat("Hi"), collected(client.stream("Hi"))):
            with pytest.raises(ClawdbotError) as refused:
                await ask
            error = refused.value
            assert (error.code, error.status, error.retry_after, error.retryable) == ("rate_limited", 429, 7.0, True)
            assert error.message == "请求过于频繁。" and error.request_id
    async with Client("http://127.0.0.1:9", ALICE.key) as client:
        with pytest.raises(Disconnected):
            await client.chat("Hi")


async def collected(events):
    return [event async for event in events]


async def test_a_cut_stream_goes_on_where_it_was():
    first, second = asyncio.Event(), asyncio.Event()
    model = ScriptedModel(["one ", first, "two ", second, "three"])
    site = build(model, grace=60)
    async with listening(site) as port, Wire(port) as wire, Client(wire.url, ALICE.key) as client:
        heard = []
        async for event in client.stream("Hi"):
            heard.append(event)
            if type(event) is Delta and event.content != "three":
                wire.cut()
                (first if event.content == "one " else second).set()
    assert "".join(event.content for event in heard if type(event) is Delta) == "one two three"
    assert heard[-1].text == "one two three" and len(model.calls) == 1 and wire.made >= 3
    assert [event.event_id for event in heard] == [f"{heard[0].id}.{number}" for number in range(5)]


async def test_what_is_lost_before_it_begins_is_asked_again():
    hold = asyncio.Event()
    model = ScriptedModel([hold, "Hello"])
    site = build(model, grace=0)
    async with listening(site) as port, Wire(port) as wire, Client(wire.url, ALICE.key) as client:
        asked = asyncio.ensure_future(collected(client.stream("Hi")))
        await within(5, lambda: model.calls)
        wire.cut()
        hold.set()
        events = await asyncio.wait_for(asked, 30)
    assert events[-1].text == "Hello"
    assert {call.request.idempotency for call in model.calls} == {model.calls[0].request.idempotency}
    assert model.calls[0].request.idempotency


async def test_a_stream_goes_on_after_a_restart_that_refuses_for_a_while():
    body = {"error": {"code": "store_unavailable", "message": "Not now.", "retryable": True}}
    answers = [
        httpx.Response(200, content=b'id: a.0\nevent: start\ndata: {"id":"a","session_id":null,"model":"m"}\n\n'),
        httpx.Response(503, json=body),
        httpx.Response(502, html="<h1>Bad Gateway</h1>"),  # of a proxy
        httpx.Response(200, content=b'id: a.1\nevent: delta\ndata: {"content":"Hello"}\n\n'),
        httpx.Response(503, json=body),
        httpx.Response(404, json={"error": {"code": "turn_not_found", "message": "Gone."}}),
    ]
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers[len(asked) - 1]

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        Client("http://gateway", "cb_x", http=http) as client,
    ):
        events = client.stream("Hi")
        assert (await anext(events)).id == "a" and (await anext(events)).content == "Hello"
        with pytest.raises(ClawdbotError) as gone:
            await anext(events)
    assert gone.value.code == "turn_not_found"
    assert [request.headers.get("last-event-id") for request in asked] == [None, "a.0", "a.0", "a.0", "a.1", "a.1"]


async def test_it_gives_up_in_the_end(monkeypatch):
    monkeypatch.setattr("clawdbot_client.rest.Backoff", lambda: backoff(2))
    site = build(ScriptedModel(["one ", asyncio.Event()]))
    async with listening(site) as port, Wire(port) as wire, Client(wire.url, ALICE.key) as client:
        with pytest.raises(Disconnected):
            async for event in client.stream("Hi"):
                if type(event) is Delta:
                    wire.refusing = True
                    wire.cut()


def backoff(tries):
    from clawdbot_client.backoff import Backoff  # noqa: PLC0415  # the one that is replaced above

    return Backoff(tries)


async def test_it_follows_and_cancels_turns():
    model = ScriptedModel(["one ", asyncio.Event()])
    site = build(model, grace=60)
    async with listening(site) as port, Client(f"http://127.0.0.1:{port}", ALICE.key) as client:
        events = client.stream("Hi")
        turn_id = (await anext(events)).id
        await anext(events)
        await events.aclose()
        again = client.events(turn_id)
        assert (await anext(again)).id == turn_id
        assert (await anext(again)).content == "one "
        await client.cancel(turn_id)
        with pytest.raises(ClawdbotError) as ended:
            await anext(again)
        assert (ended.value.code, ended.value.turn_id) == ("cancelled", turn_id)
        await within(0.5, lambda: model.closed == 1)
        with pytest.raises(ClawdbotError) as unknown:
            await client.turn("0" * 32)
        assert (unknown.value.code, unknown.value.status) == ("turn_not_found", 404)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_it_reads_events_cut_anywhere(size):
    raw = 'id: a.0\nevent: start\ndata: {"x":"你好"}\n\nid: a.1\nevent: done\ndata: {}\n\nid: a.2\nevent'.encode()

    async def pieces():
        for at in range(0, len(raw), size):
            yield raw[at : at + size]

    assert [tuple(sent) async for sent in parsed(pieces())] == [("a.0", "start", {"x": "你好"}), ("a.1", "done", {})]
