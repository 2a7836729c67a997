"""Turns of several tenants at instances that take a few calls at a time: the real engine and router, time made up."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import msgspec
import pytest

from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.choosing import Chooser
from engine.errors import Overloaded
from engine.queueing import Patience, Queue
from engine.snapshots import Cell
from engine.types import Delta, End, Instance, Usage
from engine.worker import Worker
from routing.health import Health
from routing.router import RuleRouter
from routing.table import Entry, RoutingTable
from tests.engine.parts import ALICE, ask, build, nothing_left
from tests.engine.simulated import simulated

CHARLIE = msgspec.structs.replace(ALICE, tenant_id=2, tenant="globex")


class Slow(EchoAdapter):
    """Answers after `seconds`, and notes how many of its calls ran at once."""

    def __init__(self, seconds):
        super().__init__(AdapterConfig(), None)
        self.seconds = seconds
        self.running = self.most = self.calls = 0

    async def stream(self, call) -> AsyncGenerator:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds / 2)
            yield Delta(content="Hel")
            await asyncio.sleep(self.seconds / 2)
            yield Delta(content="lo")
            yield End({0: "stop"}, Usage(3, 5))
        finally:
            self.running -= 1


def entry(number, name, adapter, **fields):
    instance = Instance(id=number, name=name, **fields)
    return Entry(instance=instance, adapter=adapter, health=Health(jitter=lambda: 0.0), fingerprint=str(number))


def run(scene, *entries, weights=None, **patience):
    """`scene(bench)` with an engine over these instances; then nothing may be left behind."""

    def share(tenant):
        return (weights or {}).get(tenant, 1)

    with simulated() as loop:
        cell = Cell(RoutingTable(entries))
        engine, parts = build()
        queue = Queue(patience=Patience(**patience), share=share, monotonic=loop.time)
        engine.worker = engine.caller.worker = Worker(queue)
        router = RuleRouter(cell, share=share, clock=loop.time, monotonic=loop.time)
        engine.caller.chooser = Chooser(router, engine.worker)
        bench = SimpleNamespace(engine=engine, parts=parts, loop=loop, cell=cell, queue=queue, table=cell.value)

        async def whole():
            await scene(bench)
            await nothing_left(engine, parts)
            for each in entries:
                places = each.health.places
                assert each.health.in_flight == 0 and places.promised == places.line.size == 0
                assert places.standing().held == {}
            assert queue.waiting == {"worker": 0, "instance": 0}

        loop.run_until_complete(whole())


async def timed(bench, who, model="a", **fields):
    began = bench.loop.time()
    done = await bench.engine.complete(who, ask(model=model, **fields))
    return bench.loop.time() - began, done


async def asking(bench, who, seconds, found, **fields):
    """One after the other."""
    ends = bench.loop.time() + seconds
    while bench.loop.time() < ends:
        try:
            found.append((await timed(bench, who, **fields))[0])
        except Overloaded as error:
            found.append(error)
            await asyncio.sleep(0.1)


def p99(times):
    assert not [each for each in times if isinstance(each, Exception)], "refused"
    return sorted(times)[int(len(times) * 0.99)]


@pytest.mark.parametrize("places", [4, 8, 40])
def test_a_tenant_at_fifty_times_its_load_neither_slows_another_nor_makes_it_fail(places):
    async def scene(bench):
        alone, beside, flood = [], [], []
        await asyncio.gather(*(asking(bench, CHARLIE, 20, alone) for _ in range(2)))
        busy = [asking(bench, ALICE, 45, flood) for _ in range(100)]
        quiet = [later(bench, 5, asking(bench, CHARLIE, 30, beside)) for _ in range(2)]
        await asyncio.gather(*busy, *quiet)
        assert len(beside) > 50 and p99(beside) <= 1.2 * p99(alone)
        served = [each for each in flood if not isinstance(each, Exception)]
        assert len(served) > 0.7 * 45 * places / 0.4  # what was kept for the quiet one is little

    run(scene, entry(1, "a", Slow(0.4), max_concurrency=places))


async def later(bench, seconds, work):
    await asyncio.sleep(seconds)
    await work


def test_two_that_want_all_share_by_weight():
    async def scene(bench):
        found = {ALICE: [], CHARLIE: []}
        work = [asking(bench, who, 60, times, max_tokens=100) for who, times in found.items() for _ in range(30)]
        await asyncio.gather(*work)
        mine, theirs = (len([one for one in times if not isinstance(one, Exception)]) for times in found.values())
        assert theirs / mine == pytest.approx(3, rel=0.1)

    run(scene, entry(1, "a", Slow(0.2), max_concurrency=4), weights={2: 3})


def test_it_never_calls_more_than_there_are_places():
    slow = Slow(0.3)

    async def scene(bench):
        await asyncio.gather(*(timed(bench, who) for who in [ALICE, CHARLIE] * 20))
        assert slow.most == 3 and slow.calls == 40

    run(scene, entry(1, "a", slow, max_concurrency=3))


def test_a_free_instance_is_taken_before_anybody_waits():
    one, other = Slow(1.0), Slow(1.0)

    async def scene(bench):
        times = await asyncio.gather(*(timed(bench, ALICE) for _ in range(4)))
        assert [seconds for seconds, _ in times] == pytest.approx([1.0] * 4)
        assert bench.queue.waiting["instance"] == 0 and (one.most, other.most) == (2, 2)

    run(scene, entry(1, "a", one, max_concurrency=2), entry(2, "a", other, max_concurrency=2))


def test_the_decision_says_that_it_waited_and_how_long():
    async def scene(bench):
        await asyncio.gather(timed(bench, ALICE), timed(bench, CHARLIE))
        first, second = (intent.decision for intent in bench.parts.journal.intents)
        assert "waited" not in first and second["waited"] == pytest.approx(1.0)
        assert second["instance"] == "a"

    run(scene, entry(1, "a", Slow(1.0), max_concurrency=1))


def test_a_refusal_is_early_and_honest_and_on_record():
    async def scene(bench):
        await timed(bench, ALICE)
        turns = [asyncio.ensure_future(timed(bench, ALICE)) for _ in range(3)]
        await asyncio.sleep(0.1)
        began = bench.loop.time()
        with pytest.raises(Overloaded) as caught:
            await timed(bench, ALICE)
        assert bench.loop.time() == began
        assert 8 <= caught.value.retry_after <= 20
        refused = bench.parts.journal.intents[-1]
        assert refused.decision["candidates"][0]["removed"] == "max_concurrency" and refused.decision["waited"] == 0
        assert bench.parts.journal.states[-1] == "failed"
        await asyncio.gather(*turns)

    run(scene, entry(1, "a", Slow(4.0), max_concurrency=1), seconds=8.5)


def test_who_leaves_while_it_waits_leaves_nothing_and_holds_nobody_up():
    async def scene(bench):
        first = asyncio.ensure_future(timed(bench, ALICE))
        await asyncio.sleep(0.1)
        gone = asyncio.ensure_future(timed(bench, ALICE))
        stays = asyncio.ensure_future(timed(bench, CHARLIE))
        await asyncio.sleep(0.1)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled() and bench.queue.waiting["instance"] == 1
        await first
        assert (await stays)[0] == pytest.approx(1.9)

    run(scene, entry(1, "a", Slow(1.0), max_concurrency=1))


def test_a_stream_that_is_left_gives_its_place_to_the_next_at_once():
    async def scene(bench):
        stream = bench.engine.stream(ALICE, ask(model="a"))
        await anext(stream)
        await anext(stream)
        waiting = asyncio.ensure_future(timed(bench, CHARLIE))
        await asyncio.sleep(0.01)
        await stream.aclose()
        assert (await waiting)[0] == pytest.approx(1.01)

    run(scene, entry(1, "a", Slow(1.0), max_concurrency=1))


def test_more_places_are_used_as_soon_as_they_are_there():
    async def scene(bench):
        turns = [asyncio.ensure_future(timed(bench, ALICE)) for _ in range(4)]
        await asyncio.sleep(0.1)
        [old] = bench.table.entries.values()
        wider = msgspec.structs.replace(old, instance=msgspec.structs.replace(old.instance, max_concurrency=None))
        bench.cell.swap(RoutingTable([wider], balances=bench.table.balances))
        await timed(bench, CHARLIE)
        assert max(seconds for seconds, _ in await asyncio.gather(*turns)) < 2.2

    limited = entry(1, "a", Slow(2.0), max_concurrency=1)

    async def checked(bench):
        await scene(bench)
        limited.health.bound(1, alone=False)  # for the books below

    run(checked, limited)
