"""The Responses API against the suite of every edge."""

from __future__ import annotations

import json

import pytest

from tests.access.parts import build
from tests.access.test_edges import prepared, refused, sse
from tests.conformance.badinput import HI, TOO_LARGE_FOR_CHAT
from tests.conformance.edges import EdgeSuite, Outcome, within
from tests.engine.parts import ScriptedModel

PATH = "/v1/responses"
RENAMED = {"max_tokens": "max_output_tokens"}


def item_of(message):
    """A chat's message as items."""
    if message["role"] == "tool":
        output = {"call_id": message["tool_call_id"], "output": message["content"]}
        return [{"type": "function_call_output", **output}]
    calls = [
        {"type": "function_call", "call_id": call["id"], **call["function"]} for call in message.get("tool_calls") or ()
    ]
    content = message["content"]
    if isinstance(content, list):
        content = [part_of(part) for part in content]
    said = [{"type": "message", "role": message["role"], "content": content}] if content is not None else []
    return [*said, *calls]


def part_of(part):
    if part["type"] == "text":
        return {**part, "type": "input_text"}
    return {"type": "input_image", "image_url": part["image_url"]["url"]}


def body_of(body, **fields):
    """A chat's body in this format."""
    if isinstance(body, bytes):
        return body
    given = {RENAMED.get(name, name): value for name, value in body.items()}
    given["input"] = [item for message in given.pop("messages") for item in item_of(message)]
    if "tools" in given:
        given["tools"] = [{"type": "function", **tool["function"]} for tool in given["tools"]]
    return prepared(given, **fields)


class TestResponses(EdgeSuite):
    too_large = TOO_LARGE_FOR_CHAT
    stream = False
    creates_sessions = True

    async def ask(self, client, body, session_id=None):
        headers = {"X-Session-Id": "memory-1" if session_id == "new" else session_id} if session_id else None
        answer = await client.post(PATH, body_of(body, **({"stream": True} if self.stream else {})), headers)
        assert answer.headers["x-request-id"]
        if answer.status != 200:
            return refused(answer, openai=True)
        outcome = self.read(answer)
        outcome.turn_id = answer.headers["x-clawdbot-decision"]
        outcome.session_id = headers["X-Session-Id"] if headers else None
        return outcome

    def read(self, answer):
        said = answer.json
        assert said["object"] == "response" and said["id"] == f"resp_{answer.headers['x-clawdbot-decision']}"
        return outcome_of(said)

    async def leave_early(self, site):
        exchange = site.alice.begin("POST", PATH, {"input": "Hi", "stream": self.stream})
        await within(1, lambda: site.behind.models[0].calls)
        exchange.leave()
        await exchange.task

    async def test_it_passes_known_parameters_and_nothing_else(self) -> None:
        model = ScriptedModel()
        given = {"temperature": 0.5, "max_tokens": 7, "top_p": 0.9, "seed": 3, "stop": ["x"], "invented": {"a": 1}}
        outcome = await self.ask(build(model).alice, {"messages": HI, **given})
        assert outcome.text == "Hello"
        request = model.calls[0].request
        assert (request.temperature, request.max_tokens, request.params) == (0.5, 7, {"top_p": 0.9})

    async def test_it_takes_the_last_of_duplicate_keys(self) -> None:
        model = ScriptedModel()
        outcome = await self.ask(build(model).alice, b'{"input":"first","input":"last"}')
        assert outcome.code is None
        assert [message.content for message in model.calls[0].messages] == ["last"]


