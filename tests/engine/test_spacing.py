"""Pieces that come close together leave together: in order, whole, none held for long and the first not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import spacing
from engine.errors import UpstreamError
from engine.folding import Fold
from engine.spacing import Spaced, joined
from engine.types import Burst, Delta, End
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left

INTERVAL = 0.02


class Clock:
    """Time that passes when a test says so; `waiting` when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.waiting = asyncio.Event()

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def call_soon(self, work: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(work)

    def call_at(self, at: float, work: Callable[..., None], *arguments: Any) -> Any:
        entry = (at, lambda: work(*arguments))
        self.due.append(entry)
        self.waiting.set()
        return Cancelling(self, entry)

    async def until_asked(self) -> None:
        await asyncio.wait_for(self.waiting.wait(), 30)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.waiting.clear()
        for entry in [entry for entry in self.due if entry[0] <= self.now]:
            self.due.remove(entry)
            entry[1]()


class Cancelling:
    def __init__(self, clock: Clock, entry: Any) -> None:
        self.clock, self.entry = clock, entry

    def cancel(self) -> None:
        if self.entry in self.clock.due:
            self.clock.due.remove(self.entry)


class Source:
    """A model whose events a test sends."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = 0

    def says(self, *items: Any) -> None:
        for item in items:
            self.queue.put_nowait(Delta(item) if isinstance(item, str) else item)

    async def events(self) -> Any:
        try:
            while True:
                item = await self.queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, End):
                    return
        finally:
            await asyncio.sleep(0)
            self.closed += 1


class Reading:
    """`heard` are the events that left, each with the time."""

    def __init__(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.fold = Fold()
        self.spaced = Spaced(source.events(), INTERVAL, self.fold)
        self.spaced._loop = self.clock  # type: ignore[assignment]
        self.heard: list[tuple[Any, float]] = []
        self.error: Exception | None = None
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async with aclosing(self.spaced):
                async for event in self.spaced:
                    self.heard.append((event, round(self.clock.now - 100, 3)))
                    if isinstance(event, End):
                        return
                    for delta in event.deltas if isinstance(event, Burst) else [event]:
                        self.fold.add(delta)
        except UpstreamError as error:
            self.error = error

    async def settled(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def texts(self) -> list[tuple[str, float]]:
        return [(event.content, at) for event, at in self.heard if isinstance(event, Delta)]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def reading(source: Source, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Reading(source, monkeypatch)
    yield made
    made.task.cancel()
    await asyncio.wait([made.task])


async def test_the_first_leaves_at_once_and_what_follows_closely_leaves_together(source, reading):
    source.says("a")
    await reading.settled()
    assert reading.texts == [("a", 0.0)]
    source.says("b")
    await reading.clock.until_asked()
    reading.clock.passes(0.005)
    source.says("c")
    await reading.settled()
    assert reading.texts == [("a", 0.0)]
    reading.clock.passes(0.015)
    await reading.settled()
    assert reading.texts == [("a", 0.0), ("bc", 0.02)]


async def test_what_comes_late_leaves_at_once(source, reading):
    source.says("a")
    await reading.clock.until_asked()
    reading.clock.passes(0.5)
    await reading.settled()
    source.says("b")
    await reading.settled()
    assert reading.texts == [("a", 0.0), ("b", 0.5)]


async def test_a_timer_that_is_early_is_believed(source, reading):
    """Asking for the rest of a millisecond again and again would keep the loop busy until it is over."""
    source.says("a")
    await reading.settled()
    source.says("b")
    await reading.clock.until_asked()
    ((at, wake),) = reading.clock.due
    assert round(at - reading.clock.now, 6) == INTERVAL
    reading.clock.now = at - 0.0004
    wake()
    await reading.settled()
    assert [text for text, _ in reading.texts] == ["a", "b"]


async def test_a_source_that_makes_each_piece_when_it_is_asked_is_not_slowed_down(source, monkeypatch):
    async def making():
        for text in "abcd":
            await asyncio.sleep(0)
            ready = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(ready.set_result, None)
            await ready
            yield Delta(text)
        yield End({0: "stop"})

    monkeypatch.setattr(source, "events", making)
    reading = Reading(source, monkeypatch)
    await reading.task
    assert "".join(text for text, _ in reading.texts) == "abcd"
    assert {at for _, at in reading.heard} == {0.0}


async def test_an_end_that_is_there_holds_nothing_up(source, reading):
    source.says("a")
    await reading.settled()
    source.says("b", "c", End({0: "stop"}))
    await reading.task
    assert reading.texts == [("a", 0.0), ("bc", 0.0)]
    assert isinstance(reading.heard[-1][0], End) and reading.heard[-1][1] == 0.0
    assert source.closed == 1


async def test_what_a_source_has_already_is_not_waited_for(source, reading):
    source.says("a", "b", "c", "d", End({0: "stop"}))
    await reading.task
    assert "".join(text for text, _ in reading.texts) == "abcd"
    assert {at for _, at in reading.heard} == {0.0}


async def test_what_came_before_an_error_leaves_before_it(source, reading):
    source.says("a")
    await reading.settled()
    source.says("b", UpstreamError("gone"))
    await reading.task
    assert [text for text, _ in reading.texts] == ["a", "b"]
    assert reading.error is not None and source.closed == 1


@pytest.mark.parametrize("late", [False, True])
async def test_who_is_cancelled_while_it_waits_leaves_nothing_open(source, reading, late):
    source.says("a")
    await reading.clock.until_asked()
    if late:
        reading.clock.passes(1.0)
        await reading.settled()
    reading.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading.task
    assert source.closed == 1 and not reading.clock.due


async def test_it_is_closed_while_its_source_waits(source):
    spaced = Spaced(source.events(), INTERVAL, Fold())
    source.says("a")
    assert await anext(spaced) == Delta("a")  # and has looked for more
    assert spaced._pull is not None
    await spaced.aclose()
    assert source.closed == 1


async def test_a_source_that_is_never_done_does_not_keep_what_it_said(source):
    spaced = Spaced(source.events(), 3600, Fold())
    source.says(*["x"] * (spacing.MOST + 10))
    event = await anext(spaced)
    assert event == Delta("x" * spacing.MOST)
    await spaced.aclose()


# What is joined --------------------------------------------------------------------------------------------------


def argument(text: str, call: int = 0, index: int = 0) -> Delta:
    return Delta(tool_calls=[{"index": call, "function": {"arguments": text}}], index=index)


HEAD = Delta(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}])


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([Delta("a"), Delta("b"), Delta("c")], [Delta("abc")]),
        ([Delta("a"), Delta("b", index=1), Delta("c")], [Delta("a"), Delta("b", index=1), Delta("c")]),
        ([Delta(reasoning="a"), Delta(reasoning="b"), Delta("c")], [Delta(reasoning="ab"), Delta("c")]),
        ([Delta(refusal="a"), Delta(refusal="b")], [Delta(refusal="ab")]),
        ([HEAD, argument("a"), argument("b")], [HEAD, argument("ab")]),
        ([argument("a"), argument("b", 1), argument("c", 1)], [argument("a"), argument("bc", 1)]),
        ([argument("a"), argument("b", index=1)], [argument("a"), argument("b", index=1)]),
        ([Delta("a"), Delta("b", logprobs={"content": []}), Delta("c")],) * 2,
        ([Delta("a"), Delta("b", reasoning="c"), Delta("d")],) * 2,
        ([Delta(reasoning="a"), Delta(extra_content={"thoughts": [{}]}), Delta(reasoning="b")],) * 2,
        ([], []),
    ],
)
def test_neighbours_of_one_text_are_one(deltas, expected):
    assert joined(deltas) == expected


pieces = st.sampled_from(
    [Delta("a"), Delta("b", index=1), Delta(reasoning="c"), Delta(refusal="d"), HEAD, argument("{"), argument("}", 1),
     argument("x", index=1), Delta("e", reasoning="f"), Delta("g", extra_content={"thoughts": [1]})]
)  # fmt: skip


@given(st.lists(pieces, max_size=12))
def test_nothing_is_lost_and_nothing_changes_places(deltas):
    one, other = Fold(), Fold()
    for delta in deltas:
        one.add(delta)
    for delta in joined(deltas):
        other.add(delta)
    assert one.choices({}, "stop") == other.choices({}, "stop")
    order = [(delta.index, *[name for name in ("content", "reasoning") if getattr(delta, name)]) for delta in deltas]
    after = [
        (delta.index, *[name for name in ("content", "reasoning") if getattr(delta, name)]) for delta in joined(deltas)
    ]
    assert _runs(order) == _runs(after)


def _runs(kinds: list[Any]) -> list[Any]:
    return [kind for place, kind in enumerate(kinds) if not place or kinds[place - 1] != kind]


# In a turn -------------------------------------------------------------------------------------------------------


async def said(engine: Any, request: Any) -> list[str]:
    return [event.content async for event in engine.stream(ALICE, request) if isinstance(event, Delta)]


@pytest.mark.parametrize(
    ("tenants", "fields", "expected"),
    [
        (0, {"stream_interval": 50}, ["a", "bcd"]),
        (50, {}, ["a", "bcd"]),
        (50, {"stream_interval": 0}, ["a", "b", "c", "d"]),
        (0, {}, ["a", "b", "c", "d"]),
    ],
)
async def test_a_request_says_or_its_tenant_does(tenants, fields, expected):
    engine, parts = build(ScriptedModel(["a", "b", "c", "d"]))
    engine._interval = {ALICE.tenant_id: tenants}.__getitem__
    assert await said(engine, ask(stream=True, resumable=True, **fields)) == expected
    [completion] = parts.journal.completions
    assert completion.choices[0].message.content == "abcd"
    assert completion.cuts == [len(piece) for piece in expected]
    await nothing_left(engine, parts)


async def test_who_leaves_a_spaced_stream_cancels_the_call():
    engine, parts = build(ScriptedModel(["a", asyncio.Event()]))
    async with aclosing(engine.stream(ALICE, ask(stream=True, stream_interval=50))) as turn:
        async for event in turn:
            if isinstance(event, Delta):
                break
    await nothing_left(engine, parts)
    assert parts.journal.completions[0].state == "cancelled" and parts.models[0].closed == 1
