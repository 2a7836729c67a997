"""Members and invitations in a tenant's console."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from tenants.models import Invitation, Member, User
from tests.access.console.tenant.conftest import SignIn

ADD = "/console/tenants/invitation/add/"


def page(member: Any, rest: str = "change") -> str:
    return f"/console/tenants/member/{member.pk}/{rest}/"


def role(member: Any) -> tuple[str, bool]:
    found = Member.objects.everywhere().get(pk=member.pk)
    return found.role, found.is_active


def test_it_changes_roles_and_switches_people_off(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.post(page(cast.bob), {"role": "auditor", "is_active": "on"}).status_code == 302
    assert role(cast.bob) == ("auditor", True)
    alice.post(page(cast.bob), {"role": "auditor"})
    assert role(cast.bob) == ("auditor", False)
    wrong = alice.post(page(cast.bob), {"role": "emperor"})
    assert list(wrong.context["adminform"].form.errors) == ["role"]


def test_it_keeps_the_last_owner(cast: SimpleNamespace, alice: Client) -> None:
    for fields in ({"role": "admin", "is_active": "on"}, {"role": "owner"}):
        answer = alice.post(page(cast.alice), fields, follow=True)
        assert "needs an owner" in answer.content.decode()
    answer = alice.post(page(cast.alice, "delete"), {"post": "yes"}, follow=True)
    assert "needs an owner" in answer.content.decode()
    assert role(cast.alice) == ("owner", True)


def test_an_admin_touches_no_owner_and_makes_none(cast: SimpleNamespace, as_role: SignIn) -> None:
    admin = as_role("admin")
    assert admin.post(page(cast.alice), {"role": "member", "is_active": "on"}).status_code == 403
    assert admin.post(page(cast.alice, "delete"), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in admin.get(page(cast.alice)).content.decode()
    own = admin.post(page(cast.bob), {"role": "owner", "is_active": "on"})
    assert list(own.context["adminform"].form.errors) == ["role"]
    invited = admin.post(ADD, {"email": "eve@example.com", "role": "owner"})
    assert list(invited.context["adminform"].form.errors) == ["role"]
    assert (role(cast.alice), role(cast.bob)) == (("owner", True), ("admin", True))


def test_it_removes_a_member_and_keeps_the_person(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.post(page(cast.bob, "delete"), {"post": "yes"}).status_code == 302
    assert not Member.objects.everywhere().filter(pk=cast.bob.pk).exists()
    assert User.objects.filter(username="bob").exists()


def test_it_signs_a_person_out_everywhere(cast: SimpleNamespace, as_role: SignIn, alice: Client) -> None:
    sign_out = page(cast.bob, "sign_out")
    before = cast.bob.user.signed_out_at
    assert alice.post(sign_out, {"_form_submitted": "True"}).status_code == 200
    assert User.objects.get(username="bob").signed_out_at != before
    assert as_role("auditor").post(sign_out, {"_form_submitted": "True"}).status_code == 403


def test_a_tenant_signs_no_operator_out(cast: SimpleNamespace, alice: Client) -> None:
    User.objects.filter(username="bob").update(is_superuser=True)
    assert alice.post(page(cast.bob, "sign_out"), {"_form_submitted": "True"}).status_code == 403
    assert User.objects.get(username="bob").signed_out_at is None


def test_it_invites_by_mail(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.post(ADD, {"email": "eve@example.com", "role": "developer"}).status_code == 302
    row = Invitation.objects.for_tenant(cast.acme.pk).get()
    assert (row.email, row.role, row.invited_by_id) == ("eve@example.com", "developer", cast.alice.user_id)
    assert mail.outbox[0].to == ["eve@example.com"]
    link = f"/console/tenants/invitation/{row.pk}/"
    assert row.digest not in alice.get(f"{link}change/").content.decode()
    alice.post(f"{link}resend/", {"_form_submitted": "True"})
    assert len(mail.outbox) == 2
    alice.post(f"{link}withdraw/", {"_form_submitted": "True"})
    row.refresh_from_db()
    assert row.withdrawn_at is not None
    alice.post(f"{link}resend/", {"_form_submitted": "True"})
    assert "not open any more" in alice.get(f"{link}change/").content.decode()
    assert len(mail.outbox) == 2


def test_only_who_could_have_written_an_invitation_takes_it_back(
    cast: SimpleNamespace, as_role: SignIn, alice: Client
) -> None:
    alice.post(ADD, {"email": "eve@example.com", "role": "owner"})
    row = Invitation.objects.for_tenant(cast.acme.pk).get()
    for button in ("resend", "withdraw"):
        link = f"/console/tenants/invitation/{row.pk}/{button}/"
        assert as_role("admin").post(link, {"_form_submitted": "True"}).status_code == 403
    row.refresh_from_db()
    assert row.withdrawn_at is None and len(mail.outbox) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": ""}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": "a\x00@example.com"}, "email"),
        ({"email": f"{'x' * 300}@example.com"}, "email"),
        ({"role": "emperor"}, "role"),
        ({"role": ""}, "role"),
    ],
)
def test_it_refuses_a_wrong_invitation_at_the_field(alice: Client, fields: dict[str, str], field: str) -> None:
    answer = alice.post(ADD, {"email": "eve@example.com", "role": "member", **fields})
    assert list(answer.context["adminform"].form.errors) == [field]
    assert mail.outbox == []


def test_it_says_that_an_address_is_asked_or_a_member_already(cast: SimpleNamespace, alice: Client) -> None:
    User.objects.filter(username="bob").update(email="bob@example.com")
    for email in ("bob@example.com", "eve@example.com", "EVE@example.com"):
        answer = alice.post(ADD, {"email": email, "role": "member"})
        if email != "eve@example.com":
            assert list(answer.context["adminform"].form.errors) == ["email"]
