"""What reaches the model besides plain messages: parts, ids, tools, settings, the profile."""

import time

import msgspec
import pytest

from compliance.guard import GuardTable, WordGuard
from engine.snapshots import Cell
from engine.types import ChatRequest, Message, Verdict
from tests.cast import ALICE, CHARLIE
from tests.compliance.wordlists import guard

OPEN = WordGuard(Cell(GuardTable()))
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "finds things",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "where", "enum": ["here", "there"]}},
            "required": ["place"],
        },
    },
}


def verdict(word, action):
    return Verdict(list=action, version=1, word=word, action=action, where="input")


def request(**more):
    return ChatRequest(messages=[Message(role="user", content="hi")], **more)


def ask(*parts, **words):
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    (message,), verdicts = guard(**words).input(ALICE.principal, [Message(role="user", content=content)])
    return message.content, verdicts


# Messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Message(role="tool", content="x", tool_call_id="bad"),
        Message(role="assistant", tool_calls=[{"id": "bad", "type": "function", "function": {"name": "f"}}]),
        Message(role="assistant", tool_calls=[{"id": "1", "type": "bad", "function": {"name": "f"}}]),
        Message(role="user", content=[{"type": "tool_result", "tool_use_id": "bad", "content": "x"}]),
        Message(role="user", content=[{"type": "note", "bad": "x"}]),
    ],
)
def test_it_reads_the_ids_types_and_keys_of_a_message(message):
    (masked,), verdicts = guard(mask=["bad"]).input(ALICE.principal, [message])
    assert verdicts == [verdict("bad", "mask")]
    assert msgspec.json.encode(masked) == msgspec.json.encode(message).replace(b"bad", b"***")


def test_it_takes_the_words_of_the_format_for_no_text():
    asked = [
        Message(role="user", content=[{"type": "text", "text": "x"}]),
        Message(role="assistant", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f"}}]),
    ]
    words = ["text", "type", "function", "name", "id"]
    assert guard(block=words).input(ALICE.principal, asked) == (asked, [])


def test_it_finds_a_word_split_over_two_parts():
    assert ask("这是机", "密吗", block=["机密"])[1] == [verdict("机密", "block")]
    image = {"type": "image_url", "image_url": {"url": "x"}}
    parts, verdicts = ask("a se", image, "cret b", mask=["secret"])
    assert verdicts == [verdict("secret", "mask")]
    assert parts == [{"type": "text", "text": "a **"}, image, {"type": "text", "text": "**** b"}]


def test_it_finds_a_word_that_only_its_part_ends():
    parts, verdicts = ask("so bad", "ge", "ISS bad", mask=["bad"])
    assert [part["text"] for part in parts] == ["so ***", "ge", "ISS ***"]
    assert verdicts == [verdict("bad", "mask")]


def test_it_masks_words_that_overlap_over_parts():
    parts, _ = ask("坏人", "民好", mask=["坏人", "人民"])
    assert [part["text"] for part in parts] == ["**", "*好"]


@pytest.mark.parametrize(
    "arguments", [r'{"t": "hi\nbad"}', r'{"t": "\u0062\u0061\u0064"}', r'{"t": "\/bad\""}', r'{"\tbad": 1}']
)
def test_it_reads_tool_arguments_as_the_tool_does(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (masked,), verdicts = guard(mask=["bad"]).input(ALICE.principal, [Message(role="assistant", tool_calls=[call])])
    assert verdicts == [verdict("bad", "mask")]
    read = msgspec.json.decode(masked.tool_calls[0]["function"]["arguments"])
    assert "bad" not in str(read)
    assert "***" in str(read)


def test_it_masks_any_number_of_words_in_linear_time():
    """By comparison with finding them, so that a slow machine changes nothing."""
    asked = [Message(role="user", content="maskme " * 40_000)]

    def seconds(words):
        started = time.process_time()
        (checked,), _ = words.input(ALICE.principal, asked)
        assert checked.content.count("*") in (0, 240_000)
        return time.process_time() - started

    recording, masking = guard(record=["maskme"]), guard(mask=["maskme"])
    assert min(seconds(masking) for _ in range(3)) < 8 * min(seconds(recording) for _ in range(3))


# Tools and parameters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("look_up", "bad"),
        ("finds things", "so bad"),
        ("where", "how bad"),
        ("place", "bad"),
        ("there", "bad"),
    ],
)
def test_it_reads_every_text_of_a_tool(old, new):
    tool = msgspec.json.decode(msgspec.json.encode(TOOL).replace(old.encode(), new.encode()))
    asked = request(tools=[TOOL, tool])
    assert guard(block=["bad"]).request(ALICE.principal, asked) == (asked, [verdict("bad", "block")])
    before = msgspec.json.encode(asked)
    masked, verdicts = guard(mask=["bad"]).request(ALICE.principal, asked)
    assert verdicts == [verdict("bad", "mask")]
    assert msgspec.json.encode(masked) == before.replace(b"bad", b"***")
    assert msgspec.json.encode(asked) == before, "the caller's request is not changed"


