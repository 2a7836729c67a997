"""Streams on which nothing comes for a while."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn

from clawdbot_site.serving import server
from clawdbot_site.serving.limits import LimitedHttpProtocol, Limits
from clawdbot_site.serving.silences import Silences
from tests.clawdbot_site.test_cycles import GET, Recording, connected, settled

EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
COMMENT = b"3\r\n:\n\n\r\n"


class Streaming:
    """An answer of which pieces are sent when the test says so."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self._headers = headers
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        while piece := await self._pieces.get():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def say(self, piece: bytes) -> None:
        self._pieces.put_nowait(piece)
        for _ in range(4):
            await asyncio.sleep(0)


async def begun(*headers: tuple[bytes, bytes]) -> tuple[Streaming, LimitedHttpProtocol, Recording]:
    streaming = Streaming(*headers)
    protocol, transport = connected(streaming)
    protocol.data_received(GET)
    await streaming.say(b"data: 1\n\n")
    return streaming, protocol, transport


async def test_a_silent_stream_gets_a_comment_until_it_goes_on() -> None:
    streaming, protocol, transport = await begun(EVENTS)
    silences, sent = Silences(15), len(transport.pieces)
    for second in range(0, 15):
        silences.look([protocol], 100.0 + second)
    assert len(transport.pieces) == sent
    silences.look([protocol], 115.0)
    assert transport.pieces[sent:] == [COMMENT]
    silences.look([protocol], 130.0)
    assert transport.pieces[sent:] == [COMMENT] * 2
    await streaming.say(b"data: 2\n\n")
    silences.look([protocol], 145.0)
    assert transport.pieces[sent:] == [COMMENT] * 2 + [b"9\r\ndata: 2\n\n\r\n"]
    await streaming.say(b"")
    await settled(protocol)
    ended = len(transport.pieces)
    for each in (160.0, 175.0, 190.0):
        silences.look([protocol], each)
    assert len(transport.pieces) == ended


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-type", b"text/csv"),),
        ((b"content-type", b"application/json"),),
        ((b"content-type", b"text/event-streams"),),
        (EVENTS, (b"content-encoding", b"gzip")),
    ],
)
async def test_nothing_else_gets_one(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    _, protocol, transport = await begun(*headers)
    silences, sent = Silences(15), len(transport.pieces)
    for each in (100.0, 115.0, 130.0):
        silences.look([protocol, object()], each)
    assert len(transport.pieces) == sent


async def test_nor_does_who_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, protocol, transport = await begun(EVENTS)
    silences, sent = Silences(15), len(transport.pieces)
    monkeypatch.setattr(Recording, "get_write_buffer_size", lambda self: 10)
    for each in (100.0, 115.0, 130.0):
        silences.look([protocol], each)
    assert len(transport.pieces) == sent


async def test_none_comes_into_an_event_the_rest_of_which_waits_for_the_client() -> None:
    """Django sends a large event in several pieces; between them the client may be slow."""
    streaming, protocol, transport = await begun(EVENTS)
    silences = Silences(15)
    await streaming.say(b"data: 2")
    protocol.pause_writing()
    await streaming.say(b"2\n\n")
    silences.look([protocol], 100.0)
    protocol.resume_writing()
    sent = len(transport.pieces)
    silences.look([protocol], 115.0)  # before the stream had its turn in the loop
    assert len(transport.pieces) == sent
    await streaming.say(b"data: 3\n\n")
    assert transport.pieces[sent:] == [b"3\r\n2\n\n\r\n9\r\ndata: 3\n\n\r\n"]
    for each in (130.0, 145.0):
        silences.look([protocol], each)
    assert transport.pieces[-1] == COMMENT


async def test_a_stream_gets_them_though_other_requests_wait_behind_it() -> None:
    streaming, protocol, transport = await begun(EVENTS)
    protocol.data_received(GET + GET)
    silences, sent = Silences(15), len(transport.pieces)
    for each in (100.0, 115.0):
        silences.look([protocol], each)
    assert transport.pieces[sent:] == [COMMENT]
    await streaming.say(b"")  # the next answer is its head, so far
    for each in (130.0, 145.0):
        silences.look([protocol], each)
    assert [each.partition(b"\r\n")[0] for each in transport.pieces[sent + 1 :]] == [b"0", b"HTTP/1.1 200 OK", b"3"]


async def test_nor_anybody_where_it_is_off() -> None:
    _, protocol, transport = await begun(EVENTS)
    silences, sent = Silences(0), len(transport.pieces)
    for each in (100.0, 115.0, 130.0):
        silences.look([protocol], each)
    assert len(transport.pieces) == sent


class Finishing:
    """Is served, and has a turn to finish until a comment has left."""

    app = None

    def __init__(self, transport: Recording) -> None:
        self._transport = transport

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def drain(self, *, replaced: bool = False) -> None:
        while COMMENT not in self._transport.pieces:
            await asyncio.sleep(0)

    def retire(self) -> None: ...

    def watch_connections(self, number):
        return lambda outcome: None

    def ready(self) -> bool:
        return False


async def test_streams_that_are_finished_before_a_worker_ends_still_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*arguments: object) -> None: ...

    monkeypatch.setattr(server, "DATE_EVERY", 0.01)
    monkeypatch.setattr(uvicorn.Server, "shutdown", nothing)
    _, protocol, transport = await begun(EVENTS)
    limits, drain = Limits(event_silence=0.01), server.Drain(timeout=10)
    ending = server.DrainingServer(Finishing(transport), limits=limits, drain=drain)
    ending.servers = []
    ending.server_state.connections.add(protocol)
    before = asyncio.all_tasks()
    await ending.shutdown()
    assert COMMENT in transport.pieces
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before, "nobody looks when the turns are finished"
