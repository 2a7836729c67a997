import re
import threading
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from tenants import attempts, invitations, membership, services
from tenants.models import Invitation, Member, User
from tests.tenants.test_services import NAUGHTY, refused

pytestmark = pytest.mark.usefixtures("valkey_url")


def invite(cast, email="dora@acme.example", role="developer", by="alice", **more):
    return invitations.invite(tenant=cast.acme, email=email, role=role, by=getattr(cast, by), **more)


def secret_of(message):
    return re.search(r"/accounts/invitation/([\w-]+)/", message.body).group(1)


def new_user(name="dora"):
    return User.objects.create_user(name, f"{name}@acme.example")


def test_it_writes_a_mail_whose_link_makes_a_member(cast):
    row = invite(cast)
    assert (row.email, row.role, row.invited_by) == ("dora@acme.example", "developer", cast.alice.user)
    assert [message.to for message in mail.outbox] == [["dora@acme.example"]]
    assert "Acme" in mail.outbox[0].subject and "alice" in mail.outbox[0].body
    secret = secret_of(mail.outbox[0])
    assert secret not in str(Invitation.objects.for_tenant(cast.acme.pk).values())
    assert invitations.find(secret=secret) == row
    member = invitations.accept(secret=secret, user=new_user())
    assert (member.tenant, member.role, member.is_active) == (cast.acme, "developer", True)
    assert invitations.find(secret=secret) is None


def test_its_link_is_good_once_and_until_it_expires(cast):
    row = invite(cast)
    secret = secret_of(mail.outbox[0])
    invitations.accept(secret=secret, user=new_user())
    refused("invitation", invitations.accept, secret=secret, user=new_user("eve"))
    other = invite(cast, "eve@acme.example")
    Invitation.objects.for_tenant(cast.acme.pk).filter(pk=other.pk).update(expires_at=timezone.now())
    refused("invitation", invitations.accept, secret=secret_of(mail.outbox[1]), user=User.objects.get(username="eve"))
    assert row.expires_at - timezone.now() > timedelta(days=6, hours=23)


def test_it_withdraws_and_sends_again(cast):
    row = invite(cast)
    again = invitations.resend(invitation=row)
    first, second = (secret_of(message) for message in mail.outbox)
    assert again.pk == row.pk and first != second
    assert invitations.find(secret=first) is None and invitations.find(secret=second) == row
    assert invitations.withdraw(invitation=row).withdrawn_at
    invitations.withdraw(invitation=row)
    assert invitations.find(secret=second) is None
    refused("invitation", invitations.resend, invitation=row)
    assert invite(cast).pk != row.pk


def test_it_refuses_to_withdraw_what_was_accepted(cast):
    row = invite(cast)
    invitations.accept(secret=secret_of(mail.outbox[0]), user=new_user())
    refused("invitation", invitations.withdraw, invitation=row)


def test_it_has_one_open_invitation_an_address(cast):
    row = invite(cast)
    refused("email", invite, cast=cast, email="DORA@acme.example")
    Invitation.objects.for_tenant(cast.acme.pk).filter(pk=row.pk).update(expires_at=timezone.now())
    assert invite(cast).pk != row.pk


@pytest.mark.parametrize(
    "email", ["", "dora", "a@b\nBcc: c@d.example", "a@" + "b" * 300 + ".example", "\x00@a.example"]
)
def test_it_refuses_what_is_no_address(cast, email):
    refused("email", invite, cast=cast, email=email)
    assert mail.outbox == []


def test_nobody_makes_anybody_more_than_they_are(cast):
    refused("role", invite, cast=cast, by="bob", role="member")
    membership.change_role(member=cast.bob, role="admin", by_role="owner")
    cast.bob.refresh_from_db()
    refused("role", invite, cast=cast, by="bob", role="owner")
    refused("role", invite, cast=cast, role="king")
    refused("role", invitations.invite, tenant=cast.acme, email="a@b.example", role="owner", by=None, by_role="admin")
    assert invitations.invite(tenant=cast.acme, email="a@b.example", role="owner", by=None).invited_by is None


