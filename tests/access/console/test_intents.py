"""Intents in both consoles: forms, files, the test box, and what training says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from plugins.intents import learning, services
from plugins.intents.files import as_csv, read_intents
from plugins.intents.live import LIVE, compile_intents
from plugins.models import Intent, IntentSettings, TrainedIntents
from tests.access.console.screens import NAUGHTY
from tests.access.console.tenant.conftest import SignIn, alice, as_role, charlie, sign_in  # noqa: F401
from tests.cast import ACME
from tests.plugins.intents.examples import EXAMPLES

INTENTS = "/console/plugins/intent/"


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("plugins.tasks.train_intents.apply_async", lambda *_, **__: None)
    before = LIVE.value
    yield
    LIVE.swap(before)


@pytest.fixture
def shop(cast: SimpleNamespace) -> SimpleNamespace:
    services.add_examples(tenant=cast.acme, found=EXAMPLES)
    return cast


def upload(client: Client, name: str, data: bytes) -> Any:
    return client.post(f"{INTENTS}upload/", {"upload": SimpleUploadedFile(name, data)})


def names(tenant: Any) -> dict[str, list[str]]:
    return {row.name: row.examples for row in services.intents_of(tenant.pk)}


def test_many_examples_are_pasted_at_once(cast: SimpleNamespace, alice: Client) -> None:  # noqa: F811
    fields = {"name": "refund", "enabled": "on", "utterances": "我要退款\n\n  i want   a refund \n我要退款\n"}
    assert alice.post(f"{INTENTS}add/", fields).status_code == 302
    assert names(cast.acme) == {"refund": ["我要退款", "i want a refund"]} and names(cast.globex) == {}
    again = alice.post(f"{INTENTS}add/", {**fields, "utterances": "x" * 501})
    assert set(again.context["adminform"].form.errors) == {"name", "utterances"}


def test_the_last_place_is_told_in_the_form(cast: SimpleNamespace, alice: Client, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(services, "MOST_INTENTS", 0)
    answer = alice.post(f"{INTENTS}add/", {"name": "refund"})
    assert "at most 0" in str(answer.context["adminform"].form.errors)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'intent,example\nrefund,退款\nrefund,my money\nhours,"when, please"\n'),
        ("a.json", json.dumps({"refund": ["退款", "my money"], "hours": ["when, please"]})),
        ("a.json", json.dumps([["退款", "refund"], ["my money", "refund"], ["when, please", "hours"]])),
        (
            "a.JSON",
            json.dumps([{"text": "退款", "intent": "refund"}, ["my money", "refund"], ["when, please", "hours"]]),
        ),
    ],
)
def test_files_add_examples(cast: SimpleNamespace, alice: Client, name: str, data: str) -> None:  # noqa: F811
    services.add_examples(tenant=cast.acme, found={"refund": ["退款"]})
    assert upload(alice, name, data.encode()).status_code == 302
    assert names(cast.acme) == {"hours": ["when, please"], "refund": ["退款", "my money"]}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"refund\n", "a.csv:1"),
        ("a.csv", b"a,\xff\n", "a.csv:1: not UTF-8"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"two words,x\n", "two words: A name is"),
        ("a.csv", b"ok,x\nok," + b"y" * 501 + b"\n", "Line 2 is longer"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b'{"a": "b"}', "expected a list"),
        ("a.json", b"[[1, 2]]", "entry 1"),
        ("a.json", b"7", "expected an object"),
        ("a.json", b"[" * 9000, "not JSON"),
        ("a.json", b'[["a\\u0000b","ok"]]', "control characters"),
        ("a.json", b'[["a\\ud800","ok"]]', "not JSON"),
        ("a.json", b'[[NaN,"ok"]]', "not JSON"),
        ("a.csv", b"ok,a\0b\n", "control characters"),
        ("a.csv", "ok,x\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_saves_nothing(cast: Any, alice: Client, name: str, data: bytes, said: str) -> None:  # noqa: F811
    answer = upload(alice, name, data)
    assert answer.status_code == 200 and said in str(answer.context["form"].errors)
    assert names(cast.acme) == {}


def test_what_is_downloaded_can_be_uploaded(shop: SimpleNamespace, alice: Client, charlie: Client) -> None:  # noqa: F811
    text = alice.get(f"{INTENTS}download/").content
    assert read_intents(text, "a.csv") == names(shop.acme)
    assert read_intents(as_csv([("a", ["=1+1", "'=x", "plain"])]).encode(), "a.csv") == {"a": ["=1+1", "'=x", "plain"]}
    assert charlie.get(f"{INTENTS}download/").content == b"intent,example\n"


def test_it_shows_training_and_tries_a_text(shop: SimpleNamespace, alice: Client, charlie: Client) -> None:  # noqa: F811
    page = f"{INTENTS}try/"
    services.add_examples(tenant=shop.acme, found={"naughty": [NAUGHTY]})
    assert "being learnt" in alice.get(page).content.decode()
    assert "Nothing has been learnt yet" in alice.post(page, {"text": "refund"}).content.decode()
    learning.learn(ACME.id)
    LIVE.swap(compile_intents())
    text = alice.post(page, {"text": "how can i get a refund for this order"}).content.decode()
    assert "Learnt and in use" in text and "Taken for: refund" in text and "Fewer than five examples: naughty" in text
    assert "<script>alert(1)" not in text
    assert "None of the intents" in alice.post(page, {"text": "长颈鹿怎么叫"}).content.decode()
    text = charlie.post(page, {"text": "how can i get a refund for this order"}).content.decode()
    assert "nothing to learn yet" in text and "refund</" not in text
    assert alice.post(page, {"text": "x" * 5000}).context["form"].errors
    assert alice.post(page, {"do": "learn"}).status_code == 302
    assert TrainedIntents.objects.for_tenant(ACME.id).values_list("wanted", "revision").get() == (5, 4)


def test_who_may_only_read_tries_but_does_not_change(shop: SimpleNamespace, as_role: SignIn) -> None:  # noqa: F811
    auditor = as_role("auditor")
    assert auditor.get(f"{INTENTS}try/").status_code == 200
    assert auditor.post(f"{INTENTS}try/", {"do": "learn"}).status_code == 403
    assert upload(auditor, "a.csv", b"a,b\n").status_code in (302, 403)
    assert auditor.post(f"{INTENTS}add/", {"name": "x"}).status_code == 403
    assert set(names(shop.acme)) == set(EXAMPLES)
    assert as_role("member").get(f"{INTENTS}try/").status_code == 403


def test_a_tenant_has_one_row_of_settings(cast: SimpleNamespace, alice: Client) -> None:  # noqa: F811
    page = "/console/plugins/intentsettings/add/"
    assert alice.post(page, {"threshold": "1.5"}).context["adminform"].form.errors
    assert alice.post(page, {"threshold": "0.4", "outside": "is my dog ill\n"}).status_code == 302
    row = IntentSettings.objects.for_tenant(cast.acme.pk).get()
    assert (row.threshold, row.outside) == (0.4, "is my dog ill")


def test_operators_see_all_and_choose_whose(shop: SimpleNamespace, console: Client) -> None:
    assert "refund" in console.get("/admin/plugins/intent/").content.decode()
    learning.learn(ACME.id)
    LIVE.swap(compile_intents())
    answer = console.post("/admin/plugins/intent/try/", {"tenant": "acme", "text": "how can i get a refund"})
    assert "Taken for: refund" in answer.content.decode()
    assert console.post("/admin/plugins/intent/try/", {"tenant": "nobody", "text": "x"}).context["form"].errors
    data = {"tenant": "globex", "upload": SimpleUploadedFile("a.csv", b"hours,when\n")}
    assert console.post("/admin/plugins/intent/upload/", data).status_code == 302
    assert names(shop.globex) == {"hours": ["when"]}
    assert Intent.objects.everywhere().count() == 4
