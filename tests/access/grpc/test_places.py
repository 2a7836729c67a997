"""Connections have places; when they run short, who does nothing makes way, and others are refused in good order."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from unittest.mock import MagicMock

import grpc
import pytest

from access import connection_places as places
from access.edges.grpc.server import GrpcServer
from access.edges.grpc.wire import line
from access.edges.grpc.wire.connection import Connection
from access.edges.grpc.wire.frames import END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PREFACE
from clawdbot_site.serving import files, grpcserver
from tests.access.grpc import client
from tests.access.grpc.client import chat, metadata, yes
from tests.access.grpc.peer import BOUNDS, Peer, block, served
from tests.access.parts import build
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel

FEW = replace(BOUNDS, connections=3)  # one of them is kept free


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(places, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(line, "ROUND", 0.05)


@pytest.fixture
def patience(monkeypatch):
    """Sets how long nobody has to make way, which is long at first: no test is a race with the machine it runs on."""

    def given(shown=60.0, called=60.0):
        monkeypatch.setattr(places, "SHOWN_WITHIN", shown)
        monkeypatch.setattr(places, "CALLED_WITHIN", called)

    given()
    return given


@pytest.fixture
def told():
    return Counter()


@pytest.fixture
def crowd(told):
    """A server with three places."""
    return served(FEW, tell=lambda outcome: told.update([outcome]))


async def at(server):
    """A connection that has said nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server._sockets[0][0].getsockname()[1])
    return Peer(reader, writer)


async def refused(peer):
    """Whether it was closed without a greeting."""
    try:
        async with asyncio.timeout(5):
            return await peer.reader.read() == b""
    except ConnectionResetError:
        return True


async def busy(connect, methods, stream=1):
    """Known by a first call, with a second one under way."""
    peer = await connect()
    peer.call(stream, "Known", b"hello")
    assert (await peer.answer(stream))[0] == [b"hello"]
    before = methods.running
    peer.call(stream + 2, "Wait", b"done")
    await within(5, lambda: methods.running > before)
    return peer


async def test_a_new_one_is_refused_an_old_one_serves_on_and_a_place_is_given_again(crowd, told, caplog):
    async with crowd as (server, methods, connect):
        held = [await busy(connect, methods) for _ in range(3)]
        with caplog.at_level(logging.WARNING, "clawdbot.grpc"):
            assert await refused(await at(server)) and await refused(await connect())
        assert [record.message for record in caplog.records] == [
            "all 3 connections of gRPC are taken, new ones refused: 1"
        ]
        assert told == {"refused": 2} and server.connections == 3
        held[0].call(5, "Echo", b"still")
        assert (await held[0].answer(5))[0] == [b"still"]
        held[1].writer.close()
        await within(5, lambda: server.connections == 2)
        another = await connect()
        another.call(1, "Echo", b"new")
        assert (await another.answer(1))[0] == [b"new"]
        methods.go.set()
        assert (await held[2].answer(3))[0] == [b"done"]


async def test_who_shows_no_credential_makes_way_first_whatever_they_do(crowd, told, patience):
    async with crowd as (server, methods, connect):
        known, stranger = await connect(), await connect()
        known.call(1, "Known", b"hello")
        await known.answer(1)
        stranger.call(1, "Echo", b"hello")  # later than anybody else's
        await stranger.answer(1)
        patience(0.0, 0.0)
        await connect()
        assert await stranger.ended() == NO_ERROR
        assert told == {"made_way": 1}
        known.call(3, "Echo", b"still")
        assert (await known.answer(3))[0] == [b"still"]


