"""Whose console it is: chosen among one's tenants, refused where there is none, and no form ends up elsewhere."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db.models.signals import pre_save
from django.test import Client
from django.utils import timezone, translation

from tenants import walls
from tenants.models import IpRule, Member, SupportVisit, Tenant, User
from tests.access.console.screens import NAUGHTY


@pytest.fixture
def both(cast: SimpleNamespace, alice: Client) -> Client:
    """Alice, who is an admin of globex, too."""
    Member.objects.create(tenant=cast.globex, user=cast.alice.user, role="admin")
    return alice


def networks(tenant: Tenant) -> list[str]:
    return [row.network for row in IpRule.objects.for_tenant(tenant.pk).order_by("pk")]


def test_it_opens_the_tenant_that_is_chosen(cast: SimpleNamespace, both: Client) -> None:
    text = both.get("/console/").content.decode()
    assert "Acme" in text
    assert "Switch tenant" in text
    page = both.get("/console/choose/").content.decode()
    assert "Open Globex" in page
    assert both.post("/console/choose/", {"tenant": cast.globex.pk}).headers["Location"] == "/console/"
    assert "charlie" in both.get("/console/tenants/member/").content.decode()
    assert "Globex" in both.get("/console/").content.decode()


@pytest.mark.parametrize("tenant", ["2", "999", "x", "", "\x00", "-1"])
def test_it_opens_nobody_elses_tenant(cast: SimpleNamespace, alice: Client, tenant: str) -> None:
    answer = alice.post("/console/choose/", {"tenant": tenant}, follow=True)
    assert "no such tenant among yours" in answer.content.decode()
    assert "Acme" in alice.get("/console/").content.decode()


def test_it_does_not_save_a_form_for_another_tenant(cast: SimpleNamespace, both: Client) -> None:
    form = both.get("/console/tenants/iprule/add/").content.decode()
    assert f'name="console_tenant" value="{cast.acme.pk}"' in form
    both.post("/console/choose/", {"tenant": cast.globex.pk})
    fields = {"network": "10.7.0.0/16", "console_tenant": cast.acme.pk}
    refused = both.post("/console/tenants/iprule/add/", fields)
    assert refused.status_code == 409
    assert "opened for Acme" in refused.content.decode()
    assert networks(cast.acme) == networks(cast.globex) == []
    assert both.post("/console/tenants/iprule/add/", {**fields, "console_tenant": "x"}).status_code == 409
    assert both.post("/console/tenants/iprule/add/", {**fields, "console_tenant": cast.globex.pk}).status_code == 302
    assert (networks(cast.acme), networks(cast.globex)) == ([], ["10.7.0.0/16"])


def test_it_says_why_there_is_no_console(cast: SimpleNamespace, alice: Client, charlie: Client) -> None:
    Tenant.objects.filter(pk=cast.acme.pk).update(is_active=False, name=NAUGHTY)
    answer = alice.get("/console/")
    assert answer.status_code == 403
    assert "Suspended by the platform" in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()
    assert alice.post("/console/tenants/iprule/add/", {"network": "10.7.0.0/16"}).status_code == 403
    assert networks(cast.acme) == []
    Tenant.objects.filter(pk=cast.globex.pk).update(is_active=False, closed_at=timezone.now())
    assert "Being closed" in charlie.get("/console/").content.decode()
    Member.objects.for_tenant(cast.globex.pk).delete()
    assert "You are a member of no tenant" in charlie.get("/console/").content.decode()
    assert charlie.post("/console/logout/").status_code == 302
    assert charlie.get("/console/").status_code == 302


def test_it_sends_strangers_to_the_sign_in(cast: SimpleNamespace, valkey_url: str) -> None:
    for path in ("", "choose/", "tenants/iprule/", "tenants/iprule/add/"):
        answer = Client().get(f"/console/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/console/login/?next=/console/{path}")


def test_a_persons_language_is_theirs_and_no_tenants(alice: Client) -> None:
    """On PostgreSQL an operator who visits could not save theirs from within the tenant's wall."""
    stood: list[int | None] = []

    def saving(**_: object) -> None:
        stood.append(walls.current())

    pre_save.connect(saving, sender=User)
    try:
        assert alice.post("/console/choose/", {"language": "zh-hans"}).status_code == 302
    finally:
        pre_save.disconnect(saving, sender=User)
    assert stood == [None]


def test_it_speaks_the_language_of_the_person_and_the_time_of_the_tenant(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.post("/console/choose/", {"language": "tlh"}).status_code == 200
    assert alice.post("/console/choose/", {"language": "zh-hans"}).status_code == 302
    assert User.objects.get(username="alice").language == "zh-hans"
    assert '<html lang="zh-hans"' in alice.get("/console/").content.decode()
    assert translation.get_language() == "en"
    Tenant.objects.filter(pk=cast.acme.pk).update(time_zone="Asia/Shanghai")
    alice.post("/console/choose/", {"language": "en"})
    IpRule.objects.create(tenant=cast.acme, network="10.7.0.0/16")
    made = timezone.now().replace(year=2026, month=1, day=31, hour=20, minute=5)
    IpRule.objects.for_tenant(cast.acme.pk).update(created_at=made)
    assert "2026-02-01 04:05" in alice.get("/console/tenants/iprule/").content.decode()


def test_a_support_visit_is_shown_on_every_page_and_may_only_look(cast: SimpleNamespace, valkey_url: str) -> None:
    operator = User.objects.create_superuser("operator")
    ends = timezone.now() + timedelta(minutes=30)
    visit = SupportVisit.objects.create(tenant=cast.acme, operator=operator, reason=NAUGHTY[:200], ends_at=ends)
    client = Client()
    client.force_login(operator)
    assert client.get("/console/").status_code == 403
    session = client.session
    session["console_visit"] = visit.pk
    session.save()
    for path in ("", "tenants/iprule/", "tenants/apikey/"):
        text = client.get(f"/console/{path}").content.decode()
        assert "Support visit to Acme" in text
        assert "Looking only" in text
        assert "<script>alert" not in text
    assert client.post("/console/tenants/iprule/add/", {"network": "10.7.0.0/16"}).status_code == 403
    SupportVisit.objects.for_tenant(cast.acme.pk).update(ends_at=timezone.now())
    assert client.get("/console/").status_code == 403
