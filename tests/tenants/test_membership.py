import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from tenants import membership
from tenants.allowances import save_allowance
from tenants.models import Allowance, Member
from tenants.roles import ROLES
from tests.tenants.test_services import refused


def test_it_changes_a_role(cast):
    assert membership.change_role(member=cast.bob, role="auditor", by_role="admin").role == "auditor"
    refused("role", membership.change_role, member=cast.bob, role="king", by_role="owner")


@pytest.mark.parametrize("by", [role for role in ROLES if role != "owner"])
def test_only_owners_touch_owners(cast, by):
    Member.objects.create(tenant=cast.acme, user=cast.charlie.user, role="owner")
    refused("role", membership.change_role, member=cast.bob, role="owner", by_role=by)
    refused("role", membership.change_role, member=cast.alice, role="member", by_role=by)
    refused("role", membership.remove, member=cast.alice, by_role=by)
    refused("role", membership.switch, member=cast.alice, active=False, by_role=by)


def test_a_tenant_keeps_its_last_owner(cast):
    for by in ("owner", None):
        refused("role", membership.change_role, member=cast.alice, role="admin", by_role=by)
        refused("member", membership.remove, member=cast.alice, by_role=by)
        refused("is_active", membership.switch, member=cast.alice, active=False, by_role=by)
    membership.change_role(member=cast.bob, role="owner", by_role="owner")
    membership.remove(member=cast.alice, by_role="owner")
    assert [member.pk for member in Member.objects.for_tenant(cast.acme.pk)] == [cast.bob.pk]
    refused("member", membership.remove, member=cast.alice, by_role="owner")


def test_an_owner_who_cannot_sign_in_is_none(cast):
    membership.change_role(member=cast.bob, role="owner", by_role="owner")
    cast.bob.user.is_active = False
    cast.bob.user.save()
    refused("member", membership.remove, member=cast.alice, by_role="owner")


@pytest.mark.django_db(transaction=True)
def test_two_owners_cannot_leave_at_the_same_moment(cast):
    membership.change_role(member=cast.bob, role="owner", by_role="owner")
    start, gone = threading.Barrier(2), []

    def leave(member):
        start.wait()
        try:
            membership.remove(member=member, by_role="owner")
            gone.append(member)
        except ValidationError:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=leave, args=[member]) for member in (cast.alice, cast.bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gone) == 1


def test_a_member_with_limits_of_their_own_is_removed_with_them(cast):
    save_allowance(tenant=cast.acme, of="member", member=cast.bob, requests_per_minute=5)
    membership.remove(member=cast.bob, by_role="owner")
    assert not Allowance.objects.everywhere().exists()
