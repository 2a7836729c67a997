"""What a streamed response tells, event by event."""

from __future__ import annotations

import json

from engine.errors import UpstreamBusy
from engine.types import Delta
from tests.access.parts import build
from tests.access.test_edges import sse
from tests.engine.parts import ScriptedModel

FUNCTION = {"type": "function", "name": "f"}


async def streamed(pieces, finish="stop", **fields):
    """(event, data) of everything."""
    body = {"input": "Hi", "stream": True, "store": False, **fields}
    answer = await build(ScriptedModel(pieces, finish=finish)).alice.post("/v1/responses", body)
    assert answer.status == 200, answer.body
    return [(event["event"], json.loads(event["data"])) for event in sse(answer.body)]


def told(events):
    """Without the response's own, and shorter."""
    return [
        (kind.removeprefix("response."), data.get("output_index"))
        for kind, data in events
        if kind.count(".") > 1 or kind.startswith("response.output_item")
    ]


def fragment(index, name=None, arguments=None, **more):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return Delta(tool_calls=[{"index": index, "function": function, **more}])


async def test_a_text_is_told_in_order():
    events = await streamed(["Hel", "lo"])
    assert [kind.removeprefix("response.") for kind, _ in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [data["sequence_number"] for _, data in events] == list(range(10))
    done, final = events[-2][1]["item"], events[-1][1]["response"]
    assert done["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert final["output"] == [done] and final["usage"]["total_tokens"] == 8
    created = events[0][1]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert {key: created[key] for key in ("id", "created_at", "model")} == {
        key: final[key] for key in ("id", "created_at", "model")
    }


async def test_reasoning_is_text_or_a_summary_as_it_was_asked_for():
    for reasoning, kind, part in (
        ({}, "response.reasoning_text.delta", "response.content_part.added"),
        ({"summary": "auto"}, "response.reasoning_summary_text.delta", "response.reasoning_summary_part.added"),
    ):
        events = await streamed([Delta(reasoning="Hm"), Delta(reasoning="."), "Hello"], reasoning=reasoning)
        assert [data["delta"] for name, data in events if name == kind] == ["Hm", "."]
        assert part in [name for name, data in events if data.get("output_index") == 0]
        thought, message = events[-1][1]["response"]["output"]
        texts = thought["summary"] if reasoning else thought["content"]
        assert [each["text"] for each in texts] == ["Hm."] and message["content"][0]["text"] == "Hello"


async def test_what_follows_another_kind_is_an_item_of_its_own():
    events = await streamed([Delta(reasoning="a"), "b", Delta(reasoning="c"), "d", Delta(refusal="e")])
    output = events[-1][1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning", "message"]
    assert len({item["id"] for item in output}) == 4
    assert [part["type"] for part in output[3]["content"]] == ["output_text", "refusal"]
    assert [data["content_index"] for kind, data in events if kind == "response.refusal.delta"] == [1]
    added = [data["item"]["id"] for kind, data in events if kind == "response.output_item.added"]
    done = [data["item"]["id"] for kind, data in events if kind == "response.output_item.done"]
    assert added == done == [item["id"] for item in output]


async def test_calls_whose_pieces_alternate_stay_apart():
    events = await streamed(
        [
            fragment(0, "we", id="c1", type="function"),
            fragment(0, "ather", ""),
            fragment(1, "time", '{"z', id="c2", type="function"),
            fragment(0, None, '{"city"'),
            fragment(1, None, '":1}'),
            fragment(0, None, ":2}"),
        ],
        finish="tool_calls",
        tools=[FUNCTION],
    )
    first, second = events[-1][1]["response"]["output"]
    assert (first["call_id"], first["name"], first["arguments"]) == ("c1", "weather", '{"city":2}')
    assert (second["call_id"], second["name"], second["arguments"]) == ("c2", "time", '{"z":1}')
    added = {data["output_index"]: data["item"] for kind, data in events if kind == "response.output_item.added"}
    assert [added[place]["name"] for place in (0, 1)] == ["weather", "time"]
    for place, item in ((0, first), (1, second)):
        pieces = [
            data["delta"]
            for kind, data in events
            if kind == "response.function_call_arguments.delta" and data["item_id"] == item["id"]
        ]
        assert "".join(pieces) == item["arguments"] and added[place]["id"] == item["id"]
    assert told(events)[-4:] == [
        ("function_call_arguments.done", 0), ("output_item.done", 0),
        ("function_call_arguments.done", 1), ("output_item.done", 1),
    ]  # fmt: skip


async def test_a_call_without_arguments_is_told():
    events = await streamed([fragment(0, "f", id="c1")], finish="tool_calls", tools=[FUNCTION])
    assert told(events) == [
        ("output_item.added", 0), ("function_call_arguments.done", 0), ("output_item.done", 0),
    ]  # fmt: skip
    assert events[-1][1]["response"]["output"][0]["arguments"] == ""


async def test_an_answer_that_was_cut_off_is_incomplete():
    events = await streamed(["Hel"], finish="length")
    assert events[-1][0] == "response.incomplete"
    response = events[-1][1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"} and response["completed_at"] is None
    assert response["output"][0]["status"] == "incomplete"


async def test_a_failure_is_told_twice_as_clients_look_for_it():
    events = await streamed(["Hel", UpstreamBusy(retry_after=3)])
    (_, error), (kind, failed) = events[-2:]
    assert error["type"] == "error" and error["code"] == error["error"]["code"] == "upstream_rate_limited"
    assert kind == "response.failed" and failed["sequence_number"] == error["sequence_number"] + 1
    assert failed["response"]["error"]["code"] == "rate_limit_exceeded"
    assert failed["response"]["status"] == "failed"
