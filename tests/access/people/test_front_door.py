"""`/` sends everybody where they may work."""

from __future__ import annotations

import pytest

from tenants.models import Member, Role, User


def test_nobody_signs_in_first(client, db):
    assert client.get("/")["Location"] == "/accounts/login/"


@pytest.mark.parametrize(
    ("role", "place"), [(Role.OWNER, "/console/"), (Role.AUDITOR, "/console/"), (Role.MEMBER, "/chat/")]
)
def test_a_member_goes_to_the_console_or_to_the_chat_where_that_is_all(client, cast, valkey_url, role, place):
    Member.objects.for_tenant(cast.acme.pk).filter(pk=cast.bob.pk).update(role=role)
    client.force_login(cast.bob.user)
    answer = client.get("/")
    assert answer["Location"].rstrip("/") == place.rstrip("/")
    assert "no-store" in answer["Cache-Control"]
    assert client.get(answer["Location"]).status_code == 200


def test_an_operator_goes_to_the_platform_console(client, cast, valkey_url):
    client.force_login(User.objects.create_superuser("operator"))
    assert client.get("/")["Location"] == "/admin/"


def test_who_chats_with_several_tenants_chooses_one(client, cast, valkey_url):
    Member.objects.for_tenant(cast.acme.pk).filter(pk=cast.bob.pk).update(role=Role.MEMBER)
    Member.objects.create(tenant=cast.globex, user=cast.bob.user, role=Role.MEMBER)
    client.force_login(cast.bob.user)
    assert client.get("/")["Location"] == "/accounts/"


def test_who_belongs_nowhere_is_told_so(client, db):
    client.force_login(User.objects.create_user("stranger"))
    assert client.get("/")["Location"] == "/accounts/"


def test_the_icon_is_where_browsers_look_for_it(client, db):
    answer = client.get("/favicon.ico")
    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Cache-Control"] == "public, max-age=86400"
    assert answer.content.startswith(b"<svg")
    assert not answer.cookies
