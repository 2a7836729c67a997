"""`/v1/embeddings`: what it takes, what it answers, and what it owes its callers like every edge."""

import asyncio
import json
from array import array
from base64 import b64decode

import pytest
from rs_bpe.bpe import openai

from access import openapi
from access.edges import embeddings
from adapters.hashing import unit_vector
from adapters.scripted import HANG, Script, ScriptedAdapter
from engine.errors import RateLimited, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.types import Embeddings, Usage
from tests.access.parts import CHAT_ONLY, build
from tests.access.test_openapi import strict
from tests.cast import ALICE
from tests.conformance.badinput import EMBEDDING_CORPUS, TOO_LARGE
from tests.conformance.edges import within

PATH = "/v1/embeddings"
CL100K = openai.cl100k_base()


def failing(error):
    return ScriptedAdapter(queue=[Script([error])])


def code_of(answer):
    """Of an error in OpenAI's envelope."""
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code", "retryable"} and answer.headers["x-request-id"]
    return error["code"]


async def test_it_answers_one_vector_an_input():
    site = build(ScriptedAdapter())
    answer = await site.alice.post(PATH, {"input": ["one", "two words"], "model": "auto"})
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": unit_vector("one", 64)},
            {"object": "embedding", "index": 1, "embedding": unit_vector("two words", 64)},
        ],
        "model": "scripted",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    strict(openapi.EmbeddingsAnswer, answer.json)
    assert answer.headers["x-clawdbot-model"] == "scripted"
    assert answer.headers["x-clawdbot-decision"] == site.behind.journal.intents[0].turn_id


async def test_it_packs_vectors_as_openai_does():
    answer = await build(ScriptedAdapter()).alice.post(PATH, {"input": "one", "encoding_format": "base64"})
    packed = answer.json["data"][0]["embedding"]
    assert list(array("f", b64decode(packed))) == unit_vector("one", 64)


async def test_it_asks_for_dimensions_a_model_and_a_user():
    site = build(model := ScriptedAdapter())
    body = {"input": "one", "model": "mine", "dimensions": 5, "user": "u-1", "invented": True}
    answer = await site.alice.post(PATH, body)
    assert len(answer.json["data"][0]["embedding"]) == 5 and answer.json["model"] == "mine"
    assert (model.embed_calls[0].model, model.embed_calls[0].dimensions) == ("mine", 5)
    [intent] = site.behind.journal.intents
    assert intent.user == f"key:{ALICE.id}:u-1" and intent.edge == "embeddings" and intent.params == {"dimensions": 5}


async def test_it_takes_a_slash_at_the_end_and_the_most_inputs():
    answer = await build(ScriptedAdapter()).alice.post(f"{PATH}/", {"input": ["a"] * 2048, "dimensions": 1})
    assert len(answer.json["data"]) == 2048


async def test_it_takes_the_last_of_duplicate_keys():
    site = build(model := ScriptedAdapter())
    assert (await site.alice.post(PATH, b'{"input":"first","input":"last"}')).status == 200
    assert model.embed_calls[0].inputs == ["last"]


# Refusals


@pytest.mark.parametrize("raw", EMBEDDING_CORPUS)
async def test_it_refuses_bad_input(raw):
    site = build(model := ScriptedAdapter())
    answer = await site.alice.post(PATH, raw)
    assert answer.status == 400 and code_of(answer) == "invalid_request"
    assert not model.embed_calls and not site.behind.journal.entries
    assert (await site.alice.post(PATH, {"input": "fine"})).status == 200


async def test_it_refuses_what_is_too_large():
    answer = await build(ScriptedAdapter()).alice.post(PATH, TOO_LARGE)
    assert (answer.status, code_of(answer)) == (413, "payload_too_large")


async def test_it_reads_tokens_as_openais_models_do():
    """As LangChain sends them; of a sign that was cut through a mark is left."""
    site = build(ScriptedAdapter())
    halves = CL100K.encode("龘")
    tokens = [CL100K.encode("Hello 北京"), [*halves[1:], *CL100K.encode(" cut")]]
    answer = await site.alice.post(PATH, {"input": tokens})
    vectors = [one["embedding"] for one in answer.json["data"]]
    assert vectors == [unit_vector("Hello 北京", 64), unit_vector("\N{REPLACEMENT CHARACTER} cut", 64)]
    assert site.behind.journal.intents[0].messages[0].content == "Hello 北京"
    one = await site.alice.post(PATH, {"input": CL100K.encode("word " * 8_000)[:8_192]})
    assert one.status == 200 and len(one.json["data"]) == 1


