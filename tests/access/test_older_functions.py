"""Callers of `functions` and `function_call`."""

from __future__ import annotations

import openai
import pytest

from access import older_functions
from engine.errors import InvalidRequest, NotSupported
from tests.access.parts import build
from tests.access.test_openai_sdk import sdk
from tests.conformance.edges import FRAGMENTS, HI, TOOL_CALL, TOOLS
from tests.engine.parts import ScriptedModel

FUNCTIONS = [tool["function"] for tool in TOOLS]
CALL = TOOL_CALL["function"]


async def test_it_is_asked_and_answered_in_the_older_form():
    model = ScriptedModel(FRAGMENTS, finish="tool_calls")
    async with sdk(build(model)) as client:
        answer = await client.chat.completions.create(
            model="auto", messages=HI, functions=FUNCTIONS, function_call={"name": "weather"}
        )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
    assert choice.message.function_call.model_dump() == CALL
    request = model.calls[0].request
    assert request.tools == TOOLS and request.params["parallel_tool_calls"] is False
    assert request.params["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


async def test_it_streams_in_the_older_form():
    async with sdk(build(ScriptedModel(FRAGMENTS, finish="tool_calls"))) as client:
        stream = await client.chat.completions.create(model="auto", messages=HI, functions=FUNCTIONS, stream=True)
        choices = [chunk.choices[0] async for chunk in stream]
    calls = [choice.delta.function_call for choice in choices if choice.delta.function_call]
    assert calls[0].name == "weather" and "".join(call.arguments or "" for call in calls) == CALL["arguments"]
    assert choices[-1].finish_reason == "function_call"
    assert not any(choice.delta.tool_calls for choice in choices)


async def test_it_takes_results_in_the_older_form():
    model = ScriptedModel()
    asked = {"role": "assistant", "content": None, "function_call": CALL}
    result = {"role": "function", "name": "weather", "content": "rain"}
    async with sdk(build(model)) as client:
        await client.chat.completions.create(model="auto", messages=[*HI, asked, result, asked, result])
    sent = model.calls[0].messages
    assert [message.role for message in sent] == ["user", "assistant", "tool", "assistant", "tool"]
    ids = [message.tool_calls[0]["id"] if message.tool_calls else message.tool_call_id for message in sent[1:]]
    assert ids == ["call_1", "call_1", "call_3", "call_3"]


def test_who_asks_in_the_newer_form_is_left_alone():
    assert not older_functions.spoken({"messages": HI, "tools": TOOLS})
    assert not older_functions.spoken({"messages": 5, "functions": []})


@pytest.mark.parametrize(
    ("body", "param", "kind"),
    [
        ({"functions": FUNCTIONS, "tools": TOOLS}, "functions", InvalidRequest),
        ({"functions": {"a": 1}}, "functions", InvalidRequest),
        ({"functions": ["weather"]}, "functions", InvalidRequest),
        ({"functions": FUNCTIONS, "function_call": 5}, "function_call", InvalidRequest),
        (
            {"messages": [{"role": "assistant", "function_call": {"arguments": ""}}]},
            "messages[0].function_call",
            InvalidRequest,
        ),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", InvalidRequest),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name", NotSupported),
    ],
)
def test_it_refuses_what_makes_no_sense(body, param, kind):
    assert older_functions.spoken(body)
    with pytest.raises(kind) as refused:
        older_functions.translated(body)
    assert refused.value.param == param


@pytest.mark.parametrize("functions", [FUNCTIONS, [{"name": ""}], [{}], "weather", [5]])
async def test_it_never_fails_by_itself(functions):
    async with sdk(build()) as client:
        try:
            await client.chat.completions.create(model="auto", messages=HI, functions=functions)
        except openai.BadRequestError as error:
            assert error.param
