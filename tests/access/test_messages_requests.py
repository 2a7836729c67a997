"""What a request of the Messages format becomes for services of every format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from access.edges.messages_body import messages_request
from access.edges.messages_seals import seal
from adapters.base import AdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.types import ChatRequest, Json, Message, ModelCall
from tests.access.messages import asked, body, said
from tests.adapters.replay import ReplayClient
from tests.conformance.badmessages import PDF

MARK = {"cache_control": {"type": "ephemeral"}}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def request(asked: Json, **headers: str) -> ChatRequest:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return messages_request(asked, request_id="r", headers=raw)


def messages(asked: Json) -> list[Message]:
    return request(asked).messages


def params(**fields: Any) -> Json:
    return request(body(**fields)).params


def test_its_headers_say_what_the_format_has_no_field_for() -> None:
    made = request(body(), x_session_id="s", idempotency_key="k", cache_control="no-store", accept_language="zh-CN")
    assert (made.session_id, made.remember, made.create_session) == ("s", True, True)
    assert (made.idempotency, made.cache, made.language) == ("k", "no-store", "zh-CN")
    assert not request(body()).remember


def test_it_takes_instructions_wherever_they_stand() -> None:
    hi = {"role": "user", "content": "Hi"}
    made = messages(body(system="Be brief.", messages=[hi, {"role": "system", "content": "Briefer."}, hi]))
    assert [(each.role, each.content) for each in made] == [
        ("system", "Be brief."), ("user", "Hi"), ("system", "Briefer."), ("user", "Hi"),
    ]  # fmt: skip


def test_it_says_a_text_alone_plainly() -> None:
    assert messages(asked({"type": "text", "text": "Hi"})) == [Message("user", "Hi")]
    marked = {"type": "text", "text": "Hi", **MARK}
    assert messages(asked(marked)) == [Message("user", [marked])]


def test_it_drops_what_says_nothing() -> None:
    empty: Json = {"type": "text", "text": ""}
    assert messages(asked(empty, {"type": "text", "text": "Hi"})) == [Message("user", "Hi")]
    assert len(messages(said(empty))) == 2


def test_it_reads_documents() -> None:
    plain: Json = {"type": "text", "media_type": "text/plain", "data": "One."}
    blocks: Json = {"type": "content", "content": [{"type": "text", "text": "Two."}]}
    made = messages(
        asked(
            {"type": "document", "source": PDF, "title": "a.pdf"},
            {"type": "document", "source": plain, "title": "T", **MARK},
            {"type": "document", "source": blocks},
            {"type": "document", "source": {"type": "content", "content": "Three."}},
        )
    )
    data = "data:application/pdf;base64,JVBERg=="
    assert made[0].content == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
        {"type": "text", "text": "T"},
        {"type": "text", "text": "One.", **MARK},
        {"type": "text", "text": "Two."},
        {"type": "text", "text": "Three."},
    ]


def test_it_reads_results_of_tools() -> None:
    image: Json = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    made = messages(
        asked(
            {"type": "text", "text": "Well?"},
            {"type": "tool_result", "tool_use_id": "a", "content": [image], "is_error": True},
            {"type": "tool_result", "tool_use_id": "b"},
            {"type": "tool_result", "tool_use_id": "c", "content": "1", **MARK},
        )
    )
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert made == [
        Message("tool", [picture], tool_call_id="a", extra_content={"is_error": True}),
        Message("tool", "", tool_call_id="b"),
        Message("tool", [{"type": "text", "text": "1", **MARK}], tool_call_id="c"),
        Message("user", "Well?"),
    ]


def test_it_keeps_thinking_with_the_call_it_led_to() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"b": 1}}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    (_, answer, _) = messages(said(thinking, {"type": "redacted_thinking", "data": "ZA=="}, use))
    assert answer.reasoning_content == "hm" and answer.tool_calls is not None
    vouched = [{"characters": 2, "signature": "s"}, {"data": "ZA=="}]
    assert answer.tool_calls[0]["extra_content"] == {"thinking": {"blocks": vouched}}
    assert answer.tool_calls[0]["function"] == {"name": "f", "arguments": '{"b":1}'}


def test_it_opens_what_was_sealed() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    extra = {"google": {"thought_signature": "c2ln"}}
    (_, answer, _) = messages(said({"type": "redacted_thinking", "data": seal(extra)}, use))
    assert answer.tool_calls is not None and answer.tool_calls[0]["extra_content"] == extra
    assert answer.extra_content is None


def test_it_marks_the_end_of_a_request_that_leaves_caching_to_the_service() -> None:
    assert messages(body(**MARK))[-1].content == [{"type": "text", "text": "Hi", **MARK}]
    hi = {"role": "user", "content": "Hi"}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    made = messages(body(**MARK, messages=[hi, {"role": "assistant", "content": [use]}]))
    assert made[-1].tool_calls is not None and made[-1].tool_calls[0]["cache_control"] == MARK["cache_control"]


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16383}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "max"}}, "xhigh"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "between_tools"}}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"output_config": {"effort": "low"}}, "low"),
        ({}, None),
    ],
)
def test_it_says_thinking_as_an_effort(fields: Json, effort: str | None) -> None:
    assert params(**fields).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any", "disable_parallel_tool_use": False}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ],
)
def test_it_says_which_tool(choice: Json, chosen: Json) -> None:
    assert params(tools=[TOOL], tool_choice=choice) == chosen


def test_it_asks_for_no_tool_where_there_is_none() -> None:
    assert params(tool_choice={"type": "auto"}) == {}


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_it_asks_for_json_by_a_schema(name: str) -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    form = params(**{name: {"format": wanted} if name == "output_config" else wanted})["response_format"]
    assert form == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": wanted["schema"], "strict": True},
    }


def sent_to_openai(made: ChatRequest, **options: Any) -> Json:
    adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint="http://h/v1", options=options), ReplayClient())
    sent: Json = msgspec.json.decode(adapter._outgoing(ModelCall("m", list(made.messages), made)).body)
    return sent


def test_services_of_openais_format_are_not_told_what_they_do_not_know() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}, **MARK}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    work = said({"type": "text", "text": "So.", **MARK}, thinking, use)
    made = request({**work, "top_k": 5, "thinking": {"type": "disabled"}, "tools": [{**TOOL, **MARK}]})
    sent = sent_to_openai(made)
    assert not {"top_k", "thinking", "reasoning_effort"} & set(sent)
    assert not [word for word in ("cache_control", "extra_content", "hm") if word in msgspec.json.encode(sent).decode()]
    sent = sent_to_openai(made, params=["top_k"], cache_control=True)
    assert sent["top_k"] == 5 and sent["tools"][0]["cache_control"] == MARK["cache_control"]
    assert sent["messages"][1]["tool_calls"][0]["cache_control"] == MARK["cache_control"]


def test_long_work_with_many_tools_stays_as_it_is() -> None:
    tools = [{**TOOL, "name": f"tool_{number}"} for number in range(80)]
    conversation: list[Json] = [{"role": "user", "content": "Begin."}]
    for number in range(400):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": f"tool_{number % 80}", "input": {"n": number}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": f"result {number}"}
        conversation += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    made = request(body(messages=conversation, tools=tools))
    assert made.tools is not None and len(made.tools) == 80
    calls = [each.tool_calls[0]["id"] for each in made.messages if each.tool_calls]
    answered = [each.tool_call_id for each in made.messages if each.role == "tool"]
    assert calls == answered == [f"toolu_{number}" for number in range(400)]
