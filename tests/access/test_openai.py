import asyncio
import json

import pytest

from access.edges.openai import ChunkStream, completion
from engine.errors import UpstreamTimeout
from engine.types import Choice, Delta, Done, Message, Start, Usage
from tests.access.parts import build
from tests.access.test_edges import sse
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel

PATH = "/v1/chat/completions"


def chunks_of(raw):
    return [json.loads(event["data"]) for event in sse(raw) if event["data"] != "[DONE]"]


async def test_it_lists_models():
    site = build()
    listed = (await site.alice.get("/v1/models")).json
    assert listed["object"] == "list" and [model["id"] for model in listed["data"]] == [
        "auto",
        "scripted",
        "openai/gpt-4o",
    ]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in listed["data"])
    assert (await site.alice.get("/v1/models/openai/gpt-4o")).json == listed["data"][2]


async def test_it_knows_no_other_model():
    answer = await build().alice.get("/v1/models/gpt-9")
    assert answer.status == 404
    assert answer.json["error"] == {
        "message": "There is no such model.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
        "retryable": False,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", PATH, 405), ("POST", "/v1/models", 405), ("GET", "/v1/x", 404)]
)
async def test_it_refuses_other_methods_and_paths(method, path, status):
    answer = await build().alice.request(method, path)
    assert answer.status == status and set(answer.json["error"]) == {"message", "type", "param", "code", "retryable"}


async def test_it_ends_a_stream_with_reason_usage_and_mark():
    site = build(ScriptedModel(["a", "b"]))
    body = {"messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    answer = await site.alice.post(PATH, body)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    first, second, end, usage = chunks_of(answer.body)
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "a", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert second["choices"] == [{"index": 0, "delta": {"content": "b"}, "logprobs": None, "finish_reason": None}]
    assert end["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] == 8 and end["usage"] is None
    assert answer.headers["x-clawdbot-model"] == "scripted" == usage["model"]


async def test_it_sends_no_usage_unasked():
    answer = await build().alice.post(PATH, {"messages": HI, "stream": True})
    assert all("usage" not in chunk for chunk in chunks_of(answer.body))


async def test_it_ends_a_broken_stream_with_the_envelope():
    answer = await build(ScriptedModel(["a", UpstreamTimeout()])).alice.post(PATH, {"messages": HI, "stream": True})
    assert answer.status == 200 and b"[DONE]" not in answer.body
    assert set(chunks_of(answer.body)[-1]["error"]) == {"message", "type", "param", "code", "retryable"}


async def test_it_streams_every_choice_to_its_own_end():
    model = ScriptedModel([Delta("a"), Delta("b", index=1), Delta("c")])
    answer = await build(model).alice.post(PATH, {"messages": HI, "stream": True, "n": 2})
    choices = [chunk["choices"][0] for chunk in chunks_of(answer.body)]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [
        (0, None), (1, None), (0, None), (0, "stop"), (1, "stop"),
    ]  # fmt: skip
    assert [choice["delta"].get("role") for choice in choices] == ["assistant", "assistant", None, None, None]


def test_it_writes_logprobs_refusals_and_reasoning():
    stream = ChunkStream(Start("t", None, "m"), include_usage=False)
    stream.chunk(Delta("a"))
    chunk = json.loads(stream.chunk(Delta("b", logprobs={"content": [{"token": "b"}]})).removeprefix(b"data: "))
    assert chunk["choices"][0]["logprobs"] == {"content": [{"token": "b"}]}
    chunk = json.loads(stream.chunk(Delta(reasoning="hm", refusal="no")).removeprefix(b"data: "))
    assert chunk["choices"][0]["delta"] == {"reasoning_content": "hm", "refusal": "no"}


def test_it_carries_the_fingerprint():
    done = Done("t", None, "m", [Choice(Message("assistant", "a"), "stop")], Usage(1, 2), {}, 5, "fp_1")
    body = completion(done)
    assert (body["system_fingerprint"], body["created"], body["id"]) == ("fp_1", 5, "chatcmpl-t")


async def test_it_forgets_without_a_session_header():
    model = ScriptedModel()
    site = build(model)
    await site.alice.post(PATH, {"messages": HI})
    await site.alice.post(PATH, {"messages": HI})
    assert len(model.calls[1].messages) == 1 and not site.behind.sessions.kept


async def test_it_writes_any_model_name_into_its_header():
    answer = await build().alice.post(PATH, {"messages": HI, "model": "模型 1"})
    assert answer.headers["x-clawdbot-model"] == "%E6%A8%A1%E5%9E%8B 1" and answer.json["model"] == "模型 1"


async def test_it_stops_a_turn_on_demand():
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model)
    exchange = site.alice.begin("POST", PATH, {"messages": HI, "stream": True})
    await within(1, lambda: len(site.parts.running))
    assert (await site.alice.post(f"/api/turns/{site.behind.journal.intents[0].turn_id}/cancel")).status == 202
    answer = await exchange.rest()
    assert chunks_of(answer.body)[-1]["error"]["code"] == "cancelled" and model.closed
