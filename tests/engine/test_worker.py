"""A worker's turns: so many at a time, prepared so many at a time, and a busy tenant's wait in its own line."""

import asyncio

import msgspec
import pytest

from engine.errors import ContentBlocked, Overloaded, RateLimited, UpstreamError
from engine.queueing import Patience, Queue
from engine.types import Delta, End, Message, Usage
from engine.worker import CONTENDED, LEAST, MOST, Worker
from tests.engine.parts import ALICE, Run, ScriptedModel, ask, build, nothing_left
from tests.engine.simulated import simulated

CHARLIE = msgspec.structs.replace(ALICE, tenant_id=2, tenant="globex")


def with_worker(*models, max_turns=2000, patience=None, **named):
    engine, parts = build(*models, **named)
    engine.worker = engine.caller.worker = Worker(Queue(patience=patience), max_turns=max_turns)
    return engine, parts, engine.worker


def idle(worker):
    return worker.turns.running == worker.preparing.running == worker.turns.promised == worker.preparing.promised == 0


async def nothing_held(engine, parts, worker):
    await nothing_left(engine, parts)
    for _ in range(3):  # places to prepare come back with the loop's round
        await asyncio.sleep(0)
    assert idle(worker) and worker.queue.waiting == {"worker": 0, "instance": 0}


async def test_a_turn_that_finds_room_costs_no_task_switch():
    engine, parts, worker = with_worker()
    switched = []
    loop = asyncio.get_running_loop()
    entering = worker.enter

    async def watched(turn):
        loop.call_soon(switched.append, turn)
        await entering(turn)
        assert not switched

    worker.enter = watched
    await engine.complete(ALICE, ask())
    await nothing_held(engine, parts, worker)


async def test_it_runs_so_many_turns_at_a_time_and_the_next_in_order():
    gate = asyncio.Event()
    engine, parts, worker = with_worker(model := ScriptedModel([gate, "Hello"]), max_turns=2)
    turns = [asyncio.ensure_future(engine.complete(ALICE, ask(str(number)))) for number in range(5)]
    await asyncio.sleep(0.05)
    assert len(model.calls) == 2 and worker.queue.waiting["worker"] == 3
    gate.set()
    await asyncio.gather(*turns)
    assert [call.messages[0].content for call in model.calls] == ["0", "1", "2", "3", "4"]
    waited = [intent.decision.get("waited") for intent in parts.journal.intents]
    assert waited[:2] == [None, None] and all(seconds > 0 for seconds in waited[2:])
    await nothing_held(engine, parts, worker)


async def test_a_stream_holds_its_place_until_it_ends():
    gate = asyncio.Event()
    engine, parts, worker = with_worker(ScriptedModel(["Hel", gate, "lo"]), max_turns=1)
    stream = engine.stream(ALICE, ask())
    await anext(stream)
    waiting = asyncio.ensure_future(engine.complete(CHARLIE, ask()))
    await asyncio.sleep(0.02)
    assert not waiting.done() and worker.turns.running == 1 and worker.preparing.running == 0
    await stream.aclose()
    gate.set()
    await waiting
    await nothing_held(engine, parts, worker)


async def test_a_refused_turn_counted_against_nothing():
    engine, parts, worker = with_worker(ScriptedModel([gate := asyncio.Event()]), max_turns=1,
                                        patience=Patience(seconds=0.05))  # fmt: skip
    running = asyncio.ensure_future(engine.complete(ALICE, ask()))
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded) as caught:
        await engine.complete(CHARLIE, ask())
    assert caught.value.retry_after >= 1
    assert parts.limiter.open == 1 and len(parts.journal.intents) == 1 and parts.meter.states == ["failed"]
    gate.set()
    await running
    await nothing_held(engine, parts, worker)