async def test_calls_without_a_credential_hold_no_place(crowd, patience):
    """As watching the health does: it is cancelled, and its client told."""
    async with crowd as (server, methods, connect):
        peer = await connect()
        peer.say(HEADERS, END_HEADERS, 1, block("Wait"))
        other = await connect()
        other.say(HEADERS, END_HEADERS, 1, block("Wait"))
        await within(5, lambda: methods.running == 2)
        patience(shown=0.0)
        await connect()
        frames = []
        while len(frames) < 3:
            frames.append(await peer.hear())
        assert [frame[0] for frame in frames] == [GOAWAY, GOAWAY, HEADERS]
        assert peer.headers.decode(frames[2][3])[-2] == (b"grpc-status", b"14") and frames[2][1] & END_STREAM
        assert await peer.ended() is None
        assert methods.running == 1


async def test_the_longest_without_a_call_makes_way_and_not_who_has_one(crowd, told, patience):
    async with crowd as (server, methods, connect):
        working = await busy(connect, methods)
        idle = await connect()
        idle.call(1, "Known", b"hello")
        await idle.answer(1)
        patience(0.0, 0.0)
        await connect()
        assert await idle.ended() == NO_ERROR
        await within(5, lambda: server.connections == 2)
        methods.go.set()
        assert (await working.answer(3))[0] == [b"done"]
        assert told == {"made_way": 1}


async def test_a_call_that_comes_as_its_connection_makes_way_is_answered(crowd, monkeypatch, patience):
    monkeypatch.setattr(line, "ROUND", 200.0)  # twenty seconds for such a call
    async with crowd as (server, _, connect):
        known = await connect()
        known.call(1, "Known", b"hello")
        await known.answer(1)
        await connect()
        await within(5, lambda: server.connections == 2)
        patience(called=0.0)
        await connect()
        assert (await known.hear())[0] == GOAWAY
        known.call(3, "Echo", b"late")
        assert (await known.answer(3))[0] == [b"late"]


async def test_silent_ones_keep_nobody_out_for_long(crowd, told, patience):
    """None has said a word of HTTP/2; those who come at first are refused."""
    async with crowd as (server, _, connect):
        silent = [await at(server) for _ in range(3)]
        assert await refused(await connect())
        patience(shown=0.0)
        assert await refused(await connect())  # for which two were told
        await within(5, lambda: server.connections == 1)
        peer = await connect()
        peer.call(1, "Known", b"hello")
        assert (await peer.answer(1))[0] == [b"hello"]
        assert told == {"refused": 2, "made_way": 2}
        for each in silent:
            each.writer.close()


async def test_nobody_makes_way_at_first(crowd, told, patience):
    async with crowd as (server, _, connect):
        peers = [await connect() for _ in range(3)]
        assert await refused(await connect())
        for peer in peers:
            peer.call(1, "Echo", b"hello")
            assert (await peer.answer(1))[0] == [b"hello"]
        assert told == {"refused": 1}


async def test_a_flood_does_not_put_out_who_called_just_now(crowd, told, patience):
    patience(shown=0.0)
    async with crowd as (server, _, connect):
        known = await connect()
        known.call(1, "Known", b"hello")
        await known.answer(1)
        for _ in range(6):
            await connect()
            await asyncio.sleep(0.05)
        known.call(3, "Echo", b"still")
        assert (await known.answer(3))[0] == [b"still"]
        assert told["made_way"] > 1


async def test_who_left_by_age_and_goes_on_calling_is_not_taken_for_a_place_that_gets_free(crowd, told, patience):
    """A conversation goes on for hours on a connection that takes no new call; those are staying ones."""
    async with crowd as (server, methods, connect):
        for _ in range(2):
            await busy(connect, methods)
        for each in list(server._connections):
            each.leave()
        stranger = await connect()
        await within(5, lambda: server.connections == 3)
        patience(shown=0.0)
        assert await refused(await connect())
        assert await stranger.ended() == NO_ERROR
        await within(5, lambda: server.connections == 2)
        another = await connect()
        another.call(1, "Known", b"hello")
        assert (await another.answer(1))[0] == [b"hello"]
        assert methods.running == 2 and told == {"refused": 1, "made_way": 1}
        methods.go.set()


