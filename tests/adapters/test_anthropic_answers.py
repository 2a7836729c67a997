"""What the adapter of Anthropic Messages makes of answers, beyond the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest

from adapters.anthropic_messages import AnthropicMessagesAdapter
from adapters.base import AdapterConfig
from engine.errors import (
    ContextTooLong,
    EngineError,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
)
from engine.types import Burst, End, Usage
from tests.adapters import anthropic
from tests.adapters.anthropic import hear
from tests.adapters.replay import ReplayClient
from tests.conformance.adapters import Answer as Said
from tests.conformance.adapters import call, listen


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop_sequence", "stop"), ("pause_turn", "stop"), ("model_context_window_exceeded", "length"), ("new", "stop")],
)
async def test_it_translates_stop_reasons(reason: str, finish: str) -> None:
    heard = await hear(anthropic.started(), *anthropic.text(0, "a"), *anthropic.ended(reason))
    assert heard.ends[0].finish_reasons == {0: finish}


async def test_it_counts_what_went_through_the_cache_as_prompt() -> None:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100}
    heard = await hear(anthropic.started(**usage), *anthropic.text(0, "a"), *anthropic.ended())
    assert heard.ends[0].usage == Usage(123, 2, cached_tokens=100, written_tokens=20)
    assert heard.ends[0].upstream_id == "msg_1"


async def test_it_believes_the_last_count() -> None:
    details = {"thinking_tokens": 5}
    end = anthropic.ended("end_turn", input_tokens=50, output_tokens=9, output_tokens_details=details)
    heard = await hear(anthropic.started(), *anthropic.text(0, "a"), *end)
    assert heard.ends[0].usage == Usage(prompt_tokens=50, completion_tokens=9, reasoning_tokens=5)


SERVER = [
    *anthropic.tool(0, "srvtoolu_1", "web_search", '{"query": "x"}', kind="server_tool_use"),
    *anthropic.block(1, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "x"}]}),
    *anthropic.tool(2, "mcptoolu_1", "look", '{"a": 1}', kind="mcp_tool_use"),
    *anthropic.block(
        3, {"type": "new_thing", "text": {"for": "nobody"}, "id": 1}, anthropic.delta(3, "new_delta", text="nor this")
    ),
]


async def test_it_never_hands_out_what_the_service_does_itself() -> None:
    heard = await hear(anthropic.started(), *SERVER, *anthropic.text(4, "a"), *anthropic.ended("tool_use"))
    assert [delta.content for delta in heard.deltas] == ["a"]
    assert heard.ends[0].finish_reasons == {0: "stop"}


async def test_it_never_hands_it_out_of_a_whole_answer() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    body = anthropic.message(use, {"type": "web_search_tool_result", "content": []}, {"type": "text", "text": "a"})
    data = body[0].partition(b"\r\n\r\n")[2]
    http = ReplayClient(data, content_type="application/json")
    heard = await listen(AnthropicMessagesAdapter(AdapterConfig(), http), call(stream=False))
    assert [delta.content for delta in heard.deltas] == ["a"]


async def test_it_reads_arguments_however_they_come() -> None:
    whole = anthropic.block(0, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}})
    none = anthropic.tool(1, "b", "g", "")
    unclosed = anthropic.tool(2, "c", "h")[:-1]
    heard = await hear(anthropic.started(), *whole, *none, *unclosed, *anthropic.ended("tool_use"))
    made = heard.choices[0].message.tool_calls
    assert made is not None
    assert [one["function"]["arguments"] for one in made] == ['{"x":1}', "{}", "{}"]


async def test_nothing_comes_after_what_is_said_to_be_the_last() -> None:
    """What a block left open comes together with what came with the end."""
    pieces = [anthropic.started(), *anthropic.tool(0, "c", "h")[:-1], *anthropic.ended("tool_use")]
    adapter = AnthropicMessagesAdapter(AdapterConfig(), ReplayClient(b"".join(pieces)))
    async with aclosing(adapter.bursts(call())) as stream:
        first, *others = [item async for item in stream]
    assert isinstance(first, Burst)
    assert [delta.tool_calls[0]["function"]["arguments"] for delta in first.deltas if delta.tool_calls] == ["", "{}"]
    assert [type(item) for item in others] == [End]


async def test_it_takes_a_stop_reason_for_the_end() -> None:
    heard = await hear(anthropic.started(), *anthropic.text(0, "a"), *anthropic.ended()[:-1])
    assert heard.ends[0].finish_reasons == {0: "stop"}


async def test_it_takes_an_answer_of_nothing() -> None:
    heard = await hear(anthropic.started(), *anthropic.ended())
    assert (heard.deltas, heard.ends[0].finish_reasons) == ([], {0: "stop"})


def _named(kind: str, message: str = "no") -> bytes:
    return anthropic.event("error", error={"type": kind, "message": message})


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([_named("invalid_request_error", "prompt is too long: 9 > 8")], ContextTooLong),
        ([_named("invalid_request_error")], UpstreamRejected),
        ([_named("rate_limit_error")], UpstreamBusy),
        ([_named("overloaded_error")], UpstreamError),
        ([anthropic.started(), _named("rate_limit_error")], UpstreamBusy),
        ([anthropic.started(), _named("invalid_request_error")], UpstreamError),
    ],
)
async def test_it_knows_errors_inside_a_stream(events: Sequence[bytes], kind: type[EngineError]) -> None:
    with pytest.raises(EngineError) as caught:
        await hear(*events)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "Your credit balance is too low to access the Anthropic API.", UpstreamError),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", ContextTooLong),
        (413, "Request exceeds the maximum size", UpstreamRejected),
        (529, "Overloaded", UpstreamError),
    ],
)
async def test_it_knows_refusals(status: int, message: str, kind: type[EngineError]) -> None:
    data = anthropic.error(status, "invalid_request_error", message)[0].partition(b"\r\n\r\n")[2]
    http = ReplayClient(data, status=status, content_type="application/json")
    with pytest.raises(EngineError) as caught:
        await listen(AnthropicMessagesAdapter(AdapterConfig(), http), call())
    assert type(caught.value) is kind


async def test_it_takes_a_whole_answer_to_a_call_that_streams() -> None:
    data = anthropic.scripts(Said(pieces=("a",)))[0][0].partition(b"\r\n\r\n")[2]
    http = ReplayClient(data, content_type="application/json")
    heard = await listen(AnthropicMessagesAdapter(AdapterConfig(), http), call())
    assert heard.choices[0].message.content == "a"
