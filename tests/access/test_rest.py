import asyncio
import json

import msgspec
import pytest

from access.authentication import ROLE_SCOPES
from access.urls import ROUTES
from engine.errors import RateLimited, UpstreamBusy, UpstreamRejected, UpstreamTimeout
from engine.types import Delta
from tests.access.parts import CHAT_ONLY, build
from tests.cast import ALICE, BOB, CHARLIE
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/"])
async def test_it_answers_with_and_without_the_final_slash(path):
    answer = await build().alice.post(path, {"message": "Hi"})
    assert answer.status == 200
    assert set(answer.json) == {"id", "session_id", "model", "message", "usage", "finish_reason", "route"}
    assert answer.json["route"] == {"instance": "scripted", "rules": [], "decision": answer.json["id"]}


async def test_it_takes_a_body_in_pieces():
    body = json.dumps({"message": "你好"}).encode()
    site = build()
    answer = await site.alice.post("/api/chat", [body[:14], body[14:15], body[15:]])
    assert answer.status == 200 and site.behind.models[0].calls[0].messages[0].content == "你好"


async def test_it_stops_reading_a_body_that_is_too_large():
    exchange = build().alice.begin("POST", "/api/chat", [b"x" * 1024 * 1024] * 4)
    answer = await exchange.rest()
    assert answer.status == 413 and len(exchange.pieces) == 1


async def test_it_believes_a_content_length_that_is_too_large():
    exchange = build().alice.begin("POST", "/api/chat", b"{}", {"Content-Length": str(3 * 1024 * 1024)})
    assert (await exchange.rest()).status == 413 and exchange.pieces