async def test_a_waiting_turn_that_is_cancelled_is_gone_at_once():
    engine, parts, worker = with_worker(ScriptedModel([gate := asyncio.Event(), "x"]), max_turns=1)
    running = asyncio.ensure_future(engine.complete(ALICE, ask()))
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(engine.complete(ALICE, ask()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=0.1)
    assert waiting.cancelled() and worker.queue.waiting["worker"] == 0 and worker.turns.line.size == 0
    gate.set()
    await running
    await nothing_held(engine, parts, worker)


@pytest.mark.parametrize("kind", ["blocked", "plugin", "limited", "failed"])
async def test_it_gives_its_places_back_however_a_turn_ends(kind):
    words = ["Hi"] if kind == "blocked" else []
    run = Run(answer=Message("assistant", "from a plugin")) if kind == "plugin" else None
    model = ScriptedModel([UpstreamError()] if kind == "failed" else ["Hello"])
    engine, parts, worker = with_worker(model, words=words, run=run)
    if kind == "limited":
        parts.limiter.refusal = RateLimited()
    if kind == "plugin":
        await engine.complete(ALICE, ask())
    else:
        with pytest.raises((ContentBlocked, RateLimited, UpstreamError)):
            await engine.complete(ALICE, ask())
    await nothing_held(engine, parts, worker)


async def test_the_pace_follows_the_loop_where_tenants_share_it():
    worker = Worker()
    places = worker.preparing
    for _ in range(100):
        worker.pace.adapt(1.0)
    assert places.limit == MOST  # nobody to be fair to
    for owner in (1, 2):
        places.take(owner)
        places.leave(owner)
    for _ in range(100):
        worker.pace.adapt(1.0)
    assert places.limit == LEAST
    for _ in range(MOST):
        worker.pace.adapt(0.0001, step=1.0)
    assert places.limit == MOST


def test_a_tenant_that_has_stopped_asking_slows_nobody_down():
    now = 100.0
    worker = Worker(Queue(monotonic=lambda: now))
    places = worker.preparing
    for owner in (1, 2):
        places.take(owner)
        places.leave(owner)
    worker.pace.adapt(1.0)
    assert places.limit < MOST
    now += 3 * CONTENDED
    for _ in range(2):
        places.take(1)
        places.leave(1)
        now += CONTENDED
    limit = places.limit
    worker.pace.adapt(1.0)
    assert places.limit > limit


class Working:
    """A model whose answers take a while, and processor time like everything around them."""

    shape = ""
    closed = 0

    def __init__(self, loop):
        self.loop = loop
        self.calls = []

    def bursts(self, call):
        return self.stream(call)

    async def stream(self, call):
        self.loop.spend(0.0006)
        await asyncio.sleep(0.3)
        self.loop.spend(0.0003)
        yield Delta(content="Hello")
        yield End({0: "stop"}, Usage(3, 5))


def times_of(quiet, busy, *, fair=True, seconds=2.0):
    """The quiet tenant's seconds a turn beside so many connections of a busy one, each turn taking three milliseconds
    of the one processor, sorted; and the busy one's turns."""
    with simulated() as loop:
        engine, parts = build(Working(loop))
        worker = engine.worker = engine.caller.worker = Worker(Queue(monotonic=loop.time))
        if not fair:
            worker.preparing.limit = float("inf")
        read, found, others = parts.guard.input, [], []

        def reading(principal, messages):
            loop.spend(0.0009)
            return read(principal, messages)

        parts.guard.input = reading
        starts = loop.time() + 1.0

        async def client(who, times):
            while (began := loop.time()) < starts + seconds:
                loop.spend(0.0006)
                await engine.complete(who, ask())
                loop.spend(0.0006)
                if began > starts:
                    times.append(loop.time() - began)
                await asyncio.sleep(0)

        async def all_of_them():
            busy_ones = [client(ALICE, others) for _ in range(busy)]
            await asyncio.gather(*busy_ones, *(client(CHARLIE, found) for _ in range(quiet)))

        loop.run_until_complete(all_of_them())
        loop.run_until_complete(asyncio.sleep(0.01))
        assert idle(worker)
    return sorted(found), len(others)


def p99(times):
    return times[int(len(times) * 0.99)]


def test_a_tenant_at_fifty_times_its_load_hardly_slows_another_where_the_processor_is_full():
    alone, _ = times_of(3, 0)
    beside, others = times_of(3, 150)
    unfair, as_many = times_of(3, 150, fair=False)
    assert p99(beside) <= 1.2 * p99(alone)
    assert p99(unfair) > 1.4 * p99(alone)
    assert others > 0.9 * as_many
