"""What one routing decision costs among ten instances: `python -m benchmarks.routing.decision`.

A decision is `RuleRouter.choose` with its record, and telling the route its outcome; every 250 ms a pool's qualities
are renewed besides. The complexity score is always part of the record, and counted by itself: what it costs depends on
what is said. The best of several rounds counts: others use the machine too."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.snapshots import Cell
from engine.types import Answerer, ChatRequest, Constraints, Instance, Message, Principal
from routing.features import conversation_score
from routing.health import Health
from routing.router import RuleRouter
from routing.table import Entry, RoutingTable

INSTANCES = 10
ROUNDS, CALLS = 15, 2000


def best(what: Callable[[], Any]) -> float:
    """Microseconds."""
    return min(timeit.repeat(what, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    adapter = EchoAdapter(AdapterConfig(), None)  # type: ignore[arg-type]  # it calls nobody
    entries = [
        Entry(instance=Instance(id=number, name="pool"), adapter=adapter, health=Health())
        for number in range(INSTANCES)
    ]
    table = RoutingTable(entries)
    router = RuleRouter(Cell(table))
    principal = Principal(tenant_id=1, tenant="acme", kind="key", subject="key:1", user="1")
    messages = [Message("user", "Where can I see the status of the order I placed last week?")]
    request = ChatRequest(messages=messages, model="pool", stream=True)
    balance = table.view(1).named["pool"].balance

    headers = [(b"host", b"x"), (b"user-agent", b"y"), (b"x-team", b"research"), (b"x-stainless-lang", b"python")]
    rich = msgspec.structs.replace(request, metadata={"plan": "gold", "tags": ["a", "b"]}, headers=headers)
    session = Constraints(answerer=Answerer("pool", 3))

    def choose() -> None:
        router.choose(principal, request, messages, {}).outcome(None)

    def stay() -> None:
        router.choose(principal, request, messages, {}, session).outcome(None)

    def keep() -> None:
        router.choose(principal, rich, messages, {}).outcome(None)

    def score() -> None:
        conversation_score([str(messages[0].content)])

    said = best(score)
    print(f"the complexity score of {len(str(messages[0].content))} bytes: {said:.1f} us")
    print(f"a decision among {INSTANCES} instances, beside the score: {best(choose) - said:.1f} us")
    print(f"  with metadata and headers on record: {best(keep) - said:.1f} us")
    print(f"  of a session that stays with its instance: {best(stay) - said:.1f} us")
    print(f"renewing their qualities, four times a second: {best(lambda: balance.renew(time.monotonic())):.1f} us")


if __name__ == "__main__":
    main()
