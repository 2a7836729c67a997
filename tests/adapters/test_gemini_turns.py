"""What the adapter of generateContent makes of answers and refusals, beyond the conformance suites."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import AdapterConfig
from adapters.gemini_answers import OWN_IDS
from adapters.gemini_generate import GeminiGenerateAdapter
from engine.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from engine.http1 import DirectClient
from engine.types import Message, Usage
from tests.adapters import gemini_wire as gemini
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.test_gemini_generate import HI, sent
from tests.adapters.upstream import Upstream
from tests.conformance.adapters import Heard, call, listen


async def hear(*events: bytes, **fields: Any) -> Heard:
    adapter = GeminiGenerateAdapter(AdapterConfig(endpoint="http://h"), ReplayClient(*events))
    return await listen(adapter, call(**fields))


async def test_thoughts_are_part_of_the_completion_and_own_tools_of_the_prompt() -> None:
    usage = {
        "promptTokenCount": 46,
        "candidatesTokenCount": 235,
        "toolUsePromptTokenCount": 1268,
        "thoughtsTokenCount": 563,
        "cachedContentTokenCount": 40,
        "totalTokenCount": 2112,
    }
    early = {"promptTokenCount": 46, "candidatesTokenCount": 1}
    heard = await hear(gemini.event({"text": "a"}, usage=early), gemini.event(finish="STOP", usage=usage))
    assert heard.ends[0].usage == Usage(46 + 1268, 235 + 563, cached_tokens=40, reasoning_tokens=563)
    assert heard.ends[0].usage.total_tokens == usage["totalTokenCount"]
    assert heard.ends[0].upstream_id == "resp-1"


async def test_usage_that_counts_nothing_is_none() -> None:
    heard = await hear(gemini.event({"text": "a"}, finish="STOP", usage={"trafficType": "ON_DEMAND"}))
    assert heard.ends[0].usage is None


async def test_it_makes_ids_that_stay_and_differ() -> None:
    events = [
        gemini.event({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}),
        gemini.event(finish="STOP"),
    ]
    first, again = (await hear(*events)).choices[0], (await hear(*events)).choices[0]
    other = (await hear(*(event.replace(b"resp-1", b"resp-2") for event in events))).choices[0]
    ids = [made["id"] for choice in (first, other) for made in choice.message.tool_calls or []]
    assert len(set(ids)) == 4
    assert first == again
    assert all(one.startswith(OWN_IDS) for one in ids)


async def test_a_signature_comes_out_as_it_goes_in() -> None:
    heard = await hear(
        gemini.event({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}, finish="STOP")
    )
    message = heard.choices[0].message
    assert heard.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    assert message.tool_calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    turns = sent([*HI, message, Message("tool", "x", tool_call_id=message.tool_calls[0]["id"])])["contents"]
    assert turns[1]["parts"] == [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}]
    assert turns[2]["parts"] == [{"functionResponse": {"name": "f", "response": {"result": "x"}}}]


async def test_one_call_at_a_time_where_the_client_asks_for_it() -> None:
    event = gemini.event({"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}, finish="STOP")
    heard = await hear(event, params={"parallel_tool_calls": False})
    assert [made["function"]["name"] for made in heard.choices[0].message.tool_calls or []] == ["f"]


async def test_what_the_services_own_tools_do_stays_its_own() -> None:
    heard = await hear(
        gemini.event({"executableCode": {"code": "1"}, "thought": True}, finish="STOP"),
        gemini.event({"codeExecutionResult": {"output": "1"}}, {"toolCall": {"id": "1", "toolType": "X"}}),
        gemini.event({"text": "It is 1."}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}),
        gemini.event(finish="STOP", more={"groundingMetadata": {"webSearchQueries": ["x"]}}),
    )
    choice = heard.choices[0]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == ("It is 1.", None, "stop")


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "MODEL_ARMOR", "BLOCKLIST", "SPII"])
async def test_what_is_blocked_is_filtered(reason: str) -> None:
    heard = await hear(gemini.event({"text": "a"}), gemini.event(finish=reason))
    assert heard.ends[0].finish_reasons == {0: "content_filter"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_is_blocked_is_filtered(stream: bool) -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    client = ReplayClient(wire.event(body) if stream else json.dumps(body).encode())
    heard = await listen(GeminiGenerateAdapter(AdapterConfig(endpoint="http://h"), client), call(stream=stream))
    assert (heard.deltas, heard.ends[0].finish_reasons) == ([], {0: "content_filter"})
    assert heard.ends[0].usage == Usage(prompt_tokens=7)


async def test_an_empty_answer_may_have_run_out_of_room() -> None:
    heard = await hear(gemini.event(finish="MAX_TOKENS", usage={"promptTokenCount": 15, "thoughtsTokenCount": 2}))
    assert heard.ends[0].finish_reasons == {0: "length"}
    assert heard.ends[0].usage == Usage(15, 2, reasoning_tokens=2)


async def test_a_spoilt_call_after_words_is_an_end() -> None:
    heard = await hear(gemini.event({"text": "a"}), gemini.event(finish="MALFORMED_FUNCTION_CALL"))
    assert heard.ends[0].finish_reasons == {0: "stop"}
    with pytest.raises(UpstreamError):
        await hear(gemini.event({"text": "hm", "thought": True}), gemini.event(finish="MALFORMED_FUNCTION_CALL"))


async def test_it_keeps_several_candidates_apart_even_without_an_index() -> None:
    body = gemini.body({"text": "a"}, finish="STOP")
    body["candidates"].append({**gemini.body({"text": "b"}, finish="MAX_TOKENS")["candidates"][0]})
    for candidate in body["candidates"]:
        del candidate["index"]
    heard = await hear(wire.event(body))
    assert [(choice.message.content, choice.finish_reason) for choice in heard.choices] == [
        ("a", "stop"),
        ("b", "length"),
    ]


async def test_it_passes_log_probabilities() -> None:
    chosen = [{"token": "Hé", "logProbability": -0.5, "tokenId": 1}, {"token": "!"}]
    never = {"token": "x", "logProbability": "-Infinity"}
    result = {"chosenCandidates": chosen, "topCandidates": [{"candidates": chosen[:1]}, {"candidates": [never]}]}
    heard = await hear(gemini.event({"text": "Hé!"}, finish="STOP", more={"logprobsResult": result}))
    token = {"token": "Hé", "logprob": -0.5, "bytes": [72, 195, 169]}
    assert heard.choices[0].logprobs == {
        "content": [
            {**token, "top_logprobs": [token]},
            {
                "token": "!",
                "logprob": 0.0,
                "bytes": [33],
                "top_logprobs": [{"token": "x", "logprob": -9999.0, "bytes": [120]}],
            },
        ]
    }


async def test_a_stream_may_come_as_a_list() -> None:
    bodies = [gemini.body({"text": "a"}), gemini.body({"text": "b"}, finish="STOP")]
    client = ReplayClient(*wire.answer(200, bodies)[0].partition(b"\r\n\r\n")[2:], content_type="application/json")
    heard = await listen(GeminiGenerateAdapter(AdapterConfig(endpoint="http://h"), client), call())
    assert heard.choices[0].message.content == "ab"


async def test_a_plain_answer_may_lack_its_reason() -> None:
    client = ReplayClient(wire.answer(200, gemini.body({"text": "a"}))[0].partition(b"\r\n\r\n")[2])
    heard = await listen(GeminiGenerateAdapter(AdapterConfig(endpoint="http://h"), client), call(stream=False))
    assert heard.ends[0].finish_reasons == {0: "stop"}


# Refusals ---------------------------------------------------------------------------------------------------------


async def refused(*script: Any) -> Exception:
    http = DirectClient(private=True)
    try:
        async with Upstream() as upstream:
            upstream.answers(list(script))
            adapter = GeminiGenerateAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret"), http)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is looked at
                await listen(adapter, call())
            return caught.value
    finally:
        await http.close()


@pytest.mark.parametrize(
    ("delay", "header", "wait"),
    [
        ("36.5s", {}, 36.5),
        ("1e9s", {}, 3600.0),
        ("soon", {}, None),
        ("x" + "s", {}, None),
        ("9s", {"retry_after": "4"}, 4),
    ],
)
async def test_it_says_how_long_to_wait(delay: str, header: Any, wait: float | None) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    error = await refused(*gemini.error(429, said="RESOURCE_EXHAUSTED", details=details, **header))
    assert isinstance(error, UpstreamBusy)
    assert error.retry_after == wait


async def test_a_country_that_is_barred_is_no_fault_of_the_request() -> None:
    error = await refused(*gemini.error(400, "User location is not supported.", "FAILED_PRECONDITION"))
    assert type(error) is UpstreamError


async def test_a_request_may_speak_of_keys() -> None:
    error = await refused(*gemini.error(400, 'Unknown name "API_KEY_INVALID"', "INVALID_ARGUMENT", [{"reason": "X"}]))
    assert type(error) is UpstreamRejected


@pytest.mark.parametrize(
    ("script", "there"),
    [
        (gemini.error(404, said="NOT_FOUND"), True),
        (gemini.error(400, "no", "INVALID_ARGUMENT", [{"reason": "API_KEY_INVALID"}]), False),
        (gemini.error(403, said="PERMISSION_DENIED"), False),
    ],
)
async def test_a_probe_knows_a_wrong_key(script: Any, there: bool) -> None:
    http = DirectClient(private=True)
    try:
        async with Upstream() as upstream:
            upstream.answers(script)
            adapter = GeminiGenerateAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret"), http)
            if there:
                await adapter.probe()
                return
            with pytest.raises(UpstreamError):
                await adapter.probe()
    finally:
        await http.close()
