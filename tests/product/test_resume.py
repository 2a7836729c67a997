"""Streams of the real product with two workers: cut anywhere, resumed at either, never a byte lost or doubled."""

import asyncio
import json
import os
import random
import signal

from websockets.asyncio.client import connect

from access.edges.sockets import whose
from access.frames import as_socket, is_last
from tests.adapters.upstream import HANG, Upstream, by_stream, chunk, events, streamed, whole
from tests.product.running import Product, until
from tests.product.streams import complete, last_id, request
from tests.product.upstreams import upstream_in_thread

CUTS = int(os.environ.get("RESUME_CUTS", "50"))
TOGETHER = 10  # streams
WORDS = ("Hello", " world", "你好，", "世界", "🙂", "\n\n", "id: 5", '"', "\\u4f60", " ", "and so on")
CHAT = {"message": "Hello", "stream": True}


def script(chance: random.Random):
    """A stream that is cut into pieces and packets as it happens: reasoning, text, perhaps a call of a tool."""
    pieces = [{"reasoning_content": chance.choice(WORDS)} for _ in range(chance.randrange(5))]
    pieces += ["".join(chance.choices(WORDS, k=chance.randint(1, 3))) for _ in range(chance.randint(5, 40))]
    finish = "stop"
    if chance.random() < 0.4:
        finish = "tool_calls"
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        arguments = [{"index": 0, "function": {"arguments": part}} for part in ('{"city": ', '"北京', '"}')]
        pieces += [{"tool_calls": [each]} for each in (call, *arguments)]
    raw = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events(*pieces, finish=finish)) + b"0\r\n\r\n"
    steps = [streamed([])[0]]
    while raw:
        size = chance.randint(1, 900)
        steps += [raw[:size], chance.choice([0.0, 0.002, 0.01, 0.03])]
        raw = raw[size:]
    return steps


async def by_events(product: Product, chance: random.Random, uncut: list) -> tuple[list[bytes], int]:
    """A turn over server-sent events, cut off again and again: its events, and how often it was cut."""
    heard = await request(product, "POST", "/api/chat", CHAT, most=chance.randint(1, 1_500))
    turn_id, cuts, had = heard.turn_id, 1, complete(heard.body)
    uncut.append(asyncio.create_task(request(product, "GET", f"/api/turns/{turn_id}/events")))
    while not had or not is_last(had[-1]):
        most = chance.randint(0, 1_500)
        heard = await request(product, "GET", f"/api/turns/{turn_id}/events/", last=last_id(had), most=most)
        assert heard.status == 200, gateway_log(product)
        had += complete(heard.body)
        cuts += 1
    heard = await request(product, "GET", f"/api/turns/{turn_id}/events", last=last_id(had))
    assert (heard.status, heard.body) == (204, b""), gateway_log(product)
    return had, cuts


def socket(product: Product):
    return connect(f"ws{product.url[4:]}/ws/chat", subprotocols=["bearer", product.key], proxy=None)


async def by_socket(product: Product, chance: random.Random, uncut: list) -> tuple[list[bytes], int]:
    """The same over WebSocket, as the server-sent events they stand for."""
    had: list[str] = []
    turn_id, cuts = "", 0
    asked = {"type": "chat", "ref": 1, **CHAT}
    while not had or json.loads(had[-1])["type"] not in ("done", "error"):
        connection = await socket(product)
        await connection.send(json.dumps(asked))
        for _ in range(chance.randint(1, 15)):
            had.append(await asyncio.wait_for(connection.recv(), 60))
            if json.loads(had[-1])["type"] in ("done", "error"):
                break
        connection.transport.abort()
        await connection.wait_closed()
        cuts += 1
        if not turn_id:
            turn_id = json.loads(had[0])["id"]
            uncut.append(asyncio.create_task(request(product, "GET", f"/api/turns/{turn_id}/events")))
        last = json.loads(had[-1])["event_id"]
        asked = {"type": "resume", "ref": 1, "turn_id": turn_id, "last_event_id": last}
    whole = complete((await uncut[-1]).body)
    assert had == [as_socket(event, whose(1)) for event in whole]
    return whole, cuts


async def one(product: Product, seed: int) -> int:
    chance = random.Random(seed)
    uncut: list = []
    had, cuts = await (by_events if seed % 2 else by_socket)(product, chance, uncut)
    whole = await uncut[0]
    assert (whole.status, whole.body) == (200, b"".join(had)), gateway_log(product)
    return cuts


def gateway_log(product: Product) -> str:
    return "\n".join(line for line in product.said().splitlines() if " WARNING " in line or " ERROR " in line)[-2_000:]


async def test_random_cuts_lose_and_double_nothing(gateway: Product, upstream: Upstream):
    chance = random.Random(7)
    cuts = seed = 0
    while cuts < CUTS:
        upstream.answers(*(script(chance) for _ in range(TOGETHER)))
        cuts += sum(await asyncio.gather(*(one(gateway, seed + number) for number in range(TOGETHER))))
        seed += TOGETHER


