"""OpenAI's own client against the Responses API, without a socket. What it is given is checked against its types."""

from __future__ import annotations

import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from engine.errors import UpstreamError
from engine.types import Delta
from tests.access.parts import build
from tests.access.responding import asked_of, remembering
from tests.access.test_openai_sdk import sdk
from tests.access.test_responses_events import streamed
from tests.cast import CHARLIE
from tests.conformance.edges import FRAGMENTS, TOOL_CALL
from tests.engine.parts import ScriptedModel

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": None}
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)
TOP = {"token": "Ho", "logprob": -1}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": [TOP]}]}


class Person(pydantic.BaseModel):
    name: str
    age: int


def strict(response: Response) -> None:
    """As it came, it is what OpenAI's own schema describes."""
    Response.model_validate(response.model_dump(warnings=False), strict=True)


async def test_it_answers() -> None:
    model = ScriptedModel([Delta(reasoning="Hm."), Delta("Hello", logprobs=LOGPROBS)])
    async with sdk(build(model)) as client:
        response = await client.responses.create(
            model="auto", input="Hi", store=False, include=["message.output_text.logprobs"], top_logprobs=1,
            reasoning={"effort": "low"}, metadata={"a": "b"}, service_tier="flex", safety_identifier="u",
        )  # fmt: skip
    strict(response)
    assert (response.output_text, response.status, response.usage.total_tokens) == ("Hello", "completed", 8)
    reasoning, message = response.output
    assert reasoning.content[0].text == "Hm." and reasoning.summary == []
    assert message.content[0].logprobs[0].top_logprobs[0].token == "Ho"
    assert response.metadata == {"a": "b"} and response.safety_identifier == "u"
    assert model.calls[0].request.params == {
        "reasoning_effort": "low", "service_tier": "flex", "logprobs": True, "top_logprobs": 1,
    }  # fmt: skip


async def test_it_says_why_an_answer_is_not_whole() -> None:
    async with sdk(build(ScriptedModel(["Hel"], finish="length"))) as client:
        response = await client.responses.create(model="auto", input="Hi", store=False)
    strict(response)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_it_streams() -> None:
    deltas = [Delta(reasoning="Hm"), Delta(reasoning="."), Delta("Hel"), Delta("lo"), *FRAGMENTS]
    async with sdk(build(ScriptedModel(deltas, finish="tool_calls"))) as client:
        async with client.responses.stream(model="auto", input="Hi", tools=[WEATHER], store=False) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output_text == "Hello" and final.output[2].arguments == TOOL_CALL["function"]["arguments"]
    strict(Response.model_validate(final.model_dump(exclude={"output": {"__all__": {"parsed_arguments"}}})))


async def test_every_event_is_of_its_type() -> None:
    deltas = [Delta(reasoning="Hm"), Delta("Hel", logprobs=LOGPROBS), Delta(refusal="No."), *FRAGMENTS]
    for summary in (None, "auto"):
        events = await streamed(deltas, finish="length", reasoning={"summary": summary}, tools=[WEATHER])
        for _, data in events:
            EVENT.validate_python(data, strict=True)
    for _, data in await streamed(["Hel", UpstreamError()]):
        EVENT.validate_python(data, strict=True)


async def test_it_raises_what_goes_wrong_in_a_stream() -> None:
    async with sdk(build(ScriptedModel(["Hel", UpstreamError()]))) as client:
        with pytest.raises(openai.APIError, match="failed") as failed:
            async for _ in await client.responses.create(model="auto", input="Hi", stream=True, store=False):
                pass
    assert failed.value.code == "upstream_error"


