from __future__ import annotations

import pytest

from engine.errors import TenantSuspended
from tenants.limits.quotas import AllowanceTable, Quota
from tenants.limits.standing import platform_standing, tenant_standing
from tests.cast import ACME, ALICE, GLOBEX, tenant_table
from tests.tenants.limits.test_limiter import REQUEST
from tests.tenants.limits.test_money import CALL, USED, reserve


async def test_it_tells_how_limits_stand(limits, tenants, allowances, spending):
    spending.add(ACME.id, CALL)
    allowances.swap(
        AllowanceTable(
            keys={1: Quota(turns=5, cheaper=True), 2: Quota(requests=1)},
            models={(ACME.id, "dear"): Quota(day=9 * CALL), (GLOBEX.id, "x"): Quota(day=1)},
            spenders=frozenset({ACME.id, GLOBEX.id}),
            platform=Quota(requests=100),
        )
    )
    view = ACME.view(requests_per_minute=10, tokens_per_minute=1000, concurrent_turns=4, money_per_month=5 * CALL)
    tenants.swap(tenant_table(view))
    for number in range(3):
        await limits.admit(ALICE.key_principal, REQUEST, f"t{number}")
    (await reserve(limits)).settle(USED)
    await reserve(limits)
    limits.purse.depart()
    tenant, key, model = await tenant_standing(limits, ACME.id, keys=(1,))
    assert (tenant.of, key.of, key.name, model.of, model.name) == ("tenant", "key", "1", "model", "dear")
    assert (tenant.requests.used, tenant.requests.limit, tenant.turns.used) == (3, 10, 3)
    assert 59 < tenant.requests.reset <= 60 and 380 <= tenant.tokens.used <= 400
    assert (tenant.month.used, tenant.month.set_aside, tenant.day) == (2 * CALL, CALL, None)
    assert (model.day.used, model.day.limit) == (CALL, 9 * CALL) and model.requests is None
    assert (key.turns.used, key.at_limit, tenant.at_limit) == (3, "cheaper", "refuse")
    (platform,) = await platform_standing(limits)
    assert (platform.of, platform.requests.used) == ("platform", 3)


async def test_it_says_where_nobody_knows_what_was_spent(limits, tenants, spending):
    spending.away = True
    tenants.swap(tenant_table(ACME.view(money_per_day=CALL)))
    (tenant,) = await tenant_standing(limits, ACME.id)
    assert tenant.day.used is None and tenant.day.limit == CALL


async def test_it_tells_nothing_of_who_has_no_limits_or_is_gone(limits):
    assert await tenant_standing(limits, ACME.id, keys=(1, 2), members=(3,)) == []
    assert await platform_standing(limits) == []
    with pytest.raises(TenantSuspended):
        await tenant_standing(limits, 404)
