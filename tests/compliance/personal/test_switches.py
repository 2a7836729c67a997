"""A tenant's recognisers, from rows to what turns read."""

from collections import Counter

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from compliance.models import PersonalData
from compliance.personal.privacy import PersonalPrivacy
from compliance.personal.switches import compile_personal, recognisers_of, switch
from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from tenants.scoping import Unscoped
from tests.cast import ALICE, BOB, CHARLIE
from tests.compliance.personal.texts import MAIL, MOBILE


def sent(table, person):
    messages = [Message("user", f"{MOBILE} {MAIL}")]
    privacy = PersonalPrivacy(Cell(table), Counter().__setitem__)
    return privacy.mask(person.principal, messages, ChatRequest(messages=messages))[0][0].content


def test_it_compiles_recognisers_for_their_own_tenant(cast, valkey_url):
    switch(tenant_id=cast.acme.pk, recognisers=["phone"])
    switch(tenant_id=cast.globex.pk, recognisers=[])
    table = compile_personal()
    assert sent(table, ALICE) == sent(table, BOB) == f"[PHONE_1] {MAIL}"
    assert sent(table, CHARLIE) == f"{MOBILE} {MAIL}"
    assert set(table.tenants) == {cast.acme.pk}
    switch(tenant_id=cast.acme.pk, recognisers=["email"])
    assert sent(compile_personal(), ALICE) == f"{MOBILE} [EMAIL_1]"
    assert sent(table, ALICE) == f"[PHONE_1] {MAIL}"  # a turn that runs goes on with what it began with


def test_tenants_with_the_same_share_a_scanner(cast, valkey_url):
    switch(tenant_id=cast.acme.pk, recognisers=["phone", "email"])
    switch(tenant_id=cast.globex.pk, recognisers=["email", "phone"])
    tenants = compile_personal().tenants
    assert tenants[cast.acme.pk] is tenants[cast.globex.pk]


def test_it_refuses_what_there_is_not_and_changes_nothing(cast, valkey_url):
    switch(tenant_id=cast.acme.pk, recognisers=["phone"])
    for wrong in (["shoe_size"], [None], "phone", {"phone": True}):
        with pytest.raises(ValidationError) as refused:
            switch(tenant_id=cast.acme.pk, recognisers=wrong)
        assert "recognisers" in refused.value.message_dict
    assert recognisers_of(cast.acme.pk) == ["phone"] and recognisers_of(cast.globex.pk) == []


def test_a_tenant_has_one_row(cast, valkey_url):
    switch(tenant_id=cast.acme.pk, recognisers=["phone"])
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonalData.objects.create(tenant=cast.acme, recognisers=[])
    with pytest.raises(Unscoped):
        list(PersonalData.objects.all())
