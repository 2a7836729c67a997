"""What runs now is listed from all workers; it is watched while it is written, and stopped at whichever it runs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from access.heartbeats import Heartbeats
from access.live_turns import LiveTurns
from access.turns import Canceller
from engine.errors import TurnNotFound
from engine.snapshots import Cell
from engine.types import Principal
from sessions_app.streams import EventStore
from tenants.asking import Asking
from tenants.bus import Bus
from tenants.isolation import Stores
from tenants.valkey import Connection
from tests.access.parts import Recorded, build
from tests.cast import ACME, ALICE, CHARLIE, tenant_table
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel

MANAGER = Principal(
    tenant_id=ACME.id, tenant=ACME.slug, kind="system", subject="member:1", user="1", scopes=frozenset({"manage"})
)


@pytest.fixture
async def worker(valkey_url: str):
    """Makes workers that hear each other and share a store."""
    opened: list[SimpleNamespace] = []

    async def start(*pieces: object) -> SimpleNamespace:
        stores = Stores([valkey_url], Cell(tenant_table()))
        connection = Connection(valkey_url)
        bus = Bus(connection, valkey_url)
        read_turn = Recorded(opened[0].site.behind.journal) if opened else None  # one journal for all
        site = build(ScriptedModel(pieces), shelf=EventStore(stores), tell=bus.tell, read_turn=read_turn)
        parts = site.parts
        heartbeats = Heartbeats(connection, bus.worker, "1", lambda: (0, 0, 0))
        canceller = Canceller(parts.running, parts.read_turn, bus.tell)
        live = LiveTurns(parts.running, Asking(bus), heartbeats, parts.resuming, canceller)
        bus.on("cancel", canceller.heard)
        bus.start()
        await asyncio.wait_for(bus.ready.wait(), 30)
        heartbeats.start()
        made = SimpleNamespace(
            site=site, live=live, bus=bus, heartbeats=heartbeats, stores=stores, connection=connection
        )
        opened.append(made)
        while len(await live.workers()) < len(opened):
            await asyncio.sleep(0.02)
        return made

    yield start
    for each in opened:
        await each.site.parts.generations.stop()
        await each.heartbeats.stop()
        await each.bus.stop()
        await each.stores.close()
        await each.connection.close()


def ask(worker, *, stream: bool = True):
    return worker.site.alice.begin("POST", "/api/chat", {"messages": HI, "stream": stream})


async def one(live: LiveTurns, ready=lambda turn: True):
    for _ in range(200):
        found = await live.listed(ACME.id)
        if len(found) == 1 and ready(found[0]):
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_it_lists_what_other_workers_answer(worker) -> None:
    gate = asyncio.Event()
    busy, idle = await worker("one", " two", gate, " three"), await worker("never")
    exchange = ask(busy)
    await exchange.piece()
    for live in (busy.live, idle.live):
        turn = await one(live, lambda turn: turn.pieces == 2)
        assert (turn.subject, turn.user, turn.tenant_id) == (ALICE.key_principal.subject, "key:1", ACME.id)
        assert (turn.state, turn.edge, turn.model, turn.watchable) == ("answering", "sse", "scripted", True)
        assert await live.listed(CHARLIE.company.id) == []
        with pytest.raises(TurnNotFound):
            await live.find(CHARLIE.company.id, turn.id)
    gate.set()
    await exchange.rest()
    assert await idle.live.listed(ACME.id) == []


async def test_it_lists_a_turn_that_waits_and_one_in_a_piece(worker) -> None:
    gate = asyncio.Event()
    busy = await worker(gate, "answer")
    exchange = ask(busy, stream=False)
    turn = await one(busy.live)
    assert (turn.id, turn.state, turn.watchable, turn.pieces) in ((("", "waiting", False, 0)),) or turn.state == "begun"
    gate.set()
    await exchange.rest()
    assert await busy.live.listed(ACME.id) == []


async def test_it_is_watched_from_another_worker_and_does_not_go_on_for_that(worker) -> None:
    gate = asyncio.Event()
    busy, idle = await worker("one", " two", gate, " three"), await worker("never")
    exchange = ask(busy)
    await exchange.piece()
    turn = await one(idle.live, lambda turn: turn.pieces == 2)
    seen: list[bytes] = []

    async def watch() -> None:
        async for some in idle.live.watch(turn, ACME.slug, "en"):
            seen.extend(some)

    watching = asyncio.create_task(watch())
    await within(5, lambda: any(b"two" in each for each in seen))
    assert len(busy.site.parts.generations.find(ALICE.key_principal, turn.id).readers) == 1
    gate.set()
    await asyncio.wait_for(watching, 30)
    assert b"three" in b"".join(seen) and b"event: done" in seen[-1]
    await exchange.rest()


async def test_it_is_stopped_from_another_worker(worker) -> None:
    busy, idle = await worker("one", asyncio.Event()), await worker("never")
    exchange = ask(busy)
    await exchange.piece()
    turn = await one(idle.live, lambda turn: bool(turn.id))
    stranger = Principal(
        tenant_id=CHARLIE.company.id, tenant="globex", kind="system", subject="member:3", user="3",
        scopes=frozenset({"manage"}),
    )  # fmt: skip
    with pytest.raises(TurnNotFound):
        await busy.live.cancel(stranger, turn.id)
    await busy.live.cancel(MANAGER, turn.id)
    rest = await exchange.rest()
    assert b"cancelled" in rest.body
    assert await idle.live.listed(ACME.id) == []
