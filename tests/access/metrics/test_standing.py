import asyncio
import time

import msgspec
import pytest

from access.metrics import Metrics
from access.metrics.asking import Question
from access.metrics.standing import Platform, budgets, sessions, store_up, watch
from engine.errors import StoreUnavailable, UpstreamError
from engine.snapshots import Cell
from plugins.outbox.figures import KEY, Figure
from routing.table import RoutingTable
from sessions_app.layout import idle_key, idle_member
from tenants.isolation import Stores
from tenants.limits import Limits
from tests.cast import ACME, GLOBEX, tenant_table
from tests.routing.fleet import entry
from tests.tenants.limits.spending import RecordedSpending


@pytest.fixture
def tenants():
    return Cell(tenant_table(ACME.view(money_per_day=1_000_000, money_per_month=10_000_000)))


@pytest.fixture
async def stores(valkey_url, tenants):
    stores = Stores([valkey_url], tenants)
    yield stores
    await stores.close()


@pytest.fixture
def platform(stores, tenants):
    records = RecordedSpending()
    records.add(ACME.id, 250_000)
    limits = Limits(stores, tenants, spending=records)
    yield Platform(stores, tenants, limits)
    limits.close()


class NoStores:
    def platform(self):
        return None


def told(metrics):
    return metrics.book.gauges()


def test_instances_are_told_of_by_name_and_label():
    first, second, own = entry(1, "m", weight=3), entry(2, "m", weight=1), entry(3, "m", owner="acme", tenant_id=1)
    entries = [msgspec.structs.replace(first, label="a"), msgspec.structs.replace(second, label="b"), own]
    metrics = Metrics()
    watch(metrics, Cell(RoutingTable(entries)), Platform(NoStores(), None, None), lambda: 2)
    call = first.health.begin(time.monotonic())
    gauges = told(metrics)
    assert gauges["clawdbot_instance_weight"] == {("m (a)", "m"): 3, ("m (b)", "m"): 1, ("acme: m", "m"): 1}
    assert set(gauges["clawdbot_instance_breaker"].values()) == {0}
    assert gauges["clawdbot_instance_in_flight"]["m (a)",] == 1 and gauges["clawdbot_streams_open"] == {(): 2}
    first.health.end(call, None, time.monotonic())
    now = time.monotonic()
    for _ in range(3):
        second.health.end(second.health.begin(now), UpstreamError(), now)
    gauges = told(metrics)
    assert gauges["clawdbot_instance_weight"]["m (b)", "m"] == 0
    assert gauges["clawdbot_instance_breaker"]["m (b)", "m"] in {1, 2}
    second.health.breaker.open_until = float("inf")
    assert told(metrics)["clawdbot_instance_breaker"]["m (b)", "m"] == 2
    second.health.breaker.open_until = float("-inf")
    assert told(metrics)["clawdbot_instance_breaker"]["m (b)", "m"] == 1


async def test_it_tells_how_much_of_budgets_is_used(platform, tenants):
    found = await budgets(platform.limits, tenants, 10)()
    assert found == {"clawdbot_budget_used_ratio": {("acme", "day"): 0.25, ("acme", "month"): 0.025}}
    assert await budgets(platform.limits, tenants, 0)() == {"clawdbot_budget_used_ratio": {}}
    tenants.swap(tenant_table(ACME.view(money_per_day=0)))
    assert (await budgets(platform.limits, tenants, 10)())["clawdbot_budget_used_ratio"] == {("acme", "day"): 1}


async def test_it_counts_the_sessions_of_all_tenants(stores, tenants):
    for tenant, user, number in ((ACME, "alice", 1), (ACME, "bob", 2), (GLOBEX, "charlie", 3)):
        key = idle_key(tenant.id, user)
        await stores.tenant(tenant.id).call("ZADD", key, 1, idle_member(user, f"s{number}"))
    assert await sessions(stores, tenants, 10)() == {"clawdbot_sessions_live": {(): 3}}
    assert await sessions(stores, tenants, 1)() == {}


async def test_it_tells_whether_the_store_answers_and_what_lies_there(stores, platform):
    metrics = Metrics()
    watch(metrics, Cell(RoutingTable()), platform, lambda: 0)
    figure = Figure("acme", "hook", 3, 4.5, 6, 7, 8, failing=True)
    await stores.platform().call("SET", KEY, msgspec.json.encode([figure]))
    facts = await metrics.platform.read()
    assert facts["clawdbot_store_up"] == {(): 1}
    assert facts["clawdbot_outbox_lag_seconds"] == {("acme", "hook"): 4.5}
    assert facts["clawdbot_outbox_failing"] == {("acme", "hook"): 1}
    assert facts["clawdbot_budget_used_ratio"] and facts["clawdbot_sessions_live"]


@pytest.mark.parametrize("failure", [StoreUnavailable(), OSError(), asyncio.Event()])
async def test_a_store_that_is_away_is_told_of(monkeypatch, failure):
    monkeypatch.setattr("access.metrics.asking.PATIENCE", 0.02)

    class Away:
        def platform(self):
            return self

        async def call(self, word):
            if isinstance(failure, BaseException):
                raise failure
            await failure.wait()

    question = Question(store_up(Away()), 0.0, {"clawdbot_store_up": {(): 0.0}})
    for _ in range(2):
        assert await question.answer() == {"clawdbot_store_up": {(): 0.0}}
    if isinstance(failure, asyncio.Event):
        failure.set()
        await asyncio.sleep(0)


async def test_what_takes_long_is_there_for_the_next_reader(monkeypatch):
    monkeypatch.setattr("access.metrics.asking.PATIENCE", 0.02)
    gate, asked = asyncio.Event(), []

    async def ask():
        asked.append(1)
        await gate.wait()
        return {"clawdbot_sessions_live": {(): 9.0}}

    question = Question(ask, 60.0, {})
    assert await question.answer() == await question.answer() == {}
    gate.set()
    assert await question.answer() == await question.answer() == {"clawdbot_sessions_live": {(): 9.0}}
    assert len(asked) == 1
