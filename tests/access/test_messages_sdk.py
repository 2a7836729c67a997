"""The official SDK of the Messages format against the edge, without a socket."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest

from engine.errors import ContextTooLong, Overloaded, RateLimited, UpstreamBusy, UpstreamError, UpstreamTimeout
from engine.types import Delta, Usage
from tests.access.parts import Site, build
from tests.cast import ALICE
from tests.conformance.edges import FRAGMENTS, HI
from tests.engine.parts import ScriptedModel

TOOL: Any = {"name": "weather", "description": "Of a city.", "input_schema": {"type": "object"}}
ASKED: Any = {"model": "auto", "max_tokens": 64, "messages": HI}


def sdk(site: Site, key: str | None = ALICE.key, **options: Any) -> anthropic.AsyncAnthropic:
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(site.app))
    return anthropic.AsyncAnthropic(
        api_key=key, base_url="http://clawdbot", http_client=client, max_retries=0, **options
    )


async def test_it_answers_the_sdk() -> None:
    site = build(ScriptedModel(["Hel", "lo"]))
    async with sdk(site) as client:
        message = await client.messages.create(**ASKED, system="Be brief.", metadata={"user_id": "u"})
        assert [block.text for block in message.content if block.type == "text"] == ["Hello"]
        assert (message.role, message.type, message.stop_reason, message.stop_sequence) == (
            "assistant", "message", "end_turn", None,
        )  # fmt: skip
        assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 5)
        assert message.usage.cache_read_input_tokens == message.usage.cache_creation_input_tokens == 0
        assert message._request_id == site.behind.journal.intents[0].request_id
        assert message.id == f"msg_{site.behind.journal.intents[0].turn_id}"
        assert [said.role for said in site.behind.models[0].calls[0].messages] == ["system", "user"]


async def test_it_streams_to_the_sdk() -> None:
    async with sdk(build(ScriptedModel(["Hel", "lo"]))) as client, client.messages.stream(**ASKED) as stream:
        assert [text async for text in stream.text_stream] == ["Hel", "lo"]
        message = await stream.get_final_message()
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 3, 5)


async def test_it_takes_a_bearer_token() -> None:
    async with sdk(build(), None, auth_token=ALICE.key) as client:
        assert (await client.messages.create(**ASKED)).stop_reason == "end_turn"


async def test_it_goes_a_round_of_tools() -> None:
    model = ScriptedModel([Delta(reasoning="hm"), Delta("Let me see."), *FRAGMENTS], finish="tool_calls")
    site = build(model)
    async with sdk(site) as client:
        async with client.messages.stream(**ASKED, tools=[TOOL], tool_choice={"type": "any"}) as stream:
            message = await stream.get_final_message()
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
        call = message.content[2]
        assert call.type == "tool_use" and (call.name, call.input) == ("weather", {"city": "Paris"})
        assert message.stop_reason == "tool_use"
        result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
        said: Any = [*HI, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        await client.messages.create(**{**ASKED, "messages": said}, tools=[TOOL])
    request = model.calls[0].request
    assert request.params == {"tool_choice": "required"} and request.tools is not None
    assert request.tools[0]["function"]["description"] == "Of a city."
    _, again, answered = model.calls[1].messages
    assert (again.content, again.reasoning_content, answered.content) == ("Let me see.", "hm", "rain")
    assert again.tool_calls is not None and again.tool_calls[0]["id"] == answered.tool_call_id == "c1"


async def test_it_thinks_for_the_sdk() -> None:
    model = ScriptedModel([Delta(reasoning="h"), Delta(reasoning="m"), Delta("So.")])
    async with sdk(build(model)) as client:
        message = await client.messages.create(
            **{**ASKED, "max_tokens": 9000}, thinking={"type": "enabled", "budget_tokens": 4096}
        )
    assert [block.thinking for block in message.content if block.type == "thinking"] == ["hm"]
    thinking = {"type": "enabled", "budget_tokens": 4096}
    assert model.calls[0].request.params == {"reasoning_effort": "medium", "thinking": thinking}


async def test_it_counts_tokens_for_the_sdk() -> None:
    site = build()
    async with sdk(site) as client:
        count = (await client.messages.count_tokens(model="auto", messages=HI)).input_tokens
        more = await client.messages.count_tokens(model="auto", messages=HI, system="Be brief.", tools=[TOOL])
        assert 0 < count < more.input_tokens
        counted = await client.messages.count_tokens(model="gpt-4o", messages=HI)
        assert counted.input_tokens == 8  # as tiktoken does: "Hi", four around it, three before the answer
    assert not site.behind.journal.entries and not site.behind.models[0].calls


async def test_it_lists_models_for_the_sdk() -> None:
    async with sdk(build()) as client:
        page = await client.models.list(limit=2)
        assert [model.id for model in page.data] == ["auto", "scripted"] and page.has_more
        assert [model.id async for model in client.models.list(limit=1)] == ["auto", "scripted", "openai/gpt-4o"]
        before = await client.models.list(before_id="openai/gpt-4o", limit=1)
        assert [model.id for model in before.data] == ["scripted"] and before.has_more
        model = await client.models.retrieve("scripted")
        assert (model.type, model.display_name, model.created_at.year) == ("model", "scripted", 2023)
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("missing")
        with pytest.raises(anthropic.BadRequestError):
            await client.models.list(limit=0)


async def test_it_takes_what_agents_send_besides() -> None:
    model = ScriptedModel()
    mark: Any = {"type": "ephemeral"}
    async with sdk(build(model)) as client:
        await client.beta.messages.create(
            **ASKED,
            betas=["interleaved-thinking-2025-05-14", "context-management-2025-06-27"],
            system=[{"type": "text", "text": "You are an agent.", "cache_control": mark}],
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            extra_body={"invented": 1},
        )
    assert model.calls[0].messages[0].content == [
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}
    ]


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (UpstreamBusy(retry_after=3), anthropic.RateLimitError, "rate_limit_error"),
        (RateLimited(), anthropic.RateLimitError, "rate_limit_error"),
        (UpstreamError(), anthropic.InternalServerError, "api_error"),
        (UpstreamTimeout(), anthropic.InternalServerError, "timeout_error"),
        (Overloaded(), anthropic.InternalServerError, "overloaded_error"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
async def test_it_raises_what_the_sdk_calls_it(error: Exception, raised: Any, kind: str) -> None:
    async with sdk(build(ScriptedModel([error]))) as client:
        with pytest.raises(raised) as failed:
            await client.messages.create(**ASKED)
    said: Any = failed.value.body
    assert said["error"]["type"] == kind and said["error"]["code"] == getattr(error, "code", None)
    assert said["request_id"] == failed.value.request_id


async def test_it_raises_for_the_caller_too() -> None:
    site = build()
    async with sdk(site) as client, sdk(site, "cb_wrong") as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(**ASKED)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**{**ASKED, "model": "missing"})
        with pytest.raises(anthropic.BadRequestError, match=r"tools\.0\.type: bash_20250124"):
            await client.messages.create(**ASKED, tools=[{"type": "bash_20250124", "name": "bash"}])
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.list()


async def test_it_says_how_long_is_too_long() -> None:
    known = ContextTooLong("Too many.", window=8192, tokens=9000)
    for error, told in (
        (known, "prompt is too long: 9000 tokens > 8192 maximum"),
        (ContextTooLong(), "prompt is too long: The conversation"),
        (ContextTooLong("prompt is too long: 2 > 1"), "message': 'prompt is too long: 2 > 1"),
    ):
        async with sdk(build(ScriptedModel([error]))) as client:
            with pytest.raises(anthropic.BadRequestError, match=told):
                await client.messages.create(**ASKED)


async def test_it_raises_in_the_middle_of_a_stream() -> None:
    site = build(ScriptedModel(["a", UpstreamError()]))
    async with sdk(site) as client:
        with pytest.raises(anthropic.APIStatusError, match="failed") as failed:
            async with client.messages.stream(**ASKED) as stream:
                async for _ in stream.text_stream:
                    pass
    said: Any = failed.value.body
    assert said["error"]["type"] == "api_error"


async def test_it_counts_what_went_through_the_cache() -> None:
    used = Usage(100, 5, cached_tokens=60, written_tokens=30, reasoning_tokens=4)
    async with sdk(build(ScriptedModel(["a"], usage=used))) as client:
        usage = (await client.messages.create(**ASKED)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)
    assert usage.output_tokens == 5
