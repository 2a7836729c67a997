"""What one routing decision costs among ten instances: `python -m benchmarks.routing.decision`.

A decision is `RuleRouter.choose` with its record, and telling the route its outcome; every 250 ms a pool's qualities
are renewed besides. The complexity score is part of every record; what it costs depends on what the user says, so the
other lines are about a conversation in which only the system has spoken. The best of many rounds counts: others use the
machine too."""

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
from routing.health import Health
from routing.router import RuleRouter
from routing.table import Entry, RoutingTable

INSTANCES = 10
ROUNDS, CALLS = 400, 100  # short rounds: some of them nobody disturbs


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
    text = "Where can I see the status of the order I placed last week?"
    said, silent = [Message("user", text)], [Message("system", text)]
    request = ChatRequest(messages=silent, model="pool", stream=True)
    headers = [(b"host", b"x"), (b"user-agent", b"y"), (b"x-team", b"research"), (b"x-stainless-lang", b"python")]
    rich = msgspec.structs.replace(request, metadata={"plan": "gold", "tags": ["a", "b"]}, headers=headers)
    session = Constraints(answerer=Answerer("pool", 3))
    balance = table.view(1).named["pool"].balance

    def decision(request: ChatRequest, messages: list[Message], constraints: Constraints) -> Callable[[], None]:
        return lambda: router.choose(principal, request, messages, {}, constraints).outcome(None)

    lines = {
        f"a decision among {INSTANCES} instances": decision(request, silent, Constraints()),
        "  of a session that stays with its instance": decision(request, silent, session),
        "  with metadata and headers on record": decision(rich, silent, Constraints()),
        f"  with the complexity score of {len(text)} bytes": decision(request, said, Constraints()),
        "renewing their qualities, four times a second": lambda: balance.renew(time.monotonic()),
    }
    for name, what in lines.items():
        print(f"{name}: {best(what):.1f} us")


if __name__ == "__main__":
    main()
