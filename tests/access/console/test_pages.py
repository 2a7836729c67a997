"""Every page of the console: who may see it, that it works for rows of several tenants, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from access.console import navigation
from access.console.platform import platform_site
from plugins.outbox import signing
from routing.models import ModelInstance, RoutingRule
from tenants.models import Allowance, ApiKey, IpRule, Job, Member, Tenant, User
from tests.access.console.screens import (
    EDITABLE,
    NAUGHTY,
    READ_ONLY,
    SCREENS,
    activation,
    chat_site,
    personal_data,
    record,
    word_choices,
    word_list,
)
from tests.cast import ALICE

CHANGE = re.compile(r'href="(/admin/[a-z_/]+/[0-9a-f]+/change/)')
# A tuple where its label belongs, an object without a name.
PYTHON = re.compile(r"""\((?:&#x27;|')\w+(?:&#x27;|'), (?:&#x27;|')[^)]*\)</|object at 0x""")
PAGES = [
    "",
    "store/",
    "workers/",
    "instances/",
    "tenants/health/",
    *(f"{screen}/" for screen in SCREENS),
    *(f"{screen}/add/" for screen in EDITABLE),
]


def page(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    text = answer.content.decode()
    assert "<script>alert(1)" not in text, path
    assert "<img src=x" not in text, path
    assert not PYTHON.search(text), path
    return text


def test_it_shows_every_page_to_an_operator(console: Client, rows: SimpleNamespace) -> None:
    record(rows.acme.id)
    for path in PAGES:
        page(console, f"/admin/{path}")


def test_what_is_no_rows_number_is_not_found(console: Client) -> None:
    site = resolve("/admin/").func.admin_site  # type: ignore[attr-defined]
    for model, screen in site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}"
        rest = [
            getattr(getattr(type(screen), each), "url_path", each)
            for each in screen._extract_action_names(screen.actions_detail)
        ]
        for number in ("x", "%00", "9" * 40):
            for path in ("change", *rest):
                for ask in (console.get, console.post):
                    answer = ask(f"{base}/{number}/{path}/", {"_form_submitted": "True"})
                    assert answer.status_code in (200, 302, 403, 404), (base, number, path)  # 200: asks once more
        answer = console.post(f"{base}/", {"action": "delete_selected", "_selected_action": ["x"]})
        assert answer.status_code in (200, 302, 400, 403), base


def test_it_sends_strangers_to_the_sign_in(cast: SimpleNamespace, valkey_url: str) -> None:
    for path in PAGES:
        answer = Client().get(f"/admin/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/admin/login/?next=/admin/{path}")


@pytest.mark.parametrize("staff", [False, True])
def test_it_refuses_members_and_staff(cast: SimpleNamespace, valkey_url: str, staff: bool) -> None:
    User.objects.filter(pk=cast.alice.user_id).update(is_staff=staff)
    client = Client()
    client.force_login(User.objects.get(pk=cast.alice.user_id))
    for path in PAGES:
        assert client.get(f"/admin/{path}").status_code == 302, path
    client.post("/accounts/login/", {"login": ALICE.username, "password": ALICE.password})
    assert client.get("/admin/").status_code == 302
    door = client.get("/admin/login/?next=/admin/")
    assert door.status_code == 403 and "This console is not open to you" in door.content.decode()


def test_it_lets_an_operator_sign_in(operator: User) -> None:
    client = Client()
    page = client.get("/admin/login/?next=/admin/tenants/")
    assert page.headers["Location"] == "/accounts/login/?next=/admin/tenants/"
    wrong = client.post("/accounts/login/", {"login": "operator", "password": "wrong"})
    assert "not correct" in wrong.content.decode()
    answer = client.post("/accounts/login/", {"login": "operator", "password": "operate the platform"})
    assert answer.headers["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_it_opens_every_row_of_both_tenants(console: Client, rows: SimpleNamespace) -> None:
    for tenant in (rows.acme, rows.globex):
        record(tenant.id)
    for screen in SCREENS:
        links = set(CHANGE.findall(page(console, f"/admin/{screen}/")))
        assert len(links) >= 2, screen
        for link in links:
            page(console, link)
            page(console, link.replace("/change/", "/history/"))


def test_it_asks_before_it_deletes(console: Client, rows: SimpleNamespace) -> None:
    for screen in EDITABLE:
        kept = screen in ("tenants/tenant", "tenants/apikey")
        link = CHANGE.findall(page(console, f"/admin/{screen}/"))[0]
        page(console, link.replace("/change/", "/delete/"), 403 if kept else 200)


@pytest.mark.parametrize("screen", READ_ONLY)
def test_it_changes_nothing_on_a_read_only_screen(console: Client, rows: SimpleNamespace, screen: str) -> None:
    record(rows.acme.id)
    link = CHANGE.findall(page(console, f"/admin/{screen}/"))[0]
    assert console.get(f"/admin/{screen}/add/").status_code == 403
    assert console.get(link.replace("/change/", "/delete/")).status_code == 403
    assert 'name="_save"' not in page(console, link)
    assert console.post(link, {"state": "done", "user": "x"}).status_code == 403


def test_it_survives_any_query_of_a_list(console: Client, rows: SimpleNamespace) -> None:
    record(rows.acme.id)
    for screen in SCREENS:
        for query in ("?q=%00" + "x" * 500, "?p=2&o=1.-2", "?tenant__id__exact=x"):
            assert console.get(f"/admin/{screen}/{query}").status_code in (200, 302), query


def test_it_narrows_a_list_to_a_tenant(console: Client, rows: SimpleNamespace) -> None:
    text = page(console, f"/admin/tenants/member/?tenant__id__exact={rows.globex.id}")
    assert "charlie" in text
    assert "alice" not in text


def test_it_completes_tenants_and_users_while_one_types(console: Client, rows: SimpleNamespace) -> None:
    def found(field: str, term: str) -> list[str]:
        query = {"app_label": "tenants", "model_name": "member", "field_name": field, "term": term}
        return [each["text"] for each in console.get("/admin/autocomplete/", query).json()["results"]]

    assert found("user", "ali") == ["alice"]
    assert found("tenant", "globex") == [f"globex {NAUGHTY}"]


def more_rows(start: int, end: int) -> None:
    for number in range(start, end):
        tenant = Tenant.objects.create(slug=f"t{number}", name=f"T{number}", store_database=100 + number)
        user = User.objects.create_user(f"u{number}")
        Member.objects.create(tenant=tenant, user=user)
        ApiKey.objects.create(tenant=tenant, name="k", digest=f"{number}", created_by=user)
        Allowance.objects.create(tenant=tenant, of="model", model="gpt")
        IpRule.objects.create(tenant=tenant, network=f"10.0.0.{number}")
        chat_site(tenant)
        Job.objects.create(tenant=tenant, kind="export")
        ModelInstance.objects.create(tenant=tenant, name="gpt", endpoint="https://api.example.com/v1")
        RoutingRule.objects.create(tenant=tenant, model="gpt")
        activation(tenant)
        word_list(tenant)
        word_choices(tenant, word_list(None, name=f"shared {number}"))
        personal_data(tenant)
        record(tenant.id)


def test_it_asks_the_databases_as_often_for_thirty_rows_as_for_three(
    console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "MOST", 100)

    def queries() -> dict[str, int]:
        counts = {}
        for path in ["", *(f"{screen}/" for screen in SCREENS)]:
            with (
                CaptureQueriesContext(connections["default"]) as default,
                CaptureQueriesContext(connections["journal"]) as journal,
            ):
                page(console, f"/admin/{path}")
            counts[path] = len(default) + len(journal)
        return counts

    more_rows(0, 3)
    queries()
    few = queries()
    more_rows(3, 30)
    assert queries() == few
    assert max(few.values()) <= 11


def test_it_does_not_load_words_for_the_list_of_lists(console: Client, cast: SimpleNamespace) -> None:
    word_list(cast.acme, words="\n".join(f"word{number}" for number in range(60_000)))
    with CaptureQueriesContext(connections["default"]) as queries:
        text = page(console, "/admin/compliance/sensitivewordlist/")
    assert "60000" in text
    assert not any('"words"' in query["sql"] for query in queries)


def test_it_has_its_own_style_sheet_and_icon(console: Client) -> None:
    text = page(console, "/admin/")
    for name in ("console/console.css", "console/favicon.svg"):
        assert f"/static/{name}" in text
        assert console.get(f"/static/{name}").status_code == 200
    assert not re.search(r'(?:src|href)="https?://', text)


def test_it_has_a_line_in_the_documentation_for_every_screen(console: Client) -> None:
    told = (Path(__file__).resolve().parents[3] / "docs" / "console.md").read_text()
    for title, _icon in navigation.SCREENS.values():
        assert str(title) in told


def test_it_has_every_screen_in_the_side_bar(console: Client) -> None:
    assert set(navigation.SCREENS) == {screen.replace("/", ".") for screen in SCREENS}
    assert set(platform_site()._registry) == {apps.get_model(name) for name in navigation.SCREENS}


def test_it_shows_how_the_stores_are(console: Client, cast: SimpleNamespace) -> None:
    Tenant.objects.filter(pk=cast.acme.pk).update(store_url=f"unix:///nobody/{NAUGHTY}.sock")
    text = page(console, "/admin/store/")
    assert "standalone" in text and "does not answer" in text and "What could be lost" in text
    assert 'href="/admin/store/"' in page(console, "/admin/")