async def test_the_other_worker_resumes_and_stops(gateway: Product, upstream: Upstream):
    upstream.answers(whole("whole"), [*streamed(events("a", "b"))[:-3], HANG], choose=by_stream)
    left = [what for what, _ in upstream.log].count("left")
    headers = {"Authorization": f"Bearer {gateway.key}"}
    with gateway.at_every_worker() as (first, second):
        first.request("POST", "/api/chat", json.dumps(CHAT), headers)
        running = first.getresponse()
        turn_id = running.headers["x-clawdbot-decision"]
        second.request("GET", f"/api/turns/{turn_id}/events", headers=headers)
        resumed = second.getresponse()
        assert resumed.status == 200
        with gateway.at_worker(gateway.workers()[1]) as third:
            third.request("POST", f"/api/turns/{turn_id}/cancel", headers=headers)
            assert third.getresponse().status == 202
        here, there = running.read(), resumed.read()
    assert here == there and b'"code":"cancelled"' in here and here.count(b"event: delta") >= 2
    until(lambda: [what for what, _ in upstream.log].count("left") > left, "the call upstream is closed")


def test_kill_9_of_the_worker_leaves_what_was_sent_and_an_end(tmp_path):
    with upstream_in_thread() as model:
        model.answers(whole("whole"), [*streamed(events("a", "b"))[:-3], HANG], choose=by_stream)
        with Product(tmp_path / "var", MODEL_ENDPOINT=model.url, WORKERS="2").up() as product:
            victim = product.workers()[0]
            headers = {"Authorization": f"Bearer {product.key}"}
            with product.at_worker(victim) as connection:
                connection.request("POST", "/api/chat", json.dumps(CHAT), headers)
                running = connection.getresponse()
                turn_id = running.headers["x-clawdbot-decision"]
                had = b""
                while had.count(b"\n\n") < 3:
                    had += running.readline()
                path = f"/api/turns/{turn_id}/events"
                with product.http() as client:  # until the store has it too
                    until(lambda: _begun(client, path).count(b"\n\n") >= 3, "the events are in the store")
                os.kill(victim, signal.SIGKILL)
            with product.http() as client:
                heard = client.get(path).content
                assert heard.startswith(had) and b'"code":"aborted"' in heard
                assert client.get(path, headers={"Last-Event-ID": last_id(complete(heard))}).status_code == 204
                assert client.get(f"/api/turns/{turn_id}").json()["state"] == "aborted"


def _begun(client, path: str) -> bytes:
    """What is there now of a stream that goes on."""
    with client.stream("GET", path) as answer:
        for piece in answer.iter_raw():
            return piece
    return b""


def test_flushing_the_store_loses_nothing(gateway: Product, upstream: Upstream):
    pieces = [chunk({"content": f"{number} "}) for number in range(30)]
    upstream.answers(whole("whole"), streamed([*pieces, *events()[1:]], 0.02), choose=by_stream)
    with gateway.http() as client:
        with client.stream("POST", "/api/chat", json=CHAT) as answer:
            turn_id = answer.headers["x-clawdbot-decision"]
            received = answer.iter_raw()
            said = next(received)
            gateway.operate(FLUSH)
            said += b"".join(received)
        path = f"/api/turns/{turn_id}/events"
        assert client.get(path).content == said
        gateway.operate(FLUSH)
        for _ in range(4):  # whichever worker, from the journal
            assert client.get(path, headers={"Connection": "close"}).content == said


FLUSH = (
    "import redis\nfrom django.conf import settings\nvalue = redis.Redis.from_url(settings.VALKEY_NODES[0]).flushall()"
)


def test_a_turn_whose_reader_stays_away_is_cancelled(gateway: Product, upstream: Upstream):
    upstream.answers(whole("whole"), [*streamed(events("a", "b"))[:-3], HANG], choose=by_stream)
    gateway.operate("tenant = Tenant.objects.get(slug='demo'); tenant.resume_grace = 1; tenant.save()")
    try:
        with gateway.http() as client:

            def cancelled() -> bool:
                """Also until every worker has the new grace."""
                with client.stream("POST", "/api/chat", json=CHAT) as answer:
                    turn_id = answer.headers["x-clawdbot-decision"]
                try:
                    until(lambda: client.get(f"/api/turns/{turn_id}").json()["state"] == "cancelled", "cancelled", 10)
                except AssertionError:
                    return False
                events_of = client.get(f"/api/turns/{turn_id}/events").content
                return b'"code":"cancelled"' in events_of

            until(cancelled, "a turn without a reader is cancelled")
    finally:
        gateway.operate("tenant = Tenant.objects.get(slug='demo'); tenant.resume_grace = None; tenant.save()")


def test_a_worker_that_stops_does_not_wait_for_readers_for_ever(tmp_path):
    """A stream that nobody reads and that does not end is cancelled and recorded before the worker goes."""
    with upstream_in_thread() as model:
        model.answers(whole("whole"), [*streamed(events("a", "b"))[:-3], HANG], choose=by_stream)
        with Product(tmp_path / "var", MODEL_ENDPOINT=model.url, DRAIN_TIMEOUT="1").up() as product:
            with product.http() as client, client.stream("POST", "/api/chat", json=CHAT) as answer:
                turn_id = answer.headers["x-clawdbot-decision"]
                next(answer.iter_raw())
            product.send(signal.SIGTERM)
            assert product.wait() == 0
            product.up()
            with product.http() as client:
                assert client.get(f"/api/turns/{turn_id}").json()["state"] == "cancelled"
                assert b'"code":"cancelled"' in client.get(f"/api/turns/{turn_id}/events").content
