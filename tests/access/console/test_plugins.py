"""Plugins in both consoles: a form of their types, their order, how they fare, and what they would do to turns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from access import dry_run_requests
from access.console import plugin_states
from access.plugin_states import PLUGINS
from access.tasks import dry_run_plugin
from compliance.models import ChangeRecord
from engine.types import Message
from plugins import registry
from plugins.base import PluginBase, PluginSettings
from plugins.models import PluginActivation
from plugins.settings_types import Secret
from plugins.states import PluginState
from tenants.models import Job, Member, User
from tests.access.console.screens import NAUGHTY, activation, record

PLATFORM = "/admin/plugins/pluginactivation/tenant/1/"
OWN = "/console/plugins/"


class Letters(PluginBase):
    """Writes in capitals.

    Or in small letters, where that is said."""

    name = "letters"
    label = NAUGHTY
    rehearses = True

    class Settings(PluginSettings, kw_only=True):
        small: bool = False
        word: str
        password: Secret = ""

    def post_process(self, response):
        response.text = response.text.lower() if self.settings.small else f"{NAUGHTY} {self.settings.word}"


class Posting(PluginBase):
    name = "posting"

    def pre_process(self, context):
        context.features["posted"] = True


@pytest.fixture(autouse=True)
def plugins():
    with registry.registered(Letters, Posting):
        yield


def page_of(path: str, name: str) -> str:
    """A plugin's page beside the list of all."""
    return f"/console/plugin/{name}/" if path == OWN else f"{path}{name}/"


@pytest.fixture(params=[PLATFORM, OWN], ids=["platform", "tenant"])
def pages(request: pytest.FixtureRequest, console: Client, cast: SimpleNamespace) -> tuple[Client, str]:
    """A console's pages of acme's plugins: the operator's, and its own for its owner Alice."""
    if request.param == PLATFORM:
        return console, PLATFORM
    client = Client()
    client.force_login(User.objects.get(username="alice"))
    return client, OWN


def text(client: Client, path: str, status: int = 200, **data: Any) -> str:
    answer = client.post(path, data) if data else client.get(path)
    assert answer.status_code == status, path
    page = answer.content.decode()
    assert "<script>alert(1)" not in page and "<img src=x" not in page
    return page


def saved(plugin: str = "letters") -> PluginActivation:
    return PluginActivation.objects.everywhere().get(tenant_id=1, plugin=plugin)


def test_it_is_set_in_a_form_of_its_types(pages: tuple[Client, str]) -> None:
    client, path = pages
    page = text(client, page_of(path, "letters"))
    for said in (
        "Writes in capitals.",
        "Or in small letters",
        "post_process",
        "streams come in one piece",
        "Empty: 1.",
    ):
        assert said in page, said
    sent = {"enabled": "on", "required": "on", "timeout": "2.5", "settings-word": "x", "settings-password": "hunter2"}
    answer = client.post(page_of(path, "letters"), sent)
    assert answer.status_code == 302
    row = saved()
    assert (row.enabled, row.required, row.timeout) == (True, True, 2.5)
    assert row.settings == {"word": "x", "password": "hunter2"}
    page = text(client, page_of(path, "letters"))
    assert "hunter2" not in page and "There is one; it is never shown." in page and 'value="2.5"' in page
    client.post(page_of(path, "letters"), {"settings-word": "y"})
    row = saved()
    assert (row.enabled, row.required, row.timeout) == (False, False, None)
    assert row.settings == {"word": "y", "password": "hunter2"}
    told = b"".join(bytes(each.body) for each in ChangeRecord.objects.everywhere())
    assert b"hunter2" not in told


@pytest.mark.parametrize(
    "wrong", [{"settings-word": ""}, {"timeout": "0"}, {"timeout": "61"}, {"timeout": "nan"}, {"timeout": NAUGHTY}]
)
def test_it_saves_nothing_that_is_wrong(pages: tuple[Client, str], wrong: dict[str, str]) -> None:
    client, path = pages
    text(client, page_of(path, "letters"), **{"settings-word": "x", **wrong})
    assert not PluginActivation.objects.everywhere().exists()


