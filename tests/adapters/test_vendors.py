"""A vendor is a row: where it is, how it differs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from adapters import registry, vendors
from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.vendors import VENDORS, adapters_of
from engine.errors import NotSupported
from engine.types import ChatRequest, Message, ModelCall
from tests.adapters.replay import ReplayClient

ADDRESS = "https://models.example/v1"
CALL = {"id": "call_0123456789abcdef", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class Listening(ReplayClient):
    def __init__(self) -> None:
        answer = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
        super().__init__(json.dumps(answer).encode(), content_type="application/json")
        self.sent: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    async def post(self, url: str, *, headers: Any, body: bytes, timeouts: Any) -> Any:
        self.sent.append((url, dict(headers), json.loads(body)))
        return await super().post(url, headers=headers, body=body, timeouts=timeouts)


async def sent(vendor: str, messages: list[Message] | None = None, /, *, stream: bool = False, **params: Any) -> Any:
    """Address, headers and body of one call."""
    http = Listening()
    endpoint = "" if VENDORS[vendor].vendor.endpoint else ADDRESS
    adapter = registry.build(vendor, AdapterConfig(endpoint=endpoint, api_key="k"), http)
    asked = messages or [Message("user", "Hi")]
    request = ChatRequest(messages=asked, params=params, stream=stream, max_tokens=5)
    said = [item async for item in adapter.stream(ModelCall("m", asked, request))]
    assert said[0].content == "Hello"  # type: ignore[union-attr]
    return http.sent[0]


@pytest.mark.parametrize("vendor", sorted(VENDORS))
async def test_it_asks_where_the_row_says(vendor: str) -> None:
    url, headers, body = await sent(vendor)
    row = VENDORS[vendor].vendor
    assert url == f"{row.endpoint or ADDRESS}/chat/completions"
    assert headers["api-key" if vendor == "azure_openai" else "Authorization"].endswith("k")
    assert body["messages"] == [{"role": "user", "content": "Hi"}] and body["model"] == "m"
    assert body[row.options.get("max_tokens_field", "max_tokens")] == 5
    assert registry.labels()[vendor] == row.label


@pytest.mark.parametrize("vendor", [name for name, adapter in VENDORS.items() if adapter.vendor.needs])
def test_it_says_what_address_it_needs(vendor: str) -> None:
    with pytest.raises(InvalidAdapterConfig, match="endpoint: .* needs .* such as http"):
        registry.build(vendor, AdapterConfig(api_key="k"), ReplayClient())


@pytest.mark.parametrize("vendor", sorted(VENDORS))
async def test_it_leaves_wishes_out_and_refuses_the_rest(vendor: str) -> None:
    options = VENDORS[vendor].vendor.options
    _, _, body = await sent(vendor, seed=1, verbosity="low", service_tier="auto", n=1, logprobs=False)
    assert not set(options.get("omit", ())) & body.keys()
    assert not set(options.get("refuse", ())) & body.keys()
    for name in options.get("refuse", ()):
        with pytest.raises(NotSupported) as refused:
            await sent(vendor, **{name: {"5": 1} if name == "logit_bias" else 2})
        assert refused.value.param == name


async def test_only_who_searches_is_asked_to() -> None:
    asked = {"web_search_options": {"search_context_size": "low"}}
    for vendor in VENDORS:
        if "web_search_options" not in VENDORS[vendor].vendor.options.get("refuse", ()):
            assert asked.items() <= (await sent(vendor, **asked))[2].items()
    assert "web_search_options" not in VENDORS["openai"].vendor.options.get("refuse", ())


async def test_an_instance_goes_before_its_vendor() -> None:
    http = Listening()
    config = AdapterConfig(endpoint=ADDRESS, options={"instructions": "developer", "refuse": []})
    adapter = registry.build("deepseek", config, http)
    messages = [Message("developer", "Be brief."), Message("user", "Hi")]
    async for _ in adapter.stream(ModelCall("m", messages, ChatRequest(messages=messages, params={"n": 2}))):
        pass
    url, _, body = http.sent[0]
    assert url == f"{ADDRESS}/chat/completions" and body["n"] == 2
    assert body["messages"][0]["role"] == "developer"


async def test_it_calls_a_developer_system() -> None:
    _, _, body = await sent("qwen", [Message("developer", "Be brief."), Message("user", "Hi")])
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


async def test_thoughts_go_back_while_the_turn_is_open() -> None:
    before = Message("assistant", "Well.", reasoning_content="Old thoughts.")
    calling = Message("assistant", None, tool_calls=[CALL], reasoning_content="New thoughts.")
    result = Message("tool", "rain", tool_call_id=CALL["id"])
    _, _, body = await sent("deepseek", [Message("user", "A"), before, Message("user", "B"), calling, result])
    assert [message.get("reasoning_content") for message in body["messages"]] == [
        None,
        None,
        None,
        "New thoughts.",
        None,
    ]
    _, _, body = await sent("vllm", [Message("user", "B"), calling, result])
    assert "reasoning_content" not in body["messages"][1]


async def test_ids_of_calls_are_as_short_as_it_takes_them() -> None:
    calling = Message("assistant", None, tool_calls=[CALL, {**CALL, "id": "aB3456789"}])
    results = [Message("tool", "rain", tool_call_id=CALL["id"]), Message("tool", "sun", tool_call_id="aB3456789")]
    _, _, body = await sent("mistral", [Message("user", "A"), calling, *results], seed=7)
    ids = [call["id"] for call in body["messages"][1]["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in body["messages"][2:]]
    assert len(ids[0]) == 9 and ids[0].isalnum() and ids[1] == "aB3456789"
    assert body["random_seed"] == 7 and "seed" not in body


async def test_it_asks_for_the_usage_of_a_stream_where_it_must() -> None:
    assert (await sent("groq", stream=True))[2]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in (await sent("mistral", stream=True))[2]
    assert "stream_options" not in (await sent("groq", stream_options={"include_usage": True}))[2]


def test_another_vendor_is_a_row() -> None:
    row = {"label": "Acme", "endpoint": ADDRESS, "options": {"rename": {"seed": "random"}}}
    adapter = adapters_of({"acme": row})["acme"]
    with registry.registered(adapter):
        built = registry.build("acme", AdapterConfig(), ReplayClient())
    assert type(built) is adapter and built.config.options == row["options"]
    with pytest.raises(msgspec.ValidationError):
        adapters_of({"acme": {"labl": "Acme"}})


def test_options_of_every_row_are_options() -> None:
    for name, adapter in VENDORS.items():
        adapter(AdapterConfig(endpoint=ADDRESS), ReplayClient())
        assert vendors.FILE.read_text(encoding="utf-8").count(f"\n{name}:") == 1
