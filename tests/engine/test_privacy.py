"""What an engine does with a privacy: masked last before the model, restored first after it, recorded by kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from engine.aside import LONG
from engine.engine import Engine
from engine.errors import UpstreamError
from engine.types import CachePolicy, ChatRequest, Delta, Done, EmbedCall, Embedded, Message, Principal, Start
from tests.engine.parts import ALICE, Parts, Run, ScriptedModel, ask, build, nothing_left


class NameRestorer:
    """Holds back a `<` until it knows what follows."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.counts = {"name": len(names)}
        self.held = ""

    def feed(self, delta: Delta) -> Delta | None:
        text = self.held + (delta.content or "")
        for mask, name in self.names.items():
            text = text.replace(mask, name)
        place = text.find("<")
        text, self.held = (text, "") if place < 0 else (text[:place], text[place:])
        return Delta(content=text) if text else None

    def flush(self) -> list[Delta]:
        return [Delta(content=self.held)] if self.held else []


class Names:
    """Masks words that begin with `Mr`: `<1>`, `<2>` as they come."""

    def masked(self, text: str, known: dict[str, str]) -> str:
        words = [known.setdefault(word, f"<{len(known) + 1}>") if word.startswith("Mr") else word
                 for word in text.split(" ")]  # fmt: skip
        return " ".join(words)

    def mask(
        self, principal: Principal, messages: list[Message], request: ChatRequest
    ) -> tuple[list[Message], ChatRequest, NameRestorer | None]:
        known: dict[str, str] = {}
        sent = [msgspec.structs.replace(each, content=self.masked(str(each.content), known)) for each in messages]
        if not known:
            return messages, request, None
        changed = msgspec.structs.replace(request, messages=sent)
        return sent, changed, NameRestorer({mask: name for name, mask in known.items()})

    def mask_each(self, principal: Principal, texts: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        found = [self.masked(text, {}) for text in texts]
        return found, {"name": sum(new != old for new, old in zip(found, texts, strict=True))}


def private(*models: ScriptedModel, privacy: Names | None = None, **options: Any) -> tuple[Engine, Parts]:
    engine, parts = build(*models, **options)
    engine = Engine(
        limiter=parts.limiter, sessions=parts.sessions, guard=parts.guard, plugins=parts.plugins, router=parts.router,
        journal=parts.journal, meter=parts.meter, answers=parts.answers, privacy=privacy or Names(),
    )  # fmt: skip
    return engine, parts


def sent(model: ScriptedModel, call: int = -1) -> list[Any]:
    return [message.content for message in model.calls[call].messages]


async def test_a_model_gets_masks_and_its_caller_what_was_said() -> None:
    model = ScriptedModel(["Hello <", "1>", "!"])
    engine, parts = private(model)
    events = [event async for event in engine.stream(ALICE, ask("I am MrX"))]
    assert sent(model) == ["I am <1>"] and model.calls[0].request.messages == model.calls[0].messages
    assert isinstance(events[0], Start)
    assert [event.content for event in events[1:-1]] == ["Hello ", "MrX", "!"]
    assert isinstance(events[-1], Done) and events[-1].message.content == "Hello MrX!"
    assert parts.journal.intents[0].messages == [Message("user", "I am MrX")]
    assert parts.journal.intents[0].personal == {"name": 1}
    assert parts.journal.completions[0].choices[0].message.content == "Hello MrX!"
    await nothing_left(engine, parts)


async def test_what_is_held_at_the_end_leaves_before_it() -> None:
    engine, parts = private(ScriptedModel(["a <"]))
    assert (await engine.complete(ALICE, ask("MrX"))).message.content == "a <"
    await nothing_left(engine, parts)


async def test_nothing_is_recorded_where_nothing_was_masked() -> None:
    model = ScriptedModel(["<1>"])
    engine, parts = private(model)
    assert (await engine.complete(ALICE, ask("Hi"))).message.content == "<1>"
    assert parts.journal.intents[0].personal == {}


async def test_a_session_keeps_what_was_said_and_is_masked_anew() -> None:
    model = ScriptedModel(["Hello <1>"])
    engine, parts = private(model)
    first = await engine.complete(ALICE, ask("I am MrX", remember=True))
    await engine.complete(ALICE, ask("And MrY and MrX", remember=True, session_id=first.session_id))
    assert sent(model) == ["I am <1>", "Hello <1>", "And <2> and <1>"]
    said = [message.content for message in parts.sessions.kept[first.session_id or ""].history]
    assert said == ["I am MrX", "Hello MrX", "And MrY and MrX", "Hello MrX"]


async def test_a_fallback_is_masked_by_itself() -> None:
    broken, model = ScriptedModel([UpstreamError()]), ScriptedModel(["<1>"])
    engine, parts = private(broken, model)
    assert (await engine.complete(ALICE, ask("MrX"))).message.content == "MrX"
    assert sent(broken) == sent(model) == ["<1>"]
    await nothing_left(engine, parts)


async def test_a_call_that_fails_while_all_was_held_is_tried_elsewhere() -> None:
    broken, model = ScriptedModel(["<", UpstreamError()]), ScriptedModel(["<1>"])
    engine, parts = private(broken, model)
    assert (await engine.complete(ALICE, ask("MrX"))).message.content == "MrX"
    await nothing_left(engine, parts)


async def test_two_people_share_a_kept_answer_and_get_their_own_names() -> None:
    model = ScriptedModel(["Hello <1>"])
    engine, parts = private(model)
    parts.answers.chosen = CachePolicy(ttl=60, sampled=True)
    for name in ("MrX", "MrY", "MrX"):
        assert (await engine.complete(ALICE, ask(f"I am {name}"))).message.content == f"Hello {name}"
    assert len(model.calls) == 1
    (kept,) = parts.answers.kept.values()
    assert kept.choices[0].message.content == "Hello <1>"
    (turn,) = {tuple(intent.personal.items()) for intent in parts.journal.intents}
    assert turn == (("name", 1),)
    await nothing_left(engine, parts)


async def test_two_people_share_a_running_call_and_get_their_own_names() -> None:
    model = ScriptedModel(["Hello <", 0.02, "1>"])
    engine, parts = private(model)
    parts.answers.chosen = CachePolicy(coalesce=True, sampled=True)
    asked = (engine.complete(ALICE, ask(f"I am {name}")) for name in ("MrX", "MrY"))
    answers = [done.message.content for done in await asyncio.gather(*asked)]
    assert answers == ["Hello MrX", "Hello MrY"] and len(model.calls) == 1
    await nothing_left(engine, parts)


async def test_nobody_gets_a_name_of_another_turns() -> None:
    """Whoever asks with the masks themselves shares the answer, and has no names to put there."""
    model = ScriptedModel(["Hello <1>"])
    engine, parts = private(model)
    parts.answers.chosen = CachePolicy(ttl=60, sampled=True)
    await engine.complete(ALICE, ask("I am MrX"))
    assert (await engine.complete(ALICE, ask("I am <1>"))).message.content == "Hello <1>"
    assert len(model.calls) == 1


async def test_the_guard_and_plugins_read_what_was_restored() -> None:
    engine, _ = private(ScriptedModel(["Hello <1>"]), run=Run(needs_full_response=True, prefix="say: "))
    assert (await engine.complete(ALICE, ask("MrX"))).message.content == "say: Hello MrX"
    engine, parts = private(ScriptedModel(["Hello <1>"]), words=["MrX!"])
    done = await engine.complete(ALICE, ask("MrX"))
    assert (done.message.content, done.finish_reason) == ("Hello MrX", "stop")
    engine, parts = private(ScriptedModel(["Hello <1>", " and <1>"]), words=["and MrX"])
    done = await engine.complete(ALICE, ask("MrX"))
    assert (done.message.content, done.finish_reason) == ("Hello MrX", "content_filter")
    await nothing_left(engine, parts)


class Vectors(ScriptedModel):
    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[list[str]] = []

    async def embed(self, call: EmbedCall) -> Embedded:
        self.inputs.append(call.inputs)
        return Embedded([[1.0]] * len(call.inputs))


async def test_vectors_are_made_of_masked_texts() -> None:
    model = Vectors()
    engine, parts = private(model)
    messages = [Message("user", text) for text in ("MrX", "MrY", "x")]
    await engine.embed(ALICE, ChatRequest(messages=messages, task="embeddings"))
    assert model.inputs == [["<1>", "<1>", "x"]]
    assert parts.journal.intents[0].messages == messages and parts.journal.intents[0].personal == {"name": 2}


@pytest.mark.parametrize("leave_after", [1, 2, 3])
async def test_a_reader_that_leaves_closes_the_call(leave_after: int) -> None:
    model = ScriptedModel(["Hello <", "1>", 10.0, "!"])
    engine, parts = private(model)
    events = engine.stream(ALICE, ask("MrX"))
    for _ in range(leave_after):
        await anext(events)
    await events.aclose()
    await nothing_left(engine, parts)
    assert parts.journal.states == ["cancelled"]


class Slow(Names):
    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    def masked(self, text: str, known: dict[str, str]) -> str:
        if len(text) >= LONG:
            self.begun.set()
            assert self.over.wait(60)
        return super().masked(text, known)


@pytest.mark.parametrize("how", ["chat", "cancelled", "embeddings"])
async def test_no_turn_waits_while_a_long_text_is_masked(how: str) -> None:
    slow, model = Slow(), Vectors()
    engine, parts = private(model, privacy=slow)
    long = ChatRequest(messages=[Message("user", "x" * LONG)], task="embeddings" if how == "embeddings" else "chat")
    turn: Any = engine.embed(ALICE, long) if how == "embeddings" else engine.complete(ALICE, long)
    masking = asyncio.create_task(turn)
    while not slow.begun.is_set():
        await asyncio.sleep(0.001)
    assert (await engine.complete(ALICE, ask("Hi"))).message.content
    assert not masking.done()
    if how == "cancelled":
        masking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await masking
    slow.over.set()
    if how != "cancelled":
        await masking
    await nothing_left(engine, parts)
