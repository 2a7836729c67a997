"""Our server of HTTP/2 against a peer that writes its own frames, well and badly."""

import asyncio
import zlib
from dataclasses import replace

import pytest

from access.edges.grpc.wire import line
from access.edges.grpc.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITISED,
    REFUSED_STREAM,
    RST_STREAM,
    WINDOW_UPDATE,
    frame,
    settings,
)  # fmt: skip
from access.edges.grpc.wire.streams import WINDOW
from tests.access.grpc.peer import BOUNDS, answer_of, block, enveloped, served
from tests.conformance.edges import within


async def test_it_answers():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Echo", b"one", b"two", x_own="mine", te="trailers", grpc_timeout="5S")
        said, told = await peer.answer(1)
    assert said == [b"one", b"two"]
    assert told == {b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"0"}
    (context,) = methods.seen
    assert context.invocation_metadata() == (("x-own", "mine"),)
    assert context.peer().startswith("ipv4:127.0.0.1:") and 0 < context.time_remaining() <= 5


async def test_bytes_may_come_one_at_a_time():
    async with served() as (_, _, connect):
        peer = await connect()
        whole = frame(HEADERS, 0, 1, block("Echo")[:10]) + frame(CONTINUATION, END_HEADERS, 1, block("Echo")[10:])
        padded = b"\x03" + enveloped(b"hello") + b"\0\0\0"
        for byte in whole + frame(DATA, PADDED | END_STREAM, 1, padded):
            peer.writer.write(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        assert (await peer.answer(1))[0] == [b"hello"]


async def test_headers_may_be_padded_and_have_a_priority():
    async with served() as (_, _, connect):
        peer = await connect()
        flags = END_HEADERS | PADDED | PRIORITISED | END_STREAM
        peer.say(HEADERS, flags, 1, b"\x02" + bytes(5) + block("Echo") + b"\0\0")
        assert await peer.answer(1) == ([], (await answer_of(connect, "Echo"))[1])


async def test_what_goes_wrong_is_a_status_and_no_more():
    async with served() as (_, _, connect):
        assert (await answer_of(connect, "Fail"))[1][b"grpc-status"] == b"2"
        told = (await answer_of(connect, "Nothing"))[1]
        assert (told[b"grpc-status"], told[b"grpc-message"]) == (b"12", b"There is no method /S/Nothing.")
        assert (await answer_of(connect, "Echo", grpc_timeout="soon"))[1][b"grpc-status"] == b"13"
        assert (await answer_of(connect, "Echo", grpc_encoding="br"))[1][b"grpc-status"] == b"12"
        peer = await connect()
        peer.call(1, "Echo", end=False)
        peer.say(DATA, 0, 1, enveloped(b"x" * 300_001)[:5])
        assert (await peer.answer(1))[1][b"grpc-status"] == b"8"
        assert (await answer_of(connect, "Wait", grpc_timeout="1m"))[1][b"grpc-status"] == b"4"


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
async def test_compressed_messages_are_read_within_the_limit(encoding, window):
    async with served() as (_, _, connect):
        for text, status in ((b"y" * 1000, b"0"), (b"y" * 300_001, b"8")):
            packing = zlib.compressobj(wbits=window)
            peer = await connect()
            peer.call(1, "Echo", end=False, grpc_encoding=encoding)
            peer.say(DATA, END_STREAM, 1, enveloped(packing.compress(text) + packing.flush(), 1))
            said, told = await peer.answer(1)
            assert told[b"grpc-status"] == status and said == ([text] if status == b"0" else [])
        assert (await answer_of(connect, "Echo"))[1][b"grpc-status"] == b"0"


async def test_compressed_messages_that_end_too_soon_are_not_read():
    async with served() as (_, _, connect):
        packing = zlib.compressobj(wbits=31)
        whole = packing.compress(b"z" * 1000 + bytes(range(256))) + packing.flush()
        peer = await connect()
        peer.call(1, "Echo", end=False, grpc_encoding="gzip")
        peer.say(DATA, END_STREAM, 1, enveloped(whole[:-20], 1))
        said, told = await peer.answer(1)
        assert not said and told[b"grpc-status"] == b"13"


async def test_methods_beside_ours_take_small_messages():
    async with served(replace(BOUNDS, beside=100)) as (_, _, connect):
        assert (await answer_of(connect, "Typed", b"1" * 100))[0] == [b"1" * 100]
        assert (await answer_of(connect, "Typed", b"1" * 101))[1][b"grpc-status"] == b"8"


async def test_it_sends_no_more_than_its_client_has_room_for():
    async with served() as (_, _, connect):
        peer = await connect(settings(((4, 25_000),)))
        peer.call(1, "Pour")
        got = 0
        while got < 25_000:
            kind, _, _, payload = await peer.hear()
            got += len(payload) if kind == DATA else 0
        assert got == 25_000  # and now nothing, not even when the connection has room
        peer.say(WINDOW_UPDATE, 0, 0, (10**6).to_bytes(4, "big"))
        peer.say(PING, 0, 0, b"12345678")
        assert (await peer.hear())[:2] == (PING, ACK)
        peer.say(WINDOW_UPDATE, 0, 1, (10**6).to_bytes(4, "big"))
        while True:
            kind, flags, _, payload = await peer.hear()
            got += len(payload) if kind == DATA else 0
            if kind == HEADERS and flags & END_STREAM:
                break
        assert got == 20 * 10_005


async def test_a_client_may_send_what_is_read_and_little_more():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Echo", end=False)
        peer.writer.write(frame(DATA, 0, 1, enveloped(b"z" * 250_000)[:FRAME]) * 3)
        assert (await peer.hear())[0] in (HEADERS, WINDOW_UPDATE)  # what is being read makes room
        other = await connect()
        other.call(1, "Wait", end=False)
        await within(5, lambda: methods.running == 1)
        for _ in range(WINDOW // FRAME + 1):
            other.say(DATA, 0, 1, b"\0" * FRAME)
        assert await other.ended() == FLOW_CONTROL_ERROR
        await within(5, lambda: methods.cancelled == 1)


async def test_who_leaves_has_its_calls_cancelled():
    async with served() as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Wait")
        peer.call(3, "Wait")
        await within(5, lambda: methods.running == 2)
        peer.say(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))
        await within(5, lambda: methods.cancelled == 1)
        peer.writer.close()
        await within(5, lambda: methods.cancelled == 2)


async def test_calls_are_counted():
    async with served(replace(BOUNDS, calls=9)) as (_, methods, connect):
        peer, other = await connect(), await connect()
        for number in range(9):
            peer.call(2 * number + 1, "Wait")
        assert await peer.hear() == (RST_STREAM, 0, 17, REFUSED_STREAM.to_bytes(4, "big"))
        other.call(1, "Wait")
        await within(5, lambda: methods.running == 9)
        other.call(3, "Echo")
        assert (await other.answer(3))[1][b"grpc-status"] == b"8"
        methods.go.set()
        await within(5, lambda: methods.running == 0)
        assert (await answer_of(connect, "Echo", b"again"))[0] == [b"again"]


async def test_frames_nobody_knows_and_calls_that_are_over_do_no_harm():
    async with served() as (_, _, connect):
        peer = await connect()
        peer.say(0x42, 0, 0, b"grease")
        peer.call(1, "Nothing", b"was under way")
        assert (await peer.answer(1))[1][b"grpc-status"] == b"12"
        peer.say(RST_STREAM, 0, 1, bytes(4))
        peer.say(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
        peer.call(3, "Echo", b"next")
        while (heard := await peer.hear())[2] != 3:
            assert heard[0] == RST_STREAM
        assert heard[0] == HEADERS


async def test_who_is_not_there_any_more_is_noticed():
    async with served(replace(BOUNDS, ping_after=0.05, pong_within=0.05)) as (server, _, connect):
        silent = await connect()
        assert (await silent.hear())[:2] == (PING, 0)
        await within(5, lambda: not server._connections)


async def test_an_idle_connection_is_ended_in_good_order(monkeypatch):
    monkeypatch.setattr(line, "ROUND", 0.05)
    async with served(replace(BOUNDS, idle=0.05, pong_within=0.02)) as (_, _, connect):
        peer = await connect()
        assert await peer.ended() == NO_ERROR


async def test_an_old_connection_ends_with_its_last_call(monkeypatch):
    monkeypatch.setattr(line, "ROUND", 0.05)
    async with served(replace(BOUNDS, age=0.05, pong_within=0.02)) as (_, methods, connect):
        peer = await connect()
        peer.call(1, "Wait", b"done")
        first = await peer.hear()
        assert first[0] == GOAWAY and first[3][:4] == b"\x7f\xff\xff\xff"
        second = await peer.hear()
        assert second[0] == GOAWAY and second[3][:4] == b"\0\0\0\x01"
        methods.go.set()
        assert (await peer.answer(1))[0] == [b"done"]
        assert await peer.reader.read() == b""


async def test_a_stop_waits_for_calls_and_then_no_longer():
    async with served() as (server, methods, connect):
        peer = await connect()
        peer.call(1, "Wait")
        await within(5, lambda: methods.running == 1)
        stopping = asyncio.ensure_future(server.stop(0.05))
        assert (await peer.hear())[0] == GOAWAY
        assert (await peer.answer(1))[1][b"grpc-status"] == b"14"
        await stopping
        assert methods.cancelled == 1
