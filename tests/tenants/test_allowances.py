from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from tenants.allowances import remove_allowance, save_allowance
from tenants.models import Allowance, User
from tenants.services import add_member, create_api_key, create_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return create_tenant(slug="acme", name="Acme")


@pytest.fixture
def globex():
    return create_tenant(slug="globex", name="Globex")


def test_it_gives_and_changes_the_one_of_a_key(acme):
    key, _ = create_api_key(tenant=acme, name="app")
    first = save_allowance(tenant=acme, of="key", key=key, requests_per_minute=10, money_per_day="1.5")
    again = save_allowance(tenant=acme, of="key", key=key, requests_per_minute=20)
    assert again.pk == first.pk
    kept = Allowance.objects.for_tenant(acme.pk).get()
    assert (kept.requests_per_minute, kept.money_per_day) == (20, Decimal("1.5"))
    save_allowance(tenant=acme, of="key", key=key, money_per_day=None)
    assert Allowance.objects.for_tenant(acme.pk).get().money_per_day is None
    remove_allowance(allowance=again)
    assert not Allowance.objects.for_tenant(acme.pk).exists()


def test_it_knows_members_models_and_the_platform(acme):
    member = add_member(tenant=acme, user=User.objects.create_user("alice"))
    save_allowance(tenant=acme, of="member", member=member, concurrent_turns=2)
    save_allowance(tenant=acme, of="model", model="gpt-4", tokens_per_minute=1000)
    save_allowance(tenant=None, of="model", model="gpt-4", money_per_month=Decimal(100))
    save_allowance(tenant=None, of="platform", requests_per_minute=6000)
    assert Allowance.objects.everywhere().count() == 4


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"money_per_day": "NaN"}, "money_per_day"),
        ({"money_per_day": "-0.01"}, "money_per_day"),
        ({"money_per_day": "0.0000001"}, "money_per_day"),
        ({"money_per_month": "1e40"}, "money_per_month"),
        ({"money_per_month": "=1+1"}, "money_per_month"),
        ({"at_limit": "beg"}, "at_limit"),
        ({"share": 5}, "share"),
        ({"tokens_per_minute": 2**70}, "tokens_per_minute"),
    ],
)
def test_it_refuses_what_makes_no_sense_at_the_field(acme, limits, field):
    with pytest.raises(ValidationError) as caught:
        save_allowance(tenant=acme, of="model", model="m", **limits)
    assert list(caught.value.message_dict) == [field]
    assert not Allowance.objects.everywhere().exists()


def test_it_refuses_subjects_of_others_and_none(acme, globex):
    key, _ = create_api_key(tenant=globex, name="theirs")
    for subject, field in (
        ({"of": "key", "key": key}, "key"),
        ({"of": "key"}, "key"),
        ({"of": "model"}, "model"),
        ({"of": "model", "model": "a\nb"}, "model"),
        ({"of": "platform"}, "of"),
        ({"of": "nobody"}, "of"),
    ):
        with pytest.raises(ValidationError) as caught:
            save_allowance(tenant=acme, requests_per_minute=1, **subject)
        assert field in caught.value.message_dict, subject
