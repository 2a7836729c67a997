import asyncio
import json
import re
import time

import pytest

from engine.errors import IpNotAllowed, StoreUnavailable
from tests.access.asgi_client import Client, Closed, Refused, Socket, scope_of
from tests.access.parts import CHAT_ONLY, build
from tests.cast import ALICE
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel


async def closing_code(socket):
    with pytest.raises(Closed) as caught:
        while True:
            await socket.frame()
    return caught.value.code


async def test_it_selects_bearer():
    async with build().stranger.socket(subprotocols=["bearer", ALICE.key]) as socket:
        assert await socket.connect() == "bearer"
        socket.send({"type": "ping", "ref": 7})
        assert await socket.frame() == {"type": "pong", "ref": 7}


@pytest.mark.parametrize("more", [{"message": "a\0b"}, {"message": "x", "user_profile": {"a": [0] * 5000}}])
async def test_a_frame_out_of_bounds_is_refused_by_its_ref(more):
    async with build().alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "ref": 7, **more})
        refused = await socket.frame()
        assert (refused["type"], refused["ref"], refused["code"]) == ("error", 7, "invalid_request")


async def test_it_opens_with_a_ticket_once():
    site = build()
    issued = (await site.alice.post("/api/ws-ticket")).json
    assert issued["expires_in"] == 60
    path = f"/ws/chat?ticket={issued['ticket']}"
    async with site.stranger.socket(path) as socket:
        assert await socket.connect() is None
        socket.send({"type": "chat", "messages": HI})
        assert (await socket.until("done"))[-1]["message"]["content"] == "Hello"
    async with site.stranger.socket(path) as socket:
        with pytest.raises(Refused):
            await socket.connect()


@pytest.mark.parametrize("path", ["/ws/chat", "/ws/chat?ticket=nonsense", "/ws/chat?ticket=%ff", "/ws/chat?ticket="])
async def test_it_refuses_strangers_in_http(path):
    async with build().stranger.socket(path) as socket:
        with pytest.raises(Refused) as refusal:
            await socket.connect()
    assert refusal.value.status == 401 and json.loads(refusal.value.body)["error"]["code"] == "unauthenticated"


async def test_it_refuses_with_a_close_code_where_http_is_no_choice():
    async with build().stranger.socket(extensions={}) as socket:
        with pytest.raises(Closed) as refusal:
            await socket.connect()
    assert refusal.value.code == 4401


async def test_it_refuses_other_addresses():
    site = build()
    site.keys.away = IpNotAllowed()
    async with site.alice.socket() as socket:
        with pytest.raises(Refused) as refusal:
            await socket.connect()
    assert refusal.value.status == 403


async def test_there_is_no_other_socket():
    async with build().alice.socket("/ws/other") as socket:
        with pytest.raises(Refused) as refusal:
            await socket.connect()
    assert refusal.value.status == 404 and json.loads(refusal.value.body)["error"]["request_id"]


async def test_it_answers_turns_side_by_side():
    gate = asyncio.Event()
    async with build(ScriptedModel([gate, "slow"])).alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "ref": "a", "messages": HI})
        socket.send({"type": "ping", "ref": "p"})
        assert (await socket.frame())["ref"] == "p"
        socket.send({"type": "chat", "ref": "b", "messages": HI})
        gate.set()
        done = [(await socket.until("done"))[-1] for _ in range(2)]
        assert {frame["ref"] for frame in done} == {"a", "b"}


async def test_it_cancels_one_turn_and_keeps_the_other():
    gate = asyncio.Event()
    model = ScriptedModel(["a", gate])
    site = build(model)
    async with site.alice.socket() as socket:
        await socket.connect()
        for ref in ("one", "two"):
            socket.send({"type": "chat", "ref": ref, "messages": HI})
        for _ in range(2):
            await socket.until("delta")
        socket.send({"type": "cancel", "ref": "one"})
        frame = await socket.frame()
        assert (frame["type"], frame["ref"], frame["code"]) == ("error", "one", "cancelled")
        assert model.closed == 1
        gate.set()
        assert (await socket.until("done"))[-1]["ref"] == "two"
    assert sorted(site.behind.journal.states) == ["cancelled", "completed"]


