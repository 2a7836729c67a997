"""Every page of a tenant's console: who may see it, that it shows no other tenant's rows, and what it costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compliance.models import PersonalData, WordExceptions, WordListSubscription
from plugins.outbox import signing
from routing.models import RoutingRule
from tenants import keys, roles
from tenants.models import ApiKey, ChatSite, Member, User
from tests.access.console.screens import NAUGHTY, word_list
from tests.access.console.tenant import places
from tests.access.console.tenant.conftest import SignIn

ROLES = [*roles.ROLES]
GUESSES = [
    "?tenant__id__exact=2",
    "?tenant__store_url__startswith=r",
    "?digest__startswith=a",
    "?endpoint__startswith=h",
    "?sealed_key__startswith=a",
    "?user__password__startswith=a",
]
RULES = ["routing/routingrule/explain/", "routing/routingrule/replay/"]
WORDS = ["compliance/sensitivewordlist/try/", "compliance/sensitivewordlist/import/"]


def page(client: Client, path: str, *statuses: int) -> str:
    answer = client.get(f"/console/{path}", follow=True)
    assert answer.status_code in (statuses or (200,)), path
    text = answer.content.decode()
    assert "<script>alert(1)" not in text, path
    assert "<img src=x" not in text, path
    return text


@pytest.fixture
def filled(cast: SimpleNamespace) -> SimpleNamespace:
    cast.own = {**places.fill(cast.acme, cast), **places.fill_once(cast.acme)}
    cast.foreign = {**places.fill(cast.globex, cast), **places.fill_once(cast.globex)}
    for found, tenant in ((cast.own, cast.acme), (cast.foreign, cast.globex)):
        for name, model in (
            ("compliance/wordlistsubscription", WordListSubscription),
            ("compliance/wordexceptions", WordExceptions),
            ("compliance/personaldata", PersonalData),
            ("tenants/chatsite", ChatSite),
        ):
            found[name] = model.objects.for_tenant(tenant.pk).get()  # type: ignore[attr-defined]
    return cast


@pytest.mark.parametrize("role", ROLES)
def test_it_shows_each_role_what_it_may_read_and_lets_it_change_what_it_may(
    filled: SimpleNamespace, as_role: SignIn, role: str
) -> None:
    client = as_role(role)
    if not roles.may(role, "overview"):
        assert "This console is not open to you" in page(client, "", 403)
        assert client.post("/console/tenants/iprule/add/", {"network": "10.9.0.0/16"}).status_code == 403
        return
    overview = page(client, "")
    for name, screen in places.screens().items():
        reads, changes = roles.may(role, screen.area), roles.may(role, screen.area, "change")
        page(client, f"{name}/", 200 if reads else 403)
        assert (f'href="/console/{name}/"' in overview) == reads, name
        if name not in filled.own:
            continue
        row = filled.own[name]
        text = page(client, f"{name}/{row.pk}/change/", 200 if reads else 403)
        may = changes and screen.has_change_permission(_asking(client), row)
        assert ('name="_save"' in text) == may, name
        posted = client.post(f"/console/{name}/add/", {"name": "x"})
        assert posted.status_code == 403 or changes, name
        posted = client.post(f"/console/{name}/{row.pk}/delete/", {"post": "yes"})
        assert posted.status_code == 403 or changes, name
        if posted.status_code == 302:
            filled.own.pop(name)


def _asking(client: Client) -> Any:
    """The request of a page of theirs, as the screens see it."""
    return client.get("/console/choose/").wsgi_request


def test_it_shows_every_page_of_its_rows(filled: SimpleNamespace, alice: Client) -> None:
    for path in ("", "choose/", *RULES, *WORDS):
        page(alice, path)
    for name, screen in places.screens().items():
        page(alice, f"{name}/")
        assert (f'"/console/{name}/add/"' in page(alice, f"{name}/")) <= screen.has_add_permission(_asking(alice))
        if name in filled.own:
            link = f"{name}/{filled.own[name].pk}"
            page(alice, f"{link}/change/")
            page(alice, f"{link}/history/")
            page(alice, f"{link}/delete/", 200, 403)


def test_it_knows_nothing_of_another_tenants_rows(filled: SimpleNamespace, alice: Client, charlie: Client) -> None:
    """A foreign number is answered as one that nobody has."""
    for name in places.screens():
        if name not in filled.foreign:
            continue
        foreign = filled.foreign[name].pk
        for rest in ("change", "history", "delete"):
            seen = alice.get(f"/console/{name}/{foreign}/{rest}/")
            unknown = alice.get(f"/console/{name}/{10**9}/{rest}/")
            assert (seen.status_code, seen.headers.get("Location")) == (
                unknown.status_code,
                unknown.headers.get("Location"),
            ), name
            assert alice.post(f"/console/{name}/{foreign}/{rest}/", {"post": "yes"}).status_code != 200, name
        assert f"/{foreign}/change/" not in page(alice, f"{name}/"), name
        for action in places.screens()[name]._extract_action_names(places.screens()[name].actions_detail):
            path = getattr(getattr(type(places.screens()[name]), action), "url_path", action)
            answer = alice.post(f"/console/{name}/{foreign}/{path}/", {"_form_submitted": "True", "grace": "0"})
            assert answer.status_code in (302, 403, 404), (name, action)
    assert type(filled.foreign["tenants/iprule"]).objects.for_tenant(filled.globex.pk).exists()
    assert not ApiKey.objects.for_tenant(filled.globex.pk).filter(revoked_at__isnull=False).exists()
    assert "acme.example" not in page(charlie, "tenants/invitation/")


def test_it_completes_only_its_own_rows_while_one_types(filled: SimpleNamespace, charlie: Client) -> None:
    def found(field: str, term: str) -> list[str]:
        query = {"app_label": "tenants", "model_name": "allowance", "field_name": field, "term": term}
        return [each["text"] for each in charlie.get("/console/autocomplete/", query).json()["results"]]

    assert found("member", "alice") == found("key", "alice") == []
    assert len(found("member", "charlie")) == len(found("key", "charlie")) == 1


def test_it_survives_any_query_and_filters_by_nothing_that_is_not_shown(filled: SimpleNamespace, alice: Client) -> None:
    for name in places.listed():
        for query in ("?q=%00" + "x" * 500, "?q=" + "x+" * 2_000, "?p=2&o=1.-2", "?o=x", "?all=", "?p=x"):
            assert alice.get(f"/console/{name}/{query}").status_code in (200, 302), (name, query)
        for query in GUESSES:
            answer = alice.get(f"/console/{name}/{query}")
            assert answer.status_code in (302, 400), (name, query)
        for chosen in ("x", "-1", "\x00", "9" * 40):
            answer = alice.post(f"/console/{name}/", {"action": "delete_selected", "_selected_action": [chosen]})
            assert answer.status_code in (200, 302, 400, 403), (name, chosen)
    for query in ("?expires_at=soon", "?expires_at=%00&name=%00", "?scopes=x&tenant=2", "?_popup=1&_to_field=tenant"):
        assert alice.get(f"/console/tenants/apikey/add/{query}").status_code in (200, 400), query
    for query in ("?s=key", "?s=key&page=x", "?s=%00", ""):
        assert alice.get(f"/console/search/{query}").status_code == 200


def test_what_is_no_rows_number_is_not_found(filled: SimpleNamespace, alice: Client) -> None:
    for name, screen in places.screens().items():
        rest = [getattr(getattr(type(screen), each), "url_path", each)
                for each in screen._extract_action_names(screen.actions_detail)]  # fmt: skip
        for number in ("x", "1.5", "%00", "9" * 40):
            for path in ("change", *rest):
                for answer in (
                    alice.get(f"/console/{name}/{number}/{path}/"),
                    alice.post(f"/console/{name}/{number}/{path}/", {"_form_submitted": "True"}),
                ):
                    assert answer.status_code in (200, 302, 403, 404), (name, number, path)  # 200: asks once more


def test_it_asks_the_databases_as_often_for_thirty_rows_as_for_two(
    cast: SimpleNamespace, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "MOST", 100)

    def queries() -> dict[str, int]:
        counts = {}
        for name in ("choose", *places.listed()):
            with (
                CaptureQueriesContext(connections["default"]) as default,
                CaptureQueriesContext(connections["journal"]) as journal,
            ):
                page(alice, f"{name}/")
            counts[name] = len(default) + len(journal)
        return counts

    def more(start: int, end: int) -> None:
        for number in range(start, end):
            places.fill(cast.acme, cast, number)
            user = User.objects.create_user(f"u{number}")
            Member.objects.create(tenant=cast.acme, user=user)
            ApiKey.objects.create(tenant=cast.acme, name=NAUGHTY[:100], digest=keys.digest(str(number)), hint="cb_")
            shared = word_list(None, name=f"shared {number}")
            WordListSubscription.objects.create(tenant=cast.acme, list=shared)
            RoutingRule.objects.create(tenant=None, name=f"platform {number}", model="gpt")

    more(0, 2)
    queries()
    few = queries()
    more(2, 30)
    assert queries() == few
    assert max(few.values()) <= 12
