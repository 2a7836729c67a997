"""The fields of a chat body that take more than a type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.access.parts import build
from tests.conformance.edges import HI, TOOLS
from tests.engine.parts import ScriptedModel

PATH = "/v1/chat/completions"
NAMED = {"type": "function", "function": {"name": "weather"}}
STRANGER = {"type": "function", "function": {"name": "nobody"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def allowed(*tools: Any, mode: Any = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@pytest.mark.parametrize("path", [PATH, "/api/chat"])
@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "not_supported", "tools[0].type"),
        ({"tools": [*TOOLS, {"type": "web_search"}]}, "not_supported", "tools[1].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "invalid_request", "tools[0].function"),
        ({"tools": [{"function": {"name": "f", "parameters": []}}]}, "invalid_request", "tools[0].function.parameters"),
        ({"tools": TOOLS, "tool_choice": "some"}, "invalid_request", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": STRANGER}, "invalid_request", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": []}}, "invalid_request", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "not_supported", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": allowed(NAMED, STRANGER)}, "invalid_request", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": allowed(NAMED, mode="x")}, "invalid_request", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": allowed()}, "invalid_request", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_request", "tool_choice"),
        ({"tool_choice": NAMED, "tools": []}, "invalid_request", "tool_choice"),
        ({"response_format": {}}, "invalid_request", "response_format.type"),
        ({"response_format": {"type": "xml"}}, "invalid_request", "response_format.type"),
        ({"response_format": {"type": []}}, "invalid_request", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "invalid_request", "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": []}}}, "invalid_request",
         "response_format.json_schema"),
    ],
)  # fmt: skip
async def test_it_refuses_what_no_model_could_follow(path: str, fields: Any, code: str, param: str) -> None:
    model = ScriptedModel()
    answer = await build(model).alice.post(path, {"messages": HI, **fields})
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, code, param)
    assert not model.calls


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": []}, "modalities"),
        ({"moderation": {"model": "m"}}, "moderation"),
    ],
)  # fmt: skip
async def test_it_says_what_of_openais_format_there_is_not(fields: Any, param: str) -> None:
    answer = await build(ScriptedModel()).alice.post(PATH, {"messages": HI, **fields})
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "not_supported", param)
    assert error["message"].startswith(param)


@pytest.mark.parametrize(("given", "asked"), [({"search_context_size": "low"}, "low"), ({}, "medium")])
async def test_it_carries_a_search_of_the_web(given: Any, asked: str) -> None:
    """OpenAI's models that search demand the options; an empty object asks for a search, too."""
    model = ScriptedModel()
    answer = await build(model).alice.post(PATH, {"messages": HI, "web_search_options": given})
    assert answer.status == 200
    assert model.calls[0].request.params == {"web_search_options": {"search_context_size": asked}}


async def test_it_drops_what_changes_nothing() -> None:
    model = ScriptedModel()
    fields = {
        "store": True,
        "prediction": {"type": "content", "content": "a"},
        "modalities": ["text"],
        "audio": None,
        "functions": None,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "stream_options": {"include_obfuscation": False},
        "stream": True,
    }
    answer = await build(model).alice.post(PATH, {"messages": HI, **fields})
    assert answer.status == 200 and set(model.calls[0].request.params) <= {"stream_options"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": TOOLS, "tool_choice": choice}
        for choice in ("none", "auto", "required", NAMED, allowed(NAMED), allowed(NAMED, mode="required"))
    ]
    + [{"tool_choice": "auto"}, {"tool_choice": "none"}, {"response_format": SCHEMA}],
)
async def test_it_hands_on_what_a_model_can_follow(fields: dict[str, Any]) -> None:
    model = ScriptedModel()
    answer = await build(model).alice.post(PATH, {"messages": HI, **fields})
    assert answer.status == 200
    asked = {key: value for key, value in fields.items() if key != "tools"}
    assert model.calls[0].request.params == asked and model.calls[0].request.tools == fields.get("tools")


async def test_it_takes_the_newer_name_of_the_user() -> None:
    """OpenAI put `safety_identifier` in the place of `user`."""
    site = build()
    await site.alice.post(PATH, {"messages": HI, "safety_identifier": "u-9"})
    await site.alice.post(PATH, {"messages": HI, "safety_identifier": "u-9", "user": "u-1"})
    assert [intent.user.rpartition(":")[2] for intent in site.behind.journal.intents] == ["u-9", "u-1"]


async def test_any_tool_is_a_required_one():
    model = ScriptedModel()
    await build(model).alice.post(PATH, {"messages": HI, "tools": TOOLS, "tool_choice": "any"})
    assert model.calls[0].request.params["tool_choice"] == "required"
