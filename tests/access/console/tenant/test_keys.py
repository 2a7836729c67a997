"""API keys in a tenant's console: nobody makes one that may more than they do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from tenants import keys
from tenants.models import Allowance, ApiKey, Tenant
from tests.access.console.screens import NAUGHTY
from tests.access.console.tenant.conftest import SignIn

ADD = "/console/tenants/apikey/add/"


def made(cast: SimpleNamespace) -> ApiKey:
    return ApiKey.objects.for_tenant(cast.acme.pk).order_by("-pk").first()  # type: ignore[return-value]


def errors(answer: Any) -> list[str]:
    return list(answer.context["adminform"].form.errors)


def plain_of(answer: Any) -> str:
    found: str = answer.context["plain"]
    return found


def test_it_makes_a_key_with_limits_and_shows_it_once(cast: SimpleNamespace, alice: Client) -> None:
    fields = {"name": NAUGHTY[:100], "scopes": ["chat", "manage"], "requests_per_minute": 60, "money_per_day": "1.5"}
    answer = alice.post(ADD, fields)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    key, plain = made(cast), plain_of(answer)
    assert keys.digest(plain) == key.digest
    assert (key.tenant_id, key.scopes, key.created_by_id) == (cast.acme.pk, ["chat", "manage"], cast.alice.user_id)
    limits = Allowance.objects.for_tenant(cast.acme.pk).get(key=key)
    assert (limits.requests_per_minute, str(limits.money_per_day)) == (60, "1.500000")
    for page in ("", f"{key.pk}/change/"):
        text = alice.get(f"/console/tenants/apikey/{page}").content.decode()
        assert plain not in text
        assert key.digest not in text
    assert f"/console/tenants/allowance/{limits.pk}/change/" in text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": ["platform"]}, "scopes"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "expires_at"),
        ({"expires_at_0": "soon", "expires_at_1": "00:00"}, "expires_at"),
        ({"expires_at_0": "9999-12-31", "expires_at_1": "23:59"}, "expires_at"),
        ({"expires_at_0": "3000-01-01", "expires_at_1": "00:00"}, "expires_at"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"tokens_per_minute": 2**63}, "tokens_per_minute"),
        ({"concurrent_turns": "many"}, "concurrent_turns"),
        ({"money_per_day": "NaN"}, "money_per_day"),
        ({"money_per_month": "-0.000001"}, "money_per_month"),
        ({"money_per_month": "1e99"}, "money_per_month"),
    ],
)
def test_it_refuses_a_wrong_key_at_the_field(
    cast: SimpleNamespace, alice: Client, fields: dict[str, Any], field: str
) -> None:
    answer = alice.post(ADD, {"name": "App", **fields})
    assert (answer.status_code, errors(answer)) == (200, [field])
    assert made(cast).pk == cast.bob_key.pk


def test_a_developer_makes_no_key_that_may_more_than_they(cast: SimpleNamespace, as_role: SignIn) -> None:
    developer = as_role("developer")
    for scopes in (["manage"], ["audit"], ["chat", "manage"]):
        assert errors(developer.post(ADD, {"name": "App", "scopes": scopes})) == ["scopes"]
    assert 'value="manage"' not in developer.get(ADD).content.decode()
    strong = ApiKey.objects.create(tenant=cast.acme, name="x", digest="d", hint="h", scopes=["manage"])
    assert developer.post(f"/console/tenants/apikey/{strong.pk}/rotate/", {"grace": "0"}).status_code == 403
    assert developer.post(f"/console/tenants/apikey/{strong.pk}/revoke/", {"_form_submitted": "1"}).status_code == 403
    developer.post("/console/tenants/apikey/", {"action": "revoke_chosen", "_selected_action": [strong.pk]})
    strong.refresh_from_db()
    assert strong.revoked_at is None
    answer = developer.post(ADD, {"name": "App"})
    assert made(cast).scopes == []
    assert plain_of(answer)


def test_it_rotates_a_key(cast: SimpleNamespace, alice: Client) -> None:
    alice.post(ADD, {"name": "App", "scopes": ["chat", "audit"], "requests_per_minute": 60})
    old = made(cast)
    page = f"/console/tenants/apikey/{old.pk}/rotate/"
    assert "Make a new key" in alice.get(page).content.decode()
    for wrong in ("", "-1", "9" * 30, "x"):
        assert "plain" not in alice.post(page, {"grace": wrong}).context
    answer = alice.post(page, {"grace": 3600})
    new = made(cast)
    assert keys.digest(plain_of(answer)) == new.digest
    assert (new.name, new.scopes, new.replaces_id) == (old.name, old.scopes, old.pk)
    assert Allowance.objects.for_tenant(cast.acme.pk).get(key=new).requests_per_minute == 60
    old.refresh_from_db()
    assert old.revoked_at is None
    assert timedelta(minutes=59) < old.expires_at - timezone.now() <= timedelta(hours=1)
    alice.post(f"/console/tenants/apikey/{new.pk}/rotate/", {"grace": 0})
    new.refresh_from_db()
    assert new.revoked_at is not None
    again = alice.post(f"/console/tenants/apikey/{new.pk}/rotate/", {"grace": 0})
    assert "has ended" in again.content.decode()


def test_it_revokes_one_and_several(cast: SimpleNamespace, alice: Client) -> None:
    answer = alice.post(f"/console/tenants/apikey/{cast.bob_key.pk}/revoke/", {"_form_submitted": "True"})
    assert answer.headers["HX-Redirect"] == f"/console/tenants/apikey/{cast.bob_key.pk}/change/"
    chosen = [cast.alice_key.pk, cast.charlie_key.pk]
    alice.post("/console/tenants/apikey/", {"action": "revoke_chosen", "_selected_action": chosen})
    revoked = ApiKey.objects.everywhere().filter(revoked_at__isnull=False).values_list("pk", flat=True)
    assert sorted(revoked) == [cast.alice_key.pk, cast.bob_key.pk]


def test_an_auditor_presses_nothing(cast: SimpleNamespace, as_role: SignIn) -> None:
    auditor = as_role("auditor")
    page = f"/console/tenants/apikey/{cast.alice_key.pk}/"
    text = auditor.get(f"{page}change/").content.decode()
    assert f"{page}revoke/" not in text
    assert f"{page}rotate/" not in text
    assert auditor.post(f"{page}revoke/", {"_form_submitted": "True"}).status_code == 403
    assert auditor.post(f"{page}rotate/", {"grace": 0}).status_code == 403
    assert auditor.post(ADD, {"name": "App"}).status_code == 403


def test_an_end_is_in_the_tenants_time_zone_and_the_page_says_so(cast: SimpleNamespace, alice: Client) -> None:
    cast.acme.time_zone = "America/New_York"
    cast.acme.save()
    text = alice.get(ADD).content.decode()
    assert "In the tenant's time zone" in text.replace("&#x27;", "'") and "UTC;" not in text
    for end in ("9999-12-31", "0001-01-01"):
        answer = alice.post(ADD, {"name": "far", "expires_at_0": end, "expires_at_1": "23:59"})
        assert "expires_at" in errors(answer)
    alice.post(ADD, {"name": "near", "expires_at_0": "2999-06-01", "expires_at_1": "00:00"})
    expires = made(cast).expires_at
    assert expires is not None and expires.hour == 4


def test_keys_are_found_by_their_state(cast: SimpleNamespace, alice: Client) -> None:
    ApiKey.objects.for_tenant(cast.acme.pk).filter(pk=cast.bob_key.pk).update(revoked_at=timezone.now())

    def found(query: str) -> list[int]:
        answer = alice.get(f"/console/tenants/apikey/?{query}")
        assert answer.status_code == 200, query
        return [key.pk for key in answer.context["cl"].result_list]

    assert found("state=revoked") == [cast.bob_key.pk]
    assert found("state=active") == [cast.alice_key.pk]
    assert found("state=expired") == []
    assert alice.get("/console/tenants/invitation/?state=open").status_code == 200


def test_keys_are_shown_without_a_journal(
    cast: SimpleNamespace, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr("compliance.usage.reader.last_used", away)
    assert alice.get("/console/tenants/apikey/").status_code == 200
    assert "unknown" in alice.get(f"/console/tenants/apikey/{cast.bob_key.pk}/change/").content.decode()


def test_a_key_says_in_the_tenants_time_when_it_was_used_and_ends(
    cast: SimpleNamespace, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tenant.objects.filter(pk=cast.acme.pk).update(time_zone="Asia/Shanghai")
    used = datetime(2026, 1, 31, 20, 15, 30, 123456, UTC).timestamp()
    monkeypatch.setattr("access.console.tenant.keys.last_use_of", lambda _, keys: dict.fromkeys(keys, used))
    page = alice.get(f"/console/tenants/apikey/{cast.bob_key.pk}/change/").content.decode().replace("&#x27;", "'")
    assert "2026-02-01 04:15" in page
    assert "2026-01-31" not in page
    assert "In the tenant's time zone; empty: never." in page
    assert "UTC; empty" not in page
