"""The screen of changes: who did what to which row, before and after, page by page."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import pytest
from django.test import Client

from compliance import changes
from compliance.journal import changes as listing
from compliance.journal.records import change_row
from engine.entries import Change
from tests.access.console.screens import NAUGHTY
from tests.access.recorded import write

CHANGES = "/admin/compliance/auditentry/changes/"
START = 1_700_000_000


def change(number: int, tenant_id: int = 1, **fields: object) -> None:
    given = {"actor": "operator:7", "actor_label": "ruth", "action": "changed", "model": "routing.routingrule"}
    more = {"row": str(number), "label": f"rule {number}", "before": {"weight": 1}, "after": {"weight": number}}
    turn_id = f"{(START + number) * 1000:012x}{number:020x}"
    told = Change(turn_id=turn_id, tenant_id=tenant_id, at=START + number, **{**given, **more, **fields})
    write([change_row(told, "w1")])


def listed(console: Client, query: str = "") -> list[int]:
    answer = console.get(f"{CHANGES}{query}")
    assert answer.status_code == 200
    return [int(each) for each in re.findall(r"routing\.routingrule (\d+)<", answer.content.decode())]


def test_it_shows_who_changed_what(console: Client, cast: SimpleNamespace) -> None:
    change(
        3,
        label=NAUGHTY,
        before={"conditions": [NAUGHTY], "key": "***"},
        after={"conditions": [], "key": "*** (another)"},
    )
    change(4, tenant_id=0, action="created", actor_label="", before={}, after={"name": "x" * 500})
    change(5, tenant_id=99, action="signed_in", before={}, after={})
    text = console.get(CHANGES).content.decode()
    assert listed(console) == [5, 4, 3]
    assert "<script>alert(1)" not in text
    for words in (
        "operator:7 (ruth)",
        "Platform",
        "Acme",
        "*** (another)",
        "created",
        "2023-11-14 22:13:23",
        "x" * 300 + " …",
    ):
        assert words in text, words
    assert "[&quot;&lt;script&gt;alert(1)" in text
    assert "x" * 300 + " …" in text


def test_it_filters(console: Client, cast: SimpleNamespace) -> None:
    change(1)
    change(2, tenant_id=2, actor="key:3", actor_label="")
    change(3, action="deleted")
    for query, found in (
        ("tenant=globex", [2]),
        ("actor=key:3", [2]),
        ("row=1&model=routing.routingrule", [1]),
        ("action=deleted", [3]),
        (f"since={START + 2}", [3, 2]),
        (f"until={START + 2}", [1]),
        ("model=nothing", []),
    ):
        assert listed(console, f"?{query}") == found, query
    assert "There is no tenant x." in console.get(f"{CHANGES}?tenant=x").content.decode()
    assert "No change here." in console.get(f"{CHANGES}?row=9").content.decode()


def test_one_can_go_through_all_pages_and_back(
    console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing.page, "__kwdefaults__", {**listing.page.__kwdefaults__, "limit": 2})
    monkeypatch.setattr(listing.page_after, "__kwdefaults__", {"limit": 2})
    for number in range(5):
        change(number)

    def way(query: str, to: str) -> str | None:
        found = re.search(rf'rel="{to}"[^>]* href="([^"]+)"', console.get(f"{CHANGES}{query}").content.decode())
        return html.unescape(found[1]) if found is not None else None

    seen, at, query = [listed(console, "?tenant=acme")], "?tenant=acme", "tenant=acme"
    while (older := way(at, "next")) is not None:
        at = older
        seen.append(listed(console, at))
    assert seen == [[4, 3], [2, 1], [0]]
    back = []
    while (newer := way(at, "prev")) is not None:
        at = newer
        back.append(listed(console, at))
    assert (back, query in at) == ([[2, 1], [4, 3]], True)


def test_it_tells_what_is_still_on_its_way(console: Client, cast: SimpleNamespace) -> None:
    assert "on their way into the journal" in console.get(CHANGES).content.decode()  # the cast
    changes.ChangeRecord.objects.everywhere().moved()
    assert "way into the journal" not in console.get(CHANGES).content.decode()
