import asyncio

import pytest

from adapters.base import AdapterConfig
from adapters.scripted import HANG, ScriptedAdapter
from engine.errors import NotSupported, UpstreamBusy, UpstreamError
from engine.snapshots import Cell
from routing import probing
from routing.breaker import Change
from routing.health import Health
from routing.notices import NoticeBoard
from routing.probing import KEY, LEASE, Prober
from routing.table import Entry, RoutingTable
from tenants.valkey import Connection
from tests.routing.fleet import Clock, entry


class Probed(ScriptedAdapter):
    """Answers probes with one `outcome` after the other, the last one from then on."""

    capabilities = ScriptedAdapter.capabilities | {"probe"}

    def __init__(self, *outcomes):
        super().__init__(AdapterConfig())
        self.outcomes = list(outcomes) or [None]
        self.probes = 0
        self.running = 0

    async def probe(self):
        self.probes += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        self.running += 1
        try:
            if outcome is HANG:
                await asyncio.Event().wait()
            if outcome is not None:
                raise outcome
        finally:
            self.running -= 1


def probed(number, adapter, **fields):
    made = entry(number, f"m{number}", **{"probe_interval": 10.0, **fields})
    return Entry(instance=made.instance, adapter=adapter, health=Health(jitter=lambda: 0.0))


class Worker:
    """A process of its own. `probe` lets the due probes run to their end."""

    def __init__(self, url, clock, *entries):
        self.store = Connection(url)
        self.clock = clock
        self.cell = Cell(RoutingTable(entries))
        self.told = []
        self.prober = Prober(
            self.store, self.cell, tell=lambda each, change: self.told.append((each.instance.id, change)),
            monotonic=clock, jitter=lambda: 0.5,
        )  # fmt: skip

    async def probe(self, *seconds):
        """At each of these moments from now on."""
        begun = self.clock.now
        for later in seconds or (0.0,):
            self.clock.now = begun + later
            if running := self.prober.probe_due():
                await asyncio.wait(running)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def worker(valkey_url, clock):
    made = []

    def make(*entries, url=valkey_url):
        made.append(Worker(url, clock, *entries))
        return made[-1]

    yield make
    for each in made:
        await each.prober.stop()
        await each.store.close()


async def test_it_asks_those_that_want_it_every_interval(worker):
    asked, quick, silent = Probed(), Probed(), Probed()
    one = worker(
        probed(1, asked), probed(2, quick, probe_interval=2.0), probed(3, silent, probe_interval=None), entry(4, "echo")
    )
    await one.probe(*range(41))
    assert (asked.probes, quick.probes, silent.probes) == (4, 20, 0)
    assert one.told == []


async def test_failed_probes_open_a_breaker_and_good_ones_close_it_before_anybody_asks(worker):
    adapter = Probed(UpstreamError(), UpstreamError(), UpstreamError(), UpstreamError(), None)
    one = worker(probed(1, adapter))
    await one.probe(0, 5, 15, 25)
    assert one.told == [(1, Change("opened", 2.0))] and adapter.probes == 3
    await one.probe(1, 1.9)
    assert adapter.probes == 3
    await one.probe(0.1)
    assert one.told[1:] == [(1, Change("opened", 4.0, level=1))]
    await one.probe(3.9, 4.0, 4.1, 4.5, 4.7, 5.0)
    assert one.told[2:] == [(1, Change("closed"))] and adapter.probes == 7
    health = one.cell.value.entries[1].health
    assert not health.breaker.is_open and health.calls == 0


async def test_it_leaves_who_asks_to_wait_alone(worker):
    adapter = Probed(UpstreamBusy(retry_after=30))
    one = worker(probed(1, adapter))
    await one.probe(0, 5, 15, 25, 34)
    assert adapter.probes == 1 and one.told == [(1, Change("paused", 30.0))]
    await one.probe(2)
    assert adapter.probes == 2


