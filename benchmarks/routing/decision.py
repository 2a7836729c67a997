"""What one routing decision costs among ten instances: `python -m benchmarks.routing.decision`.

A decision is `RuleRouter.choose` with its record, and telling the route its outcome; every 250 ms a pool's qualities
are renewed besides. The best of several rounds counts: others use the machine too."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.snapshots import Cell
from engine.types import ChatRequest, Instance, Message, Principal
from routing.features import Features
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

    def choose() -> None:
        router.choose(principal, request, messages, {}).outcome(None)

    def plain() -> None:
        Features(principal, request, messages, {}, 0.0)

    print(f"of it the size of the prompt: {best(plain):.1f} us")
    print(f"a decision among {INSTANCES} instances: {best(choose):.1f} us")
    print(f"renewing their qualities, four times a second: {best(lambda: balance.renew(time.monotonic())):.1f} us")


if __name__ == "__main__":
    main()
