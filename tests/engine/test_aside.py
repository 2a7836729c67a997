import asyncio
import threading

import msgspec
import pytest

from engine.aside import LONG, length, length_of
from engine.types import Message
from tests.engine.parts import ALICE, ScriptedModel, ask, build


@pytest.mark.parametrize("weight", [1, 32])
@pytest.mark.parametrize("place", ["content", "parts", "tools", "params"])
async def test_no_turn_waits_while_the_long_text_of_another_is_read(place, weight):
    engine, parts = build(ScriptedModel(["Hello"]))
    parts.guard.weighs = weight
    long, begun, over = "x" * (LONG // weight), threading.Event(), threading.Event()
    read_input, read_request = parts.guard.input, parts.guard.request

    def wait_if_long(*given):
        if long in str(given):
            begun.set()
            assert over.wait(60)

    def slow_input(principal, messages):
        wait_if_long(messages)
        return read_input(principal, messages)

    def slow_request(principal, request):
        wait_if_long(request.tools, request.params)
        return read_request(principal, request)

    parts.guard.input, parts.guard.request = slow_input, slow_request
    content = {"content": long, "parts": [{"type": "text", "text": long}]}.get(place, "Hi")
    others = {"tools": {"tools": [{"x": [long]}]}, "params": {"params": {"stop": long}}}.get(place, {})
    request = msgspec.structs.replace(ask(), messages=[Message("user", content)], **others)
    reading = asyncio.create_task(engine.complete(ALICE, request))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    assert (await engine.complete(ALICE, ask())).message.content == "Hello"
    assert not reading.done()
    over.set()
    assert (await reading).message.content == "Hello"


async def test_texts_nobody_reads_for_words_stay_where_they_are():
    engine, parts = build(ScriptedModel(["Hello"]))
    parts.guard.weighs = 0
    read, threads = parts.guard.input, set()

    def here(principal, messages):
        threads.add(threading.current_thread())
        return read(principal, messages)

    parts.guard.input = here
    await engine.complete(ALICE, msgspec.structs.replace(ask(), messages=[Message("user", "x" * 2 * LONG)]))
    assert threads == {threading.main_thread()}


TEXTS = [Message("user", "Hi, 世界"), Message("assistant", "Hello")]
CALLS = [{"id": "c", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ([], 0),
        ([Message("user", [{"type": "text", "text": "abc"}])], 15),
        ([Message("assistant", None, tool_calls=CALLS)], 16),
        ([Message("assistant", "ab", tool_calls=CALLS, reasoning_content="abcd", refusal="no")], 24),
        ([Message("assistant", "", reasoning_content="abcd")], 4),
        ([Message("assistant", None, refusal="never")], 5),
    ],
)
def test_what_is_read_of_a_conversation_counts_wherever_it_stands(more, size):
    assert length(TEXTS) == 11
    assert length(iter([*TEXTS, *more, *TEXTS])) == 22 + size
    assert size == sum(
        length_of(each) for m in more for each in (m.content, m.tool_calls, m.reasoning_content, m.refusal)
    )
