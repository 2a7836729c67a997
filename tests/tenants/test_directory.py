from tenants.directory import compile_tenants
from tenants.models import IpRule, Tenant


def test_it_compiles_every_tenant_with_its_own_networks(cast):
    IpRule.objects.create(tenant=cast.acme, network="10.0.0.0/8")
    IpRule.objects.create(tenant=cast.acme, network="2001:db8::/32")
    IpRule.objects.create(tenant=cast.globex, network="192.0.2.1")
    table = compile_tenants()
    acme, globex = table.by_slug["acme"], table.by_id[cast.globex.id]
    assert [str(network) for network in acme.networks] == ["10.0.0.0/8", "2001:db8::/32"]
    assert [str(network) for network in globex.networks] == ["192.0.2.1/32"]
    assert (acme.id, acme.store_database, globex.slug) == (cast.acme.id, 16, "globex")
    assert set(table.by_id) == {1, 2}


def test_it_carries_limits_and_suspended_tenants(cast, django_assert_num_queries):
    Tenant.objects.filter(pk=1).update(
        is_active=False, session_ttl=60, requests_per_minute=5, concurrent_turns=2, share=4
    )
    with django_assert_num_queries(3):
        acme = compile_tenants().by_id[1]
    assert (acme.is_active, acme.session_ttl, acme.requests_per_minute) == (False, 60, 5)
    assert (acme.tokens_per_minute, acme.concurrent_turns, acme.share) == (None, 2, 4)
