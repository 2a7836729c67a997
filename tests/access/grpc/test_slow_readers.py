"""What a client takes little of or nothing: messages stay whole, and nothing is kept for long."""

from dataclasses import replace

import pytest

from access.edges.grpc.wire.frames import (
    ACK,
    CALM,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    settings,
)  # fmt: skip
from tests.access.grpc.peer import BOUNDS, opened, served
from tests.conformance.edges import within


async def half_read(connect, method="Pour", window=15_000):
    """A peer that has read one message and a half."""
    peer = await connect(settings(((4, window),)))
    peer.call(1, method)
    got = b""
    while len(got) < window:
        kind, _, _, payload = await peer.hear()
        got += payload if kind == DATA else b""
    return peer, got


async def test_a_status_comes_after_the_whole_of_a_message_that_has_begun():
    async with served() as (server, methods, connect):
        peer, got = await half_read(connect, "Pour_and_fail")
        await within(5, lambda: methods.cancelled == 1)
        peer.say(PING, 0, 0, b"12345678")
        assert (await peer.hear())[:2] == (PING, ACK)  # no status yet, and no more of the message
        peer.say(DATA, END_STREAM, 1, b"what comes meanwhile is nobody's")
        for _ in range(5):
            peer.say(WINDOW_UPDATE, 0, 1, (1002).to_bytes(4, "big"))
        while (heard := await peer.hear())[0] == DATA:
            got += heard[3]
        assert [len(message) for message in opened(got)] == [10_000, 10_000]
        assert heard[:2] == (HEADERS, END_HEADERS | END_STREAM)
        assert dict(peer.headers.decode(heard[3]))[b"grpc-status"] == b"8"
        assert not server._calls


@pytest.mark.parametrize("method", ["Pour", "Pour_and_fail", "Whole"])
async def test_what_is_not_read_is_not_kept_for_long(method):
    async with served(replace(BOUNDS, patience=0.3)) as (server, methods, connect):
        peer, _ = await half_read(connect, method)
        while (heard := await peer.hear())[0] != RST_STREAM:
            assert heard[0] == WINDOW_UPDATE
        assert heard == (RST_STREAM, 0, 1, CALM.to_bytes(4, "big"))
        await within(5, lambda: server._calls == 0 and methods.running == 0)
        peer.say(WINDOW_UPDATE, 0, 1, (10_000).to_bytes(4, "big"))
        peer.call(3, "Echo", b"next")
        assert (await peer.answer(3))[0] == [b"next"]


async def test_a_deadline_in_the_middle_of_a_message_leaves_it_whole():
    async with served() as (_, methods, connect):
        peer = await connect(settings(((4, 15_000),)))
        peer.call(1, "Pour", grpc_timeout="200m")
        await within(5, lambda: methods.cancelled == 1)
        peer.say(WINDOW_UPDATE, 0, 1, (10**6).to_bytes(4, "big"))
        said, told = await peer.answer(1)
        assert [len(message) for message in said] == [10_000, 10_000] and told[b"grpc-status"] == b"4"


async def test_who_leaves_in_the_middle_of_a_message_frees_it():
    async with served() as (server, methods, connect):
        peer, _ = await half_read(connect, "Pour_and_fail")
        await within(5, lambda: methods.cancelled == 1)
        peer.say(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))
        await within(5, lambda: server._calls == 0)


async def test_streams_that_wait_for_the_connection_take_turns():
    async with served() as (_, _, connect):
        peer = await connect(settings(((4, 10**6),)))
        peer.call(1, "Pour")
        peer.call(3, "Pour")
        got = {1: 0, 3: 0}
        told = set()
        while len(told) < 2:
            kind, flags, number, payload = await peer.hear()
            if kind == DATA:
                got[number] += len(payload)
                peer.say(WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4, "big"))
                assert got[1] < 20 * 10_005 or got[3]
            elif kind == HEADERS and flags & END_STREAM:
                told.add(number)
        assert got == {1: 20 * 10_005, 3: 20 * 10_005}


async def test_room_given_byte_by_byte_is_noise():
    async with served() as (server, _, connect):
        peer = await connect(settings(((4, 0),)))
        peer.call(1, "Whole")
        assert (await peer.hear())[0] == HEADERS
        for _ in range(1100):
            peer.say(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")
        assert await peer.ended() == CALM
        await within(5, lambda: not server._calls)


async def test_room_for_many_streams_given_in_one_frame_is_counted_once():
    """Else a frame of a few bytes costs as many steps as it has settings, times the streams."""
    async with served() as (_, _, connect):
        peer = await connect(settings(((4, 0),)))
        peer.call(1, "Pour")
        assert (await peer.hear())[0] == HEADERS
        peer.say(SETTINGS, 0, 0, settings(((4, 1), (4, 2**31 - 1), (4, 7))))
        assert (await peer.hear())[3] == b"\0" + (10_000).to_bytes(4, "big") + b"00"
        peer.say(SETTINGS, 0, 0, settings(((4, 2**31 - 1),)))
        kind = DATA
        got = 7
        while kind == DATA:
            kind, _, _, payload = await peer.hear()
            got += len(payload) if kind == DATA else 0
            if got >= 60_000:
                break
        assert got >= 60_000
