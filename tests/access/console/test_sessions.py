"""The screens of sessions: an operator finds, reads, compares, restores, branches and deletes those of any tenant."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.cookie import CookieStorage
from django.test import Client, RequestFactory
from django.urls import resolve

from access.console.bridge import SCOPE_KEY, EngineBridge, SessionParts
from compliance.sealing.vault import SubjectVault
from engine.entries import SessionEntry
from engine.snapshots import Cell
from sessions_app.browsing import SessionBrowser
from sessions_app.records import Record
from sessions_app.shelf import Idle, Shelf
from tenants import stored_keys
from tenants.isolation import Stores
from tenants.models import User
from tests.access.console.screens import NAUGHTY, record
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table
from tests.compliance.journals import KEYS, empty_journal, journal_alias, journal_file
from tests.engine.journal import MemoryJournal
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, Sessions, sessions

__all__ = ["empty_journal", "journal_alias", "journal_file"]

READ = "/admin/sessions/read/"
ARCHIVED = [("2", "older", 1_600_000_000), ("key:9:ann", "left", 1_700_000_000), ("1", "s", 1_650_000_000)]


class Console:
    """An operator's browser beside a worker that serves. `loop` is where its sessions are."""

    def __init__(self, operator: User, bridge: EngineBridge, store: Sessions) -> None:
        self.operator = operator
        self.bridge = bridge
        self.store = store
        self.told = ""

    def do(self, work: Any) -> Any:
        return self.bridge.run(work, 10)

    def ask(self, path: str, post: dict[str, str] | None = None, **query: Any) -> Any:
        address = f"{path}?{urlencode(query)}"
        request = RequestFactory().get(address) if post is None else RequestFactory().post(address, post)
        request.user, request._dont_enforce_csrf_checks = self.operator, True
        request._messages = CookieStorage(request)
        request.scope = {SCOPE_KEY: self.bridge}
        found = resolve(path)
        answer = found.func(request, *found.args, **found.kwargs)
        self.told = " ".join(str(message) for message in request._messages)
        return answer.render() if hasattr(answer, "render") else answer

    def page(self, path: str = READ, **query: Any) -> str:
        answer = self.ask(path, **query)
        assert answer.status_code == 200, self.told
        text = answer.content.decode()
        assert "<script>alert(1)" not in text and "<img src=x" not in text
        return text

    def alices(self, **query: Any) -> str:
        return self.page(tenant="acme", user="1", session="s", **query)

    def post(self, **fields: str) -> Any:
        return self.ask(READ, fields, tenant="acme", user="1", session="s")


@pytest.fixture
def site(
    operator: User,
    cast: SimpleNamespace,
    valkey_url: str,
    loop: asyncio.AbstractEventLoop,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Console]:
    objects = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": objects}
    monkeypatch.setattr(stored_keys, "stored", KEYS.get)
    tenants, journal = Cell(tenant_table()), MemoryJournal()
    stores = Stores([valkey_url], tenants)
    store = sessions(stores, tenants, journal, MemoryPast(journal))
    parts = SessionParts(store, store.versions, store.snapshots, SessionBrowser(stores))
    console = Console(operator, EngineBridge(None, loop, None, None, sessions=parts), store)

    async def begin() -> None:
        for text in ("one", NAUGHTY):
            await turn(store, ALICE.principal, "s", text, system=NAUGHTY, profile={NAUGHTY: NAUGHTY})
        await turn(store, BOB.principal, "bobs", "bob says")
        await turn(store, CHARLIE.principal, "s", "charlie says")

    console.do(begin())
    yield console
    console.do(stores.close())


def test_it_lists_a_tenants_sessions(site: Console) -> None:
    text = site.page("/admin/sessions/", tenant="acme")
    assert set(re.findall(r'class="session-id[^>]*>([^<]+)<', text)) == {"s", "bobs"}
    text = site.page("/admin/sessions/", tenant="acme", user="2")
    assert re.findall(r'class="session-id[^>]*>([^<]+)<', text) == ["bobs"]
    assert "No session here" in site.page("/admin/sessions/", tenant="globex", user="1")


