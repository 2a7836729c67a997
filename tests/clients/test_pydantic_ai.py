"""Pydantic AI against the gateway, without a socket: structured output by a required tool, streams, usage."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from engine.types import Delta
from tests.access.parts import Site, build
from tests.clients.wires import sdk
from tests.engine.parts import ScriptedModel


class Place(BaseModel):
    city: str


def model(site: Site) -> OpenAIChatModel:
    return OpenAIChatModel("auto", provider=OpenAIProvider(openai_client=sdk(site)))


def calling(name: str, *pieces: str) -> ScriptedModel:
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": ""}}
    fragments: list[Any] = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    return ScriptedModel([Delta(tool_calls=[one]) for one in (head, *fragments)], finish="tool_calls")


async def test_it_answers_by_its_required_tool() -> None:
    scripted = calling("final_result", '{"city": ', '"Paris"}')
    result = await Agent(model(build(scripted)), output_type=Place).run("Where?")
    assert result.output == Place(city="Paris") and result.usage.input_tokens == 3
    request = scripted.calls[0].request
    assert request.params["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in request.tools or ()] == ["final_result"]


async def test_it_streams_text() -> None:
    agent = Agent(model(build(ScriptedModel([Delta(reasoning="hm"), "Hel", "lo"]))))
    async with agent.run_stream("Hi") as stream:
        assert await stream.get_output() == "Hello"
        assert stream.usage.output_tokens == 5


async def test_it_streams_structured_output() -> None:
    agent = Agent(model(build(calling("final_result", '{"city": ', '"Paris"}'))), output_type=Place)
    async with agent.run_stream("Where?") as stream:
        assert await stream.get_output() == Place(city="Paris")


async def test_it_answers_by_a_schema() -> None:
    scripted = ScriptedModel(['{"city": "Paris"}'])
    result = await Agent(model(build(scripted)), output_type=NativeOutput(Place)).run("Where?")
    assert result.output == Place(city="Paris")
    assert scripted.calls[0].request.params["response_format"]["type"] == "json_schema"
