"""What `/ws/chat` shows beside a socket's own new turns: those it comes back to, and those of sessions it watches."""

from __future__ import annotations

import asyncio
import json

import pytest
from channels.layers import get_channel_layer

from access.watching import MOST, Watching, group
from engine.errors import SessionNotFound
from engine.snapshots import Cell
from engine.types import ChatRequest, Delta
from sessions_app.streams import EventStore
from tenants.isolation import Stores
from tenants.valkey import Connection
from tests.access.asgi_client import Socket, scope_of
from tests.access.parts import Recorded, build
from tests.cast import ALICE, BOB, CHARLIE, tenant_table
from tests.conformance.edges import FRAGMENTS, HI, within
from tests.engine.parts import ScriptedModel

ANSWER = ["Hel", Delta(reasoning="嗯"), "世界", *FRAGMENTS, Delta(), "!"]


class OneSession:
    """Alice's."""

    async def read(self, principal, session_id):
        if principal.user != "key:1" or session_id not in ("s1", *map(str, range(MOST + 1))):
            raise SessionNotFound
        return {}


@pytest.fixture
async def workers(valkey_url, settings):
    """Two of them, one store, journal, bus and channel layer; the first one's model is asked."""
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": f"{valkey_url}?db=2"}]},
        }
    }
    stores = Stores([valkey_url], Cell(tenant_table()))
    publisher = Connection(f"{valkey_url}?db=2")

    def make(*models):
        shared = {"shelf": EventStore(stores), "watching": Watching(publisher), "grace": 5}
        first = build(*models, **shared)

        def tell(kind, text):
            {"reader": first.parts.generations.heard, "cancel": first.parts.canceller.heard}[kind](text)

        second = build(read_turn=Recorded(first.behind.journal), tell=tell, **shared)
        for site in (first, second):
            object.__setattr__(site.parts, "sessions", OneSession())
        return first, second

    yield make
    await get_channel_layer().flush()
    await publisher.close()
    await stores.close()


def own(frames):
    """Without what says whose they are."""
    return [{key: value for key, value in frame.items() if key not in ("ref", "turn_id")} for frame in frames]


async def opened(site, key=ALICE.key):
    socket = Socket(site.app, scope_of("websocket", "/ws/chat", site.client(key).headers))
    await socket.connect()
    return socket


async def test_it_resumes_on_another_socket_anywhere(workers):
    gate = asyncio.Event()
    first, second = workers(ScriptedModel([*ANSWER[:3], gate, *ANSWER[3:]]))
    socket = await opened(first)
    socket.send({"type": "chat", "ref": "a", "messages": HI})
    had = await socket.until("start")
    for _ in range(3):
        had.append(await socket.frame())
    await socket.leave()
    turn_id = had[0]["id"]
    others = [await opened(site) for site in (first, second)]
    for other in others:
        other.send({"type": "resume", "ref": 7, "turn_id": turn_id, "last_event_id": had[1]["event_id"]})
    read = [[await other.frame(), await other.frame()] for other in others]
    gate.set()
    rests = [before + await other.until("done") for before, other in zip(read, others, strict=True)]
    assert own(rests[0]) == own(rests[1]) and {frame["ref"] for frame in rests[0]} == {7}
    assert own(had[:2] + rests[0])[:4] == own(had)
    assert [frame["event_id"] for frame in had[:2] + rests[0]] == [f"{turn_id}.{n}" for n in range(len(ANSWER) + 2)]
    again = others[1]
    again.send({"type": "resume", "ref": 8, "turn_id": turn_id})
    assert own(await again.until("done")) == own(had[:2] + rests[0])
    again.send({"type": "resume", "ref": 9, "turn_id": turn_id, "last_event_id": rests[0][-1]["event_id"]})
    assert await again.frame() == {"type": "over", "ref": 9, "turn_id": turn_id}
    for other in others:
        await other.leave()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "resume"}, "turn_not_found"),
        ({"type": "resume", "turn_id": 5}, "turn_not_found"),
        ({"type": "resume", "turn_id": "0" * 32}, "turn_not_found"),
        ({"type": "resume", "turn_id": "0" * 32, "last_event_id": 5}, "invalid_request"),
        ({"type": "resume", "turn_id": "0" * 32, "last_event_id": "x.1"}, "invalid_request"),
        ({"type": "cancel", "turn_id": "0" * 32}, "turn_not_found"),
        ({"type": "cancel", "turn_id": ["x"]}, "turn_not_found"),
        ({"type": "watch"}, "invalid_request"),
        ({"type": "watch", "session_id": "a b"}, "invalid_request"),
        ({"type": "watch", "session_id": "s1", "user": 5}, "invalid_request"),
        ({"type": "watch", "session_id": "unknown"}, "session_not_found"),
    ],
)
async def test_it_refuses_what_makes_no_sense(workers, frame, code):
    socket = await opened(workers()[0])
    socket.send({**frame, "ref": "r"})
    answer = await socket.frame()
    assert (answer["type"], answer["ref"], answer["code"]) == ("error", "r", code)
    await socket.leave()


