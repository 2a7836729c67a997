import asyncio
import time

import msgspec
import pytest

from access.cache_control import CacheField, frame_wish, wish
from engine.types import CachePolicy
from tests.access.parts import build
from tests.cast import BOB
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel

ASKED = {"messages": HI, "model": "auto", "temperature": 0}


@pytest.mark.parametrize(
    ("lines", "meant"),
    [
        ([], ""),
        ([b""], ""),
        ([b"no-store"], "no-store"),
        ([b"No-Cache"], "no-cache"),
        ([b"no-cache, NO-STORE"], "no-store"),
        ([b" max-age=0 ,\tno-cache\t, min-fresh=3"], "no-cache"),
        ([b"no-store", b"max-age=0"], "no-store"),
        ([b'no-cache="set-cookie"'], "no-cache"),
        ([b"max-age=0, only-if-cached, no-transform"], ""),
        ([b"no-stored", b"xno-store", b"=no-store"], ""),
        ([b'extension="a, no-store, b"'], ""),
        ([b'extension="a \\", no-store", no-cache'], "no-cache"),
        ([b'extension="never closed, no-store'], ""),
        ([b"\xff\x00,;;,,no-cache;q=1"], ""),
    ],
)
def test_it_reads_the_directives_of_all_lines(lines, meant):
    assert wish([(b"accept", b"no-store"), *((b"cache-control", line) for line in lines)]) == meant


def test_it_takes_no_longer_for_quotes_that_never_end():
    began = time.process_time()
    wish([(b"cache-control", b'"\\' * 50_000)])
    assert time.process_time() - began < 1


def test_a_browsers_handshake_does_not_speak_for_its_frames():
    browser, careful = [(b"cache-control", b"no-cache")], [(b"cache-control", b"no-store")]
    assert frame_wish(CacheField(), browser) == ""
    assert frame_wish(CacheField("no-cache"), []) == "no-cache"
    assert frame_wish(CacheField("no-store"), browser) == "no-store"
    assert frame_wish(CacheField("no-cache"), careful) == frame_wish(CacheField(), careful) == "no-store"


@pytest.fixture
def site():
    """Where answers are kept and shared."""
    site = build(ScriptedModel(["Hel", "lo"]))
    site.behind.answers.chosen = CachePolicy(ttl=60, coalesce=True)
    return site


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_it_says_when_an_answer_was_kept(site, path):
    plain, streamed = ASKED, {**ASKED, "stream": True}
    first = await site.alice.post(path, plain)
    assert "x-clawdbot-cache" not in first.headers
    for body in (plain, streamed):
        assert (await site.alice.post(path, body)).headers["x-clawdbot-cache"] == "hit"
    assert len(site.behind.models[0].calls) == 1
    asked_anew = await site.alice.post(path, plain, {"Cache-Control": "No-Cache"})
    assert "x-clawdbot-cache" not in asked_anew.headers
    not_kept = await site.alice.post(path, {**plain, "seed": 3}, {"Cache-Control": "no-store"})
    assert not_kept.status == 200 and len(site.behind.answers.kept) == 1


async def test_our_own_answers_name_the_source(site):
    first, again = [(await site.alice.post("/api/chat", ASKED)).json for _ in range(2)]
    assert "source" not in first["route"] and again["route"]["source"] == "cache"
    events = (await site.alice.post("/api/chat", {**ASKED, "stream": True})).body.decode()
    start, done = events.split("\n\n")[0], events.split("\n\n")[-2]
    assert '"source":"cache"' in start and '"source":"cache"' in done


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_it_says_when_an_answer_was_shared(path):
    gate = asyncio.Event()
    site = build(ScriptedModel([gate, "Hello"]))
    site.behind.answers.chosen = CachePolicy(coalesce=True)
    first = site.alice.begin("POST", path, ASKED)
    await within(1, lambda: site.behind.models[0].calls)
    second = site.alice.begin("POST", path, {**ASKED, "stream": True})
    await within(1, lambda: len(site.behind.journal.intents) == 2)
    gate.set()
    told = [(await answer.rest()).headers.get("x-clawdbot-cache") for answer in (first, second)]
    assert told == [None, "shared"] and len(site.behind.models[0].calls) == 1
    own, shared = sorted(site.behind.journal.completions, key=lambda end: end.source)
    assert (own.source, shared.source) == ("model", "shared")
    assert shared.decision["shared_with"] == own.turn_id and own.decision == {}
    record = (await site.alice.get(f"/api/turns/{shared.turn_id}")).json
    assert record["decision"]["shared_with"] == record["completion"]["decision"]["shared_with"] == own.turn_id


async def test_whose_call_was_shared_is_for_who_may_read_it():
    gate = asyncio.Event()
    site = build(ScriptedModel([gate, "Hello"]))
    site.behind.answers.chosen = CachePolicy(coalesce=True)
    first = site.alice.begin("POST", "/api/chat", ASKED)
    await within(1, lambda: site.behind.models[0].calls)
    bob = site.client(BOB.key)
    second = bob.begin("POST", "/api/chat", ASKED)
    await within(1, lambda: len(site.behind.journal.intents) == 2)
    gate.set()
    await first.rest(), await second.rest()
    own, shared = sorted(site.behind.journal.completions, key=lambda end: end.source)
    assert shared.decision["shared_with"] == own.turn_id
    record = (await bob.get(f"/api/turns/{shared.turn_id}")).json
    assert record["completion"]["source"] == "shared"
    assert own.turn_id not in str(record) and "instance_id" in record["decision"]
    site.keys.people[BOB.key] = msgspec.structs.replace(
        site.keys.people[BOB.key], scopes=site.keys.people[BOB.key].scopes | {"audit"}
    )
    record = (await bob.get(f"/api/turns/{shared.turn_id}")).json
    assert record["decision"]["shared_with"] == own.turn_id


async def test_a_frame_can_ask_anew(site):
    async with site.alice.socket(headers={"Cache-Control": "no-cache"}) as socket:
        await socket.connect()
        chosen = ({}, {}, {"cache": "no-cache"}, {"cache": "no-store"})
        told = []
        for more in chosen:
            socket.send({"type": "chat", **ASKED, **more})
            frames = await socket.until("done")
            told.append((frames[0].get("source"), frames[-1]["route"].get("source")))
        assert told == [(None, None), ("cache", "cache"), (None, None), (None, None)]
        socket.send({"type": "chat", "ref": 1, **ASKED, "cache": "max-age=0"})
        refused = await socket.frame()
        assert (refused["type"], refused["code"]) == ("error", "invalid_request") and "cache" in refused["message"]


async def test_every_edge_hands_the_headers_on(site):
    for path in ("/api/chat", "/v1/chat/completions"):
        await site.alice.post(path, ASKED, {"X-Team": "blue", "Cache-Control": "no-store"})
        assert (b"x-team", b"blue") in site.behind.models[0].calls[-1].request.headers
    async with site.alice.socket(headers={"X-Team": "red"}) as socket:
        await socket.connect()
        socket.send({"type": "chat", **ASKED})
        await socket.until("done")
    assert (b"x-team", b"red") in site.behind.models[0].calls[-1].request.headers