async def test_it_cancels_a_turn_that_has_not_begun():
    model = ScriptedModel([asyncio.Event()])
    async with build(model).alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "ref": "one", "messages": HI})
        socket.send({"type": "cancel", "ref": "one"})
        assert (await socket.frame())["code"] == "cancelled"
        socket.send({"type": "cancel", "ref": "one"})
        assert (await socket.frame())["code"] == "turn_not_found"


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x01",
        "",
        "hello",
        "[]",
        "{}",
        '{"type": 5}',
        '{"type": "sing"}',
        '{"type": "chat"}',
        '{"type": "ping", "ref": {}}',
    ],
)
async def test_it_answers_nonsense_with_an_error_and_goes_on(frame):
    async with build().alice.socket() as socket:
        await socket.connect()
        socket.send(frame)
        error = await socket.frame()
        assert (error["type"], error["code"], error["retryable"]) == ("error", "invalid_request", False)
        socket.send({"type": "chat", "messages": HI})
        assert (await socket.until("done"))[-1]["finish_reason"] == "stop"


async def test_it_refuses_a_ref_in_use_and_too_many_turns():
    async with build(ScriptedModel([asyncio.Event()])).alice.socket() as socket:
        await socket.connect()
        for ref in [0, 0, *range(1, 9)]:
            socket.send({"type": "chat", "ref": ref, "messages": HI})
        twice, many = await socket.frame(), await socket.frame()
        assert (twice["ref"], twice["code"]) == (0, "invalid_request")
        assert (many["ref"], many["code"]) == (8, "rate_limited")


async def test_it_closes_on_a_flood():
    model = ScriptedModel([asyncio.Event()])
    async with build(model).alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "messages": HI})
        await within(1, lambda: model.calls)
        for _ in range(30):
            socket.send({"type": "ping"})
        assert await closing_code(socket) == 4429
        await within(0.5, lambda: model.closed)


async def test_it_closes_on_a_frame_that_is_too_big():
    async with build().alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "message": "你" * 90_000})
        assert await closing_code(socket) == 1009


async def test_it_closes_when_its_key_is_revoked():
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model)
    async with site.alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "messages": HI})
        await socket.until("delta")
        site.keys.revoked.add(ALICE.key)
        async with asyncio.timeout(30):
            assert await closing_code(socket) == 4401
        await within(0.5, lambda: model.closed)


async def test_it_stays_open_while_nobody_can_say_who_is_calling():
    site = build()
    async with site.alice.socket() as socket:
        await socket.connect()
        site.keys.away = StoreUnavailable()
        await asyncio.sleep(0.6)
        socket.send({"type": "ping"})
        assert (await socket.frame())["type"] == "pong"


async def test_it_counts_open_sockets_and_why_they_ended():
    site = build()
    async with site.stranger.socket() as socket:
        with pytest.raises(Refused):
            await socket.connect()
    async with site.alice.socket() as socket:
        await socket.connect()
        assert b"clawdbot_websockets 1.0" in site.parts.metrics.text()
    async with site.alice.socket() as socket:
        await socket.connect()
        for _ in range(30):
            socket.send({"type": "ping"})
        assert await closing_code(socket) == 4429
    for code in (1008, 1011, 1012, 3000):
        socket = Socket(site.app, scope_of("websocket", "/ws/chat", site.alice.headers))
        await socket.connect()
        await socket.leave(code)
    said = site.parts.metrics.text()
    assert b"clawdbot_websockets 0.0" in said
    assert b'clawdbot_websockets_refused_total{code="unauthenticated"} 1.0' in said
    counted = dict(re.findall(rb'clawdbot_websockets_closed_total{reason="(\w+)"} (\d)', said))
    assert counted == {b"client": b"2", b"flood": b"1", b"slow": b"1", b"unresponsive": b"1", b"restart": b"1"}


async def test_it_leaves_a_client_alone_that_only_connects():
    async with Client(build().app, {"Authorization": f"Bearer {ALICE.key}"}).socket() as socket:
        await socket.connect()


@pytest.mark.parametrize("said", [{}, {"stream": False}, {"stream": None}])
async def test_it_has_the_model_stream_whatever_the_frame_says(said):
    model = ScriptedModel()
    async with build(model).alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "messages": HI, **said})
        await socket.until("done")
    assert model.calls[0].request.stream


async def test_it_repeats_the_request_id_of_a_refused_handshake():
    for path in ("/ws/chat", "/ws/other"):
        async with build().stranger.socket(path, {"X-Request-Id": "abc-1"}) as socket:
            with pytest.raises(Refused) as refusal:
                await socket.connect()
        assert json.loads(refusal.value.body)["error"]["request_id"] == "abc-1"