async def test_it_repeats_a_safe_request_id_only():
    site = build()
    answer = await site.alice.post("/api/chat", {"message": "Hi"}, {"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1" == site.behind.journal.intents[0].request_id
    answer = await site.alice.post("/api/chat", {"message": 5}, {"X-Request-Id": "a b"})
    assert answer.headers["x-request-id"] == answer.json["error"]["request_id"] != "a b"


async def test_it_says_which_methods_there_are():
    answer = await build().alice.get("/api/chat")
    assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_it_refuses_an_address_that_is_no_text():
    assert (await build().alice.post("/api/sessions?cursor=\udcff")).status == 400


async def test_it_refuses_an_address_of_too_many_fields():
    answer = await build().alice.get("/api/sessions?" + "a&" * 1100)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")


async def test_it_says_whether_to_try_again():
    for raised, again in ((UpstreamTimeout(), True), (UpstreamBusy(), True), (UpstreamRejected(), False)):
        for path in ("/api/chat", "/v1/chat/completions"):
            answer = await build(ScriptedModel([raised])).alice.post(path, {"model": "auto", "messages": HI})
            assert answer.json["error"]["retryable"] is again


async def test_it_reads_the_language_from_the_header():
    site = build()
    await site.alice.post("/api/chat", {"message": "Hi"}, {"Accept-Language": "zh-CN,en;q=0.5"})
    assert site.behind.models[0].calls[0].request.language == "zh-CN"


async def test_it_sends_every_event_when_it_happens():
    gate = asyncio.Event()
    exchange = build(ScriptedModel(["a", gate, "b"])).alice.begin(
        "POST", "/api/chat", {"message": "Hi", "stream": True}
    )
    heard = await exchange.piece()
    while b'{"content":"a"}' not in heard:
        heard += await exchange.piece()
    assert b"event: start" in heard and not gate.is_set()
    gate.set()
    assert b'{"content":"b"}' in (await exchange.rest()).body


async def test_it_streams_reasoning_and_other_choices():
    model = ScriptedModel([Delta(reasoning="hm"), Delta("b", index=1)])
    answer = await build(model).alice.post("/api/chat", {"message": "Hi", "stream": True, "n": 2})
    assert b'data: {"reasoning":"hm"}' in answer.body and b'data: {"content":"b","index":1}' in answer.body
    assert b'"choices":[' in answer.body


@pytest.mark.parametrize("stream", [False, True])
async def test_it_stops_a_turn_on_demand(stream):
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model)
    exchange = site.alice.begin("POST", "/api/chat", {"message": "Hi", "stream": stream})
    await within(1, lambda: len(site.parts.running))
    turn_id = site.behind.journal.intents[0].turn_id
    for other in (CHARLIE, BOB):
        assert (await site.client(other.key).post(f"/api/turns/{turn_id}/cancel")).status == 404
    assert (await site.alice.post(f"/api/turns/{turn_id}/cancel/")).status == 202
    await within(0.5, lambda: model.closed)
    answer = await exchange.rest()
    assert (answer.status, b'"code":"cancelled"' in answer.body) == (200 if stream else 409, True)
    await within(1, lambda: site.behind.journal.states == ["cancelled"])
    assert (await site.alice.post(f"/api/turns/{turn_id}/cancel")).status == 404


async def test_whoever_manages_a_tenant_stops_its_turns():
    site = build(ScriptedModel(["a", asyncio.Event()]))
    bob, charlie = site.keys.people[BOB.key], site.keys.people[CHARLIE.key]
    site.keys.people[BOB.key] = msgspec.structs.replace(bob, scopes=bob.scopes | {"manage"})
    site.keys.people[CHARLIE.key] = msgspec.structs.replace(charlie, scopes=charlie.scopes | {"manage"})
    exchange = site.alice.begin("POST", "/api/chat", {"message": "Hi"})
    await within(1, lambda: len(site.parts.running))
    path = f"/api/turns/{site.behind.journal.intents[0].turn_id}/cancel"
    assert (await site.client(CHARLIE.key).post(path)).status == 404
    assert (await site.client(BOB.key).post(path)).status == 202
    assert (await exchange.rest()).status == 409


async def test_it_shows_a_turn_to_its_caller_only():
    site = build()
    turn_id = (await site.alice.post("/api/chat", {"message": "Hi"})).json["id"]
    record = (await site.alice.get(f"/api/turns/{turn_id}")).json
    assert record["state"] == "completed" and record["intent"]["messages"] == HI and "decision" in record
    for key in (BOB.key, CHARLIE.key):
        assert (await site.client(key).get(f"/api/turns/{turn_id}")).json["error"]["code"] == "turn_not_found"
    assert (await site.alice.get("/api/turns/nonsense")).status == 404


async def test_it_tells_which_calls_failed_before_an_answer():
    site = build(ScriptedModel([UpstreamTimeout()]), ScriptedModel(["Hello"]))
    turn_id = (await site.alice.post("/api/chat", {"message": "Hi"})).json["id"]
    record = (await site.alice.get(f"/api/turns/{turn_id}")).json
    (failed,) = record["retries"]
    assert (failed["instance"], failed["error"]) == ("scripted", "upstream_timeout") and failed["seconds"] >= 0
    assert record["completion"]["retries"] == record["retries"]


async def test_an_auditor_reads_the_turns_of_the_tenant_and_does_nothing_else():
    site = build()
    turn_id = (await site.alice.post("/api/chat", {"message": "Hi"})).json["id"]
    for person in (BOB, CHARLIE):
        site.keys.people[person.key] = msgspec.structs.replace(person.key_principal, scopes=ROLE_SCOPES["auditor"])
    auditor = site.client(BOB.key)
    assert (await auditor.get(f"/api/turns/{turn_id}")).json["intent"]["messages"] == HI
    assert (await site.client(CHARLIE.key).get(f"/api/turns/{turn_id}")).status == 404
    assert (await auditor.post(f"/api/turns/{turn_id}/cancel")).status == 403
    assert (await auditor.post("/api/chat", {"message": "Hi"})).status == 403
    assert (await site.client(CHAT_ONLY).get(f"/api/turns/{turn_id}")).status == 403


async def test_it_explains_a_route_and_scores_a_text():
    site = build()
    assert (await site.alice.post("/api/route/explain", {"message": "Hi"})).json["instance"] == "scripted"
    score = (await site.alice.post("/api/route/score/", {"text": "Prove it."})).json["complexity_score"]
    assert 0 <= score <= 1
    assert (await site.alice.post("/api/route/score", {"text": 5})).json["error"]["param"] == "text"
    assert not site.behind.journal.entries


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"message": "Hi"}),
        ("/api/chat", {"message": "Hi", "stream": True}),
        ("/v1/chat/completions", {"messages": HI}),
        ("/v1/chat/completions", {"messages": HI, "stream": True}),
    ],
)
async def test_an_error_says_by_which_name_its_turn_is_on_record(path, body):
    site = build(ScriptedModel([UpstreamTimeout()]))
    answer = await site.alice.post(path, body)
    (intent,) = site.behind.journal.intents
    assert (answer.status, answer.headers["x-clawdbot-decision"]) == (504, intent.turn_id)
    assert (await site.alice.get(f"/api/turns/{intent.turn_id}")).status == 200
    site.behind.limiter.refusal = RateLimited()
    unrecorded = await site.alice.post(path, body)
    assert unrecorded.status == 429 and "x-clawdbot-decision" not in unrecorded.headers


async def test_explaining_and_scoring_count_as_turns_do():
    site = build()
    for path, body in (("/api/route/explain", {"message": "Hi"}), ("/api/route/score", {"text": "Hi"})):
        site.behind.limiter.refusal = RateLimited(retry_after=7)
        refused = await site.alice.post(path, body)
        assert (refused.status, refused.headers["retry-after"]) == (429, "7")
        site.behind.limiter.refusal = None
        assert (await site.alice.post(path, body)).status == 200
        assert site.behind.limiter.open == 0


DOORS = {"/api/visitors", "/api/chat-site"}  # where a stranger becomes a visitor


@pytest.mark.parametrize("template", [route for route in ROUTES if route not in DOORS])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_it_lets_no_stranger_in(template, method):
    answer = await build().stranger.request(method, template.replace("{", "").replace("}", ""), {"message": "Hi"})
    assert (answer.status, answer.json["error"]["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"]


async def test_it_leaves_every_other_path_to_django():
    site = build()
    assert (await site.alice.get("/api/sessions/a/b")).body == b"{}"
    assert (await site.alice.get("/admin/")).body == b"{}"


async def test_it_serves_both_users_of_a_tenant():
    site = build()
    for person in (ALICE, BOB):
        await site.client(person.key).post("/api/chat", {"message": "Hi", "user": "u"})
    assert [intent.user for intent in site.behind.journal.intents] == ["key:1:u", "key:2:u"]