def test_it_is_ordered_and_switched_in_the_list(pages: tuple[Client, str]) -> None:
    client, path = pages
    for name in ("posting", "canned_answers", "letters"):
        client.post(path, {"do": "on", "plugin": name})
    client.post(path, {"do": "up", "plugin": "canned_answers"})
    client.post(path, {"do": "down", "plugin": "canned_answers"})
    client.post(path, {"do": "up", "plugin": "canned_answers"})
    client.post(path, {"do": "off", "plugin": "posting"})
    rows = PluginActivation.objects.everywhere().order_by("position")
    # `letters` needs a word, so that it cannot be used before it has one
    assert [(row.plugin, row.enabled) for row in rows] == [("canned_answers", True), ("posting", False)]
    text(client, path)  # with what was said of all that
    page = text(client, path)
    assert page.index("1. Canned answers") < page.index("posting")
    for name, do in (("nothing", "on"), ("posting", "explode"), (NAUGHTY, "up")):
        assert client.post(path, {"do": do, "plugin": name}).status_code == 302
    assert PluginActivation.objects.everywhere().count() == 2


def test_it_shows_what_it_would_do_to_recorded_turns(pages: tuple[Client, str]) -> None:
    client, path = pages
    mine = record(1, messages=[Message("user", "hello")], user="key:1")
    theirs = record(2)
    sent = {"do": "try", "settings-word": "unsaved", "try-last": 5}
    page = text(client, page_of(path, "letters"), **sent)
    assert mine in page and theirs not in page and "unsaved" in page and "as it would be" in page
    assert not PluginActivation.objects.everywhere().exists()
    told = [bytes(each.body) for each in ChangeRecord.objects.everywhere()]
    assert sum(b"dry_run_plugin letters" in body for body in told) == 1
    assert "Nothing would be changed." in text(client, page_of(path, "letters"), **{**sent, "try-turn": theirs})
    for name, value in (("last", 0), ("last", 2001), ("turn", "x"), ("since", "x"), ("since", "2099-01-01")):
        sent_wrong = {**sent, f"try-{name}": value, "try-until": "2001-01-01" if value == "2099-01-01" else ""}
        assert "What it would do" not in text(client, page_of(path, "letters"), **sent_wrong), (name, value)


def test_hooks_that_may_have_effects_are_asked_for(pages: tuple[Client, str]) -> None:
    client, path = pages
    record(1, user="key:1")
    sent = {"do": "try", "try-last": 5}
    assert "What it would do" not in text(client, page_of(path, "posting"), **sent)
    assert "posted" in text(client, page_of(path, "posting"), **sent, **{"try-effects": "on"})
    assert "Run hooks that may have effects" not in text(client, page_of(path, "letters"))


