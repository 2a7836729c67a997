"""How large a request may be, by who sends it; and that what is too large is not read."""

from __future__ import annotations

import json

import grpc
import pytest

from access.bodies import MAX_BYTES, MAX_CHAT_BYTES
from access.body_limits import PAGE_BYTES, Bounded
from access.edges.grpc.generated import chat_pb2 as pb
from tests.access.asgi_client import Client, Exchange, scope_of
from tests.access.grpc.client import chat, metadata, served, stream_chat
from tests.access.parts import build
from tests.cast import CHARLIE

MIB = 1 << 20
OF_THREE = {1: 3 * MIB}  # ALICE's and BOB's tenant
MESSAGES = {"messages": [{"role": "user", "content": ""}]}
BODIES = {
    "/api/chat": (MESSAGES, MAX_BYTES),
    "/v1/chat/completions": (MESSAGES, MAX_CHAT_BYTES),
    "/v1/responses": ({"input": ""}, MAX_CHAT_BYTES),
    "/v1/messages": ({"max_tokens": 5, **MESSAGES}, MAX_CHAT_BYTES),
}
EVERYWHERE = pytest.mark.parametrize("path", list(BODIES))


def sized(path: str, size: int) -> bytes:
    """A body that would be answered, but for its size."""
    whole = json.dumps(BODIES[path][0]).replace('""', f'"{"a" * size}"').encode()
    return whole.replace(b"a" * (len(whole) - size), b"", 1)