def test_it_refuses_members_and_suspended_tenants(cast):
    User.objects.filter(pk=cast.bob.user_id).update(email="Bob@acme.example")
    refused("email", invite, cast=cast, email="bob@acme.example")
    invite(cast)
    secret = secret_of(mail.outbox[0])
    refused("invitation", invitations.accept, secret=secret, user=cast.alice.user)
    services.suspend_tenant(tenant=cast.acme)
    refused("tenant", invite, cast=cast, email="eve@acme.example")
    assert invitations.find(secret=secret) is None
    refused("invitation", invitations.accept, secret=secret, user=new_user())


def test_a_member_who_was_switched_off_comes_back_by_an_invitation_of_their_own_since_then(cast):
    bob = cast.bob.user
    bob.email = "Bob@Acme.example"
    bob.save()
    membership.switch(member=cast.bob, active=False, by_role="owner")
    invite(cast, email="bob@acme.example", role="auditor")
    member = invitations.accept(secret=secret_of(mail.outbox[0]), user=bob)
    assert (member.pk, member.role, member.is_active) == (cast.bob.pk, "auditor", True)


def test_no_invitation_of_before_lets_in_who_was_switched_off_nor_one_of_somebody_elses(cast):
    membership.switch(member=cast.bob, active=False, by_role="owner")
    bob = cast.bob.user
    bob.email = "bob@acme.example"
    bob.save()
    row = invite(cast, email="bob@acme.example", role="admin")
    membership.switch(member=cast.bob, active=True, by_role="owner")
    membership.switch(member=cast.bob, active=False, by_role="owner")
    row.refresh_from_db()
    assert row.withdrawn_at is not None
    refused("invitation", invitations.accept, secret=secret_of(mail.outbox[0]), user=bob)
    other = invite(cast, email="eve@acme.example", role="admin")
    refused("invitation", invitations.accept, secret=secret_of(mail.outbox[1]), user=bob)
    other.refresh_from_db()
    assert other.accepted_at is None and not Member.objects.for_tenant(cast.acme.pk).get(pk=cast.bob.pk).is_active


def test_it_keeps_to_a_number_of_mails(cast, monkeypatch):
    row = invite(cast)
    for _ in range(4):
        invitations.resend(invitation=row)
    refused("email", invitations.resend, invitation=row)
    monkeypatch.setattr(invitations, "MAILS", attempts.Attempts("invitations", 5, 3600))
    refused("email", invite, cast=cast, email="eve@acme.example")
    assert len(mail.outbox) == 5


def test_a_mail_that_cannot_be_sent_leaves_nothing(cast, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    refused("email", invite, cast=cast)
    assert not Invitation.objects.for_tenant(cast.acme.pk).exists()


@pytest.mark.parametrize("name", NAUGHTY)
def test_a_naughty_name_is_a_name(cast, name):
    cast.acme.name = name
    cast.acme.save()
    invite(cast)
    assert name in mail.outbox[0].subject and name in mail.outbox[0].body


def test_it_speaks_the_readers_language_when_it_is_known(cast):
    new_user()
    User.objects.filter(username="dora").update(language="en")
    invite(cast)
    assert "Follow this link" in mail.outbox[0].body


@pytest.mark.django_db(transaction=True)
def test_one_of_two_at_the_same_moment_gets_in(cast):
    invite(cast)
    secret = secret_of(mail.outbox[0])
    users, done = [new_user("dora"), new_user("eve")], []
    start = threading.Barrier(2)

    def accept(user):
        start.wait()
        try:
            done.append(invitations.accept(secret=secret, user=user))
        except ValidationError:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=accept, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert Member.objects.for_tenant(cast.acme.pk).count() == 3