def test_archived_sessions_are_listed_and_found_too(
    transactional_db: None, site: Console, journal_alias: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [Idle(user, name, at * 1_000_000, Record(version=1, name=NAUGHTY), []) for user, name, at in ARCHIVED]
    assert all(Shelf(SubjectVault()).put(ACME.id, kept))
    text = site.page("/admin/sessions/", tenant="acme")
    names = re.findall(r'class="session-id[^>]*>([^<]+)<', text)
    assert names[2:] == ["left", "older"] and set(names[:2]) == {"s", "bobs"}, "one that is live again is there once"
    assert (text.count("archived"), text.count("live")) == (2, 2)
    text = site.page("/admin/sessions/", tenant="acme", user="2")
    assert re.findall(r'class="session-id[^>]*>([^<]+)<', text) == ["bobs", "older"]
    assert "user=key%3A9%3Aann" in site.page("/admin/sessions/", tenant="acme", session="left")
    assert "No session here" in site.page("/admin/sessions/", tenant="globex", session="left")
    monkeypatch.setattr(stored_keys, "stored", lambda tenant_id: None)
    text = site.page("/admin/sessions/", tenant="acme")
    assert set(re.findall(r'class="session-id[^>]*>([^<]+)<', text)) == {"s", "bobs"} and "cannot be read" in text


def test_it_finds_one_by_its_id(site: Console) -> None:
    text = site.page("/admin/sessions/", tenant="globex", session="s")
    assert "user=3" in text and "user=1" not in text
    record(ACME.id, user="key:9:gone", session_id="left")
    assert "user=key%3A9%3Agone" in site.page("/admin/sessions/", tenant="acme", session="left")
    assert "No session here" in site.page("/admin/sessions/", tenant="acme", session="nobodys")


@pytest.mark.parametrize("query", [{"session": "a b"}, {"session": "\0"}, {"tenant": "nobody"}, {"tenant": ""}])
def test_it_says_what_is_wrong_with_a_question(site: Console, query: dict[str, str]) -> None:
    text = site.page("/admin/sessions/", **{"tenant": "acme", **query})
    assert "No session has such an id" in text or "There is no tenant" in text or "required" in text
    assert site.ask(READ, **{"tenant": "acme", "user": "1", "session": "s", **query}).status_code == 302


def test_it_shows_a_session_and_its_past(site: Console) -> None:
    site.do(site.store.snapshots.make(ALICE.principal, "s", NAUGHTY, [NAUGHTY[:20]]))
    text = site.alices()
    assert "&lt;script&gt;alert(1)" in text and "charlie says" not in text
    assert "at version 2" in text
    old = site.alices(at="1")
    assert "at version 1" in old and "not how it is" in old
    compared = site.alices(**{"from": "1"})
    assert "From version 1 to version 2" in compared and "0 removed, 2 added" in compared
    both = site.alices(**{"from": "2", "to": "1"})
    assert "From version 2 to version 1" in both and re.search(r'name="from" value="2"', both)
    for odd in ({"at": "9"}, {"at": "x" * 500}, {"from": "\0"}, {"before": "x"}, {"from": "1", "to": "77"}):
        site.alices(**odd)
    assert site.ask(READ, tenant="acme", user="1", session="s", cursor="x").status_code == 302


def test_it_restores_branches_and_deletes_in_the_operators_name(site: Console) -> None:
    assert site.post(do="snapshot", name="Mine").status_code == 302
    assert "snapshot is made" in site.told
    assert site.post(do="restore", place="1").status_code == 302
    assert "at version 3" in site.told
    answer = site.post(do="branch", place="2")
    assert answer.status_code == 302 and "session=s&" not in answer["Location"]
    branch = re.search(r"session=([0-9a-f]{32})", answer["Location"])
    assert branch is not None
    read = site.do(site.store.read(ALICE.principal, branch[1]))
    assert len(read["context_stack"]) == 5
    assert site.post(do="delete").status_code == 302 and "deleted" in site.told
    assert site.ask(READ, tenant="acme", user="1", session="s").status_code == 302
    assert "session_not_found" in site.told
    done = [entry for entry in site.store.journal.entries if isinstance(entry, SessionEntry)]
    assert [entry.action for entry in done] == ["snapshot", "restored", "branched", "deleted"]
    assert {(entry.subject, entry.user) for entry in done} == {(f"operator:{site.operator.pk}", "1")}
    site.do(site.store.read(CHARLIE.principal, "s"))


def test_a_branch_for_a_keys_user_is_in_the_keys_reach(site: Console) -> None:
    named = msgspec.structs.replace(ALICE.key_principal, user="key:1:ada")
    site.do(turn(site.store, named, "k", "ada says"))
    answer = site.ask(READ, {"do": "branch", "place": "1"}, tenant="acme", user="key:1:ada", session="k")
    branch = re.search(r"session=([0-9a-f]{32})", answer["Location"])
    assert branch is not None
    for who in (named, ALICE.key_principal):
        assert site.do(site.store.read(who, branch[1]))["context_stack"][0]["content"] == "ada says"
    entry = site.store.journal.entries[-1]
    assert (entry.subject, entry.key_id, entry.user) == (f"operator:{site.operator.pk}", 1, "key:1:ada")


@pytest.mark.parametrize(
    "fields",
    [{}, {"do": "explode"}, {"do": "restore"}, {"do": "restore", "place": "77"}, {"do": "branch", "place": "\0"},
     {"do": "snapshot", "name": "x" * 500}],
)  # fmt: skip
def test_it_survives_odd_forms(site: Console, fields: dict[str, str]) -> None:
    assert site.post(**fields).status_code in (200, 302)
    assert site.do(site.store.read(ALICE.principal, "s"))["version"] == 2


def test_it_is_for_operators_only(site: Console, cast: SimpleNamespace) -> None:
    for user in (AnonymousUser(), User.objects.get(pk=cast.alice.user_id)):
        site.operator = user
        for path in ("/admin/sessions/", READ):
            answer = site.ask(path, tenant="acme", user="1", session="s")
            assert answer.status_code == 302 and "/admin/login/" in answer["Location"]
        assert site.post(do="delete").status_code == 302
    site.do(site.store.read(ALICE.principal, "s"))


def test_it_says_where_no_engine_runs(console: Client, cast: SimpleNamespace) -> None:
    assert "No engine runs" in console.get("/admin/sessions/?tenant=acme").content.decode()
    assert console.get("/admin/sessions/").status_code == 200
    assert "/admin/sessions/" in console.get("/admin/").content.decode()
