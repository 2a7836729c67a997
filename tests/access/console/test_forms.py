"""What people may enter, and what they are told where they may not."""

from __future__ import annotations

import datetime
import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from access.console.screen import REFUSED
from access.offboarding import closing
from compliance.models import SensitiveWordList, WordExceptions, WordListSubscription
from engine import addresses
from routing.models import RoutingRule
from routing.services import MAX_RULES
from tenants import services
from tenants.directory import compile_tenants
from tenants.models import ApiKey, IpRule, Member, Tenant, User

PASSWORD = "a long enough password"


def errors(client: Client, screen: str, **fields: Any) -> dict[str, list[str]]:
    """The errors beside the fields of an add form; empty: it was saved."""
    answer = client.post(f"/admin/{screen}/add/", {key: value for key, value in fields.items() if value is not None})
    if answer.status_code == 302:
        return {}
    assert answer.status_code == 200
    found = dict(answer.context["adminform"].form.errors)
    for messages in found.values():
        assert messages[0].partition("'")[0] in html.unescape(answer.content.decode())
    return found


def test_it_makes_a_tenant_with_a_store_of_its_own(console: Client, cast: SimpleNamespace) -> None:
    fields = {"name": "Initech", "slug": "initech", "is_active": "on", "requests_per_minute": 60}
    assert errors(console, "tenants/tenant", **fields) == {}
    made = Tenant.objects.get(slug="initech")
    assert made.store_database not in (cast.acme.store_database, cast.globex.store_database)
    assert made.requests_per_minute == 60
    assert LogEntry.objects.get(object_id=str(made.pk)).user.username == "operator"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": "acme"}, "slug"),
        ({"slug": "Not a slug!"}, "slug"),
        ({"slug": "-x"}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"session_ttl": "soon"}, "session_ttl"),
        ({"cache_ttl": -1}, "cache_ttl"),
        ({"cache_ttl": "long"}, "cache_ttl"),
        ({"retention_days": -1}, "retention_days"),
        ({"body_limit": 1}, "body_limit"),
        ({"body_limit": 21}, "body_limit"),
        ({"stream_interval": 0}, "stream_interval"),
        ({"stream_interval": 51}, "stream_interval"),
        ({"store_url": "redis://elsewhere:6379"}, "store_url"),
        ({"profile_template": "You talk to {name.__class__}."}, "profile_template"),
        ({"profile_template": "You talk to {name"}, "profile_template"),
    ],
)
def test_it_refuses_a_wrong_tenant_at_the_field(
    console: Client, cast: SimpleNamespace, fields: dict[str, Any], field: str
) -> None:
    Tenant.objects.filter(pk=cast.globex.pk).update(store_url="redis://elsewhere:6379")
    assert list(errors(console, "tenants/tenant", **{"name": "New", "slug": "new", **fields})) == [field]


