"""How much of its limits a tenant has used stands on its overview."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import RequestFactory

from access.console.bridge import SCOPE_KEY, EngineBridge
from access.console.tenant.standing import standing
from engine.errors import StoreUnavailable
from engine.snapshots import Cell
from routing.table import RoutingTable
from tenants.limits.standing import Count, Money, Standing
from tenants.models import Allowance, ApiKey, Member, User


def asked(loop, found, parts=None):
    async def limits(tenant_id, **_):
        if isinstance(found, Exception):
            raise found
        return found

    limits = found if callable(found) else limits

    request = RequestFactory().get("/console/")
    request.scope = {
        SCOPE_KEY: EngineBridge(SimpleNamespace(), loop, Cell(RoutingTable()), SimpleNamespace(), limits=limits)
    }
    return standing(request, SimpleNamespace(pk=1, time_zone="Asia/Shanghai"), parts)


def test_it_shows_what_of_each_limit_is_used(loop):
    whole = Standing(
        of="tenant",
        requests=Count(limit=10, used=3, reset=1.0),
        day=Money(limit=2_000_000, used=1_500_000, set_aside=200_000, resets_at=1_767_196_800),
    )
    found = asked(loop, [whole, Standing(of="model", name="gpt", turns=Count(limit=4, used=4))])
    assert [(row["whose"], row["used"], row["limit"], row["percent"], row["near"]) for row in found["rows"]] == [
        ("The whole tenant", 3, 10, 30, False),
        ("The whole tenant", "1.7", "2", 85, True),
        ("gpt", 4, 4, 100, True),
    ]
    assert found["rows"][1]["resets"] == "2026-01-01 00:00"


def test_an_amount_nobody_knows_is_said_to_be_unknown(loop):
    day = Money(limit=2_000_000, used=None, set_aside=None, resets_at=0)
    assert asked(loop, [Standing(of="tenant", day=day)])["rows"][0]["used"] == "unknown"


@pytest.mark.parametrize("found", [[], StoreUnavailable()])
def test_without_limits_or_an_answer_there_is_nothing_to_show(loop, found):
    assert asked(loop, found) is None


def test_of_parts_it_asks_for_those_alone_and_names_them(loop):
    asked_for = {}

    async def limits(tenant_id, **parts):
        asked_for.update(parts)
        return [
            Standing(of="key", name="7", requests=Count(limit=10, used=1)),
            Standing(of="member", name="7", turns=Count(limit=2, used=0)),
            Standing(of="model", name="7", tokens=Count(limit=5, used=5)),
        ]

    parts = [
        Allowance(of="key", key=ApiKey(pk=7, name="robot")),
        Allowance(of="member", member=Member(pk=7, user=User(username="bob"))),
        Allowance(of="model", model="7"),
    ]
    rows = asked(loop, limits, parts)["rows"]
    assert asked_for == {"keys": [7], "members": [7], "models": ["7"]}
    assert [(row["whose"], row["used"]) for row in rows] == [(str(parts[0]), 1), (str(parts[1]), 0), ("7", 5)]


def test_the_screen_of_limits_shows_what_is_used_now(loop, cast, alice, monkeypatch):
    Allowance.objects.create(tenant=cast.acme, of="key", key=cast.bob_key, requests_per_minute=5)
    seen = []

    def told(request, tenant, parts):
        seen.extend([tenant.pk, *(each.key_id for each in parts)])
        row = {"whose": "<b>", "what": "Requests", "used": 3, "limit": 5, "percent": 60, "near": False, "resets": ""}
        return {"template": "tenant/standing.html", "rows": [row]}

    monkeypatch.setattr("access.console.tenant.limits.standing", told)
    text = alice.get("/console/tenants/allowance/").content.decode()
    assert seen == [cast.acme.pk, cast.bob_key.pk]
    assert "3 (60 %)" in text and "&lt;b&gt;" in text
