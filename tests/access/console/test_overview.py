from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.db import connections
from django.test import Client, RequestFactory

from access.console import overview
from access.console.bridge import SCOPE_KEY, EngineBridge
from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.errors import UpstreamError
from engine.snapshots import Cell
from engine.types import Instance
from routing.health import Health
from routing.table import Entry, RoutingTable
from tenants import services
from tests.access.console.screens import NAUGHTY, record


def test_it_counts_what_there_is(console: Client, cast: SimpleNamespace) -> None:
    services.suspend_tenant(tenant=cast.globex)
    services.revoke_api_key(key=cast.bob_key)
    cards = console.get("/admin/").context["cards"]
    assert [(card["number"], card["note"]) for card in cards] == [
        (1, "active, 1 not"),
        (0, "in use"),
        (2, "active, 1 not"),
        (0, "0\xa0bytes"),
    ]


def test_it_counts_the_turns_of_the_last_hour_by_state(console: Client, cast: SimpleNamespace) -> None:
    now = time.time()
    for state in ("completed", "completed", "completed", "failed", "refused", None):
        record(cast.acme.id, at=now - 60, state=state)
    record(cast.acme.id, at=now - 3700)
    turns = console.get("/admin/").context["turns"]
    counts = {str(state["name"]): state["count"] for state in turns["states"] if state["count"]}
    assert counts == {"Completed": 3, "Failed": 1, "Refused": 1, "In flight": 1}
    assert (turns["total"], turns["rate"], turns["cut"]) == (6, "75.0 %", False)
    for state in turns["states"]:
        assert len(console.get(state["link"]).context["table"]["rows"]) == state["count"]


def test_it_says_that_it_did_not_count_all(
    console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_ENTRIES", 4)
    for _ in range(3):
        record(cast.acme.id, at=time.time())
    turns = console.get("/admin/").context["turns"]
    assert (turns["total"], turns["cut"]) == (2, True)


def test_it_opens_without_a_journal(console: Client, cast: SimpleNamespace) -> None:
    with connections["journal"].cursor() as cursor:
        cursor.execute("ALTER TABLE compliance_auditentry RENAME TO away")
    assert "no such table" in console.get("/admin/").content.decode()


def test_it_shows_how_a_first_request_is_made(console: Client, cast: SimpleNamespace) -> None:
    assert "curl -s http://testserver/api/chat" in console.get("/admin/").content.decode()


def test_it_shows_the_health_of_instances() -> None:
    def entry(number: int, health: Health, **fields: object) -> Entry:
        adapter = EchoAdapter(AdapterConfig(), None)
        return Entry(instance=Instance(id=number, name=NAUGHTY, **fields), adapter=adapter, health=health)

    broken, busy, now = Health(), Health(), time.monotonic()
    for _ in range(3):
        broken.end(broken.begin(now), UpstreamError(), now)
    busy.begin(now)
    table = RoutingTable([entry(1, Health()), entry(2, broken), entry(3, busy, max_concurrency=1)])
    request = RequestFactory().get("/admin/")
    request.scope = {SCOPE_KEY: EngineBridge(None, None, Cell(table), None)}
    rows = overview._instances(request)["table"]["rows"]
    assert [row[1:4] for row in rows] == [
        ["its breaker is open after failures", 3, 0],
        ["at its limit of calls", 1, "1 of 1"],
        ["ready", 0, 0],
    ]
    assert "<script>" not in rows[0][0]