def test_it_saves_what_a_tenant_wants_of_repeated_requests(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    fields = {"name": "Acme", "slug": "acme", "is_active": "on"}
    wanted = {"cache_ttl": 600, "cache_sampled": "on", "coalesce": "on"}
    assert console.post(page, {**fields, **wanted}).status_code == 302
    policy = compile_tenants().by_id[cast.acme.pk].cache
    assert (policy.ttl, policy.sampled, policy.coalesce) == (600, True, True)
    assert "Repeated requests" in console.get(page).content.decode()
    assert console.post(page, fields).status_code == 302
    policy = compile_tenants().by_id[cast.acme.pk].cache
    assert (policy.ttl, policy.sampled, policy.coalesce) == (0, False, False)
    assert errors(console, "tenants/tenant", name="New", slug="new", **wanted) == {}
    assert Tenant.objects.get(slug="new").cache_ttl == 600


def test_it_saves_how_long_a_tenants_turns_are_kept(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    fields = {"name": "Acme", "slug": "acme", "is_active": "on"}
    held = {"retention_days": 90, "legal_hold": "on", "legal_hold_note": "Case 7"}
    assert console.post(page, {**fields, **held}).status_code == 302
    acme = Tenant.objects.get(pk=cast.acme.pk)
    assert (acme.retention_days, acme.legal_hold, acme.legal_hold_note) == (90, True, "Case 7")
    assert "Legal hold" in console.get(page).content.decode()
    assert console.post(page, {**fields, "retention_days": "0"}).status_code == 302
    acme = Tenant.objects.get(pk=cast.acme.pk)
    assert (acme.retention_days, acme.legal_hold) == (0, False)
    assert errors(console, "tenants/tenant", name="New", slug="new", **held) == {}
    assert Tenant.objects.get(slug="new").legal_hold


def test_it_saves_how_far_apart_a_tenants_events_are(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    fields = {"name": "Acme", "slug": "acme", "is_active": "on"}
    assert console.post(page, {**fields, "stream_interval": 20}).status_code == 302
    assert compile_tenants().by_id[cast.acme.pk].stream_interval == 20
    assert "Events of a stream apart" in console.get(page).content.decode()
    assert console.post(page, fields).status_code == 302
    assert compile_tenants().by_id[cast.acme.pk].stream_interval == 0


def test_it_saves_how_large_a_tenants_requests_may_be(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    fields = {"name": "Acme", "slug": "acme", "is_active": "on"}
    assert console.post(page, {**fields, "body_limit": 20}).status_code == 302
    assert compile_tenants().by_id[cast.acme.pk].body_limit == 20 * 1024 * 1024
    assert "Largest request" in console.get(page).content.decode()
    assert console.post(page, fields).status_code == 302
    assert compile_tenants().by_id[cast.acme.pk].body_limit is None


def test_it_never_shows_a_tenants_store_address(console: Client, cast: SimpleNamespace) -> None:
    address, page = "redis://:secret@store:6379", f"/admin/tenants/tenant/{cast.acme.pk}/change/"
    fields = {"name": "Acme", "slug": "acme", "is_active": "on"}

    def stored(**more: str) -> str:
        assert console.post(page, {**fields, **more}).status_code == 302
        return Tenant.objects.get(pk=cast.acme.pk).store_url

    assert stored(store_url=address) == address
    assert "secret" not in console.get(page).content.decode()
    assert stored() == address
    assert stored(remove_store_url="on") == ""


def test_it_says_when_no_store_is_left(console: Client, cast: SimpleNamespace, settings: Any) -> None:
    settings.VALKEY_DATABASES = settings.FIRST_TENANT_DATABASE + 2
    answer = console.post("/admin/tenants/tenant/add/", {"name": "New", "slug": "new"}, follow=True)
    assert "store databases are taken" in answer.content.decode()
    assert not Tenant.objects.filter(slug="new").exists()


def test_it_suspends_and_resumes_tenants(console: Client, cast: SimpleNamespace) -> None:
    for action, active in (("suspend", False), ("resume", True)):
        console.post("/admin/tenants/tenant/", {"action": action, "_selected_action": [cast.acme.pk, cast.globex.pk]})
        assert list(Tenant.objects.values_list("is_active", flat=True)) == [active, active]


def test_it_lets_in_no_tenant_that_is_closed(console: Client, cast: SimpleNamespace) -> None:
    """It would work on, and be deleted in the middle of it."""
    closing.close(tenant=cast.acme, confirmed="acme", created_by="alice")
    console.post("/admin/tenants/tenant/", {"action": "resume", "_selected_action": [cast.acme.pk, cast.globex.pk]})
    console.post(f"/admin/tenants/tenant/{cast.acme.pk}/change/", {"name": "Acme", "slug": "acme", "is_active": "on"})
    assert list(Tenant.objects.order_by("pk").values_list("is_active", flat=True)) == [False, True]


def test_it_makes_people(console: Client) -> None:
    fields = {"username": "dora", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert list(errors(console, "tenants/user", **{**fields, "password2": "another"})) == ["password2"]
    assert list(errors(console, "tenants/user", **{**fields, "username": "alice"})) == ["username"]
    assert list(errors(console, "tenants/user", **{**fields, "password1": "short", "password2": "short"})) == [
        "password2"
    ]
    assert errors(console, "tenants/user", **fields) == {}
    assert User.objects.get(username="dora").check_password(PASSWORD)


def test_it_does_not_let_operators_delete_themselves(console: Client, operator: User) -> None:
    assert console.post(f"/admin/tenants/user/{operator.pk}/delete/", {"post": "yes"}).status_code == 403
    console.post("/admin/tenants/user/", {"action": "delete_selected", "_selected_action": operator.pk, "post": "yes"})
    assert User.objects.filter(pk=operator.pk).exists()


def test_it_makes_a_member_once(console: Client, cast: SimpleNamespace) -> None:
    fields = {"tenant": cast.globex.pk, "user": cast.alice.user_id, "role": "auditor", "is_active": "on"}
    assert errors(console, "tenants/member", **fields) == {}
    assert list(errors(console, "tenants/member", **fields)) == ["user"]
    assert list(errors(console, "tenants/member", **{**fields, "role": "emperor"})) == ["role", "user"]
    assert list(errors(console, "tenants/member", **{**fields, "tenant": 99})) == ["tenant"]
    assert Member.objects.for_tenant(cast.globex.pk).get(user=cast.alice.user_id).role == "auditor"


def test_it_allows_addresses(console: Client, cast: SimpleNamespace) -> None:
    fields = {"tenant": cast.acme.pk, "network": "10.0.0.0/8"}
    assert errors(console, "tenants/iprule", **fields) == {}
    assert list(errors(console, "tenants/iprule", **fields)) == ["network"]
    assert list(errors(console, "tenants/iprule", **{**fields, "network": "10.0.0.1/8"})) == ["network"]
    assert IpRule.objects.for_tenant(cast.acme.pk).count() == 1


def test_it_shows_a_new_key_once(console: Client, cast: SimpleNamespace) -> None:
    tomorrow = timezone.now() + datetime.timedelta(days=1)
    answer = console.post(
        "/admin/tenants/apikey/add/",
        {"tenant": cast.acme.pk, "name": "App", "scopes": ["audit", "chat"], "expires_at_0": f"{tomorrow:%Y-%m-%d}",
         "expires_at_1": "12:00"},
    )  # fmt: skip
    plain = re.findall(r"cb_\w{40,}", answer.content.decode())
    row = ApiKey.objects.for_tenant(cast.acme.pk).get(name="App")
    assert len(set(plain)) == 1
    assert row.digest == services.keys.digest(plain[0])
    assert (row.scopes, row.created_by.username) == (["chat", "audit"], "operator")
    assert "no-store" in answer.headers["Cache-Control"]
    assert plain[0] not in str(answer.cookies)
    for path in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert plain[0] not in console.get(f"/admin/tenants/apikey/{path}").content.decode()


def test_it_refuses_a_wrong_key_at_the_field(console: Client, cast: SimpleNamespace) -> None:
    fields = {"tenant": cast.acme.pk, "name": "App"}
    assert list(errors(console, "tenants/apikey", **{**fields, "name": " "})) == ["name"]
    assert list(errors(console, "tenants/apikey", **{**fields, "scopes": ["everything"]})) == ["scopes"]
    over = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}
    assert list(errors(console, "tenants/apikey", **fields, **over)) == ["expires_at"]
    assert not ApiKey.objects.for_tenant(cast.acme.pk).filter(name="App").exists()


def test_it_revokes_keys(console: Client, cast: SimpleNamespace) -> None:
    chosen = {"action": "revoke_chosen", "_selected_action": [cast.alice_key.pk, cast.charlie_key.pk]}
    console.post("/admin/tenants/apikey/", chosen)
    one = f"/admin/tenants/apikey/{cast.bob_key.pk}/revoke/"
    assert "Revoke this key?" in console.get(one).content.decode()
    assert ApiKey.objects.everywhere().filter(revoked_at=None).count() == 1
    answer = console.post(one, {"_form_submitted": "True"})
    assert answer.headers["HX-Redirect"] == f"/admin/tenants/apikey/{cast.bob_key.pk}/change/"
    assert not ApiKey.objects.everywhere().filter(revoked_at=None).exists()
    for state, count in (("active", 0), ("expired", 0), ("revoked", 3), ("nonsense", 3)):
        listed = console.get(f"/admin/tenants/apikey/?state={state}").context["cl"].result_count
        assert listed == count, state


def test_it_never_edits_a_key(console: Client, cast: SimpleNamespace) -> None:
    page = f"/admin/tenants/apikey/{cast.alice_key.pk}/change/"
    assert console.post(page, {"name": "Other", "tenant": cast.globex.pk}).status_code == 403


def test_it_says_where_a_condition_is_wrong(console: Client, cast: SimpleNamespace) -> None:
    fields = {"model": "gpt", "weight": 60, "priority": 0, "enabled": "on"}
    found = errors(console, "routing/routingrule", conditions="max_tokens < 2000\ntemperature <<= 0.7", **fields)
    assert re.match(r"Condition 2, column 14: ", found["conditions"][0])
    assert list(errors(console, "routing/routingrule", **{**fields, "weight": 0})) == ["weight"]
    assert list(errors(console, "routing/routingrule", **{**fields, "model": "auto"})) == ["model"]
    assert errors(console, "routing/routingrule", conditions="max_tokens < 2000\r\n\r\n stream ", **fields) == {}
    assert RoutingRule.objects.everywhere().get().conditions == ["max_tokens < 2000", "stream"]


def test_it_takes_fallbacks_one_a_line(console: Client, cast: SimpleNamespace) -> None:
    fields = {"model": "gpt", "weight": 1, "priority": 0, "enabled": "on"}
    assert list(errors(console, "routing/routingrule", fallbacks="a\ntwo words", **fields)) == ["fallbacks"]
    assert list(errors(console, "routing/routingrule", fallbacks="\n".join("abcdefghi"), **fields)) == ["fallbacks"]
    assert errors(console, "routing/routingrule", fallbacks=" gpt-small \r\n\r\nvendor/x\na\na", **fields) == {}
    rule = RoutingRule.objects.everywhere().get()
    assert rule.fallbacks == ["gpt-small", "vendor/x", "a"]
    form = console.get(f"/admin/routing/routingrule/{rule.pk}/change/").context["adminform"].form
    assert form["fallbacks"].value() == "gpt-small\nvendor/x\na"


def test_it_says_when_a_tenant_has_too_many_rules(console: Client, cast: SimpleNamespace) -> None:
    RoutingRule.objects.bulk_create([RoutingRule(tenant=cast.acme, model="gpt") for _ in range(MAX_RULES)])
    fields = {"model": "gpt", "weight": 1, "priority": 0, "enabled": "on"}
    answer = console.post("/admin/routing/routingrule/add/", {**fields, "tenant": cast.acme.pk}, follow=True)
    assert "at most 200 rules" in answer.content.decode()
    assert errors(console, "routing/routingrule", **fields) == {}
    assert RoutingRule.objects.for_tenant(cast.acme.pk).count() == MAX_RULES


def test_a_field_that_is_empty_is_told_one_thing(console: Client, cast: SimpleNamespace) -> None:
    assert errors(console, "tenants/tenant", name="", slug="initech")["name"] == ["This field is required."]


@pytest.mark.parametrize(
    ("screen", "fields", "field", "told"),
    [
        ("tenants/tenant", {"name": "Initech", "slug": "-x"}, "slug", "1 到 63"),
        ("tenants/iprule", {"network": "300.1.1.1/8"}, "network", "IPv4"),
        ("routing/modelinstance", {"name": "x y"}, "name", "1 到 200"),
        ("routing/modelinstance", {"name": "auto"}, "name", "auto"),
    ],
)
def test_what_rows_say_is_told_in_the_language_of_the_page(
    console: Client, cast: SimpleNamespace, screen: str, fields: dict[str, str], field: str, told: str
) -> None:
    console.cookies["django_language"] = "zh-hans"
    (said,) = errors(console, screen, **fields)[field]
    assert told in said
    assert re.search("[\u4e00-\u9fff]", said)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("max_token < 3", "第 1 个条件，第 1 列：没有字段 'max_token'"),
        ("user < 'a'", "user 应使用 == 或 !="),
        ("max_tokens < 'a'", "应与数字比较，这里是带引号的文本"),
        ("stream and", "应为字段、值、not 或 (，这里是结尾"),
        ("user == 'a", "缺少另一个 '"),
    ],
)
def test_so_is_where_a_condition_is_wrong(console: Client, cast: SimpleNamespace, condition: str, told: str) -> None:
    console.cookies["django_language"] = "zh-hans"
    fields = {"model": "gpt", "weight": 60, "priority": 0, "enabled": "on"}
    assert told in errors(console, "routing/routingrule", conditions=condition, **fields)["conditions"][0]


def test_so_is_why_an_address_may_not_be_called(console: Client, cast: SimpleNamespace) -> None:
    console.cookies["django_language"] = "zh-hans"
    fields = {"name": "gpt", "adapter": "openai", "weight": 1, "endpoint": "http://0.0.0.0/"}
    found = errors(console, "routing/modelinstance", **fields)
    assert "不允许调用的地址" in found["endpoint"][0], found


def test_why_an_address_is_refused_has_a_translation() -> None:
    source = Path(addresses.__file__).read_text()
    assert set(re.findall(r'AddressRefused\("([^"]+)"\)', source)) == set(REFUSED)


def test_rows_are_named_by_their_tenant(cast: SimpleNamespace) -> None:
    shared = SensitiveWordList.objects.create(tenant=None, name="Profanity", words="darn")
    assert str(WordListSubscription(tenant=cast.acme, list=shared)) == "Acme: Profanity"
    assert str(WordExceptions(tenant=cast.acme)) == "Acme"
