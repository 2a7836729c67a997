"""Thinking before calls of tools: out with the calls, back as it was."""

from __future__ import annotations

from typing import Any

import pytest

from engine.types import Message
from tests.adapters import anthropic
from tests.adapters.anthropic import conversation, hear, sent
from tests.conformance.adapters import TOOL, TOOL_CALL

THINKING = {"fields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}


def thought(*pieces: str, signature: str, index: int = 0) -> list[bytes]:
    deltas = [anthropic.delta(index, "thinking_delta", thinking=piece) for piece in pieces]
    signed = anthropic.delta(index, "signature_delta", signature=signature)
    return anthropic.block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed)


async def worked() -> Message:
    """A turn with thinking before each of two calls, as clients and sessions keep it."""
    events = [
        *thought("Erst ", "北京", signature="one"),
        *anthropic.block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        *anthropic.text(2, "Let me see."),
        *anthropic.tool(3, "a", "weather", "{}"),
        *thought("dann", signature="two", index=4),
        *anthropic.tool(5, "b", "weather", "{}"),
    ]
    return (await hear(anthropic.started(), *events, *anthropic.ended("tool_use"))).choices[0].message


async def again(message: Message, **options: Any) -> Any:
    results = [Message("tool", "1", tool_call_id="a"), Message("tool", "2", tool_call_id="b")]
    return await sent(options, **conversation(message, *results), tools=[TOOL])


async def test_it_sends_the_thinking_before_calls_of_tools_back_as_it_was() -> None:
    body = await again(await worked(), **THINKING)
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Erst 北京", "signature": "one"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
        {"type": "thinking", "thinking": "dann", "signature": "two"},
        {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
    ]
    assert body["thinking"] == THINKING["fields"]["thinking"]


@pytest.mark.parametrize("reasoning", [None, "Erst ***dann", "Erst 北京dann and more"])
async def test_it_goes_on_without_thinking_that_is_not_what_was_signed(reasoning: str | None) -> None:
    message = await worked()
    changed = Message("assistant", message.content, tool_calls=message.tool_calls, reasoning_content=reasoning)
    body = await again(changed, **THINKING)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert "thinking" not in body


async def test_it_thinks_again_once_the_work_with_tools_is_over() -> None:
    message = Message("assistant", tool_calls=[TOOL_CALL])
    result = Message("tool", "1", tool_call_id="call_1")
    assert "thinking" not in await sent(THINKING, **conversation(message, result))
    over = conversation(message, result, Message("assistant", "Rain."), Message("user", "And now?"))
    assert "thinking" in await sent(THINKING, **over)


async def test_it_takes_nonsense_beside_a_call_for_nothing() -> None:
    for extra in (1, {"thinking": 1}, {"thinking": {"blocks": [1]}}, {"thinking": {"blocks": [{"data": 1}]}}):
        message = Message("assistant", tool_calls=[{**TOOL_CALL, "extra_content": extra}])
        turn = (await sent(**conversation(message)))["messages"][1]
        assert [block["type"] for block in turn["content"]] == ["tool_use"]
