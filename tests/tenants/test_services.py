import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from tenants import keys, membership, services
from tenants.directory import compile_tenants
from tenants.models import ApiKey, Member, Tenant

NAUGHTY = [
    "O'Brien & Söhne",
    "Robert'); DROP TABLE tenants;--",
    "株式会社クロード",
    "🤖",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "../../etc",
]
BAD_SLUGS = ["", "-a", "a-", "A", "a b", "a_b", "ä", "a" * 64, "a\n", "a\x00", "../a", "a.b"]


def refused(field, call, **arguments):
    with pytest.raises(ValidationError) as caught:
        call(**arguments)
    assert list(caught.value.message_dict) == [field]


def test_it_gives_every_tenant_a_store_database_of_its_own(cast, settings):
    made = [services.create_tenant(slug=f"t{number}", name="T") for number in range(3)]
    assert [tenant.store_database for tenant in made] == [18, 19, 20]
    made[1].delete()
    assert services.create_tenant(slug="again", name="T").store_database == 19


def test_it_says_when_all_store_databases_are_taken(cast, settings):
    settings.VALKEY_DATABASES = 18
    refused("store_database", services.create_tenant, slug="one-too-many", name="T")


def test_it_gives_racing_creations_different_databases(transactional_db):
    def create(number):
        try:
            services.create_tenant(slug=f"race-{number}", name="T")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(Tenant.objects.values_list("store_database", flat=True))) == 8


@pytest.mark.parametrize("name", NAUGHTY)
def test_it_takes_any_name_that_can_be_seen(cast, name):
    assert Tenant.objects.get(pk=services.create_tenant(slug="new", name=name).pk).name == name
    row, _ = services.create_api_key(tenant=cast.acme, name=name)
    assert ApiKey.objects.for_tenant(cast.acme.id).get(pk=row.pk).name == name


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a\nb", "\x1b[31m", "\ud800", "x" * 201])
def test_it_refuses_a_name_that_cannot_be_seen_or_stored(cast, name):
    refused("name", services.create_tenant, slug="new", name=name)


@pytest.mark.parametrize("slug", BAD_SLUGS)
def test_it_refuses_a_slug_that_is_no_host_name_label(db, slug):
    refused("slug", services.create_tenant, slug=slug, name="T")


def test_it_refuses_a_slug_twice(cast):
    refused("slug", services.create_tenant, slug="acme", name="T")


def test_it_suspends_and_resumes(cast):
    services.suspend_tenant(tenant=cast.acme)
    assert not compile_tenants().by_slug["acme"].is_active
    services.resume_tenant(tenant=cast.acme)
    assert compile_tenants().by_slug["acme"].is_active


def test_it_adds_a_member_once_and_with_a_known_role(cast):
    member = services.add_member(tenant=cast.globex, user=cast.alice.user, role="auditor")
    assert Member.objects.for_tenant(cast.globex.id).get(pk=member.pk).role == "auditor"
    refused("user", services.add_member, tenant=cast.globex, user=cast.alice.user)
    refused("role", services.add_member, tenant=cast.acme, user=cast.charlie.user, role="emperor")
    refused("role", membership.change_role, member=member, role="emperor", by_role=None)
    membership.change_role(member=member, role="admin", by_role=None)
    membership.remove(member=member, by_role=None)
    assert not Member.objects.for_tenant(cast.globex.id).filter(user=cast.alice.user).exists()


def test_it_shows_a_key_once_and_stores_its_digest(cast):
    row, plain = services.create_api_key(tenant=cast.acme, name="ci", scopes=["sessions", "chat", "chat"])
    assert keys.well_formed(plain)
    stored = ApiKey.objects.for_tenant(cast.acme.id).get(pk=row.pk)
    assert (stored.digest, stored.hint, stored.scopes) == (keys.digest(plain), plain[:8], ["chat", "sessions"])
    assert plain[8:] not in str(vars(stored))


def test_it_refuses_unknown_scopes_and_a_past_expiry(cast):
    refused("scopes", services.create_api_key, tenant=cast.acme, name="ci", scopes=["chat", "root"])
    refused("scopes", services.create_api_key, tenant=cast.acme, name="ci", scopes="chat")
    refused("scopes", services.create_api_key, tenant=cast.acme, name="ci", scopes=[{"chat": 1}])
    past = timezone.now() - timedelta(seconds=1)
    refused("expires_at", services.create_api_key, tenant=cast.acme, name="ci", expires_at=past)


def test_it_keeps_the_time_of_the_first_revocation(cast):
    services.revoke_api_key(key=cast.alice_key)
    first = cast.alice_key.revoked_at
    services.revoke_api_key(key=cast.alice_key)
    cast.alice_key.refresh_from_db()
    assert cast.alice_key.revoked_at == first


@pytest.mark.parametrize(
    ("entered", "stored"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
    ],
)
def test_it_stores_networks_in_one_form(cast, entered, stored):
    assert services.allow_network(tenant=cast.acme, network=entered).network == stored
    refused("network", services.allow_network, tenant=cast.acme, network=entered)
    services.allow_network(tenant=cast.globex, network=entered)
    assert [str(network) for network in compile_tenants().by_slug["acme"].networks] == [stored]


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0.0/33", "300.0.0.1", "example.com", "fe80::1%eth0", "1", "0x7f.1", "\x00"]
)
def test_it_refuses_what_is_no_network(cast, text):
    refused("network", services.allow_network, tenant=cast.acme, network=text)


def test_it_makes_tenants_of_the_layout_the_platform_wants(db, settings):
    settings.STORE_LAYOUT, settings.VALKEY_DATABASES = "prefix", 17
    made = [services.create_tenant(slug=f"t{number}", name="T") for number in range(3)]
    assert [tenant.store_layout for tenant in made] == ["prefix"] * 3
    assert len({tenant.store_database for tenant in made}) == 3


def test_a_key_is_changed_until_it_is_revoked(cast):
    key = services.change_api_key(key=cast.alice_key, name=" other ", scopes=["manage", "chat"])
    key.refresh_from_db()
    assert (key.name, key.scopes) == ("other", ["chat", "manage"])
    with pytest.raises(ValidationError) as error:
        services.change_api_key(key=key, expires_at=timezone.now() - timedelta(seconds=1))
    assert "expires_at" in error.value.message_dict
    services.revoke_api_key(key=key)
    with pytest.raises(ValidationError):
        services.change_api_key(key=key, name="again")


@pytest.mark.parametrize(("grace", "left"), [(timedelta(0), 0), (timedelta(hours=1), 3600)])
def test_a_new_key_takes_the_place_of_another(cast, grace, left):
    row, plain = services.rotate_api_key(key=cast.alice_key, grace=grace, created_by=cast.alice.user)
    old = ApiKey.objects.for_tenant(cast.acme.pk).get(pk=cast.alice_key.pk)
    assert (row.replaces_id, row.name, row.digest, row.created_by) == (
        old.pk, "alice", keys.digest(plain), cast.alice.user,
    )  # fmt: skip
    if left:
        assert old.revoked_at is None and (old.expires_at - timezone.now()).total_seconds() == pytest.approx(
            left, abs=60
        )
    else:
        assert old.revoked_at is not None
        with pytest.raises(ValidationError):
            services.rotate_api_key(key=old)