def test_many_turns_are_tried_in_the_background(
    pages: tuple[Client, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    monkeypatch.setattr(dry_run_requests.dry_run_plugin, "delay", lambda job_id: None)
    client, path = pages
    turn = record(1, user="key:1")
    answer = client.post(page_of(path, "letters"), {"do": "try", "settings-word": "unsaved", "try-last": 51})
    job = Job.objects.everywhere().get()
    assert answer["Location"] == f"{path}dry-runs/{job.pk}/"
    waiting = client.get(answer["Location"])
    assert (waiting.status_code, waiting["Refresh"]) == (200, "2")
    dry_run_plugin(job.pk)
    page = text(client, answer["Location"])
    assert turn in page and "unsaved" in page
    other = Job.objects.create(tenant_id=2, kind="dry_run_plugin")
    text(client, f"{path}dry-runs/{other.pk}/", 404)


def test_roles_without_the_journal_may_not_try(cast: SimpleNamespace, valkey_url: str) -> None:
    record(1)
    client = Client()
    client.force_login(User.objects.get(username="bob"))
    sent = {"do": "try", "settings-word": "x", "try-last": 5}
    for role, status in (("developer", 403), ("auditor", 403), ("member", 403), ("admin", 200)):
        Member.objects.for_tenant(1).filter(pk=cast.bob.pk).update(role=role)
        text(client, page_of(OWN, "letters"), status, **sent)
    Member.objects.for_tenant(1).filter(pk=cast.bob.pk).update(role="developer")
    assert "Try it on recorded turns" not in text(client, page_of(OWN, "letters"))
    job = Job.objects.create(tenant_id=1, kind="dry_run_plugin")
    text(client, f"{OWN}dry-runs/{job.pk}/", 403)


def test_it_shows_how_a_plugin_fares_at_every_worker(
    pages: tuple[Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, path = pages
    PluginActivation.objects.create(tenant_id=1, plugin="letters", settings={"word": "x"})
    assert "At the workers" not in text(client, page_of(path, "letters"))  # nobody can be asked here
    state = PluginState(
        plugin="letters", breaker="open", retry_in=12.4, required=False, calls=7, failures=5,
        outcomes={"ok": 2, "failed": 5}, last_error=NAUGHTY, last_error_at=1_700_000_000.0, seconds=0.7, slowest=0.3,
    )  # fmt: skip
    asked: list[Any] = []

    def ask(kind: str, words: str, **_: Any) -> Any:
        asked.append((kind, words))
        return {"w1": [state], "w2": [], "w3": None}

    live = SimpleNamespace(turns=SimpleNamespace(workers=lambda: [1, 2, 3]), asking=SimpleNamespace(ask=ask))
    monkeypatch.setattr(plugin_states, "live_of", lambda request: (None, live))
    monkeypatch.setattr(plugin_states, "asked", lambda bridge, told: told)
    page = text(client, page_of(path, "letters"))
    assert asked == [(PLUGINS, "1")]
    for said in ("left alone for another 12 s", "failed 5", "2023-11-14 22:13:20", "of 3 workers"):
        assert said in page, said


def test_the_platform_leads_to_a_tenants_page(console: Client, cast: SimpleNamespace) -> None:
    screen = "/admin/plugins/pluginactivation/"
    answer = console.post(f"{screen}add/", {"tenant": 1, "plugin": "letters"})
    assert answer["Location"] == f"{PLATFORM}letters/" and not PluginActivation.objects.everywhere().exists()
    for wrong in ({"tenant": 1, "plugin": "nothing"}, {"tenant": 99, "plugin": "letters"}, {}):
        assert console.post(f"{screen}add/", wrong).context["adminform"].form.errors
    console.post(answer["Location"], {"settings-word": "x"})
    assert "Writes in capitals." in text(console, f"{screen}{saved().pk}/change/")
    assert console.get(f"{screen}tenant/99/letters/").status_code == 404
    assert console.get(f"{PLATFORM}nothing/").status_code == 404
    gone = PluginActivation.objects.create(tenant_id=1, plugin="gone")
    assert console.get(f"{screen}{gone.pk}/change/").status_code == 200
    assert console.post(f"{screen}{gone.pk}/delete/", {"post": "yes"}).status_code == 302


def test_the_platform_lists_what_is_installed(console: Client, cast: SimpleNamespace, monkeypatch: Any) -> None:
    found = [
        *registry.extensions(),
        registry.extensions()[0]._replace(
            name="broken", entry="broken", package="clawdbot-broken", version="1.0", error=f"ImportError: {NAUGHTY}"
        ),
    ]
    monkeypatch.setattr(registry, "extensions", lambda: found)
    page = text(console, "/admin/plugins/pluginactivation/installed/")
    for said in ("Canned answers", "comes with Clawdbot", "clawdbot-broken 1.0", "ImportError"):
        assert said in page, said


def test_other_tenants_have_pages_of_their_own(cast: SimpleNamespace, valkey_url: str) -> None:
    activation(cast.acme)
    charlie = Client()
    charlie.force_login(User.objects.get(username="charlie"))
    assert "in use" not in text(charlie, OWN)
    assert "alert(1)" not in text(charlie, page_of(OWN, "canned_answers"))