async def test_charlie_and_bob_resume_stop_and_watch_nothing_of_alices(workers):
    first, second = workers(ScriptedModel(["a", asyncio.Event()]))
    alice = await opened(first)
    alice.send({"type": "chat", "messages": HI})
    turn_id = (await alice.until("delta"))[0]["id"]
    for site in (first, second):
        for person in (BOB, CHARLIE):
            socket = await opened(site, person.key)
            for kind in ("resume", "cancel"):
                socket.send({"type": kind, "ref": 1, "turn_id": turn_id})
                assert (await socket.frame())["code"] == "turn_not_found"
            socket.send({"type": "watch", "session_id": "s1"})
            assert (await socket.frame())["code"] == "session_not_found"
            await socket.leave()
    assert not first.behind.journal.completions
    alice.send({"type": "cancel", "turn_id": turn_id})
    assert (await alice.frame())["code"] == "cancelled"
    await alice.leave()


async def test_a_turn_is_stopped_from_a_socket_of_another_worker(workers):
    model = ScriptedModel(["a", asyncio.Event()])
    first, second = workers(model)
    socket = await opened(first)
    socket.send({"type": "chat", "ref": 1, "messages": HI})
    turn_id = (await socket.until("delta"))[0]["id"]
    other = await opened(second)
    other.send({"type": "resume", "ref": "r", "turn_id": turn_id})
    await other.until("delta")
    other.send({"type": "cancel", "ref": "r"})
    await within(0.5, lambda: model.closed)
    for each in (socket, other):
        assert (await each.until("error"))[-1]["code"] == "cancelled"
        await each.leave()


async def test_a_watched_session_is_shown_live(workers):
    gate = asyncio.Event()
    first, second = workers(ScriptedModel(["Hel", gate, "lo"]))
    first.behind.sessions.kept["s1"] = await first.behind.sessions.open(None, _asked(), "")
    watchers = [await opened(site) for site in (first, second)]
    strangers = [await opened(site, key) for site in (first, second) for key in (BOB.key, CHARLIE.key)]
    for watcher in watchers:
        watcher.send({"type": "watch", "ref": 1, "session_id": "s1"})
        assert await watcher.frame() == {"type": "watching", "ref": 1, "session_id": "s1"}
    for stranger in strangers:  # whoever they are, their group is another one
        stranger.send({"type": "watch", "session_id": "s1"})
        assert (await stranger.frame())["type"] == "error"
    exchange = first.alice.begin("POST", "/api/chat", {"messages": HI, "stream": True, "session_id": "s1"})
    begun = [await watcher.until("delta") for watcher in watchers]
    gate.set()
    await exchange.rest()
    for before, watcher in zip(begun, watchers, strict=True):
        frames = before + await watcher.until("done")
        asked, *events = frames
        turn_id = asked["turn_id"]
        assert asked == {"type": "turn", "turn_id": turn_id, "session_id": "s1", "messages": HI}
        assert [frame["type"] for frame in events] == ["start", "delta", "delta", "done"]
        assert {frame["turn_id"] for frame in events} == {turn_id} and "ref" not in str(events)
    for stranger in strangers:
        stranger.send({"type": "ping"})
        assert (await stranger.frame())["type"] == "pong"
    for socket in (*watchers, *strangers):
        await socket.leave()