async def test_a_ref_used_again_while_its_last_frame_is_on_the_way_stays_known():
    go, done, on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    site = build(ScriptedModel(["a", go]))

    async def slow(scope, receive, send):
        async def held(event):
            if '"type":"done"' in event.get("text", ""):
                done.set()
                await on.wait()
            await send(event)

        await site.app(scope, receive, held)

    socket = Socket(slow, scope_of("websocket", "/ws/chat", site.alice.headers))
    await socket.connect()
    go.set()
    socket.send({"type": "chat", "ref": 1, "messages": HI})
    await asyncio.wait_for(done.wait(), 30)
    go.clear()
    socket.send({"type": "chat", "ref": 1, "messages": HI})
    await within(1, lambda: len(site.behind.models[0].calls) == 2)
    on.set()
    assert (await socket.until("done"))[-1]["ref"] == 1
    socket.send({"type": "cancel", "ref": 1})
    assert (await socket.until("error"))[-1]["code"] == "cancelled"
    await socket.leave()


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "query",
    [
        f"ticket={ALICE.key}",
        f"ticket={JWT}",
        f"x={ALICE.key}",
        "token=abc",
        f"Authorization=Bearer%20{JWT}",
        "api_key=",
    ],
)
@pytest.mark.parametrize("with_header", [False, True])
async def test_it_takes_no_key_in_the_address_even_beside_a_good_one(query, with_header):
    site = build()
    client = site.alice if with_header else site.stranger
    async with client.socket(f"/ws/chat?{query}") as socket:
        with pytest.raises(Refused) as refusal:
            await socket.connect()
    error = json.loads(refusal.value.body)["error"]
    assert refusal.value.status == 400 and error["code"] == "invalid_request" and "URL" in error["message"]
    assert ALICE.key not in error["message"] and JWT not in error["message"]


async def test_it_closes_when_its_credential_expires():
    site = build()
    site.keys.expiry = time.time() + 0.6
    async with site.alice.socket() as socket:
        await socket.connect()
        await asyncio.sleep(0.45)  # its end was read
        site.keys.revoked.add(ALICE.key)
        site.keys.changes = lambda: 0  # and nothing else tells
        assert await closing_code(socket) == 4401


async def test_it_closes_when_its_credential_may_no_longer_chat():
    site = build()
    async with site.alice.socket() as socket:
        await socket.connect()
        site.keys.people[ALICE.key] = site.keys.people[CHAT_ONLY]
        site.keys.revoked.add("another one")
        assert await closing_code(socket) == 4403


async def test_a_server_that_is_replaced_sends_idle_sockets_away_and_others_after_their_turns():
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate, "b"]))
    async with site.alice.socket() as idle, site.alice.socket() as busy, site.alice.socket() as late:
        await idle.connect()
        await busy.connect()
        busy.send({"type": "chat", "ref": 1, "messages": HI})
        await busy.until("delta")
        site.parts.connections.retire()
        assert await closing_code(idle) == 1012
        await late.connect()
        assert await closing_code(late) == 1012
        busy.send({"type": "chat", "ref": 2, "messages": HI})
        refused = await busy.frame()
        assert (refused["ref"], refused["code"], refused["retryable"]) == (2, "overloaded", True)
        busy.send({"type": "ping", "ref": 3})
        assert (await busy.frame())["type"] == "pong"
        gate.set()
        assert (await busy.until("done"))[-1]["message"]["content"] == "ab"
        assert await closing_code(busy) == 1012
    assert site.behind.journal.states == ["completed"]


async def test_a_flood_that_the_server_ends_cancels_as_one_that_the_edge_ends():
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model, grace=60)
    socket = Socket(site.app, scope_of("websocket", "/ws/chat", site.alice.headers))
    await socket.connect()
    socket.send({"type": "chat", "messages": HI})
    await socket.until("delta")
    await socket.leave(4429)
    await within(0.5, lambda: model.closed)
    assert site.behind.journal.states == ["cancelled"]


@pytest.mark.parametrize(
    ("frame", "ref"),
    [
        (r'{"type": "chat", "message": "a\u0000b", "ref": "r"}', "r"),
        (r'{"type": "chat", "message": "\ud800", "ref": 7}', 7),
        ('{"type": "chat", "ref": "r", "message": ' + "[" * 70 + "]" * 70 + "}", "r"),
        ('{"type": "chat", "ref": "r", "message": ' + "[" * 9000 + "]" * 9000 + "}", None),
        (r'{"type": "chat", "message": "a\u0000b", "ref": "\ud800"}', None),
        (r'{"type": "chat", "message": "a\u0000b", "ref": 1%s}' % ("0" * 30), None),
        (r'["\u0000"]', None),
        ("nonsense", None),
    ],
)
async def test_what_the_guard_refuses_is_told_with_its_ref(frame, ref):
    """So that whoever waits for that turn waits no longer."""
    async with build().alice.socket() as socket:
        await socket.connect()
        socket.send(frame)
        told = await socket.frame()
        assert (told["type"], told["code"], told.get("ref")) == ("error", "invalid_request", ref)
        socket.send({"type": "ping"})
        assert await socket.frame() == {"type": "pong"}
