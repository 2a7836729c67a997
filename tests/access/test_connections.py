import asyncio
import math

import pytest

from access import connections
from access.connections import Connections
from engine.errors import Forbidden, StoreUnavailable, Unauthenticated
from tests.cast import ALICE
from tests.conformance.edges import within


class Keys:
    """Counts what it is asked. `answers`: by credential, what is raised; `unknown`: not in memory."""

    def __init__(self):
        self.asked, self.number = 0, 0
        self.answers, self.unknown, self.ends = {}, set(), {}

    def cached(self, headers, peer):
        self.asked += 1
        if headers in self.unknown:
            return None
        if headers in self.answers:
            raise self.answers[headers]
        return ALICE.key_principal

    async def authenticate(self, headers, peer):
        await asyncio.sleep(0.01)
        self.unknown.discard(headers)
        return self.cached(headers, peer)

    def changes(self):
        return self.number

    def expires_at(self, headers):
        return self.ends.get(headers, math.inf)


class Open:
    def __init__(self, name, allowed=True):
        self.headers, self.address = name, None
        self.allowed, self.heard, self.retired = allowed, [], 0

    def holds(self, principal):
        if not self.allowed:
            raise Forbidden
        self.heard.append(principal)

    def lost(self, error):
        self.heard.append(type(error))

    def retire(self):
        self.retired += 1


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setattr(connections, "EVERY", 0.01)
    return Keys()


async def checked(keys, number):
    await within(2, lambda: keys.asked >= number)


async def test_a_herd_that_nothing_happens_to_costs_nothing(keys):
    roll = Connections(keys)
    herd = [Open(str(number)) for number in range(1_000)]
    for each in herd:
        roll.add(each)
    await checked(keys, 1_000)  # each once, for what changed while it was let in
    await asyncio.sleep(0.1)
    assert keys.asked == 1_000
    keys.number += 1
    keys.answers["7"] = Unauthenticated()
    await within(2, lambda: herd[7].heard[-1] is Unauthenticated)
    await checked(keys, 2_000)
    assert len(roll) == 999 and herd[8].heard == [ALICE.key_principal] * 2
    for each in herd:
        roll.remove(each)
    assert len(roll) == 0


async def test_it_looks_at_everybody_now_and_then_without_being_told(keys, monkeypatch):
    monkeypatch.setattr(connections, "ANYWAY", 0.05)
    roll, one = Connections(keys), Open("one")
    roll.add(one)
    await checked(keys, 1)
    keys.answers["one"] = Unauthenticated()
    await within(2, lambda: one.heard[-1] is Unauthenticated)


async def test_it_closes_what_expires_and_nothing_else(keys):
    clock = [100.0]
    roll = Connections(keys, lambda: clock[0])
    first, second = Open("first"), Open("second")
    keys.ends = {"first": 150.0, "second": 250.0}
    roll.add(first)
    roll.add(second)
    await checked(keys, 2)
    await asyncio.sleep(0.05)
    clock[0], keys.answers["first"] = 150.0, Unauthenticated()
    await within(2, lambda: first.heard[-1] is Unauthenticated)
    assert keys.asked == 3
    keys.ends["second"] = 350.0
    clock[0] = 300.0
    await checked(keys, 4)
    assert second.heard[-1] == ALICE.key_principal


async def test_what_nobody_can_say_is_asked_again(keys):
    roll, one = Connections(keys), Open("one")
    keys.answers["one"] = StoreUnavailable()
    keys.unknown.add("one")
    roll.add(one)
    await checked(keys, 5)
    assert one.heard == [] and len(roll) == 1
    keys.answers["one"] = Unauthenticated()
    await within(2, lambda: one.heard == [Unauthenticated])
    assert len(roll) == 0


async def test_it_asks_where_memory_does_not_know(keys):
    roll, one, other = Connections(keys), Open("one"), Open("other", allowed=False)
    keys.unknown |= {"one", "other"}
    roll.add(one)
    roll.add(other)
    await within(2, lambda: one.heard == [ALICE.key_principal] and other.heard == [Forbidden])


async def test_who_leaves_while_it_is_looked_at_is_told_nothing(keys):
    roll, one = Connections(keys), Open("one")
    keys.unknown.add("one")
    roll.add(one)
    await checked(keys, 1)
    roll.remove(one)
    await asyncio.sleep(0.05)
    assert one.heard == []


async def test_it_tells_all_that_the_process_ends(keys):
    roll, one, late = Connections(keys), Open("one"), Open("late")
    roll.add(one)
    roll.retire()
    roll.add(late)
    assert (one.retired, late.retired) == (1, 1)
    roll.remove(one)
    roll.remove(late)
