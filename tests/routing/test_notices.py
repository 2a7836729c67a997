import asyncio

import pytest

from engine.errors import StoreUnavailable, UpstreamBusy, UpstreamError
from engine.snapshots import Cell
from routing.notices import STREAM, NoticeBoard
from routing.router import RuleRouter
from routing.table import RoutingTable
from tenants.valkey import Connection
from tests.cast import ALICE
from tests.routing.fleet import Clock, ask_of, entry


class Worker:
    """A process of its own, as far as routing goes."""

    def __init__(self, url, clock, **fields):
        self.store = Connection(url)
        self.cell = Cell(RoutingTable([entry(1, "a", **fields), entry(2, "b")]))
        self.board = NoticeBoard(self.store, self.cell, monotonic=clock)
        self.router = RuleRouter(self.cell, tell=self.board.tell, clock=clock, monotonic=clock)

    def call(self, error=None, model="a"):
        request, messages = ask_of(model)
        self.router.choose(ALICE.principal, request, messages, {}).outcome(error)

    def health(self, number=1):
        return self.cell.value.entries[number].health


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def workers(valkey_url, clock):
    found = [Worker(valkey_url, clock) for _ in range(3)]
    yield found
    for worker in found:
        await worker.store.close()


async def test_what_one_worker_finds_out_all_know(workers, clock):
    first, second, third = workers
    for _ in range(3):
        first.call(UpstreamError())
    first.call(UpstreamBusy(retry_after=9), model="b")
    await first.store.call("PING")
    for worker in (second, third):
        await worker.board.read()
        assert worker.health(1).breaker.blocks(clock.now + 1.5)
        assert 8 < worker.health(2).paused_until - clock.now <= 9
        assert worker.health(1).failures == 0
    clock.now += 3
    for _ in range(3):
        second.call()
    await second.store.call("PING")
    for worker in (first, third):
        await worker.board.read()
        assert not worker.health(1).breaker.is_open


async def test_a_worker_that_starts_later_learns_what_still_holds(workers, clock):
    first, second, _ = workers
    first.call(UpstreamBusy(retry_after=0.02), model="b")
    first.call(UpstreamBusy(retry_after=50))
    await first.store.call("PING")
    await asyncio.sleep(0.05)
    await second.board.read()
    assert 49 < second.health(1).paused_until - clock.now < 50
    assert second.health(2).paused_until <= clock.now


async def test_a_slow_instance_is_tried_by_one_for_all(workers, clock):
    first, second, third = workers
    for worker in workers:
        for number, seconds in ((1, 2.0), (2, 0.2)):
            health = worker.health(number)
            health.usual = 0.2
            health.first_token(health.begin(clock.now - seconds), clock.now)
    clock.now += 15
    assert second.health().expected(clock.now) < 1
    route = first.router.choose(ALICE.principal, *ask_of("a", stream=True), {})
    first.health().usual = 0.2  # of the others, in a pool it shares with them
    clock.now += 2
    route.first_token()
    await first.store.call("PING")
    for worker in (second, third):
        await worker.board.read()
        assert worker.health().expected(clock.now) == pytest.approx(2.0, rel=0.05)


async def test_it_adopts_nothing_twice_and_nothing_of_its_own(workers, clock):
    first, second, _ = workers
    for _ in range(3):
        first.call(UpstreamError())
    await first.store.call("PING")
    await second.board.read()
    second.health().breaker.close(clock.now)
    first.health().breaker.close(clock.now)
    for worker in (first, second):
        await worker.board.read()
        assert not worker.health().breaker.is_open


async def test_a_changed_instance_starts_with_a_good_name(workers, valkey_url, clock):
    first = workers[0]
    changed = Worker(valkey_url, clock, fingerprint="another key")
    for _ in range(3):
        first.call(UpstreamError())
    await first.store.call("PING")
    await changed.board.read()
    assert not changed.health().breaker.is_open
    await changed.store.close()


async def test_it_steps_over_what_it_does_not_understand(workers, clock):
    first, second, _ = workers
    await first.store.call("XADD", STREAM, "*", "notice", "{}")
    for _ in range(3):
        first.call(UpstreamError())
    await first.store.call("PING")
    await second.board.read()
    assert second.health().breaker.is_open


async def test_it_polls_and_stops(workers):
    first, second, _ = workers
    second.board.start()
    for _ in range(3):
        first.call(UpstreamError())
    async with asyncio.timeout(30):
        while not second.health().breaker.is_open:
            await asyncio.sleep(0.01)
    await second.board.stop()


async def test_routing_does_not_mind_a_store_that_is_away(clock, tmp_path):
    worker = Worker(f"unix://{tmp_path}/nobody", clock)
    worker.board.start()
    for _ in range(3):
        worker.call(UpstreamError())
    with pytest.raises(StoreUnavailable):
        await worker.board.read()
    await asyncio.sleep(0)
    assert worker.health().breaker.is_open
    await worker.board.stop()
    await worker.store.close()
