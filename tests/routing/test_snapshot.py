import logging

import pytest

from engine.errors import ModelNotFound, Overloaded
from engine.outbound import Clients
from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from routing.models import ModelInstance, RoutingRule
from routing.router import RuleRouter
from routing.services import save_instance
from routing.snapshot import close_replaced, compile_routing
from routing.table import RoutingTable
from tests.cast import ALICE, CHARLIE

NOWHERE = Clients(None, None)


def compiled(previous=None):
    return compile_routing(previous or RoutingTable(), NOWHERE, timeout=30.0)


def made(name, **fields):
    api_key, tenants = fields.pop("api_key", None), fields.pop("tenants", None)
    row = ModelInstance(name=name, **{"adapter": "echo", **fields})
    return save_instance(instance=row, api_key=api_key, tenants=tenants)


def ask(table, person, **fields):
    messages = [Message(role="user", content="Hi")]
    request = ChatRequest(messages=messages, **fields)
    return RuleRouter(Cell(table)).choose(person.principal, request, messages, {})


def test_it_compiles_rows_into_what_the_request_path_reads(companies):
    endpoint = "https://api.example.com/v1"
    row = made(
        "gpt-4",
        adapter="openai_compatible",
        endpoint=endpoint,
        api_key="sk-1",
        upstream_model="gpt-4o",
        weight=3,
        version="v1.2",
        languages=["zh-CN", "en"],
        price_in="0.5",
        max_concurrency=7,
        tenant=companies.acme,
    )
    entry = compiled().entries[row.pk]
    instance = entry.instance
    assert (instance.upstream_model, instance.weight, instance.version) == ("gpt-4o", 3, "v1.2")
    assert (instance.languages, instance.price_in, instance.timeout) == (("zh", "en"), 0.5, 30.0)
    assert (instance.max_concurrency, entry.owner, entry.adapter.config.api_key) == (7, "acme", "sk-1")
    assert "sk-1" not in repr(entry)


@pytest.mark.parametrize("allowed", [True, False])
def test_an_instance_is_called_by_the_client_it_may_use(companies, allowed):
    """Calls, probes, embeddings and the test button of an adapter all go through this one."""
    fields = {"adapter": "openai_compatible", "endpoint": "https://a.example/v1", "tenant": companies.acme}
    row = made("gpt", **fields, allow_private=allowed)
    both = Clients("public", "private")
    first = compile_routing(RoutingTable(), both, timeout=30.0)
    assert first.entries[row.pk].adapter.http == ("private" if allowed else "public")
    row.allow_private = not allowed
    save_instance(instance=row)
    again = compile_routing(first, both, timeout=30.0)  # the old adapter is not taken over
    assert again.entries[row.pk].adapter.http == ("public" if allowed else "private")


@pytest.mark.parametrize(("limit", "workers", "each"), [(8, 1, 8), (8, 4, 2), (10, 4, 3), (1, 4, 1), (None, 4, None)])
def test_workers_divide_what_an_instance_takes(companies, limit, workers, each):
    row = made("shared", max_concurrency=limit)
    table = compile_routing(RoutingTable(), NOWHERE, timeout=30.0, workers=workers)
    assert table.entries[row.pk].instance.max_concurrency == each


def test_a_changed_limit_counts_for_calls_that_run(companies):
    row = made("shared", max_concurrency=1)
    first = compiled()
    ask(first, ALICE)
    with pytest.raises(Overloaded) as caught:
        ask(first, CHARLIE)
    assert caught.value.full == (first.entries[row.pk].health.places,)
    row.max_concurrency = 2
    row.save()
    second = compiled(first)
    ask(second, CHARLIE)
    assert second.entries[row.pk].health.places.standing().held == {1: 1, 2: 1}


def test_it_keeps_what_did_not_change(companies):
    kept, changed = made("kept"), made("changed")
    first = compiled()
    ask(first, ALICE)
    kept.weight = 4
    kept.save()
    changed.timeout = 5
    changed.save()
    second = compiled(first)
    assert second.entries[kept.pk].adapter is first.entries[kept.pk].adapter
    assert second.entries[kept.pk].health is first.entries[kept.pk].health
    assert second.entries[kept.pk].instance.weight == 4
    assert second.entries[changed.pk].adapter is not first.entries[changed.pk].adapter
    assert second.balances is first.balances and second.classes is first.classes


def test_it_compiles_conditions_once(companies):
    kept = RoutingRule.objects.create(model="a", conditions=["stream", "max_tokens < 3"])
    changed = RoutingRule.objects.create(model="a", tenant=companies.acme, conditions=["stream", "has_tools"])
    first = compiled()
    RoutingRule.objects.everywhere().filter(pk=kept.pk).update(weight=7)
    RoutingRule.objects.everywhere().filter(pk=changed.pk).update(conditions=["user == 'a'", "has_tools"])
    second = compiled(first)
    assert second.rules[0].weight == 7 and second.rules[0].conditions is first.rules[0].conditions
    assert [each.text for each in second.rules[1].conditions] == ["user == 'a'", "has_tools"]
    assert second.rules[1].conditions[1] is first.rules[1].conditions[1]


async def closed_of(first, second):
    gone = []
    for number, entry in first.entries.items():

        async def close(number=number):
            gone.append(number)

        entry.adapter.close = close
    await close_replaced(first, second)
    return gone


def test_it_closes_only_adapters_that_no_longer_serve(companies, event_loop_policy):
    kept, gone = made("kept"), made("gone")
    first = compiled()
    gone.enabled = False
    gone.save()
    second = compiled(first)
    loop = event_loop_policy.new_event_loop()
    try:
        assert loop.run_until_complete(closed_of(first, second)) == [gone.pk]
    finally:
        loop.close()
    assert list(second.entries) == [kept.pk]


def test_it_leaves_out_what_cannot_be_built(companies, caplog):
    good, sealed_elsewhere, nobody = made("good"), made("sealed", api_key="sk-1"), made("nobody")
    ModelInstance.objects.everywhere().filter(pk=sealed_elsewhere.pk).update(sealed_key="v1.0.AAAA")
    ModelInstance.objects.everywhere().filter(pk=nobody.pk).update(adapter="uninstalled")
    RoutingRule.objects.create(model="good", conditions=["stream <"])
    with caplog.at_level(logging.ERROR, "routing.snapshot"):
        table = compiled()
    assert list(table.entries) == [good.pk] and table.rules == ()
    assert len(caplog.records) == 3 and "sk-1" not in caplog.text


def test_it_serves_grants_tenants_and_rules(companies):
    made("shared")
    made("granted", tenants=[companies.globex])
    own = made("own", tenant=companies.acme)
    RoutingRule.objects.create(tenant=companies.acme, model="own", conditions=["max_tokens < 10"], name="small")
    RoutingRule.objects.create(model="granted", conditions=["max_tokens < 10"], enabled=False)
    table = compiled()
    route = ask(table, ALICE, max_tokens=5)
    assert (route.instance.id, route.rules) == (own.pk, ["small"])
    assert ask(table, CHARLIE, model="granted").model == "granted"
    for person, name in ((ALICE, "granted"), (CHARLIE, "own")):
        with pytest.raises(ModelNotFound):
            ask(table, person, model=name)


def test_it_serves_nobody_when_the_last_grant_is_gone(companies):
    row = made("granted", tenants=[companies.globex])
    companies.globex.delete()
    assert compiled().entries[row.pk].tenants == frozenset()
