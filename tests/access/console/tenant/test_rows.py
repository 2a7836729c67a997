"""What people may enter on the other screens, and what they see of the platform's rows."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from compliance.models import PersonalData, SensitiveWordList, WordExceptions, WordListSubscription
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import MAX_RULES, api_key_of
from tenants.models import Allowance, ChatSite, IpRule, Tenant
from tests.access.console.screens import NAUGHTY, word_list
from tests.access.console.tenant.conftest import SignIn

MODEL = {"name": "own", "adapter": "openai_compatible", "endpoint": "https://api.example.com/v1", "options": "{}",
         "weight": 1, "price_in": "0.5", "price_out": 1, "task": "chat", "batch_window": 0, "batch_size": 1,
         "enabled": "on"}  # fmt: skip
SECRET = "https://internal.example/v1"


def errors(client: Client, screen: str, fields: dict[str, Any], page: str = "add") -> list[str]:
    """The fields that were refused; none: it was saved."""
    answer = client.post(f"/console/{screen}/{page}/", fields)
    return [] if answer.status_code == 302 else list(answer.context["adminform"].form.errors)


@pytest.fixture
def shared(cast: SimpleNamespace) -> SimpleNamespace:
    """Instances of the platform: for all, granted to acme, granted to globex; rules to each."""
    make = ModelInstance.objects.create
    cast.for_all = make(
        name="everybodys", endpoint=SECRET, price_in=Decimal("1.25"), options={"header": "secret-option"}
    )
    cast.granted = make(name="granted", endpoint=SECRET, sharing="listed")
    cast.veiled = make(name="veiled", endpoint=SECRET, sharing="listed")
    ModelGrant.objects.create(instance=cast.granted, tenant=cast.acme)
    ModelGrant.objects.create(instance=cast.veiled, tenant=cast.globex)
    cast.rules = [
        RoutingRule.objects.create(model=name, fallbacks=fallbacks)
        for name, fallbacks in (("everybodys", ["veiled"]), ("veiled", ["granted"]), ("veiled", []))
    ]
    return cast


def test_it_keeps_a_tenants_own_provider_key(cast: SimpleNamespace, alice: Client) -> None:
    assert errors(alice, "routing/modelinstance", {**MODEL, "api_key": "sk-secret"}) == []
    row = ModelInstance.objects.for_tenant(cast.acme.pk).get()
    assert (row.name, api_key_of(row)) == ("own", "sk-secret")
    assert "sk-secret" not in alice.get(f"/console/routing/modelinstance/{row.pk}/change/").content.decode()
    assert errors(alice, "routing/modelinstance", MODEL) == ["name"]
    assert errors(alice, "routing/modelinstance", {**MODEL, "weight": 0, "name": "b"}) == ["weight"]
    assert errors(alice, "routing/modelinstance", {**MODEL, "endpoint": "nowhere", "name": "b"}) == ["endpoint"]


def test_a_tenant_cannot_call_into_the_platforms_network_or_give_what_it_has_to_others(
    cast: SimpleNamespace, alice: Client
) -> None:
    posted = {**MODEL, "allow_private": "on", "sharing": "listed", "tenant": cast.globex.pk, "sealed_key": "x"}
    assert errors(alice, "routing/modelinstance", posted) == []
    row = ModelInstance.objects.everywhere().get()
    assert (row.tenant_id, row.allow_private, row.sharing, row.sealed_key) == (cast.acme.pk, False, "all", "")


def test_it_shows_shared_instances_with_their_price_and_nothing_of_where_they_are(
    shared: SimpleNamespace, alice: Client
) -> None:
    listed = alice.get("/console/routing/modelinstance/").content.decode()
    assert "everybodys" in listed
    assert "granted" in listed
    assert "veiled" not in listed
    page = f"/console/routing/modelinstance/{shared.for_all.pk}/"
    text = alice.get(f"{page}change/").content.decode()
    assert "1.25" in text
    for secret in (SECRET, "secret-option", 'name="_save"', f"{page}test/"):
        assert secret not in listed + text
    assert alice.post(f"{page}change/", MODEL).status_code == 403
    assert alice.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert alice.post(f"{page}test/", {"question": "?", "_form_submitted": "1"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [shared.for_all.pk], "post": "yes"}
    alice.post("/console/routing/modelinstance/", chosen)
    assert ModelInstance.objects.everywhere().filter(pk=shared.for_all.pk, endpoint=SECRET).exists()
    assert "/veiled" not in alice.get("/console/routing/modelinstance/?q=internal").content.decode()
    assert "everybodys" not in alice.get("/console/routing/modelinstance/?q=internal").content.decode()


def test_it_shows_the_platforms_rules_and_of_their_models_those_it_may_use(
    shared: SimpleNamespace, alice: Client
) -> None:
    listed = alice.get("/console/routing/routingrule/").content.decode()
    first, second, third = shared.rules
    assert f"/{first.pk}/change/" in listed
    assert f"/{third.pk}/change/" not in listed
    text = listed
    for rule in (first, second):
        page = f"/console/routing/routingrule/{rule.pk}/"
        text += alice.get(f"{page}change/").content.decode()
        assert alice.post(f"{page}change/", {"model": "everybodys", "weight": 9, "priority": 1}).status_code == 403
        assert alice.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert "veiled" not in text
    assert "granted" in text


def test_it_refuses_wrong_rules_at_the_field(shared: SimpleNamespace, alice: Client) -> None:
    right = {"model": "everybodys", "weight": 1, "priority": 0, "enabled": "on", "conditions": "max_tokens < 10"}
    assert errors(alice, "routing/routingrule", right) == []
    assert errors(alice, "routing/routingrule", {**right, "model": "veiled"}) == ["model"]
    assert errors(alice, "routing/routingrule", {**right, "model": "nobodys"}) == ["model"]
    assert errors(alice, "routing/routingrule", {**right, "fallbacks": "veiled"}) == ["fallbacks"]
    assert errors(alice, "routing/routingrule", {**right, "conditions": "__import__('os')"}) == ["conditions"]
    assert errors(alice, "routing/routingrule", {**right, "weight": 0}) == ["weight"]
    rule = RoutingRule.objects.for_tenant(shared.acme.pk).get()
    RoutingRule.objects.bulk_create(RoutingRule(tenant=shared.acme, model="x") for _ in range(MAX_RULES - 1))
    assert errors(alice, "routing/routingrule", right) == ["conditions"]
    assert errors(alice, "routing/routingrule", {**right, "weight": 5}, f"{rule.pk}/change") == []


def test_it_replays_only_its_own_rules(shared: SimpleNamespace, alice: Client, as_role: SignIn) -> None:
    RoutingRule.objects.create(tenant=shared.globex, name="globex-secret", model="veiled")
    page = "/console/routing/routingrule/replay/"
    text = alice.get(f"{page}?tenant=globex").content.decode()
    assert "globex-secret" not in text
    assert 'name="tenant"' not in text
    wrong = alice.post(page, {"span": 3600, "rules": "routing_rules: [{model: veiled, weight: 1}]"})
    assert wrong.status_code == 200, (wrong.status_code, wrong.headers)
    assert "veiled" in wrong.context["form"].errors["rules"][0]
    assert alice.get("/console/routing/routingrule/replay/7/").status_code == 302
    assert as_role("auditor").post(page, {"span": 3600, "rules": ""}).status_code == 403


def test_it_explains_for_the_own_tenant_alone(shared: SimpleNamespace, alice: Client) -> None:
    page = "/console/routing/routingrule/explain/"
    assert 'name="tenant"' not in alice.get(page).content.decode()
    answer = alice.post(page, {"tenant": "globex", "message": "Hello"})
    assert "No engine runs" in str(answer.context["form"].errors)


def test_it_shows_the_platforms_lists_and_the_words_only_of_public_ones(cast: SimpleNamespace, alice: Client) -> None:
    closed = word_list(None, name="closed", words="unspeakable")
    public = word_list(None, name="public", words="sayable", public=True)
    word_list(None, name="off", enabled=False)
    listed = alice.get("/console/compliance/sensitivewordlist/").content.decode()
    assert "closed" in listed
    assert "public" in listed
    page = f"/console/compliance/sensitivewordlist/{closed.pk}/"
    assert "unspeakable" not in alice.get(f"{page}change/").content.decode()
    for rest in ("versions", "download", "download-csv"):
        assert alice.get(f"{page}{rest}/").status_code == 403
    assert alice.get(f"{page}hits/").status_code == 200
    for rest in ("hits", "versions", "promote"):
        assert alice.post(f"{page}{rest}/", {"version": 1, "_form_submitted": "True"}).status_code == 403
    assert "sayable" in alice.get(f"/console/compliance/sensitivewordlist/{public.pk}/change/").content.decode()
    kept = SensitiveWordList.objects.everywhere().get(pk=closed.pk)
    assert (kept.action, kept.version) == ("block", 1)


def test_its_own_lists_are_its_own_whatever_a_form_says(cast: SimpleNamespace, alice: Client) -> None:
    fields = {"name": NAUGHTY[:100], "action": "mask", "direction": "both", "words": "one", "enabled": "on"}
    posted = {**fields, "mandatory": "on", "public": "on", "tenant": cast.globex.pk}
    assert errors(alice, "compliance/sensitivewordlist", posted) == []
    row = SensitiveWordList.objects.everywhere().get()
    assert (row.tenant_id, row.mandatory, row.public) == (cast.acme.pk, False, False)
    assert row.updated_by == f"member:{cast.alice.pk}"
    assert errors(alice, "compliance/sensitivewordlist", fields) == ["name"]
    assert errors(alice, "compliance/sensitivewordlist", {**fields, "name": "b", "words": "x" * 65}) == ["words"]
    alice.post(f"/console/compliance/sensitivewordlist/{row.pk}/promote/", {"_form_submitted": "True"})
    row.refresh_from_db()
    assert row.action == "block"


def test_it_tries_a_text_on_the_own_lists(cast: SimpleNamespace, alice: Client) -> None:
    word_list(cast.acme, name="own", words="acmeword")
    word_list(cast.globex, name="theirs", words="globexword")
    page = "/console/compliance/sensitivewordlist/try/"
    fields = {"text": "acmeword globexword", "direction": "input", "action": "block", "tenant": "globex"}
    text = alice.post(page, fields).content.decode()
    assert "content_blocked" in text
    assert "theirs" not in text


def test_it_subscribes_excepts_and_keeps_from_models(cast: SimpleNamespace, alice: Client) -> None:
    offered, own = word_list(None, name="offered"), word_list(cast.globex, name="theirs")
    off = word_list(None, name="off", enabled=False)
    screen = "compliance/wordlistsubscription"
    assert errors(alice, screen, {"list": own.pk, "action": ""}) == ["list"]
    assert errors(alice, screen, {"list": off.pk, "action": ""}) == ["list"]
    assert errors(alice, screen, {"list": offered.pk, "action": "mask"}) == []
    assert errors(alice, screen, {"list": offered.pk, "action": "mask"}) == ["list"]
    assert WordListSubscription.objects.for_tenant(cast.acme.pk).get().action == "mask"
    assert errors(alice, "compliance/wordexceptions", {"words": "badge"}) == []
    assert errors(alice, "compliance/personaldata", {"recognisers": ["email", "moon"]}) == ["recognisers"]
    assert errors(alice, "compliance/personaldata", {"recognisers": ["email"]}) == []
    for model, screen in ((WordExceptions, "wordexceptions"), (PersonalData, "personaldata")):
        row = model.objects.for_tenant(cast.acme.pk).get()
        answer = alice.get(f"/console/compliance/{screen}/")
        assert answer.headers["Location"] == f"/console/compliance/{screen}/{row.pk}/change/"
        assert alice.get(f"/console/compliance/{screen}/add/").status_code == 403


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"of": "platform"}, "of"),
        ({"of": "model"}, "model"),
        ({"of": "member"}, "member"),
        ({"of": "member", "member": 3}, "member"),
        ({"of": "key", "key": 3}, "key"),
        ({"of": "key", "key": "x"}, "key"),
        ({"of": "model", "model": "gpt", "member": 1}, "member"),
        ({"of": "model", "model": "gpt", "requests_per_minute": -1}, "requests_per_minute"),
        ({"of": "model", "model": "gpt", "money_per_day": "NaN"}, "money_per_day"),
        ({"of": "model", "model": "a\x00"}, "model"),
    ],
)
def test_it_refuses_wrong_limits_at_the_field(
    cast: SimpleNamespace, alice: Client, fields: dict[str, Any], field: str
) -> None:
    assert field in errors(alice, "tenants/allowance", fields)
    assert not Allowance.objects.everywhere().exists()


def test_it_limits_members_keys_and_models_once(cast: SimpleNamespace, alice: Client, as_role: SignIn) -> None:
    Tenant.objects.filter(pk=cast.acme.pk).update(requests_per_minute=12345)
    assert "12345" in alice.get("/console/tenants/allowance/").content.decode()
    posted = {"of": "member", "member": cast.bob.pk, "requests_per_minute": 5, "tenant": cast.globex.pk}
    assert errors(alice, "tenants/allowance", posted) == []
    row = Allowance.objects.everywhere().get()
    assert (row.tenant_id, row.member_id, row.requests_per_minute) == (cast.acme.pk, cast.bob.pk, 5)
    page = f"{row.pk}/change"
    assert errors(alice, "tenants/allowance", {"requests_per_minute": "", "money_per_day": 2}, page) == []
    row.refresh_from_db()
    assert (row.requests_per_minute, row.money_per_day, row.member_id) == (None, 2, cast.bob.pk)
    assert as_role("developer").post(f"/console/tenants/allowance/{page}/", {}).status_code == 403


def test_it_says_what_is_wrong_with_a_network(cast: SimpleNamespace, alice: Client) -> None:
    assert errors(alice, "tenants/iprule", {"network": "10.0.0.0/8"}) == []
    assert errors(alice, "tenants/iprule", {"network": "10.0.0.0/8"}) == ["network"]
    assert errors(alice, "tenants/iprule", {"network": "10.0.0.1/8"}) == ["network"]
    assert IpRule.objects.for_tenant(cast.acme.pk).count() == 1


def test_it_saves_the_web_chat_and_previews_it(cast: SimpleNamespace, alice: Client, as_role: SignIn) -> None:
    counts = {"ticket_minutes": 60, "visitor_requests_per_minute": 10, "address_requests_per_minute": 30}
    looks = {"name": "Ask us", "accent": "#123456", "background": "#ffffff"}
    fields = {**looks, **counts, "visitors": "anyone", "origins": "https://a.example"}
    assert errors(alice, "tenants/chatsite", {**fields, "accent": "red"}) == ["accent"]
    assert errors(alice, "tenants/chatsite", fields) == []
    row = ChatSite.objects.for_tenant(cast.acme.pk).get()
    text = alice.get(f"/console/tenants/chatsite/{row.pk}/change/").content.decode()
    assert 'data-tenant="acme"' in text
    assert 'sandbox="allow-scripts"' in text
    preview = "/console/tenants/chatsite/preview/"
    seen = alice.get(preview, {"name": NAUGHTY, "greeting": "a\x00b", "accent": "#ABCDEF", "background": "red"})
    assert "frame-ancestors 'self'" in seen.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in seen.headers
    assert seen.context["site"]["colors"] == {"accent": "#abcdef", "background": "#ffffff"}
    assert (seen.context["site"]["greeting"], seen.context["site"]["visitors"]) == ("", False)
    assert "<script>alert(1)" not in seen.content.decode()
    assert as_role("member").get(preview).status_code == 403


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"at_limit": "explode"}, "at_limit"),
        ({"budget_webhook": "javascript:alert(1)"}, "budget_webhook"),
        ({"stream_interval": "0"}, "stream_interval"),
        ({"stream_interval": "51"}, "stream_interval"),
    ],
)
def test_it_refuses_wrong_settings_at_the_field(
    cast: SimpleNamespace, alice: Client, fields: dict[str, str], field: str
) -> None:
    right = {"name": "Acme", "time_zone": "UTC", "at_limit": "refuse"}
    assert errors(alice, "tenants/tenant", {**right, **fields}, f"{cast.acme.pk}/change") == [field]


def test_it_saves_its_settings_and_nothing_the_platform_decides(
    cast: SimpleNamespace, alice: Client, as_role: SignIn
) -> None:
    page = f"/console/tenants/tenant/{cast.acme.pk}/change/"
    posted = {"name": NAUGHTY, "time_zone": "Asia/Shanghai", "at_limit": "cheaper", "budget_webhook": "https://a.example/b",
              "stream_interval": "20", "coalesce": "on",
              "slug": "other", "is_active": "", "requests_per_minute": 9, "money_per_day": 9, "share": 100,
              "body_limit": 20, "store_url": "redis://x", "retention_days": 1, "legal_hold": "on"}  # fmt: skip
    before = Tenant.objects.get(pk=cast.acme.pk)
    assert alice.post(page, posted).status_code == 302
    now = Tenant.objects.get(pk=cast.acme.pk)
    assert (now.name, now.time_zone, now.at_limit) == (NAUGHTY, "Asia/Shanghai", "cheaper")
    assert now.stream_interval == 20
    for name in ("slug", "is_active", "requests_per_minute", "money_per_day", "share", "store_url", "retention_days",
                 "legal_hold", "body_limit", "coalesce"):  # fmt: skip
        assert getattr(now, name) == getattr(before, name), name
    assert "https://a.example/b" in alice.get(page).content.decode()
    assert "https://a.example/b" not in as_role("auditor").get(page).content.decode()