def _asked():
    return ChatRequest(messages=[], session_id="s1", create_session=True)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_turn_that_is_no_stream_is_shown_when_it_is_over(workers, path):
    first, second = workers(ScriptedModel(["Hello"]))
    first.behind.sessions.kept["s1"] = await first.behind.sessions.open(None, _asked(), "")
    watcher = await opened(second)
    watcher.send({"type": "watch", "session_id": "s1"})
    await watcher.frame()
    body = {"messages": HI} if path.startswith("/v1") else {"messages": HI, "session_id": "s1"}
    assert (await first.alice.post(path, body, {"X-Session-Id": "s1"})).status == 200
    frames = await watcher.until("done")
    assert [frame["type"] for frame in frames] == ["turn", "start", "delta", "done"]
    await watcher.leave()


async def test_who_uses_a_session_watches_it_and_is_shown_nothing_twice(workers):
    first, _ = workers(ScriptedModel(["Hello"]))
    one, two = await opened(first), await opened(first)
    one.send({"type": "chat", "ref": 1, "messages": HI})
    session_id = (await one.until("done"))[0]["session_id"]
    await joined(session_id)
    two.send({"type": "chat", "ref": 2, "messages": HI, "session_id": session_id})
    assert {frame["ref"] for frame in await two.until("done")} == {2}
    assert [frame["type"] for frame in await one.until("done")] == ["turn", "start", "delta", "done"]
    one.send({"type": "chat", "ref": 3, "messages": HI, "session_id": session_id})
    assert {frame["ref"] for frame in await one.until("done")} == {3}
    shown = await two.until("done")
    assert shown[0]["type"] == "turn"
    for socket in (one, two):
        socket.send({"type": "ping"})
        assert (await socket.frame())["type"] == "pong"
        socket.send({"type": "unwatch", "session_id": session_id})
        assert (await socket.frame())["type"] == "unwatched"
        await socket.leave()


async def joined(session_id):
    """Until the channel layer knows of somebody in the session's group."""
    layer = get_channel_layer()
    name = layer._get_group_channel_name(group(ALICE.key_principal, session_id))
    async with asyncio.timeout(30):
        while name not in layer.groups:
            await asyncio.sleep(0.005)


async def test_it_watches_so_many_sessions_and_no_more(workers):
    socket = await opened(workers()[0])
    for number in range(MOST + 1):
        await asyncio.sleep(0.05)
        socket.send({"type": "watch", "ref": number, "session_id": str(number)})
        answer = await socket.frame()
    assert (answer["ref"], answer["code"]) == (MOST, "invalid_request")
    await socket.leave()


async def test_a_socket_that_is_gone_leaves_no_group(workers):
    socket = await opened(workers()[0])
    socket.send({"type": "watch", "session_id": "s1"})
    await socket.frame()
    layer = get_channel_layer()
    assert layer.groups and layer.channels
    await socket.leave()
    assert not layer.groups and not layer.channels


async def test_what_it_was_sent_is_plain_json(workers):
    first, _ = workers(ScriptedModel([Delta(), "a"]))
    socket = await opened(first)
    socket.send({"type": "chat", "ref": '"\\\n', "messages": HI})
    frames = await socket.until("done")
    assert frames[1] == {"type": "delta", "ref": '"\\\n', "event_id": f"{frames[0]['id']}.1"}
    json.dumps(frames)
    await socket.leave()
