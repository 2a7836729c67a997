"""Names that are meant to break something, in forms and lists of the platform console: refused at the field, or kept
and shown as the text they are."""

from __future__ import annotations

import html
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from compliance.models import SensitiveWordList
from routing.models import RoutingRule
from tenants.models import ApiKey, Tenant
from tests.naughty import CHARACTERS, FORMULAS, PATHS, QUERIES, REFUSED, SCRIPTS, TEMPLATES

TRIED = [*SCRIPTS, *[each for kind in (FORMULAS, TEMPLATES, QUERIES, PATHS, CHARACTERS) for each in kind[::4]]]

# Each screen with its other fields, the field for the name, and how often one can be made.
SCREENS: list[tuple[str, str, type, dict[str, Any]]] = [
    ("tenants/tenant", "name", Tenant, {"is_active": "on"}),
    ("tenants/apikey", "name", ApiKey, {"tenant": 1}),
    ("routing/routingrule", "name", RoutingRule, {"model": "other", "weight": 2, "priority": 1}),
    ("compliance/sensitivewordlist", "name", SensitiveWordList,
     {"tenant": 1, "action": "mask", "direction": "input", "words": "x"}),
]  # fmt: skip


def rows(model: Any) -> Any:
    return model.objects.all() if model is Tenant else model.objects.everywhere()


@pytest.mark.parametrize(("screen", "field", "model", "fields"), SCREENS, ids=[each[0] for each in SCREENS])
def test_it_keeps_any_name_as_text_or_says_why_not(
    console: Client, cast: SimpleNamespace, screen: str, field: str, model: Any, fields: dict[str, Any]
) -> None:
    newest = rows(model).order_by("-pk").first()
    last = newest.pk if newest is not None else 0
    for number, text in enumerate(TRIED):
        slug = {"slug": f"n{number}"} if model is Tenant else {}
        answer = console.post(f"/admin/{screen}/add/", {**fields, **slug, field: text})
        kept = rows(model).order_by("-pk").first()
        kept = kept if kept is not None and kept.pk != last else None
        last = kept.pk if kept is not None else last
        if answer.status_code == 200 and kept is None:
            assert field in answer.context["adminform"].form.errors, text
            continue
        assert answer.status_code in (200, 302) and kept is not None, text  # 200: a key, which is shown once
    shown = ""
    for page in range(1, 6):
        answer = console.get(f"/admin/{screen}/?p={page}")
        shown += answer.content.decode()
    for text in SCRIPTS:
        assert "<" not in text or text not in shown, text
    known = [text for text in SCRIPTS if html.escape(text) in shown]
    assert len(known) > len(SCRIPTS) / 2 and "49" not in [row.strip() for row in shown.split("<td>")]
    for row in rows(model).order_by("-pk")[:20]:
        page_text = console.get(f"/admin/{screen}/{row.pk}/change/").content.decode()
        assert not any("<" in text and text in page_text for text in SCRIPTS), getattr(row, field)


@pytest.mark.parametrize(("screen", "field", "model", "fields"), SCREENS, ids=[each[0] for each in SCREENS])
def test_it_refuses_at_the_field_what_cannot_be_kept(
    console: Client, cast: SimpleNamespace, screen: str, field: str, model: Any, fields: dict[str, Any]
) -> None:
    for number, text in enumerate(each for each in REFUSED if each.isprintable() or each < "\ud800"):  # as browsers can
        slug = {"slug": f"r{number}"} if model is Tenant else {}
        before = rows(model).count()
        answer = console.post(f"/admin/{screen}/add/", {**fields, **slug, field: text})
        if model is RoutingRule and not text.strip():
            continue  # a rule needs no name
        assert answer.status_code == 200, repr(text)[:30]
        assert (field in answer.context["adminform"].form.errors, rows(model).count()) == (True, before), repr(text)