def test_it_reads_a_schema_of_properties_named_like_addresses():
    properties = {"url": {"type": "string", "description": "bad"}, "data": {"enum": ["bad"]}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": properties}}}
    masked, _ = guard(mask=["bad"]).request(ALICE.principal, request(tools=[tool]))
    assert b"bad" not in msgspec.json.encode(masked)


@pytest.mark.parametrize(
    "params",
    [
        {"stop": "bad"},
        {"stop": ["x", "bad"]},
        {"stop": ["function", "bad"]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"description": "bad"}}}},
        {"tool_choice": {"type": "function", "function": {"name": "bad"}}},
        {"logit_bias": {"bad": 1}},
    ],
)
def test_it_reads_the_texts_of_parameters(params):
    masked, verdicts = guard(mask=["bad"]).request(ALICE.principal, request(params=params, temperature=0.5))
    assert verdicts == [verdict("bad", "mask")]
    assert msgspec.json.encode(masked.params) == msgspec.json.encode(params).replace(b"bad", b"***")
    assert masked.temperature == 0.5


def test_it_gives_back_the_same_request_when_nothing_changed():
    params = {"tool_choice": "auto", "response_format": {"type": "json_object"}, "reasoning_effort": "high"}
    words = ["auto", "high", "json_object", "function", "object", "string", "type", "properties", "description"]
    asked = request(tools=[TOOL], params=params)
    for each in (guard(mask=words), OPEN):
        masked, verdicts = each.request(ALICE.principal, asked)
        assert masked is asked
        assert verdicts == []
    recorded, verdicts = guard(record=["finds"]).request(ALICE.principal, asked)
    assert recorded is asked
    assert verdicts == [verdict("finds", "record")]
    assert guard(block=["finds"]).request(CHARLIE.principal, asked) == (asked, [])


# The profile ------------------------------------------------------------------------------------------------------


def test_it_reads_the_keys_and_values_of_a_profile():
    profile = {"bio": "likes\nbad", "type": "bad", "tags": ["x", "bad"], "bad": {"url": "bad"}, "age": 7}
    masked, verdicts = guard(mask=["bad"]).profile(ALICE.principal, profile)
    assert masked == {"bio": "likes\n***", "type": "***", "tags": ["x", "***"], "***": {"url": "***"}, "age": 7}
    assert verdicts == [verdict("bad", "mask")]
    assert guard(block=["bad"]).profile(ALICE.principal, profile) == (profile, [verdict("bad", "block")])


def test_it_reads_the_numbers_of_a_profile():
    masked, verdicts = guard(mask=["1234"]).profile(ALICE.principal, {"pin": 1234, "on": True, "other": 12345})
    assert masked == {"pin": "****", "on": True, "other": 12345}
    assert verdicts == [verdict("1234", "mask")]


def test_it_keeps_every_value_when_two_keys_are_masked_alike():
    masked, _ = guard(mask=["bad", "sad"]).profile(ALICE.principal, {"bad": 1, "sad": 2, "***": 3})
    assert sorted(masked.values()) == [1, 2, 3]
    assert all(set(key) == {"*"} for key in masked)


def test_it_gives_back_the_same_profile_when_nothing_changed():
    profile = {"bio": "fine", "tags": ["x"]}
    for each in (guard(mask=["bad"]), OPEN):
        masked, verdicts = each.profile(ALICE.principal, profile)
        assert masked is profile
        assert verdicts == []


# Texts of the model's service -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "allowed"), [("block", False), ("mask", False), ("record", True)])
def test_it_says_whether_a_text_may_be_shown(action, allowed):
    words = guard(**{action: ["bad"]})
    assert words.allows(ALICE.principal, "so bad") is allowed
    assert words.allows(ALICE.principal, "a badge")
    assert words.allows(CHARLIE.principal, "so bad")
    assert OPEN.allows(ALICE.principal, "so bad")