async def test_a_probe_that_takes_too_long_has_failed(worker):
    adapter = Probed(HANG)
    one = worker(probed(1, adapter, timeout=0.01))
    await one.probe(0, 5, 15, 25)
    assert one.told == [(1, Change("opened", 2.0))] and adapter.running == 0


async def test_an_adapter_s_mistake_says_nothing_and_ends_nothing(worker):
    broken, odd, good = Probed(ValueError("oops")), Probed(NotSupported()), Probed()
    one = worker(probed(1, broken), probed(2, odd), probed(3, good))
    await one.probe(0, 5, 15, 25, 35)
    assert (broken.probes, odd.probes, good.probes) == (4, 4, 4)
    assert one.told == []


async def test_it_asks_nobody_who_is_gone_or_disabled_or_changed(worker):
    gone, changed, kept = Probed(HANG), Probed(HANG), Probed(HANG)
    entries = [probed(1, gone, timeout=60), probed(2, changed, timeout=60), probed(3, kept, timeout=60)]
    one = worker(*entries)
    one.prober.probe_due()
    one.clock.now += 5
    assert len(one.prober.probe_due()) == 3
    await asyncio.sleep(0)
    renewed = Probed()
    one.cell.swap(RoutingTable([probed(2, renewed), entries[2]]))
    assert len(one.prober.probe_due()) == 1
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (gone.running, changed.running, kept.running) == (0, 0, 1)
    assert not any(each.health.breaker.probing for each in entries)
    one.clock.now += 20
    one.prober.probe_due()
    await asyncio.sleep(0)
    assert (gone.probes, changed.probes, kept.probes, renewed.probes) == (1, 1, 1, 1)
    one.prober.drop()


async def test_it_asks_only_so_many_at_once(worker, monkeypatch):
    monkeypatch.setattr(probing, "AT_ONCE", 2)
    adapters = [Probed() for _ in range(5)]
    one = worker(*(probed(number, adapter) for number, adapter in enumerate(adapters)))
    await one.probe(0, 5)
    assert sum(adapter.probes for adapter in adapters) == 2
    await one.probe(0, 0)
    assert [adapter.probes for adapter in adapters] == [1] * 5


async def test_one_worker_of_all_asks(worker, valkey_url):
    first, second = worker(), worker()
    assert [await each.prober.leads() for each in (first, second, first, second)] == [True, False, True, False]
    assert 0 < await first.store.call("PTTL", KEY) <= LEASE * 1000
    await first.prober.stop()
    assert await second.prober.leads()
    await first.prober.stop()
    assert not await first.prober.leads()
    await second.store.call("DEL", KEY)  # the lease of one that is gone runs out
    assert await first.prober.leads()


async def test_each_asks_for_itself_while_the_store_is_away(worker, tmp_path):
    first, second = (worker(url=f"unix://{tmp_path}/nobody") for _ in range(2))
    assert await first.prober.leads() and await second.prober.leads()


async def test_it_runs_until_it_is_stopped_and_tells_the_others(worker, valkey_url, monkeypatch):
    monkeypatch.setattr(probing, "TICK", 0.01)
    monkeypatch.setattr(probing, "GAP", 0.0)
    adapter = Probed(UpstreamError(), UpstreamError(), UpstreamError(), HANG)
    one, other = worker(probed(1, adapter, probe_interval=0.01)), worker(probed(1, Probed()))
    boards = [NoticeBoard(each.store, each.cell, monotonic=each.clock) for each in (one, other)]
    one.prober = Prober(one.store, one.cell, tell=boards[0].tell, monotonic=asyncio.get_running_loop().time)
    one.prober.start()
    async with asyncio.timeout(30):
        while not other.cell.value.entries[1].health.breaker.is_open:
            await boards[1].read()
            await asyncio.sleep(0.01)
        while not adapter.running:
            await asyncio.sleep(0.01)
    await one.prober.stop()
    assert adapter.running == 0
    assert await other.prober.leads()
