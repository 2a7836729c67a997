"""Limits in the platform's console: of the platform, of its models, and of any tenant's parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from tenants.models import Allowance

ADD = "/admin/tenants/allowance/add/"


def errors(client: Client, page: str = ADD, **fields: Any) -> list[str]:
    answer = client.post(page, fields)
    return [] if answer.status_code == 302 else list(answer.context["adminform"].form.errors)


def test_it_limits_the_platform_and_its_models_once(console: Client, cast: SimpleNamespace) -> None:
    assert errors(console, of="platform", requests_per_minute=1000) == []
    assert errors(console, of="model", model="gpt", money_per_day="12.5") == []
    assert errors(console, of="model", model="gpt", tenant=cast.acme.pk, at_limit="cheaper") == []
    assert errors(console, of="key", key=cast.bob_key.pk, tenant=cast.acme.pk, concurrent_turns=1) == []
    rows = Allowance.objects.everywhere().order_by("pk")
    assert [(row.tenant_id, row.of) for row in rows] == [(None, "platform"), (None, "model"), (1, "model"), (1, "key")]
    page = f"/admin/tenants/allowance/{rows[0].pk}/change/"
    assert errors(console, page, requests_per_minute="", of="model", model="x") == []
    first = Allowance.objects.everywhere().get(pk=rows[0].pk)
    assert (first.of, first.requests_per_minute) == ("platform", None)
    assert errors(console, of="platform", requests_per_minute=1000) == ["of"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"of": "platform", "tenant": 1}, "tenant"),
        ({"of": "platform", "model": "gpt"}, "model"),
        ({"of": "model"}, "model"),
        ({"of": "everything"}, "of"),
        ({"of": "member", "member": 1}, "member"),
        ({"of": "member", "member": 3, "tenant": 1}, "member"),
        ({"of": "key", "key": 99, "tenant": 1}, "key"),
        ({"of": "platform", "money_per_month": -1}, "money_per_month"),
        ({"of": "platform", "requests_per_minute": "many"}, "requests_per_minute"),
        ({"of": "platform", "at_limit": "explode"}, "at_limit"),
    ],
)
def test_it_refuses_what_is_wrong_at_the_field(
    console: Client, cast: SimpleNamespace, fields: dict[str, Any], field: str
) -> None:
    assert field in errors(console, **fields)
    assert not Allowance.objects.everywhere().exists()