@pytest.mark.parametrize(
    ("tokens", "param"),
    [
        ([100_256], "input"),
        ([[9906], [10**9]], "input[1]"),
        ([[9906], [-1]], "input[1]"),
        ([9906, "a"], "input"),
        ([[9906], "a"], "input[1]"),
        ([[9906], []], "input[1]"),
        ([[9906]] * 2_049, "input"),
        ([188], "input"),  # a NUL
        ([9906] * 8_193, "input"),
    ],
)
async def test_it_says_which_tokens_are_none(tokens, param):
    answer = await build(ScriptedAdapter()).alice.post(PATH, {"input": tokens})
    assert (answer.status, code_of(answer), answer.json["error"]["param"]) == (400, "invalid_request", param)


async def test_it_needs_a_credential_and_the_scope():
    site = build(ScriptedAdapter())
    stranger = await site.stranger.post(PATH, {"input": "a"})
    assert (stranger.status, code_of(stranger)) == (401, "unauthenticated")
    other = await site.client(CHAT_ONLY).post(PATH, {"input": "a"})
    assert (other.status, code_of(other)) == (403, "forbidden")


async def test_it_takes_nothing_but_post():
    answer = await build(ScriptedAdapter()).alice.get(PATH)
    assert (answer.status, code_of(answer)) == (405, "method_not_allowed")


async def test_it_knows_no_such_model():
    answer = await build(ScriptedAdapter()).alice.post(PATH, {"input": "a", "model": "missing"})
    assert (answer.status, code_of(answer)) == (404, "model_not_found")


async def test_it_hands_on_the_limiters_refusal():
    site = build(ScriptedAdapter())
    site.behind.limiter.refusal = RateLimited(retry_after=6.2)
    answer = await site.alice.post(PATH, {"input": "a"})
    assert (answer.status, code_of(answer), answer.headers["retry-after"]) == (429, "rate_limited", "7")


@pytest.mark.parametrize(
    ("error", "status"),
    [(UpstreamError(), 502), (UpstreamTimeout(), 504), (UpstreamBusy(), 429), (UpstreamRejected(), 400)],
    ids=lambda value: getattr(value, "code", None),
)
async def test_it_says_how_the_upstream_failed(error, status):
    answer = await build(failing(error)).alice.post(PATH, {"input": "a"})
    assert (answer.status, code_of(answer)) == (status, error.code)


async def test_it_refuses_blocked_input():
    answer = await build(model := ScriptedAdapter(), words=["forbidden"]).alice.post(PATH, {"input": "so forbidden"})
    assert (answer.status, code_of(answer)) == (400, "content_filter") and not model.embed_calls


async def test_it_says_nothing_while_the_journal_is_down():
    site = build(ScriptedAdapter())
    site.behind.journal.broken = True
    answer = await site.alice.post(PATH, {"input": "a"})
    assert (answer.status, code_of(answer)) == (503, "audit_unavailable")


async def test_it_shows_nothing_of_a_mistake_in_the_program(caplog):
    answer = await build(failing(ZeroDivisionError("secret"))).alice.post(PATH, {"input": "a"})
    assert (answer.status, code_of(answer)) == (500, "internal_error") and b"secret" not in answer.body
    assert "a request failed" in caplog.text


async def test_it_cancels_when_the_caller_leaves():
    site = build(model := ScriptedAdapter(queue=[Script([HANG])]))
    exchange = site.alice.begin("POST", PATH, {"input": "a"})
    await within(1, lambda: model.running)
    exchange.leave()
    await exchange.task
    await within(1, lambda: site.behind.journal.states == ["cancelled"])
    assert model.cancelled == 1 and site.behind.limiter.open == 0


async def test_it_is_counted_under_its_route():
    site = build(ScriptedAdapter())
    await site.alice.post(f"{PATH}/", {"input": "a"})
    assert b'http_requests_total{method="POST",path="/v1/embeddings",status="200"} 1.0' in site.parts.metrics.text()


# Large answers


async def test_it_lets_others_work_while_it_writes_a_large_answer():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    vectors = Embeddings("id", "m", [[0.5] * 1000] * 300, Usage(), {})
    for form in ("float", "base64"):
        body = json.loads(await embeddings.answer(vectors, form))
        assert [line["index"] for line in body["data"]] == list(range(300))
    ticking.cancel()
    assert ticks >= 10
