"""What is lent never lets more pass than the limits say: any order of turns, pauses, stalls and deaths of workers."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.snapshots import Cell
from tests.cast import ACME, tenant_table
from tests.tenants.limits.simulated import World, simulate

WORKERS = 3
REQUESTS, TURNS, TOKENS = 1_500, 300, 60_000

worker = st.integers(0, WORKERS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("turns"), worker, st.sampled_from([1, 5, 20, 60, 200, 700])),
        st.tuples(st.just("end"), worker, st.sampled_from([1, 10, 1000])),
        st.tuples(st.just("traffic"), worker, st.integers(1, 4)),
        st.tuples(st.just("flood"), worker, st.just(0)),
        st.tuples(st.just("spend"), worker, st.just(100)),
        st.tuples(st.just("wait"), st.just(0), st.sampled_from([1, 130, 240, 260, 1500, 20_000, 59_500, 59_800])),
        st.tuples(st.just("stall"), worker, st.sampled_from([130, 240, 260, 700, 5_000, 59_500, 59_800])),
        st.tuples(st.just("die"), worker, st.just(0)),
    ),
    min_size=5,
    max_size=25,
)


@pytest.fixture
def simulated(monkeypatch):
    simulate(monkeypatch)


ALL = {"requests_per_minute": REQUESTS, "concurrent_turns": TURNS, "tokens_per_minute": TOKENS}
PLENTY = 10**12


def run(valkey_url, plan, limits=ALL) -> World:
    async def play() -> World:
        world = World(valkey_url, Cell(tenant_table(ACME.view(**limits))), WORKERS)
        await world.start()
        try:
            for step in plan:
                kind, place, count = step
                await getattr(world, kind)(place, count)
                world.check(REQUESTS, limits.get("concurrent_turns", PLENTY), limits.get("tokens_per_minute", PLENTY))
        finally:
            await world.close()
        return world

    return asyncio.run(play())


@given(plan=steps)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_limit_is_ever_passed(valkey_url, simulated, plan):
    run(valkey_url, plan)


def test_under_traffic_most_turns_ask_nobody(valkey_url, simulated):
    world = run(valkey_url, [("traffic", 0, 20), ("traffic", 1, 20)])
    assert len(world.admitted) == 800 and world.lent > 600


@given(st.integers(1, 3), st.sampled_from([40, 120, 240, 280, 700]), st.integers(59_600, 60_100), st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_minute_holds_more_though_portions_are_used_late(valkey_url, simulated, busy, late, pause, same):
    """What one was lent is used at the last moment, all else at once, and again when the first of it leaves."""
    other = 0 if same else 1
    used_late = [("traffic", 0, busy), ("stall", 0, late), ("turns", 0, 30), ("end", 0, 30)]
    run(valkey_url, [*used_late, ("flood", other, 0), ("wait", 0, pause), ("flood", other, 0), ("flood", 2, 0)])


BUSY = [("traffic", 0, 3), *[("turns", 0, 60), ("wait", 0, 130)] * 8]
PLANS = {
    "what is lent is missing from a full bucket": [
        ("trickle", 0, 5),
        ("stall", 0, 240),
        ("sips", 0, 40),
        ("spend", 1, 5),
    ],
    "tokens lent long ago are good for nothing": [
        ("trickle", 0, 5),
        ("stall", 0, 20_000),
        ("spend", 1, 5),
        ("sips", 0, 40),
    ],
    "no slot is handed out twice": BUSY,
    "slots of the dead are free again, not before": [*BUSY, ("die", 0, 0), ("turns", 1, 700), ("wait", 0, 30_100)],
}


@pytest.mark.parametrize("name", PLANS)
def test_in_a_corner(valkey_url, simulated, name):
    world = run(valkey_url, PLANS[name])
    assert world.lent


def test_requests_lent_long_ago_are_good_for_nothing_where_nothing_else_is_limited(valkey_url, simulated):
    late = [("traffic", 0, 3), ("stall", 0, 59_000), ("turns", 0, 30), ("end", 0, 30), ("flood", 1, 0)]
    world = run(valkey_url, [*late, ("wait", 0, 1_400), ("flood", 1, 0)], {"requests_per_minute": REQUESTS})
    assert world.lent and len(world.admitted) > REQUESTS
