"""Waiting for a place: bounded, refused early, given up at once, and nothing left behind. Time is made up."""

import asyncio
import random

import msgspec
import pytest

from engine.errors import Overloaded
from engine.places import Places
from engine.queueing import Patience, Queue
from tests.engine.parts import ALICE
from tests.engine.simulated import simulated

CHARLIE = msgspec.structs.replace(ALICE, tenant_id=2, tenant="globex")


class Seen:
    def __init__(self):
        self.outcomes = []

    def waited(self, *, tenant, place, outcome, seconds):
        self.outcomes.append((tenant, outcome, round(seconds, 3)))


def run(scene, **patience):
    """`scene(queue, seen, loop)` on a loop whose time is made up."""
    seen = Seen()
    with simulated() as loop:
        queue = Queue(patience=Patience(**patience), meter=seen, monotonic=loop.time)

        async def whole():
            await scene(queue, seen, loop)
            assert queue.waiting == {"worker": 0, "instance": 0}

        loop.run_until_complete(whole())


def idle(made):
    return (made.running, made.promised, made.line.size, made.standing().held) == (0, 0, 0, {})


async def hold(queue, lines, who, seconds, cost=300):
    """A turn: waits for a place, holds it, gives it back. Returns how long it waited."""
    began = queue.monotonic()
    place = next((line for line in lines if line.may(who.tenant_id)), None)
    if place is None:
        place = await queue.wait("instance", lines, who, cost)
        place.claim(who.tenant_id)
    place.take(who.tenant_id)
    waited = queue.monotonic() - began
    try:
        await asyncio.sleep(seconds)
    finally:
        place.leave(who.tenant_id, cost, seconds)
    return waited


def test_a_place_that_is_left_goes_to_the_next_at_once():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        waited = await asyncio.gather(*(hold(queue, [made], ALICE, 1.0) for _ in range(4)))
        assert waited == pytest.approx([0.0, 1.0, 2.0, 3.0])
        assert idle(made) and [outcome for _, outcome, _ in seen.outcomes] == ["served"] * 3

    run(scene)


def test_nobody_takes_a_place_that_was_promised():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        made.take(1)
        waiting = asyncio.ensure_future(hold(queue, [made], CHARLIE, 1.0))
        await asyncio.sleep(0.1)
        made.leave(1)
        assert not made.may(1) and not made.may(2)  # before the one who waits has woken
        await waiting
        assert idle(made)

    run(scene)


def test_a_quiet_tenant_does_not_wait_for_a_busy_ones_line():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        busy = [asyncio.ensure_future(hold(queue, [made], ALICE, 0.1)) for _ in range(60)]
        await asyncio.sleep(0.05)
        assert await hold(queue, [made], CHARLIE, 0.1) <= 0.26
        assert max(await asyncio.gather(*busy)) > 5
        assert idle(made)

    run(scene)


def test_it_is_refused_at_once_where_the_wait_would_be_too_long():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        await hold(queue, [made], ALICE, 4.0)
        made.take(1)
        line = [asyncio.ensure_future(hold(queue, [made], ALICE, 4.0)) for _ in range(2)]
        await asyncio.sleep(0)
        began = loop.time()
        with pytest.raises(Overloaded) as caught:
            await queue.wait("instance", [made], ALICE, 300)
        assert loop.time() == began and caught.value.retry_after == pytest.approx(12.0)
        assert ("acme", "foreseen", 0.0) in seen.outcomes
        made.leave(1)
        await asyncio.gather(*line)
        assert idle(made)

    run(scene, seconds=9.0)


def test_it_waits_no_longer_than_it_may():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        made.take(1)
        began = loop.time()
        with pytest.raises(Overloaded) as caught:
            await queue.wait("instance", [made], ALICE, 300, 2.0)
        assert loop.time() - began == pytest.approx(3.0) and caught.value.retry_after >= 1
        assert seen.outcomes == [("acme", "too_late", 3.0)]
        made.leave(1)
        assert idle(made)

    run(scene, seconds=5.0)


