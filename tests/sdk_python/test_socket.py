"""The client of `sdk/python` over WebSocket, against our own gateway."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_client import ClawdbotError, Delta, Disconnected
from clawdbot_client.socket import Socket

from access.resuming import Resuming
from engine.errors import StoreUnavailable
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel
from tests.sdk_python.serving import Wire, listening
from tests.sdk_python.test_rest import collected


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("clawdbot_client.backoff.FIRST", 0.01)


async def test_turns_run_side_by_side():
    release = asyncio.Event()
    site = build(ScriptedModel(["one ", release, "two"]))
    async with listening(site) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        turns = [asyncio.ensure_future(collected(socket.chat("Hi"))) for _ in range(3)]
        await within(5, lambda: len(site.behind.models[0].calls) == 3)
        release.set()
        for events in await asyncio.gather(*turns):
            assert events[-1].text == "one two"


async def test_who_stops_to_read_cancels():
    model = ScriptedModel(["one ", asyncio.Event()])
    site = build(model, grace=60)
    async with listening(site) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        events = socket.chat("Hi")
        async for event in events:
            if type(event) is Delta:
                break
        await events.aclose()
        await within(0.5, lambda: model.closed == 1)


async def test_an_error_ends_its_turn_alone():
    site = build(words=["bad"])
    async with listening(site) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        with pytest.raises(ClawdbotError) as refused:
            await collected(socket.chat("bad"))
        assert refused.value.code == "content_blocked"
        assert (await collected(socket.chat("Hi")))[-1].text == "Hello"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_what_no_frame_may_hold_is_refused(text):
    async with listening(build()) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        with pytest.raises(ClawdbotError) as refused:
            await asyncio.wait_for(collected(socket.chat(text)), 30)
    assert refused.value.code == "invalid_request"


async def test_it_comes_back_after_a_cut_and_goes_on():
    first, second = asyncio.Event(), asyncio.Event()
    model = ScriptedModel(["one ", first, "two ", second, "three"])
    site = build(model, grace=60)
    async with listening(site) as port, Wire(port) as wire, Socket(wire.url, ALICE.key) as socket:
        heard = []
        async for event in socket.chat("Hi"):
            heard.append(event)
            if type(event) is Delta and event.content != "three":
                wire.cut()
                (first if event.content == "one " else second).set()
    assert heard[-1].text == "one two three" and len(model.calls) == 1 and wire.made == 3
    assert [event.event_id for event in heard] == [f"{heard[0].id}.{number}" for number in range(5)]


async def test_it_resumes_a_turn_of_another_socket():
    site = build(ScriptedModel(["Hello"]), grace=60)
    async with listening(site) as port:
        async with Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
            events = await collected(socket.chat("Hi"))
        async with Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
            again = await collected(socket.resume(events[0].id, events[0].event_id))
            assert again == events[1:]
            assert await collected(socket.resume(events[0].id, events[-1].event_id)) == []


async def test_it_says_why_it_may_not():
    site = build()
    async with listening(site) as port:
        with pytest.raises(ClawdbotError) as refused:
            await Socket(f"http://127.0.0.1:{port}", "cb_nobodys").open()
    assert (refused.value.code, refused.value.status) == ("unauthenticated", 401)


async def test_a_revoked_key_ends_all():
    site = build(ScriptedModel(["one ", asyncio.Event()]), grace=60)
    async with listening(site) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        with pytest.raises(ClawdbotError) as ended:
            async for event in socket.chat("Hi"):
                if type(event) is Delta:
                    site.keys.revoked.add(ALICE.key)
        assert ended.value.code in ("unauthenticated", "cancelled")


async def test_it_gives_up_in_the_end(monkeypatch):
    monkeypatch.setattr("clawdbot_client.backoff.Backoff.__init__.__defaults__", (2,))
    site = build(ScriptedModel(["one ", asyncio.Event()]))
    async with listening(site) as port, Wire(port) as wire, Socket(wire.url, ALICE.key) as socket:
        with pytest.raises(Disconnected):
            async for event in socket.chat("Hi"):
                if type(event) is Delta:
                    wire.refusing = True
                    wire.cut()
        with pytest.raises(Disconnected):
            await collected(socket.chat("Hi"))


@pytest.mark.parametrize("fields", [{}, {"idempotency_key": None}])
async def test_what_is_lost_before_it_begins_goes_on(fields):
    hold = asyncio.Event()
    model = ScriptedModel([hold, "one ", "two"])
    site = build(model, grace=60)
    async with listening(site) as port, Wire(port) as wire, Socket(wire.url, ALICE.key) as socket:
        asked = asyncio.ensure_future(collected(socket.chat("Hi", **fields)))
        await within(5, lambda: model.calls)
        wire.cut()
        await within(5, lambda: wire.made == 2)
        hold.set()
        events = await asyncio.wait_for(asked, 30)
    assert events[-1].text == "one two" and len(model.calls) == 1


async def test_a_key_that_is_in_use_elsewhere_is_told():
    model = ScriptedModel([asyncio.Event()])
    site = build(model, grace=60)
    async with listening(site) as port, Socket(f"http://127.0.0.1:{port}", ALICE.key) as socket:
        first = asyncio.ensure_future(collected(socket.chat("Hi", idempotency_key="mine")))
        await within(5, lambda: model.calls)
        with pytest.raises(ClawdbotError) as refused:
            await collected(socket.chat("Hi", idempotency_key="mine"))
        assert refused.value.code == "idempotency_running"
        first.cancel()


async def test_it_asks_again_for_the_rest_while_the_store_is_away(monkeypatch):
    follow, refusals = Resuming.follow, []

    async def away_at_first(self, *asked):
        if not refusals:
            refusals.append(asked)
            raise StoreUnavailable
        async for some in follow(self, *asked):
            yield some

    monkeypatch.setattr(Resuming, "follow", away_at_first)
    release = asyncio.Event()
    site = build(ScriptedModel(["one ", release, "two"]), grace=60)
    async with listening(site) as port, Wire(port) as wire, Socket(wire.url, ALICE.key) as socket:
        heard = []
        async for event in socket.chat("Hi"):
            heard.append(event)
            if type(event) is Delta and not release.is_set():
                wire.cut()
                release.set()
    assert heard[-1].text == "one two" and len(refusals) == 1