async def test_it_parses_structured_output() -> None:
    model = ScriptedModel(['{"name": "Ann", ', '"age": 7}'])
    async with sdk(build(model)) as client:
        response = await client.responses.parse(model="auto", input="Who?", text_format=Person, store=False)
        assert response.output_parsed == Person(name="Ann", age=7)
        async with client.responses.stream(model="auto", input="Who?", text_format=Person, store=False) as stream:
            assert (await stream.get_final_response()).output_parsed == Person(name="Ann", age=7)
    wanted = model.calls[0].request.params["response_format"]
    assert wanted["type"] == "json_schema" and wanted["json_schema"]["name"] == "Person"
    assert wanted["json_schema"]["strict"] is True and "age" in wanted["json_schema"]["schema"]["properties"]


@pytest.mark.parametrize("way", ["the client's history", "the client's history, trimmed", "previous_response_id"])
async def test_it_takes_a_round_of_tools(valkey_url, way) -> None:
    model = ScriptedModel([Delta(reasoning="Hm."), Delta("Let me see."), *FRAGMENTS], finish="tool_calls")
    async with remembering(valkey_url, model) as site, sdk(site) as client:
        asked = {"role": "user", "content": "Weather?"}
        first = await client.responses.create(model="auto", input=[asked], tools=[WEATHER])
        call = first.output[-1]
        strict(first)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        if way == "previous_response_id":
            given = {"input": [result], "previous_response_id": first.id}
        elif way == "the client's history":
            given = {"input": [asked, *first.output, result], "store": False}
        else:
            given = {"input": [asked, *[each.to_dict() for each in first.output[1:]], result], "store": False}
        await client.responses.create(model="auto", tools=[WEATHER], **given)
    assert asked_of(model) == [("user", "Weather?"), ("assistant", "Let me see."), ("tool", "rain")]
    _, said, answered = model.calls[-1].messages
    assert said.tool_calls == [TOOL_CALL] and answered.tool_call_id == "c1"
    assert said.reasoning_content == (None if "trimmed" in way else "Hm.")


async def test_text_after_a_call_does_not_part_calls_from_their_results() -> None:
    second = {**FRAGMENTS[0].tool_calls[0], "index": 1, "id": "c2"}
    model = ScriptedModel([Delta("One."), *FRAGMENTS, Delta(" Two."), Delta(tool_calls=[second])], finish="tool_calls")
    async with sdk(build(model)) as client:
        async with client.responses.stream(model="auto", input="Weather?", tools=[WEATHER], store=False) as stream:
            first = await stream.get_final_response()
        assert [item.type for item in first.output] == ["message", "function_call", "message", "function_call"]
        calls = [item.call_id for item in first.output if item.type == "function_call"]
        results = [{"type": "function_call_output", "call_id": each, "output": "rain"} for each in calls]
        given = [{"role": "user", "content": "Weather?"}, *[each.to_dict() for each in first.output], *results]
        await client.responses.create(model="auto", input=given, store=False)
    _, said, *answered = model.calls[-1].messages
    assert said.content == "One. Two." and [call["id"] for call in said.tool_calls] == ["c1", "c2"]
    assert [(message.role, message.tool_call_id) for message in answered] == [("tool", "c1"), ("tool", "c2")]


async def test_it_keeps_responses(valkey_url) -> None:
    async with remembering(valkey_url, ScriptedModel(["Hello"])) as site:
        async with sdk(site) as client, sdk(site, CHARLIE.key) as charlie:
            first = await client.responses.create(model="auto", input="Hi", instructions="Be kind.")
            read = await client.responses.retrieve(first.id)
            strict(read)
            assert read.output == first.output and read.instructions == "Be kind."
            items = await client.responses.input_items.list(first.id)
            assert [item.content[0].text for item in items.data] == ["Hi"]
            counted = await client.responses.input_tokens.count(model="gpt-4o", input="Hi")
            assert counted.input_tokens == 8
            with pytest.raises(openai.NotFoundError):
                await charlie.responses.retrieve(first.id)
            with pytest.raises(openai.BadRequestError) as missing:
                await charlie.responses.create(model="auto", input="Hi", previous_response_id=first.id)
            assert missing.value.code == "previous_response_not_found"
            await client.responses.delete(first.id)
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(first.id)
