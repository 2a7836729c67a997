from __future__ import annotations

from tenants import keys
from tenants.directory import compile_tenants
from tenants.models import ApiKey, Member
from tests.cast import ACME, CHARLIE, EVERYBODY, GLOBEX


def test_it_puts_the_cast_into_the_database(cast):
    assert compile_tenants().by_id == {ACME.id: ACME.view(), GLOBEX.id: GLOBEX.view()}
    for person in EVERYBODY:
        assert keys.well_formed(person.key)
        assert ApiKey.objects.for_tenant(person.company.id).get(digest=person.digest).pk == person.id
    assert [member.pk for member in Member.objects.for_tenant(GLOBEX.id)] == [CHARLIE.id]
    assert cast.charlie.user.check_password(CHARLIE.password)
