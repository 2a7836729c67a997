import pytest
from django.db import transaction

from tenants.changes import HIDDEN, RENEWED
from tenants.live import CHANNEL, announce, bus
from tenants.models import ApiKey, ConfigVersion, Member, Tenant, User
from tenants.signals import config_changed


@pytest.fixture
def heard(cast):
    records = []

    def listen(sender, section, before, after, **_):
        records.append((sender, section, before, after))

    config_changed.connect(listen)
    yield records
    config_changed.disconnect(listen)


def version(section):
    return ConfigVersion.objects.filter(pk=section).values_list("version", flat=True).first() or 0


def test_it_says_what_was_created(cast, heard):
    tenant = Tenant.objects.create(slug="initech", name="Initech", store_database=40)
    [(sender, section, before, after)] = heard
    assert (sender, section, before) == (Tenant, "tenants", None)
    assert (after["slug"], after["id"]) == ("initech", tenant.pk)


def test_it_says_what_was_stored_before_an_update_even_if_the_object_was_stale(cast, heard):
    stale = Tenant.objects.get(pk=cast.acme.pk)
    Tenant.objects.filter(pk=cast.acme.pk).update(name="Acme & Sons")
    stale.requests_per_minute = 5
    stale.save(update_fields=["requests_per_minute"])
    [(_, _, before, after)] = heard
    assert (before["name"], before["requests_per_minute"]) == ("Acme & Sons", None)
    assert after["requests_per_minute"] == 5


def test_it_says_what_was_deleted_and_what_went_with_it(cast, heard):
    cast.globex.delete()
    gone = {(sender, before["id"], after) for sender, _, before, after in heard}
    assert gone == {(Tenant, 2, None), (Member, 3, None), (ApiKey, 3, None)}


def test_it_names_secrets_without_showing_them(cast, heard):
    cast.alice.user.set_password("something else entirely")
    cast.alice.user.save()
    cast.alice_key.delete()
    [(sender, section, before, after), (_, _, key, _)] = heard
    assert (sender, section) == (User, "members")
    assert before["password"] == key["digest"] == HIDDEN
    assert after["password"] == RENEWED
    assert "something else" not in str(heard)


def test_it_says_of_a_secret_that_stayed_that_it_did(cast, heard):
    cast.alice.user.first_name = "Alice"
    cast.alice.user.save()
    [(_, _, before, after)] = heard
    assert before["password"] == after["password"] == HIDDEN


def test_it_keeps_quiet_about_a_login(cast, heard):
    before = version("members")
    cast.alice.user.save(update_fields=["last_login"])
    assert heard == []
    assert version("members") == before


def test_it_counts_the_section_up_with_every_change(cast):
    before = version("keys")
    cast.alice_key.name = "renamed"
    cast.alice_key.save()
    cast.bob_key.delete()
    announce("keys")
    assert version("keys") == before + 3


def test_it_speaks_once_on_the_bus_for_a_transaction_of_many_changes(transactional_db, cast, valkey_url):
    with bus(valkey_url, 5) as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(CHANNEL)
        listener.get_message(timeout=5)
        with transaction.atomic():
            for name in ("a", "b", "c"):
                cast.alice_key.name = name
                cast.alice_key.save()
            cast.alice.save()
        client.publish(CHANNEL, "end")
        said = [message["data"] for message in iter(lambda: listener.get_message(timeout=0.2), None)]
    assert said == [b"keys", b"members", b"end"]


def test_it_forgets_the_count_when_the_change_is_rolled_back(cast):
    before = version("keys")
    with pytest.raises(RuntimeError), transaction.atomic():
        cast.alice_key.save()
        assert version("keys") == before + 1
        raise RuntimeError
    assert version("keys") == before


def test_it_saves_the_row_and_its_count_in_one_transaction(transactional_db, cast):
    def refuse(sender, **_):
        raise RuntimeError("a listener fails")

    config_changed.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            Tenant.objects.create(slug="initech", name="Initech", store_database=40)
    finally:
        config_changed.disconnect(refuse)
    assert not Tenant.objects.filter(slug="initech").exists()
