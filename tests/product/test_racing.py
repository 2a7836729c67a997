"""Turns race on sessions while a worker is killed: none is lost, doubled or out of order."""

import os
import signal

from benchmarks.sessions_race import race, recorded
from tests.adapters.upstream import Upstream, whole
from tests.product.running import Product, until

SESSIONS, TURNS = 10, 20


async def test_racing_turns_come_one_after_the_other_though_a_worker_dies(gateway: Product, upstream: Upstream):
    upstream.answers([0.02, *whole("The scripted answer.")])
    killed = []

    def kill() -> None:
        """Each of the first ones once; who starts in their place is left alone."""
        left = [pid for pid in before if pid not in killed]
        if left:
            os.kill(left[0], signal.SIGKILL)
            killed.append(left[0])

    before = gateway.workers()
    seen = await race(
        gateway.url, gateway.key, sessions=SESSIONS, turns=TURNS, together=5, kill=kill, every=0.3, model="scripted"
    )
    assert killed and any(seen.cut.values()), "nothing was running when a worker died: the test says nothing"
    assert seen.faults(recorded(gateway.environment, list(seen.answered))) == []
    assert seen.turns + sum(map(len, seen.cut.values())) == SESSIONS * TURNS
    assert seen.busy
    until(lambda: len(gateway.workers()) == 2, "both workers are there again")