class Untouched:
    """A body nobody may ask for more than `most` bytes of, in pieces of 64 KiB."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.given = 0

    async def __call__(self) -> dict[str, object]:
        self.given += 1 << 16
        assert self.given <= self.most + (1 << 17), "more was read than may be"
        return {"type": "http.request", "body": b" " * (1 << 16), "more_body": True}


async def refused_reading(app, path: str, headers: dict[str, str], most: int) -> tuple[int, int, str]:
    """Status, bytes read and code, of a body that never ends."""
    body, sent = Untouched(most), []

    async def send(event):
        sent.append(event)

    await app(scope_of("http", path, headers, method="POST"), body, send)
    return sent[0]["status"], body.given, json.loads(sent[1]["body"])["error"]["code"]


@EVERYWHERE
async def test_everybody_may_send_the_usual(path):
    site = build()
    assert (await site.alice.post(path, sized(path, BODIES[path][1]))).status == 200
    assert (await site.alice.post(path, sized(path, BODIES[path][1] + 1))).status == 413


@EVERYWHERE
async def test_a_tenants_callers_may_send_what_it_was_allowed(path):
    site = build()
    site.keys.body_limits = OF_THREE
    assert (await site.alice.post(path, sized(path, 3 * MIB))).status == 200
    body = sized(path, 3 * MIB + 1)
    assert (await site.alice.post(path, body)).status == 413
    assert (await site.alice.post(path, [body[:MIB], body[MIB : 3 * MIB], body[3 * MIB :]])).status == 413
    chunked = sized(path, 3 * MIB)
    assert (await site.alice.post(path, [chunked[:MIB], chunked[MIB:]])).status == 200
    usual = BODIES[path][1]
    assert (await site.client(CHARLIE.key).post(path, sized(path, usual + 1))).status == 413  # another tenant's


@EVERYWHERE
async def test_it_is_live_at_once(path):
    site = build()
    body = sized(path, 9 * MIB)
    assert (await site.alice.post(path, body)).status == 413
    site.keys.body_limits = {1: 9 * MIB}
    assert (await site.alice.post(path, body)).status == 200


@EVERYWHERE
async def test_nobody_is_read_no_further(path):
    """A conversation on /v1 is not read at all before it is known who sends it."""
    site = build()
    site.keys.body_limits = {1: 20 * MIB}
    if path.startswith("/v1/"):
        assert await refused_reading(site.app, path, {}, 0) == (401, 0, "unauthenticated")
    else:
        status, given, code = await refused_reading(site.app, path, {}, MAX_BYTES)
        assert (status, code) == (413, "payload_too_large") and given <= MAX_BYTES + (1 << 16)


@EVERYWHERE
async def test_it_stops_reading_at_the_limit(path):
    site = build()
    site.keys.body_limits = OF_THREE
    status, given, _ = await refused_reading(site.app, path, site.alice.headers, 3 * MIB)
    assert status == 413 and given <= 3 * MIB + (1 << 16)


@EVERYWHERE
@pytest.mark.parametrize("length", [str(3 * MIB + 1), "9" * 19, "9" * 400, "-1", "0x10", "１"])
async def test_a_length_that_is_too_large_is_refused_unread(path, length):
    site = build()
    site.keys.body_limits = OF_THREE
    headers = {**site.alice.headers, "Content-Length": length}
    status, given, code = await refused_reading(site.app, path, headers, 0)
    assert (status, given, code) == (413, 0, "payload_too_large")


# Pages -----


async def reads_all(scope, receive, send):
    """As Django does."""
    while (event := await receive()).get("more_body"):
        pass
    if event["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_page_is_handed_so_much():
    client = Client(Bounded(reads_all, 100))
    assert (await client.post("/admin/", [b"a" * 50, b"a" * 50])).status == 200
    answer = await client.post("/admin/", [b"a" * 50, b"a" * 51], {"Accept-Language": "zh"})
    assert (answer.status, answer.json["error"]["code"]) == (413, "payload_too_large")
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]
    for length in ("101", "x", "9" * 30):
        exchange = Exchange(client.app, scope_of("http", "/", {"Content-Length": length}, method="POST"), [b""])
        assert (await exchange.rest()).status == 413


async def test_the_gateways_pages_are_bounded():
    for path in ("/admin/login/", "/console/", "/api/token/", "/api/nothing", "/nothing"):
        headers = {"Content-Length": str(PAGE_BYTES + 1)}
        assert await refused_reading(build().app, path, headers, 0) == (413, 0, "payload_too_large")


# gRPC -----


def message(size: int) -> pb.ChatRequest:
    asked = pb.ChatRequest(message="a" * size)
    asked.message = "a" * (size - (asked.ByteSize() - size))
    return asked


async def asked(channel, client, size: int) -> str:
    try:
        await chat(channel, message(size), metadata=metadata(client), timeout=30)
        first = "OK"
    except grpc.aio.AioRpcError as error:
        first = error.code().name
    try:
        events = [each async for each in stream_chat(channel, message(size), metadata=metadata(client), timeout=30)]
        second = "OK" if events[-1].HasField("done") else "nothing"
    except grpc.aio.AioRpcError as error:
        second = error.code().name
    assert first == second
    return first


async def test_grpc_has_the_same_limits():
    site = build()
    async with served(site) as (_, channel):
        assert await asked(channel, site.alice, MAX_BYTES - 8) == "OK"
        assert await asked(channel, site.alice, MAX_BYTES + 8) == "INVALID_ARGUMENT"
        site.keys.body_limits = {1: 20 * MIB}
        assert await asked(channel, site.alice, 20 * MIB) == "OK"
        assert await asked(channel, site.alice, 20 * MIB + 1) == "INVALID_ARGUMENT"
        assert await asked(channel, site.client(CHARLIE.key), MAX_BYTES + 8) == "INVALID_ARGUMENT"
        assert await asked(channel, site.alice, 22 * MIB) == "RESOURCE_EXHAUSTED"  # the transport's own limit


async def test_grpc_reads_nothing_of_who_may_not():
    """The message is sent only as far as the transport's window goes."""
    site = build()
    async with served(site) as (server, channel):
        reads = []
        plain = server._service._ask

        async def watched(call, **named):
            read = call.read

            async def counted():
                reads.append(call)
                return await read()

            call.__class__ = type("Watched", (type(call),), {"read": lambda self: counted(), "__slots__": ()})
            return await plain(call, **named)

        server._service._ask = watched
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat(channel, message(MIB), timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED and reads == []
        await chat(channel, message(MIB), metadata=metadata(site.alice), timeout=30)
        assert len(reads) == 1


@pytest.mark.parametrize("method", ["Chat", "StreamChat"])
async def test_a_call_without_a_message_is_refused(method):
    site = build()
    async with served(site) as (_, channel):
        call = channel.stream_stream(f"/clawdbot.v1.ChatService/{method}")(metadata=metadata(site.alice), timeout=20)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