async def test_who_left_by_age_and_shows_no_credential_makes_way_too(crowd, told, patience):
    """With a call that does not end, as of watching the health, one would have its place for ever."""
    async with crowd as (server, methods, connect):
        strangers = [await connect() for _ in range(3)]
        for each in strangers:
            each.say(HEADERS, END_HEADERS, 1, block("Wait"))
        await within(5, lambda: methods.running == 3)
        for each in list(server._connections):
            each.leave()
        patience(shown=0.0)
        assert await refused(await connect())
        await within(5, lambda: server.connections == 1)
        another = await connect()
        another.call(1, "Known", b"hello")
        assert (await another.answer(1))[0] == [b"hello"]
        assert told == {"refused": 1, "made_way": 2}


async def test_the_time_of_a_handshake_does_not_count():
    async with served() as (server, _, _):
        connection = Connection(server)
        connection._began -= 8.0
        connection.connection_made(MagicMock())
        assert connection.loop.time() - connection.silent_since < 4.0
        connection.connection_lost(None)


async def test_it_looks_not_too_often(crowd, monkeypatch):
    asked = []
    monkeypatch.setattr(places, "LOOK_EVERY", 60.0)
    monkeypatch.setattr(line.Line, "silent_since", property(lambda self: asked.append(self)))
    async with crowd as (server, _, connect):
        for _ in range(3):
            await connect()
        for _ in range(20):
            assert await refused(await connect())
    assert len(asked) == 2


async def test_a_greeting_that_comes_byte_by_byte_ends_in_time():
    async with served(replace(BOUNDS, pong_within=0.2)) as (server, _, _):
        peer = await at(server)
        for byte in PREFACE[:20]:
            peer.writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)
            if not server.connections:
                break
        assert byte != PREFACE[19]


@pytest.mark.parametrize(
    ("wanted", "limit", "most"), [(5000, 1 << 20, 5000), (5000, 1024, 512), (300, 1024, 300), (300, -1, 300)]
)
def test_there_are_no_more_than_half_the_files(wanted, limit, most, monkeypatch, caplog):
    monkeypatch.setattr(files, "raise_limit", lambda: limit)
    assert files.for_connections("GRPC_CONNECTIONS", wanted, grpcserver.log) == most
    said = [record.message for record in caplog.records if "GRPC_CONNECTIONS" in record.message]
    assert len(said) == (most < wanted)


# Official clients ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kind")
async def test_a_client_that_is_refused_finds_the_server_away_and_comes_back():
    gate = asyncio.Event()
    site = build(ScriptedModel(["Hel", gate, "lo"]))
    server = GrpcServer(site.parts, yes, kind=client.KIND, connections=1)
    target = f"127.0.0.1:{server.listen('127.0.0.1:0')}"
    await server.start()
    hi, who = client.pb.ChatRequest(message="Hi"), metadata(site.alice)
    own = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))
    try:
        async with grpc.aio.insecure_channel(target, own) as first, grpc.aio.insecure_channel(target, own) as second:
            working = asyncio.ensure_future(chat(first, hi, metadata=who))
            await within(5, lambda: len(site.parts.running) == 1)
            with pytest.raises(grpc.aio.AioRpcError) as away:
                await chat(second, hi, metadata=who)
            assert away.value.code() is grpc.StatusCode.UNAVAILABLE
            gate.set()
            assert (await working).message.content == "Hello"
            await first.close()
            assert (await chat(second, hi, metadata=who, wait_for_ready=True, timeout=30)).message.content == "Hello"
    finally:
        await server.stop(0)
        await server.drain()


async def test_the_metrics_page_says_how_many_there_are_and_what_became_of_them(monkeypatch):
    monkeypatch.setattr(client, "KIND", "direct")
    site = build()
    async with client.served(site) as (server, channel):
        await chat(channel, client.pb.ChatRequest(message="Hi"), metadata=metadata(site.alice))
        server._server._places._tell("refused")
        said = site.parts.metrics.text()
    assert b"clawdbot_grpc_connections 1.0" in said and b'clawdbot_grpc_crowded_total{outcome="refused"} 1.0' in said
