"""Deltas that one read brought are yielded together; those of different reads, and what somebody remade, are not."""

from contextlib import aclosing

import pytest

from adapters.base import AdapterConfig
from adapters.openai_compatible import OpenAICompatibleAdapter
from adapters.openai_completions import OpenAICompletionsAdapter
from engine.errors import UpstreamError
from engine.types import Burst, Delta, End
from tests.adapters.upstream import HANG, chunk, event, events, head_of_stream, streamed
from tests.conformance.adapters import call


async def items_of(adapter):
    async with aclosing(adapter.bursts(call())) as stream:
        return [item async for item in stream]


@pytest.fixture
def adapter(http, upstream):
    return OpenAICompatibleAdapter(AdapterConfig(endpoint=upstream.url), http)


async def test_what_one_read_brought_comes_together(adapter, upstream):
    upstream.answers([head_of_stream() + b"".join(events("Hel", "lo", "!")) + b"data: [DONE]\n\n"])
    items = await items_of(adapter)
    (burst,) = items[:-1]
    assert [delta.content for delta in burst.deltas] == ["Hel", "lo", "!"]
    assert isinstance(items[-1], End)


async def test_what_came_apart_comes_apart(adapter, upstream):
    upstream.answers(streamed(events("Hel", "lo"), pause=0.1))
    items = await items_of(adapter)
    assert [type(item) for item in items] == [Delta, Delta, End]


async def test_of_one_that_came_with_the_end_it_is_said_that_none_follows(adapter, upstream):
    upstream.answers([head_of_stream() + b"".join(events("Hello")) + b"data: [DONE]\n\n"])
    assert (await items_of(adapter))[:-1] == [Burst([Delta(content="Hello")], last=True)]


async def test_nothing_is_said_to_be_the_last_before_the_end_came(adapter, upstream):
    upstream.answers([head_of_stream() + chunk({"content": "Hello"}), HANG])
    async with aclosing(adapter.bursts(call())) as stream:
        assert await anext(stream) == Delta(content="Hello")


async def test_what_stands_before_an_error_is_said_before_it(adapter, upstream):
    broken = chunk({"content": "Hel"}) + chunk({"content": "lo"}) + event({"error": {"message": "gone"}})
    upstream.answers([head_of_stream() + broken])
    said = []
    with pytest.raises(UpstreamError):
        async with aclosing(adapter.bursts(call())) as stream:
            async for item in stream:
                said += item.deltas if isinstance(item, Burst) else [item]
    assert [delta.content for delta in said] == ["Hel", "lo"]


async def test_a_format_that_remakes_its_stream_is_asked_for_that(http, upstream):
    adapter = OpenAICompletionsAdapter(AdapterConfig(endpoint=upstream.url), http)
    pieces = [event({"choices": [{"index": 0, "text": text}]}) for text in ("  ", " Hel", "lo")]
    end = event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    upstream.answers([head_of_stream() + b"".join([*pieces, end]) + b"data: [DONE]\n\n"])
    items = await items_of(adapter)
    assert [item.content for item in items[:-1]] == ["Hel", "lo"]
