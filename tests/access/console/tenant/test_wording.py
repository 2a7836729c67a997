"""What the screens say is in the words of who reads it, not of a program."""

from __future__ import annotations

import pytest
from django.test import Client

from access.console import explaining
from tenants.models import AlertRule

CHINESE = {"Accept-Language": "zh-hans"}


@pytest.mark.parametrize(
    ("headers", "words"), [({}, "There is one like this already"), (CHINESE, "已经有一个这样的了")]
)
def test_what_is_there_already_is_said_at_the_field(cast, alice, headers, words):
    AlertRule.objects.create(tenant=cast.acme, kind=AlertRule._meta.get_field("kind").choices[0][0])
    kind = AlertRule.objects.for_tenant(cast.acme.pk).get().kind
    answer = alice.post(
        "/console/tenants/alertrule/add/", {"kind": kind, "minutes": 5, "repeat_minutes": 0}, headers=headers
    )
    assert words in " ".join(answer.context["adminform"].form.errors["kind"])


@pytest.mark.parametrize(
    ("query", "headers", "words"),
    [
        ("", {}, "Nothing here yet"),
        ("?q=zzz", {}, "Nothing was found"),
        ("", CHINESE, "这里还没有内容"),
        ("?q=zzz", CHINESE, "没有找到结果"),
    ],
)
def test_an_empty_list_says_so(cast: object, alice: Client, query, headers, words):
    page = alice.get(f"/console/plugins/webhook/{query}", headers=headers).content.decode()
    assert words in page and "yielded" not in page


def test_an_invitation_says_what_roles_may_do(alice):
    page = alice.get("/console/tenants/invitation/add/").content.decode()
    assert "auditors read everything" in page and "roles.md" not in page


def test_features_are_shown_as_people_write_them():
    shown = [str(explaining._in_words(value)) for value in (False, True, 0.0, 12.5, 3, "x", ["a"])]
    assert shown == ["no", "yes", "0", "12.5", "3", "x", '["a"]']


def test_an_empty_metadata_stays_empty():
    assert explaining.ExplainForm()["metadata"].value() == ""
    for text in ("", "{}"):
        assert explaining.ExplainForm({"message": "x", "metadata": text})["metadata"].value() == text
    assert explaining.ExplainForm({"message": "x"})["metadata"].value() == ""
