"""`/api/limits`: what the caller may use, and nothing of anybody else's."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from access.management.limits import LimitsAnswer
from engine.snapshots import Cell
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.quotas import AllowanceTable, Quota
from tenants.limits.standing import tenant_standing
from tests.access.parts import CHAT_ONLY, build
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table
from tests.tenants.limits.spending import RecordedSpending

PATH = "/api/limits"


@pytest.fixture
async def site(valkey_url):
    tenants = Cell(tenant_table(ACME.view(requests_per_minute=10, money_per_month=5_500_000)))
    allowances = Cell(
        AllowanceTable(
            keys={ALICE.id: Quota(day=1_000_000, turns=2), BOB.id: Quota(tokens=100)},
            models={(ACME.id, "gpt-4"): Quota(month=2_000_000)},
            spenders=frozenset({ACME.id}),
        )
    )
    records = RecordedSpending()
    records.add(ACME.id, 250_001, key=ALICE.id, model="gpt-4")
    stores = Stores([valkey_url], tenants)
    limits = Limits(stores, tenants, allowances, spending=records)
    yield build(limits=partial(tenant_standing, limits))
    limits.close()
    await stores.close()


async def test_it_tells_a_key_its_own_limits_and_no_money_of_its_tenant(site):
    for path in (PATH, f"{PATH}/"):
        answer = await site.client(ALICE.key).get(path)
        assert answer.status == 200
        told = msgspec.convert(answer.json, LimitsAnswer)
        assert [(each.of, each.name) for each in told.limits] == [("tenant", ""), ("key", "1"), ("model", "gpt-4")]
    tenant, key, model = told.limits
    assert (tenant.requests_per_minute.limit, tenant.requests_per_minute.remaining) == (10, 10)
    assert tenant.money_per_month is None and model.money_per_month is None and told.webhook_secret is None
    assert (key.money_per_day.limit, key.money_per_day.used, key.money_per_day.remaining) == (
        "1",
        "0.250001",
        "0.749999",
    )
    assert key.concurrent_turns.remaining == 2


async def test_it_tells_who_manages_the_tenant_its_money_and_how_to_check_a_webhook(site):
    site.keys.people[BOB.key] = msgspec.structs.replace(BOB.key_principal, scopes=frozenset({"manage"}))
    told = (await site.client(BOB.key).get(PATH)).json
    assert told["limits"][0]["money_per_month"]["limit"] == "5.5"
    assert told["limits"][2]["money_per_month"]["used"] == "0.250001"
    assert len(told["webhook_secret"]) == 64


async def test_it_tells_charlie_nothing_of_acme(site):
    assert (await site.client(CHARLIE.key).get(PATH)).json == {"limits": [], "webhook_secret": None}
    site.keys.people[CHARLIE.key] = msgspec.structs.replace(CHARLIE.key_principal, scopes=frozenset({"manage"}))
    site.keys.people[ALICE.key] = msgspec.structs.replace(ALICE.key_principal, scopes=frozenset({"manage"}))
    secrets = [(await site.client(person.key).get(PATH)).json["webhook_secret"] for person in (ALICE, CHARLIE)]
    assert secrets[0] != secrets[1]


async def test_it_is_for_those_who_may_ask_at_all_and_only_told(site):
    assert (await site.client(CHAT_ONLY).get(PATH)).status == 403
    assert (await site.client("cb_unknown").get(PATH)).status == 401
    for method in ("POST", "PATCH", "DELETE"):
        assert (await site.client(ALICE.key).request(method, PATH, {"requests_per_minute": 10**9})).status == 405
