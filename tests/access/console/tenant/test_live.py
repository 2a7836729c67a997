"""Who may watch a turn: people of its tenant whose role may read sessions, and nobody else."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from django.test import RequestFactory

from access.console.bridge import SCOPE_KEY, EngineBridge, LiveParts
from access.console.tenant import live
from access.console.tenant.place import Place
from tests.access.test_live_turns import ask, one, worker
from tests.cast import ACME, CHARLIE, Company

__all__ = ["worker"]


def place(company: Company) -> Place:
    tenant = SimpleNamespace(pk=company.id, slug=company.slug)
    return Place(tenant, "owner", member=SimpleNamespace(pk=1))  # type: ignore[arg-type]


def request(serving: Any) -> Any:
    made = RequestFactory().get("/")
    parts = LiveParts(serving.live, serving.site.parts.generations, None, None, serving.site.parts.read_turn)
    engine, loop = serving.site.parts.engine, asyncio.get_running_loop()
    made.scope, made.request_id = {SCOPE_KEY: EngineBridge(engine, loop, None, None, live=parts)}, "r1"
    return made


async def test_the_own_tenants_turn_is_watched_and_nobody_elses(worker: Any) -> None:
    gate = asyncio.Event()
    busy = await worker("one", " two", gate, " three")
    exchange = ask(busy)
    await exchange.piece()
    turn = await one(busy.live, lambda turn: turn.pieces == 2)
    refused = await live.events(None, request(busy), place(CHARLIE.company), turn.id)
    unknown = await live.events(None, request(busy), place(ACME), "0" * 32)
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert json.loads(refused.content)["error"]["code"] == json.loads(unknown.content)["error"]["code"]
    watched = await live.events(None, request(busy), place(ACME), turn.id)
    gate.set()
    whole = b"".join([part async for part in watched])
    assert b"three" in whole and b"event: done" in whole and watched["Cache-Control"] == "no-store"
    await exchange.rest()


async def test_an_answer_in_a_piece_cannot_be_watched(worker: Any) -> None:
    gate = asyncio.Event()
    busy = await worker("one", gate)
    exchange = ask(busy, stream=False)
    turn = await one(busy.live, lambda turn: bool(turn.id))
    assert (await live.events(None, request(busy), place(ACME), turn.id)).status_code == 404
    gate.set()
    await exchange.rest()
