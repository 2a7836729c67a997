"""The screen of what was done to sessions: who, when, what, page by page."""

from __future__ import annotations

import re
from types import SimpleNamespace

import msgspec
import pytest
from django.test import Client

from compliance.journal import session_changes
from compliance.sealing.splitting import session_row
from engine.entries import SessionEntry
from tests.access.console.screens import NAUGHTY
from tests.access.recorded import write

SESSIONS = "/admin/compliance/auditentry/sessions/"
START = 1_700_000_000


def done(number: int, tenant_id: int = 1, **fields: object) -> None:
    turn_id = f"{(START + number) * 1000:012x}{number:020x}"
    given = {"subject": "key:7", "user": "key:7:ann", "session_id": f"s{number}", "action": "patched"}
    entry = SessionEntry(turn_id=turn_id, tenant_id=tenant_id, at=START + number, parent=number, **{**given, **fields})
    write([(*session_row(entry, "w1")[:-1], msgspec.json.encode(entry))])


def listed(console: Client, query: str = "") -> list[int]:
    answer = console.get(f"{SESSIONS}{query}")
    assert answer.status_code == 200
    return [int(each) for each in re.findall(r"version (\d+)<", answer.content.decode())]


def test_it_shows_who_did_what_to_which_session(console: Client, cast: SimpleNamespace) -> None:
    done(3, detail={"name": NAUGHTY, "user_profile": {"x": "y" * 500}})
    done(4, tenant_id=2, action="deleted", subject="operator:7")
    text = console.get(SESSIONS).content.decode()
    assert listed(console) == [4, 3]
    assert "<script>alert(1)" not in text
    for words in ("operator:7", "key:7:ann", "deleted", "Acme", "Globex", "2023-11-14 22:13:23", " …"):
        assert words in text, words


def test_it_finds_by_tenant_session_user_action_and_time(console: Client, cast: SimpleNamespace) -> None:
    for number in range(4):
        done(number, tenant_id=1 + number % 2, action=("patched", "deleted")[number % 2], user=f"u{number}")
    assert listed(console, "?tenant=globex") == [3, 1]
    assert listed(console, "?session_id=s2") == [2]
    assert listed(console, "?action=patched") == [2, 0]
    assert listed(console, "?user=u3") == [3]
    assert listed(console, f"?since={START + 1}&until={START + 3}") == [2, 1]
    assert listed(console, "?since=never") == []


def test_it_goes_from_page_to_page(console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_changes.page, "__kwdefaults__", {"before": None, "limit": 2})
    monkeypatch.setattr(session_changes.page_after, "__kwdefaults__", {"limit": 2})
    for number in range(5):
        done(number)
    text = console.get(SESSIONS).content.decode()
    assert listed(console) == [4, 3]
    (before,) = re.findall(r"before=([0-9a-f]{32})", text)
    assert listed(console, f"?before={before}") == [2, 1]
    assert listed(console, f"?after={before}") == [4]
    assert listed(console, "?before=%00'") == [4, 3]  # no cursor: the beginning


def test_only_operators_who_may_read_the_journal_see_it(client: Client, cast: SimpleNamespace) -> None:
    answer = client.get(SESSIONS)
    assert answer.status_code == 302 and "/login/" in answer.headers["location"]
