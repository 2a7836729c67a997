"""Who holds an instance's places and who waits, on its page; and what a tenant's form says of shares and budgets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, RequestFactory

from access.console import overview, places
from access.console.bridge import SCOPE_KEY, EngineBridge
from access.console.decisions import reasons
from adapters.base import AdapterConfig
from adapters.echo import EchoAdapter
from engine.places import Ticket
from engine.snapshots import Cell
from engine.types import Instance
from routing.health import Health
from routing.table import Entry, RoutingTable
from tenants.models import Tenant
from tests.access.console.screens import NAUGHTY


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def busy(loop: asyncio.AbstractEventLoop, cast: SimpleNamespace) -> Any:
    """A request to a process whose instance 1 has three places, all of them acme's, and two turns of globex wait."""
    health = Health()
    health.bound(3, alone=False)
    shared = health.places
    assert shared is not None
    for _ in range(3):
        health.begin(0.0)
        shared.take(cast.acme.pk)
    for _ in range(2):
        shared.queue(Ticket(cast.globex.pk, 300, [shared], loop), 1)
    instance = Instance(id=1, name="gpt", max_concurrency=3)
    entry = Entry(instance=instance, adapter=EchoAdapter(AdapterConfig(), None), health=health)  # type: ignore[arg-type]
    free = Entry(instance=Instance(id=2, name="any"), adapter=entry.adapter, health=Health())
    request = RequestFactory().get("/admin/")
    table = Cell(RoutingTable([entry, free]))
    request.scope = {SCOPE_KEY: EngineBridge(None, loop, table, None)}  # type: ignore[attr-defined, arg-type]
    return request


def test_it_shows_who_holds_places_and_who_waits(
    console: Client, cast: SimpleNamespace, loop: asyncio.AbstractEventLoop, django_assert_num_queries: Any
) -> None:
    Tenant.objects.filter(pk=cast.globex.pk).update(share=3, name=NAUGHTY)
    request = busy(loop, cast)
    with django_assert_num_queries(1):
        shown = places.panel(request, 1)
    assert shown is not None
    assert (shown["running"], shown["limit"], shown["waiting"], shown["left"]) == (3, 3, 2, 0)
    assert [row[1:] for row in shown["table"]["rows"]] == [[1, 3, 0], [3, 0, 2]]
    assert "<script>" not in shown["table"]["rows"][1][0]
    assert places.panel(request, 2) is None and places.panel(request, 99) is None
    assert places.panel(RequestFactory().get("/"), 1) is None


def test_the_first_page_shows_it_in_short(
    console: Client, cast: SimpleNamespace, loop: asyncio.AbstractEventLoop
) -> None:
    shown = overview._instances(busy(loop, cast))
    assert shown is not None
    assert [row[3:5] for row in shown["table"]["rows"]] == [["3 of 3", 2], [0, 0]]


def form(tenant: Tenant, **more: Any) -> dict[str, Any]:
    kept = {"name": tenant.name, "slug": tenant.slug, "is_active": "on", "store_layout": tenant.store_layout,
            "at_limit": "refuse", "share": 1, "time_zone": "UTC"}  # fmt: skip
    return {**kept, **more}


def test_a_tenants_share_and_budgets_are_set_on_its_page(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    wanted = {
        "share": 7, "money_per_day": "12.5", "money_per_month": "300", "at_limit": "cheaper",
        "budget_webhook": "https://hooks.example.com/budget", "time_zone": "Asia/Shanghai",
    }  # fmt: skip
    assert console.post(page, form(cast.acme, **wanted)).status_code == 302
    saved = Tenant.objects.get(pk=cast.acme.pk)
    assert (saved.share, saved.at_limit, saved.time_zone) == (7, "cheaper", "Asia/Shanghai")
    assert (saved.money_per_day, saved.money_per_month) == (Decimal("12.5"), Decimal(300))
    assert saved.budget_webhook == wanted["budget_webhook"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("share", 0), ("share", 101), ("share", "many"), ("money_per_day", -1),
        ("money_per_month", "1e400"), ("at_limit", "explode"), ("budget_webhook", "javascript:alert(1)"),
        ("budget_webhook", NAUGHTY), ("time_zone", "Mars/Olympus"), ("time_zone", "../etc/passwd"),
    ],
)  # fmt: skip
def test_what_is_wrong_there_is_said_at_the_field(
    console: Client, cast: SimpleNamespace, field: str, value: Any
) -> None:
    answer = console.post(f"/admin/tenants/tenant/{cast.acme.pk}/change/", form(cast.acme, **{field: value}))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]


def test_a_new_tenant_gets_them_too(console: Client, cast: SimpleNamespace) -> None:
    made = Tenant(name="New", slug="new", store_layout="database")
    answer = console.post("/admin/tenants/tenant/add/", form(made, share="", time_zone="", money_per_day="2"))
    assert answer.status_code == 302
    saved = Tenant.objects.get(slug="new")
    assert (saved.share, saved.time_zone, saved.money_per_day) == (1, "UTC", Decimal(2))


def test_a_decision_says_how_long_the_turn_waited() -> None:
    assert ("Waited for a place", "0.420 s") in [
        (str(name), value) for name, value in reasons({"model": "a", "waited": 0.42})
    ]
    for odd in (None, 0, "long", {}, []):
        assert "Waited" not in str([str(name) for name, _ in reasons({"model": "a", "waited": odd})])