def test_a_tenants_line_is_bounded_and_others_are_not_refused_for_it():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        turns = [asyncio.ensure_future(hold(queue, [made], ALICE, 0.1)) for _ in range(10)]
        await asyncio.sleep(0)
        assert await hold(queue, [made], CHARLIE, 0.1) < 0.5
        ended = await asyncio.gather(*turns, return_exceptions=True)
        assert sum(isinstance(each, Overloaded) for each in ended) == 6
        assert idle(made)

    run(scene, line=3)


def test_where_too_many_wait_the_longest_line_makes_way():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        turns = [asyncio.ensure_future(hold(queue, [made], ALICE, 0.1)) for _ in range(6)]
        await asyncio.sleep(0)
        waited = await hold(queue, [made], CHARLIE, 0.1)
        ended = await asyncio.gather(*turns, return_exceptions=True)
        assert waited < 0.5 and sum(isinstance(each, Overloaded) for each in ended) == 1
        assert isinstance(ended[-1], Overloaded) and "line_full" in [outcome for _, outcome, _ in seen.outcomes]
        assert idle(made)

    run(scene, line=5, lines=5)


def test_who_leaves_the_line_leaves_nothing_behind():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        made.take(1)
        gone = asyncio.ensure_future(hold(queue, [made], ALICE, 1.0))
        stays = asyncio.ensure_future(hold(queue, [made], ALICE, 1.0))
        await asyncio.sleep(0.5)
        gone.cancel()
        await asyncio.sleep(0)
        assert gone.cancelled() and made.line.size == 1
        made.leave(1)
        assert await stays == pytest.approx(0.5)
        assert idle(made) and ("acme", "left", 0.5) in seen.outcomes

    run(scene)


def test_who_leaves_in_the_moment_it_is_promised_a_place_hands_it_on():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        made.take(1)
        gone = asyncio.ensure_future(hold(queue, [made], ALICE, 1.0))
        stays = asyncio.ensure_future(hold(queue, [made], CHARLIE, 1.0))
        await asyncio.sleep(0.5)
        made.leave(1)
        gone.cancel()
        assert await stays == pytest.approx(0.5)
        assert idle(made)

    run(scene)


def test_it_takes_whichever_place_is_left_first():
    async def scene(queue, seen, loop):
        one, other = Places(1, monotonic=loop.time), Places(1, monotonic=loop.time)
        one.take(1)
        other.take(1)
        waiting = asyncio.ensure_future(queue.wait("instance", [one, other], ALICE, 300))
        await asyncio.sleep(0.1)
        other.leave(1)
        assert await waiting is other and one.line.size == other.line.size == 0
        other.claim(1)
        one.leave(1)
        assert idle(one) and idle(other)

    run(scene)


def test_a_limit_that_was_raised_lets_those_in_who_wait():
    async def scene(queue, seen, loop):
        made = Places(1, monotonic=loop.time)
        made.take(1)
        waiting = asyncio.ensure_future(hold(queue, [made], ALICE, 1.0))
        await asyncio.sleep(0.01)
        made.limit = 2
        assert await waiting < 0.3
        made.leave(1)
        assert idle(made)

    run(scene)


def test_random_floods_and_leavings_keep_the_books():
    async def scene(queue, seen, loop):
        chance = random.Random(11)
        lines = [Places(limit, monotonic=loop.time) for limit in (1, 3, 8)]
        turns = []
        for _ in range(1500):
            who = msgspec.structs.replace(ALICE, tenant_id=chance.randrange(1, 5))
            wanted = chance.sample(lines, chance.randint(1, 3))
            turns.append(asyncio.ensure_future(hold(queue, wanted, who, chance.random(), chance.randint(1, 3000))))
            if chance.random() < 0.2:
                chance.choice(turns).cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() / 5)
            for line in lines:
                assert line.running + line.promised <= line.limit
        await asyncio.gather(*turns, return_exceptions=True)
        assert all(map(idle, lines))

    run(scene, seconds=3.0, line=40, lines=100)
