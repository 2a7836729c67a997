"""What the adapter of generateContent sends, beyond the conformance suites."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.gemini_answers import OWN_IDS
from adapters.gemini_contents import UNSIGNED
from adapters.gemini_generate import GOOGLE, GeminiGenerateAdapter
from engine.errors import InvalidRequest, NotSupported
from engine.http1 import DirectClient
from engine.types import ChatRequest, Message, ModelCall
from tests.adapters import gemini_wire as gemini
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import Upstream
from tests.conformance.adapters import TOOL, call, listen

HI = [Message("user", "Hi")]


def made(**options: Any) -> GeminiGenerateAdapter:
    config = AdapterConfig(endpoint="http://h/v1beta", api_key="k", options=options)
    return GeminiGenerateAdapter(config, ReplayClient())


def sent(
    messages: list[Message] | None = None, model: str = "gemini-2.5-flash", options: Any = None, **fields: Any
) -> Any:
    """The body, as it goes out."""
    messages = messages or HI
    request = ChatRequest(messages=messages, **fields)
    return json.loads(made(**(options or {}))._outgoing(ModelCall(model, messages, request)).body)


def config(**params: Any) -> Any:
    return sent(params=params).get("generationConfig")


# The address ------------------------------------------------------------------------------------------------------


def url(endpoint: str, model: str = "gemini-x", *, stream: bool = False) -> str:
    adapter = GeminiGenerateAdapter(AdapterConfig(endpoint=endpoint), ReplayClient())
    return adapter._outgoing(ModelCall(model, HI, ChatRequest(messages=HI, stream=stream))).url


@pytest.mark.parametrize(
    "endpoint", ["", GOOGLE, f"{GOOGLE}/", f"{GOOGLE}/models", f"{GOOGLE}/models/gemini-y:generateContent"]
)
def test_it_takes_the_base_or_the_whole_address_or_none(endpoint: str) -> None:
    assert url(endpoint) == f"{GOOGLE}/models/gemini-x:generateContent"


def test_it_streams_as_events_and_keeps_a_query() -> None:
    assert url("http://h/v1?a=b", stream=True) == "http://h/v1/models/gemini-x:streamGenerateContent?a=b&alt=sse"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-x", "models/gemini-x"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("../../v1/files", "models/..%2F..%2Fv1%2Ffiles"),
        ("a?key=b#c", "models/a%3Fkey%3Db%23c"),
    ],
)
def test_a_model_is_one_step_of_the_path(model: str, path: str) -> None:
    assert url("http://h", model) == f"http://h/{path}:generateContent"


async def test_it_sends_the_key_as_a_header_of_its_own() -> None:
    async with Upstream() as upstream:
        upstream.answers(wire.answer(200, gemini.body({"text": "a"}, finish="STOP")))
        http = DirectClient(private=True)
        adapter = GeminiGenerateAdapter(AdapterConfig(endpoint=upstream.url, api_key="sk-secret"), http)
        await listen(adapter, call(stream=False))
        await adapter.probe()
        await http.close()
    asked, probed = upstream.requests
    assert asked.headers["x-goog-api-key"] == "sk-secret"
    assert "authorization" not in asked.headers
    assert (probed.method, probed.path) == ("GET", "/v1/models?pageSize=1")


@pytest.mark.parametrize("options", [{"effort": "much"}, {"unknown": 1}, {"headers": {"a": "b\nc"}}, {"fields": 1}])
def test_it_refuses_a_configuration_that_cannot_work(options: Any) -> None:
    with pytest.raises(InvalidAdapterConfig, match="options"):
        made(**options)


# The conversation -------------------------------------------------------------------------------------------------


def test_it_says_instructions_apart_and_joins_what_one_side_says() -> None:
    body = sent(
        [
            Message("system", "Be brief."),
            Message("user", "a", name="ann"),
            Message("developer", [{"type": "text", "text": "In German."}]),
            Message("user", "b"),
            Message("assistant", "c", reasoning_content="hm"),
            Message("assistant", None, refusal="no"),
        ]
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "In German."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "no"}]},
        ],
    }


def test_instructions_alone_are_what_is_said() -> None:
    assert sent([Message("system", "Joke!")]) == {"contents": [{"role": "user", "parts": [{"text": "Joke!"}]}]}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
            {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/cat.webp"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "gs://bucket/cat.webp"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"{GOOGLE}/files/abc"}},
            {"fileData": {"fileUri": f"{GOOGLE}/files/abc"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_data": "QUJD", "filename": "a.txt"}},
            {"inlineData": {"mimeType": "text/plain", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_data": "QUJD", "filename": "http://[::1"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://h/a.pdf"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://h/a.pdf"}},
        ),
    ],
)
def test_it_carries_media(part: Any, expected: Any) -> None:
    assert sent([Message("user", [part])])["contents"] == [{"role": "user", "parts": [expected]}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
        {"type": "image_url", "image_url": {"url": "http://[::1"}},
        {"type": "file", "file": {"file_id": "http://[::1"}},
        {"type": "image_url", "image_url": {}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "file", "file": {"file_id": "file-abc"}},
        {"type": "file", "file": {}},
        {"type": "video_url", "video_url": {"url": "https://h/a.mp4"}},
    ],
)
def test_it_says_what_content_it_cannot_carry(part: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent([Message("user", [part])])
    assert caught.value.param == "messages"


def tool_call(name: str, made_id: str, signature: str = "", arguments: str = "{}") -> Any:
    signed = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
    return {"id": made_id, "type": "function", "function": {"name": name, "arguments": arguments}, **signed}


def test_results_follow_their_calls_in_their_order() -> None:
    own = f"{OWN_IDS}1"
    calls = [tool_call("f", "a", "c2ln", '{"x": 1.0}'), tool_call("g", own)]
    body = sent(
        [
            *HI,
            Message("assistant", "Let me see.", tool_calls=calls),
            Message("tool", "[1]", tool_call_id=own),
            Message("tool", '{"y": 2}', tool_call_id="a"),
            Message("user", "And?"),
        ]
    )
    assert body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1.0}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
                {"functionResponse": {"name": "g", "response": {"result": "[1]"}}},
                {"text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("model", "options", "signed"),
    [
        ("gemini-3-pro", {}, True),
        ("gemini-flash-latest", {}, True),
        ("gemini-2.5-pro", {}, False),
        ("gemma-3", {}, False),
        ("gemini-2.5-pro", {"unsigned": True}, True),
        ("gemini-3-pro", {"unsigned": False}, False),
    ],
)
def test_first_calls_without_a_signature_say_so_to_models_that_ask(model: str, options: Any, signed: bool) -> None:
    calls = [tool_call("f", "a"), tool_call("g", "b")]
    turns = sent([*HI, Message("assistant", tool_calls=calls)], model, options)["contents"]
    assert [part.get("thoughtSignature") for part in turns[1]["parts"]] == [UNSIGNED if signed else None, None]


# Parameters -------------------------------------------------------------------------------------------------------


def test_it_translates_what_there_is() -> None:
    params = {
        "top_p": 0.5,
        "n": 2,
        "stop": "x",
        "seed": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 3,
        "stream_options": {"include_usage": True},
        "verbosity": "medium",
        "service_tier": "auto",
        "logit_bias": {},
    }
    assert sent(temperature=0.0, max_tokens=9, params=params)["generationConfig"] == {
        "temperature": 0.0,
        "maxOutputTokens": 9,
        "topP": 0.5,
        "candidateCount": 2,
        "stopSequences": ["x"],
        "seed": 1,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
    }


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"seed": 2**31}, "seed"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": 1}}, "response_format"),
    ],
)
def test_it_says_what_it_cannot_carry(params: Any, param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        sent(params=params)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("model", "effort", "options", "thinking"),
    [
        ("gemini-2.5-pro", "low", {}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-3-pro", "high", {}, {"thinkingLevel": "high", "includeThoughts": True}),
        ("mine", "high", {"effort": "budget"}, {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-pro", None, {"thoughts": True}, {"includeThoughts": True}),
        ("gemini-2.5-pro", None, {}, None),
    ],
)
def test_it_tells_how_hard_to_think(model: str, effort: Any, options: Any, thinking: Any) -> None:
    body = sent(model=model, options=options, params={"reasoning_effort": effort} if effort else {})
    assert body.get("generationConfig", {}).get("thinkingConfig") == thinking


def test_newer_models_cannot_be_kept_from_thinking() -> None:
    with pytest.raises(NotSupported):
        sent(model="gemini-3-pro", params={"reasoning_effort": "none"})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", {"mode": "NONE"}),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "weather"}}]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["weather"]},
        ),
    ],
)
def test_it_tells_which_tools_to_call(choice: Any, expected: Any) -> None:
    assert sent(tools=[TOOL], params={"tool_choice": choice})["toolConfig"] == {"functionCallingConfig": expected}


def only(*tools: Any) -> Any:
    return {"type": "allowed_tools", "allowed_tools": {"tools": list(tools)}}


@pytest.mark.parametrize(
    "choice",
    ["some", {"type": "custom"}, {"type": "function", "function": {}}, 1, only(1), only({"function": "f"}), only({})],
)
def test_it_refuses_a_choice_nobody_can_make(choice: Any) -> None:
    with pytest.raises(NotSupported):
        sent(tools=[TOOL], params={"tool_choice": choice})


def test_strict_tools_have_their_arguments_checked() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    assert sent(tools=[strict])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert "toolConfig" not in sent(tools=[TOOL])


def test_a_response_format_becomes_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"const": "b"}}}
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    assert config(response_format={"type": "text"}) is None
    assert config(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"a": {"enum": ["b"]}}},
    }


def test_the_configuration_may_add_to_a_request() -> None:
    more = {"safetySettings": [1], "tools": [{"googleSearch": {}}], "generationConfig": {"topK": 4}}
    body = sent(options={"fields": more}, tools=[TOOL], temperature=1.0)
    assert body["safetySettings"] == [1]
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert body["generationConfig"] == {"temperature": 1.0, "topK": 4}
