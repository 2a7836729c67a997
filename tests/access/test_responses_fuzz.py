"""Whatever a body says, the Responses API makes a request of it or says what is wrong with it."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from access.edges import responses_answers as answers
from access.edges import responses_items as items
from access.edges import responses_requests as requests
from access.edges.responses_answers import Frame
from engine.errors import InvalidRequest

TURN = "0" * 32
NAMES = sorted(
    {
        *requests.ResponsesBody.__struct_fields__, "type", "role", "content", "text", "image_url", "file_data",
        "file_id", "input_audio", "refusal", "call_id", "arguments", "output", "name", "summary", "id", "parameters",
        "strict",
        "format", "schema", "mode", "effort", "detail", "extra_content", "filename",
    }
)  # fmt: skip
WORDS = [
    "message", "function_call", "function_call_output", "reasoning", "item_reference", "input_text", "output_text",
    "input_image", "input_file", "input_audio", "refusal", "user", "assistant", "system", "developer", "function",
    "allowed_tools", "json_schema", "json_object", "auto", "required", "none", "low", "Hi", "",
]  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(0, 2) | st.sampled_from(WORDS)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
# Near what is meant, so that most of it is read.
PARTS = st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={"text": TREES, "image_url": TREES})
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS[:5])},
    optional={
        "role": st.sampled_from(WORDS),
        "content": st.lists(PARTS, max_size=2) | TREES,
        "summary": st.lists(PARTS, max_size=2) | TREES,
        "output": st.lists(PARTS, max_size=2) | TREES,
        **{name: st.sampled_from(["c1", "f", "{}"]) for name in ("call_id", "name", "arguments")},
        "extra_content": TREES,
    },
)
TOOLS = st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={"name": TREES, "parameters": TREES})
INPUTS = st.just("Hi") | st.lists(ITEMS, min_size=1, max_size=3) | TREES
MORE = st.dictionaries(st.sampled_from(NAMES), TREES | st.lists(TOOLS, max_size=2), max_size=3)
BODIES = st.tuples(INPUTS, MORE).map(lambda drawn: {**drawn[1], "input": drawn[0]})


@given(BODIES)
@settings(deadline=None, max_examples=200)
def test_no_body_is_too_much_for_it(body):
    try:
        asked = requests.asked(body, ())
        request = asked.request(asked.messages(), request_id="r")
    except InvalidRequest as wrong:
        assert wrong.message
        return
    assert request.messages and all(isinstance(message.role, str) for message in request.messages)
    told = answers.begun(TURN, "m", Frame.of(request))
    read_back = items.input_items([message for message in request.messages if not message.passing], TURN)
    assert orjson.dumps([told, read_back])
