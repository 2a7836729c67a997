from __future__ import annotations

import asyncio
import time

import pytest

from engine.errors import RateLimited
from engine.types import Instance, Usage
from tenants.allowances import save_allowance
from tenants.limits.quotas import AllowanceTable, Quota, compile_allowances
from tenants.models import Allowance, Tenant
from tenants.services import create_api_key, create_tenant
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table
from tests.tenants.limits.test_limiter import REQUEST, admit_many

MODEL = Instance(id=1, name="gpt-4")


@pytest.mark.django_db
def test_it_compiles_rows_into_one_table():
    acme = create_tenant(slug="acme", name="Acme")
    keys = [create_api_key(tenant=acme, name=f"key {n}")[0] for n in range(3)]
    for key in keys[:2]:
        save_allowance(tenant=acme, of="key", key=key, requests_per_minute=5, money_per_day="1.25", at_limit="cheaper")
    save_allowance(tenant=acme, of="model", model="gpt-4", concurrent_turns=2)
    save_allowance(tenant=None, of="model", model="gpt-4", tokens_per_minute=7)
    save_allowance(tenant=None, of="platform", money_per_month=1000)
    table = compile_allowances()
    quota = Quota(requests=5, day=1_250_000, cheaper=True)
    assert table.keys == {key.pk: quota for key in keys[:2]}
    assert table.keys[keys[0].pk] is table.keys[keys[1].pk]
    assert table.models == {(acme.pk, "gpt-4"): Quota(turns=2)}
    assert table.shared == {"gpt-4": Quota(tokens=7)}
    assert table.platform == Quota(month=1_000_000_000) and table.spenders == {acme.pk}


@pytest.mark.django_db
def test_it_compiles_many_rows_in_one_query(django_assert_num_queries):
    tenant = Tenant.objects.create(slug="big", name="Big", store_database=99)
    Allowance.objects.bulk_create(
        Allowance(tenant=tenant, of="model", model=f"model {n}", requests_per_minute=n % 7) for n in range(20_000)
    )
    began = time.process_time()
    with django_assert_num_queries(1):
        table = compile_allowances()
    assert len(table.models) == 20_000 and len({id(quota) for quota in table.models.values()}) == 7
    assert time.process_time() - began < 2


async def test_it_admits_by_key_and_member_beside_the_tenant(limits, tenants, allowances):
    allowances.swap(AllowanceTable(keys={ALICE.id: Quota(requests=3)}, members={BOB.id: Quota(turns=2)}))
    tenants.swap(tenant_table(ACME.view(requests_per_minute=20)))

    async def ask(principal, turn_id):
        return await limits.admit(principal, REQUEST, turn_id)

    found = await asyncio.gather(*(ask(ALICE.key_principal, f"k{n}") for n in range(10)), return_exceptions=True)
    refused = [each for each in found if isinstance(each, RateLimited)]
    assert len(refused) == 7 and refused[0].message == "This key may make 3 requests a minute."
    assert refused[0].limit == "requests" and refused[0].limits.requests.remaining == 0 and refused[0].retry_after > 59
    passed = [each for each in found if each not in refused]
    assert sorted(each.window.remaining for each in passed) == [0, 1, 2]
    bob, late = await admit_many(limits, 10, person=BOB)
    assert (len(bob), len(late)) == (2, 8)
    assert late[0].message == "This member may run 2 turns at the same time." and late[0].limit == "turns"
    more, _ = await admit_many(limits, 50)
    assert len(more) == 20 - 3 - 2  # who was refused did not count against the tenant
    assert len((await admit_many(limits, 50, person=CHARLIE))[0]) == 50


async def test_it_limits_a_models_calls_however_many_turns_begin(limits, allowances):
    allowances.swap(AllowanceTable(models={(ACME.id, "gpt-4"): Quota(turns=2, requests=4)}))

    async def call():
        return await limits.reserve(ALICE.principal, MODEL, 1, 1, model="gpt-4")

    calls = [await call(), await call()]
    with pytest.raises(RateLimited, match="This model may run 2 turns"):
        await call()
    for each in calls:
        each.settle(Usage())
    calls = [await call(), await call()]
    calls[0].settle(Usage())
    with pytest.raises(RateLimited, match="This model may make 4 requests"):
        await call()
    await limits.reserve(ALICE.principal, MODEL, 1, 1, model="other")
    await limits.reserve(CHARLIE.principal, MODEL, 1, 1, model="gpt-4")


async def test_it_bounds_all_tenants_together_and_counts_nothing_of_who_was_refused(limits, tenants, allowances):
    allowances.swap(AllowanceTable(platform=Quota(requests=8, turns=6)))
    tenants.swap(tenant_table(ACME.view(requests_per_minute=100)))
    one, _ = await admit_many(limits, 20, person=CHARLIE)
    assert len(one) == 6
    for each in one:
        each.release()
    two, refused = await admit_many(limits, 20, prefix="second")
    assert len(two) == 2 and refused[-1].message == "The platform may make 8 requests a minute."
    await limits.store.call("PING")
    assert await limits.store.call("LLEN", f"limits:{{{ACME.id}}}:requests") == 2


async def test_it_lets_nothing_pass_a_limit_of_zero(limits, allowances):
    allowances.swap(AllowanceTable(keys={ALICE.id: Quota(requests=0)}, models={(ACME.id, "gpt-4"): Quota(tokens=0)}))
    with pytest.raises(RateLimited, match="This key may not use the service"):
        await limits.admit(ALICE.key_principal, REQUEST, "t")
    with pytest.raises(RateLimited, match="This model may not be used"):
        await limits.reserve(ALICE.principal, MODEL, 1, 1, model="gpt-4")
