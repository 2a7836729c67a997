import asyncio

import pytest

from engine.errors import ModelNotFound, RateLimited
from engine.snapshots import Cell
from engine.types import ChatRequest, Message, Principal
from tenants.directory import SiteView, TenantTable
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.visitor_limits import VisitorLimits
from tests.cast import ACME, GLOBEX

HELLO = ChatRequest(messages=[Message("user", "hello")])


def visitor(name, address="192.0.2.1", company=ACME):
    named = f"visitor:{name}"
    return Principal(
        tenant_id=company.id, tenant=company.slug, kind="visitor", subject=named, user=named, address=address
    )


@pytest.fixture
async def parts(valkey_url):
    site = SiteView(visitors="anyone", visitor_requests=2, address_requests=3, models=("gpt",))
    views = {company.id: company.view(site=site) for company in (ACME, GLOBEX)}
    tenants = Cell(TenantTable(views))
    stores = Stores([valkey_url], tenants)
    yield Limits(stores, tenants), VisitorLimits(stores.platform()), views[1]
    await stores.close()


async def outcomes(asks):
    results = await asyncio.gather(*asks, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(refusal, RateLimited) for refusal in refusals), refusals
    return [not isinstance(result, BaseException) for result in results]


async def test_it_counts_each_visitor_and_all_of_an_address(parts):
    limits, _, _ = parts
    asks = [visitor("ann")] * 3 + [visitor("bea")] * 2 + [visitor("ann", "192.0.2.2")] + [visitor("cid", "192.0.2.2")]
    admitted = await outcomes(limits.admit(who, HELLO, f"t{number}") for number, who in enumerate(asks))
    assert admitted == [True, True, False, True, False, False, True]


async def test_a_refusal_counts_nothing_and_says_when_to_come_again(parts):
    limits, _, _ = parts
    for _ in range(2):
        await limits.admit(visitor("ann"), HELLO, "t")
    for _ in range(5):
        with pytest.raises(RateLimited) as caught:
            await limits.admit(visitor("ann"), HELLO, "t")
        assert 55 < caught.value.retry_after <= 60
    await limits.admit(visitor("bea"), HELLO, "t")


async def test_tenants_do_not_share_an_address(parts):
    limits, _, _ = parts
    for company in (ACME, GLOBEX):
        for name in ("ann", "ann", "bea"):
            await limits.admit(visitor(name, company=company), HELLO, "t")


async def test_without_an_address_only_the_visitor_counts(parts):
    limits, tickets, view = parts
    for name in "abcde":
        await limits.admit(visitor(name, ""), HELLO, "t")
        await tickets.ticket(view, "")


async def test_it_counts_tickets_by_address(parts):
    _, tickets, view = parts
    assert await outcomes(tickets.ticket(view, "192.0.2.1") for _ in range(4)) == [True, True, True, False]
    await tickets.ticket(view, "192.0.2.9")


async def test_a_limit_of_none_lets_nobody_in(parts):
    _, tickets, _ = parts
    closed = ACME.view(site=SiteView(visitors="anyone", address_requests=0))
    with pytest.raises(RateLimited):
        await tickets.ticket(closed, "192.0.2.1")


async def test_a_visitor_names_the_models_that_are_offered_and_no_other(parts):
    limits, _, _ = parts
    named = ChatRequest(messages=HELLO.messages, model="gpt")
    await limits.admit(visitor("ann"), named, "t")
    with pytest.raises(ModelNotFound):
        await limits.admit(visitor("ann"), ChatRequest(messages=HELLO.messages, model="gpt-4o"), "t")