class TestResponsesStream(TestResponses):
    stream = True
    streams = partial = True

    def read(self, answer):
        if answer.headers["content-type"] == "application/json":  # raw bytes that did not ask for a stream
            return super().read(answer)
        events = [(event["event"], json.loads(event["data"])) for event in sse(answer.body)]
        assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
        assert all(kind == data["type"] for kind, data in events)
        kinds = [kind for kind, _ in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        pieces = [data["delta"] for kind, data in events if kind == "response.output_text.delta"]
        if "error" in kinds:
            assert kinds[-2:] == ["error", "response.failed"] and events[-1][1]["response"]["status"] == "failed"
            return Outcome(status=200, code=events[-2][1]["code"], pieces=pieces)
        assert kinds[-1] in ("response.completed", "response.incomplete")
        outcome = outcome_of(events[-1][1]["response"])
        assert "".join(pieces) == outcome.text
        outcome.pieces = pieces
        return outcome


def outcome_of(said):
    parts = [part for item in said["output"] if item["type"] == "message" for part in item["content"]]
    calls = [
        {"id": item["call_id"], "type": "function", "function": {key: item[key] for key in ("name", "arguments")}}
        for item in said["output"]
        if item["type"] == "function_call"
    ]
    reasons = {"max_output_tokens": "length", "content_filter": "content_filter"}
    incomplete = said["incomplete_details"]
    return Outcome(
        status=200,
        text="".join(part["text"] for part in parts),
        tool_calls=calls or None,
        finish_reason=reasons[incomplete["reason"]] if incomplete else "tool_calls" if calls else "stop",
        usage=said["usage"],
        model=said["model"],
    )


def case(**fields):
    return json.dumps({"input": "Hi", **fields}).encode()


def items(*given):
    return json.dumps({"input": list(given)}).encode()


FUNCTION = {"type": "function", "name": "f"}
# What is wrong, and the field that the answer names.
WRONG = {
    "no input": (b"{}", "input"),
    "an empty input": (case(input=""), "input"),
    "no items": (case(input=[]), "input"),
    "a number for an input": (case(input=5), "input"),
    "a number for an item": (case(input=[5]), "input[0]"),
    "2,001 items": (case(input=[{"role": "user", "content": "a"}] * 2001), "input"),
    "an item of nothing": (items({}), "input[0].role"),
    "only reasoning": (items({"type": "reasoning", "summary": []}), "input"),
    "reasoning of another kind": (items({"type": "reasoning", "summary": "x"}), "input[0].summary"),
    "a king": (items({"role": "king", "content": "Hi"}), "input[0].role"),
    "no content": (items({"role": "user"}), "input[0].content"),
    "no parts": (items({"role": "user", "content": []}), "input[0].content"),
    "a part of another kind": (items({"role": "user", "content": [5]}), "input[0].content[0].type"),
    "an unknown part": (items({"role": "user", "content": [{"type": "smell"}]}), "input[0].content[0].type"),
    "a user's refusal": (
        items({"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}), "input[0].content[0].type",
    ),
    "a text of another kind": (
        items({"role": "user", "content": [{"type": "input_text", "text": {}}]}), "input[0].content[0].text",
    ),
    "a type of another kind": (items({"type": []}), "input[0].type"),
    "a call without an id": (items({"type": "function_call", "name": "f", "arguments": "{}"}), "input[0].call_id"),
    "a call without arguments": (items({"type": "function_call", "call_id": "c", "name": "f"}), "input[0].arguments"),
    "an output for nothing": (items({"type": "function_call_output", "output": "1"}), "input[0].call_id"),
    "an output of nothing": (items({"type": "function_call_output", "call_id": "c"}), "input[0].output"),
    "a reference to nothing": (items({"type": "item_reference", "id": "msg_1"}), "input[0].id"),
    "a reference to nobody's": (items({"id": f"msg_{'0' * 32}"}), "input[0].id"),
    "a tool without a name": (case(tools=[{"type": "function"}]), "tools[0].name"),
    "a tool of no kind": (case(tools=[{}]), "tools[0].type"),
    "a tool with another schema": (case(tools=[{**FUNCTION, "parameters": 1}]), "tools[0].parameters"),
    "a choice of another kind": (case(tool_choice="all"), "tool_choice"),
    "a choice of nothing": (case(tool_choice="required"), "tool_choice"),
    "a choice of another tool": (
        case(tools=[FUNCTION], tool_choice={"type": "function", "name": "g"}), "tool_choice.name",
    ),
    "allowed tools of another kind": (case(tool_choice={"type": "allowed_tools", "tools": 1}), "tool_choice.tools"),
    "a mode of another kind": (
        case(tools=[FUNCTION], tool_choice={"type": "allowed_tools", "tools": [FUNCTION], "mode": 1}),
        "tool_choice.mode",
    ),
    "an unknown format": (case(text={"format": {"type": "xml"}}), "text.format.type"),
    "a format without a schema": (case(text={"format": {"type": "json_schema", "name": "n"}}), "text.format.schema"),
    "an unknown inclusion": (case(include=["secrets"]), "include[0]"),
    "metadata of another kind": (case(metadata={"a": 1}), "metadata[...]"),
    "temperature 3": (case(temperature=3), "temperature"),
    "0 tokens": (case(max_output_tokens=0), "max_output_tokens"),
    "an unknown truncation": (case(truncation="some"), "truncation"),
    "two ways back": (case(previous_response_id="resp_1", conversation="c"), "previous_response_id"),
    "a conversation of another kind": (case(conversation="a b"), "conversation"),
}  # fmt: skip
UNSUPPORTED = {
    "web search": (case(tools=[{"type": "web_search"}]), "tools[0].type"),
    "a second tool": (case(tools=[FUNCTION, {"type": "code_interpreter", "container": {}}]), "tools[1].type"),
    "a choice of a hosted tool": (case(tool_choice={"type": "file_search"}), "tool_choice.type"),
    "an uploaded image": (
        items({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}), "input[0].content[0].file_id",
    ),
    "a file elsewhere": (
        items({"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}), "input[0].content[0].file_url",
    ),
    "a computer's output": (items({"type": "computer_call_output"}), "input[0].type"),
    "background": (case(background=True), "background"),
    "a stored prompt": (case(prompt={"id": "p"}), "prompt"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "param"), WRONG.values(), ids=WRONG)
async def test_it_says_what_is_wrong(raw: bytes, param: str) -> None:
    await check(raw, param, "invalid_request")


@pytest.mark.parametrize(("raw", "param"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_it_says_what_it_has_not(raw: bytes, param: str) -> None:
    await check(raw, param, "not_supported")


async def check(raw: bytes, param: str, code: str) -> None:
    model = ScriptedModel()
    answer = await build(model).alice.post(PATH, raw)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["param"]) == (400, code, param)
    assert not model.calls


async def test_two_names_of_a_session_exclude_each_other() -> None:
    answer = await build().alice.post(PATH, {"input": "Hi", "conversation": "c"}, {"X-Session-Id": "s"})
    assert (answer.status, answer.json["error"]["param"]) == (400, "conversation")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("PUT", f"{PATH}/resp_{'0' * 32}", 405),
        ("GET", f"{PATH}/input_tokens", 405),
        ("POST", f"{PATH}/x/input_items", 405),
        ("GET", f"{PATH}/x/cancel", 405),
        ("GET", f"{PATH}/x/y", 404),
        ("GET", f"{PATH}/x/input_items/z", 404),
        ("GET", f"{PATH}/{'%00' * 9}", 404),
        ("GET", "/v1/responsesx", 404),
    ],
)
async def test_it_knows_its_paths(method: str, path: str, status: int) -> None:
    assert (await build().alice.request(method, path)).status == status
