"""The journal's screen: a line a turn, intent and completion together, found by what people know of it."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from django.db import DatabaseError
from django.test import Client

from compliance.journal import listing
from compliance.sealing import splitting
from engine.entries import Retry
from engine.errors import StoreUnavailable
from engine.types import Choice, Message, Verdict
from tests.access.console.screens import NAUGHTY, record
from tests.access.recorded import write
from tests.compliance.journals import intent, sealer

LIST = "/admin/compliance/auditentry/"


TURN = re.compile(rf"{LIST}([0-9a-f]{{32}})/change/")


def listed(console: Client, query: str = "") -> list[str]:
    """The turns of a page, in its order."""
    answer = console.get(f"{LIST}{query}")
    assert answer.status_code == 200
    return TURN.findall(answer.content.decode())


def way(console: Client, query: str, to: str) -> str | None:
    """The link to the page beside this one: `prev` or `next`."""
    found = re.search(rf'rel="{to}"[^>]* href="([^"]+)"', console.get(f"{LIST}{query}").content.decode())
    return html.unescape(found[1]) if found is not None else None


def test_it_lists_turns_of_all_tenants_newest_first(console: Client, cast: SimpleNamespace) -> None:
    old = record(cast.acme.id, at=1_000)
    new = record(cast.globex.id, at=2_000)
    assert listed(console) == [new, old]
    text = console.get(LIST).content.decode()
    assert "Acme" in text
    assert "Globex" in text
    assert "auto → gpt" in text
    assert "2.0\u00a0s" in text
    assert "1970-01-01 00:33:20" in text


def test_it_finds_turns(console: Client, cast: SimpleNamespace) -> None:
    one = record(cast.acme.id, at=1_700_000_000, session_id="mine", user="17", key_id=4)
    two = record(cast.globex.id, at=1_700_000_060, edge="grpc", instance="big", model="large", verdicts=[])
    for query in (
        f"begins={one}", f"begins={one[:14]}", f"begins=+{one.upper()}+", "session_id=mine", "user=17", "key_id=4",
        "verdict=record", f"verdict=any&word_list={quote(NAUGHTY)}", "until=2023-11-14T22:14", "tenant=acme",
        "tenant=acme&user=17&session_id=mine&state=completed", "model=auto", "until=1700000060&since=2023-11-14",
    ):  # fmt: skip
        assert listed(console, f"?{query}") == [one], query
    for query in (
        "edge=grpc",
        "session_id=s1",
        "since=1700000001",
        "model=large",
        "tenant=globex",
        "until=&since=2023-11-14T22:14",
    ):
        assert listed(console, f"?{query}") == [two], query
    assert listed(console, "?instance=gpt") == [two, one]  # which answered
    for query in ("user=nobody", "begins=ffff", "verdict=block", "tenant=acme&edge=grpc"):
        assert listed(console, f"?{query}") == [], query


def test_it_filters_by_how_turns_ended(console: Client, cast: SimpleNamespace) -> None:
    done = record(cast.acme.id, at=1_000)
    failed = record(cast.globex.id, at=2_000, state="failed")
    running = record(cast.globex.id, at=3_000, state=None)
    assert listed(console, "?state=completed") == [done]
    assert listed(console, "?state=failed") == [failed]
    assert listed(console, "?state=in_flight") == [running]
    assert listed(console, "?tenant=globex&state=failed") == [failed]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("tenant=nobody", "There is no tenant nobody."),
        ("since=yesterday", "Expected ISO 8601"),
        ("begins=xyz", "hexadecimal"),
        ("key_id=0", "greater than or equal to 1"),
        ("state=lost", "is not one of the available choices"),
        ("user=%00", "Null characters are not allowed"),
    ],
)
def test_it_says_what_is_no_filter(console: Client, cast: SimpleNamespace, query: str, words: str) -> None:
    record(cast.acme.id)
    assert words in console.get(f"{LIST}?{query}").content.decode()
    assert listed(console, f"?{query}") == []


@pytest.mark.parametrize("query", ["", "?tenant=acme", "?state=completed", "?verdict=any&tenant=acme"])
def test_one_can_go_through_all_pages_and_back(
    console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(listing.page, "__kwdefaults__", {**listing.page.__kwdefaults__, "limit": 4})
    monkeypatch.setattr(listing.page_after, "__kwdefaults__", {"limit": 4})
    ids = [record(cast.acme.id, at=1_000 + n) for n in range(10)][::-1]
    pages, at = [listed(console, query)], query
    assert way(console, at, "prev") is None
    while (older := way(console, at, "next")) is not None:
        at = older
        pages.append(listed(console, at))
    assert pages == [ids[:4], ids[4:8], ids[8:]]
    back = []
    while (newer := way(console, at, "prev")) is not None:
        at = newer
        back.append(listed(console, at))
    assert back == [ids[4:8], ids[:4]]
    assert all(part in at for part in query[1:].split("&"))


def test_it_says_how_far_it_looked(console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SCANNED", 4)
    only = record(cast.acme.id, at=1_000, state="failed")
    for n in range(9):
        record(cast.acme.id, at=2_000 + n)
    query, seen, pages = "?state=failed", [], 0
    while query is not None:
        seen += listed(console, query)
        text = console.get(f"{LIST}{query}").content.decode()
        query, pages = way(console, query, "next"), pages + 1
        assert ("looked as far as 1970-01-01 00:33" in text) == (query is not None)
        assert ("No turn here." in text) == (only not in seen)
    assert (seen, pages) == ([only], 3)


@pytest.mark.parametrize("cursor", ["", "x", "%00", "g" * 32, "0" * 41])
def test_a_cursor_nobody_gave_out_does_no_harm(console: Client, cast: SimpleNamespace, cursor: str) -> None:
    turn = record(cast.acme.id)
    for name in ("before", "after"):
        assert listed(console, f"?{name}={cursor}") == [turn]


def test_it_says_so_when_the_journal_cannot_be_read(
    console: Client, cast: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseError("no such file")

    monkeypatch.setattr(listing, "page", away)
    assert StoreUnavailable().message in html.unescape(console.get(LIST).content.decode())


def test_it_tells_a_list_of_the_platforms_from_a_tenants(console: Client, cast: SimpleNamespace) -> None:
    verdicts = [Verdict("rude", 2, "bad", "mask", "input", 7, scope) for scope in ("tenant", "platform")]
    turn = record(cast.acme.id, verdicts=verdicts)
    rows = console.get(f"{LIST}{turn}/change/").context["turn"].verdicts["rows"]
    assert [row[3] for row in rows] == ["rude (v2)", "rude (v2), Platform"]


def test_it_shows_intent_completion_and_decision_on_one_page(console: Client, cast: SimpleNamespace) -> None:
    turn = record(cast.acme.id)
    answer = console.get(f"{LIST}{turn}/change/")
    text = answer.content.decode()
    shown = answer.context["turn"]
    assert (shown.state, shown.asked[0].text, shown.answered[0].text) == ("completed", NAUGHTY, NAUGHTY)
    assert [row[1:] for row in shown.candidates["rows"]] == [[3, 5, "—"], [1, "—", "breaker open"]]
    assert ("prompt_tokens", 12) in [tuple(row) for row in shown.features["rows"]]
    assert shown.verdicts["rows"] == [["input", "record", NAUGHTY, f"{NAUGHTY} (v1)"]]
    for words in ("7 + 9 = 16", "250 ms", "breaker open", "Acme", "&lt;script&gt;alert(1)"):
        assert words in text, words
    assert "<script>alert(1)" not in text


def test_it_says_how_much_was_masked_for_the_model(console: Client, cast: SimpleNamespace) -> None:
    turn = record(cast.acme.id, personal={"phone": 2, "id_cn": 1})
    facts = {str(name): value for name, value in console.get(f"{LIST}{turn}/change/").context["turn"].facts}
    assert facts["Masked for the model"] == "phone 2, id_cn 1"
    other = console.get(f"{LIST}{record(cast.acme.id)}/change/")
    assert "Masked for the model" not in other.content.decode()


@pytest.mark.parametrize(("state", "words"), [(None, "Nothing yet"), ("failed", "upstream_error")])
def test_it_shows_turns_without_an_answer(
    console: Client, cast: SimpleNamespace, state: str | None, words: str
) -> None:
    assert words in console.get(f"{LIST}{record(1, state=state)}/change/").content.decode()


def test_it_shows_what_a_turn_that_was_cut_off_had_been_sent(console: Client, cast: SimpleNamespace) -> None:
    turn = record(cast.acme.id, state="aborted", sent=("the first ", "and the second"))
    assert "the first and the second" in console.get(f"{LIST}{turn}/change/").content.decode()
    turn = record(cast.acme.id, end={"choices": [Choice(Message("assistant", "all of it"), "stop")]}, sent=("all",))
    assert console.get(f"{LIST}{turn}/change/").context["turn"].answered[0].text == "all of it"


def test_it_shows_the_decision_that_answered_and_the_calls_that_failed(console: Client, cast: SimpleNamespace) -> None:
    last = {
        "model": "big",
        "instance": "big",
        "rules": ["by size"],
        "fallback": {"name": "big", "place": 1},
        "session": {"model": "gpt", "kept": None},
        "candidates": [{"id": 3, "instance": "big", "weight": 1, "score": 1, "removed": None}],
        "passed_over": [
            {
                "models": ["gpt", NAUGHTY],
                "why": "two_tried",
                "candidates": [{"id": 1, "instance": "gpt", "removed": "tried"}, {"id": 2, "instance": NAUGHTY}],
            },
            {"models": ["none"], "why": "nobody_left", "candidates": []},
        ],
    }
    failed = [Retry(1, "gpt", "upstream_timeout", 1.25), Retry(2, NAUGHTY, "upstream_error", 0.01)]
    turn = record(cast.acme.id, end={"decision": last, "retries": failed, "attempts": 3})
    answer = console.get(f"{LIST}{turn}/change/")
    shown, text = answer.context["turn"], answer.content.decode()
    why = {str(name): str(value) for name, value in shown.decision}
    assert (why["Model"], why["Rules that matched"]) == ("big", "by size")
    assert "number 1" in why["Fallback"]
    assert why["Session"] == "could not stay with gpt"
    assert [row[1:] for row in shown.retries["rows"]] == [
        ["upstream_timeout", "1.250 s"],
        ["upstream_error", "0.010 s"],
    ]
    assert [row[1:] for row in shown.passed_over["rows"]] == [
        ["gpt (#1)", "tried"],
        [f"{NAUGHTY} (#2)", "—"],
        ["—", "—"],
    ]
    assert "two of it had been tried" in shown.passed_over["rows"][0][0]
    assert len(shown.candidates["rows"]) == 1
    for words in ("upstream_timeout", "Passed over", "1.250 s", "Answer from"):
        assert words in text, words
    assert "<script>alert(1)" not in text


@pytest.mark.parametrize(
    ("source", "words"), [("cache", "an answer that was kept"), ("shared", "another turn&#x27;s call")]
)
def test_it_says_where_an_answer_came_from(console: Client, cast: SimpleNamespace, source: str, words: str) -> None:
    decision = {"model": "gpt", "shared_with": "f" * 32, "session": {"model": "gpt", "kept": "instance"}}
    turn = record(cast.acme.id, end={"source": source, "attempts": 0}, decision=decision)
    text = console.get(f"{LIST}{turn}/change/").content.decode()
    for shown in (words, "f" * 32, "kept the instance that answered it before"):
        assert shown in text, shown


ODD = {
    "passed_over": [{}, {"models": 5, "why": 5, "candidates": [5]}],
    "session": 5,
    "fallback": {"context_window": None},
    "rules": "x",
}


@pytest.mark.parametrize(
    "decision", [{}, {"rules": None, "candidates": ["x"], "features": 3}, {"candidates": [{}]}, ODD, {"session": {}}]
)
def test_it_shows_any_decision(console: Client, cast: SimpleNamespace, decision: dict[str, object]) -> None:
    assert console.get(f"{LIST}{record(1, decision=decision)}/change/").status_code == 200


def test_it_shows_turns_of_the_platform_and_of_tenants_that_are_gone(console: Client, cast: SimpleNamespace) -> None:
    platform, gone = record(0), record(99)
    text = console.get(LIST).content.decode()
    assert "Platform" in text
    for turn in (platform, gone):
        assert console.get(f"{LIST}{turn}/change/").status_code == 200


def test_it_knows_no_other_turns(console: Client, cast: SimpleNamespace) -> None:
    for name in ("1", "nothing", "0" * 32):
        answer = console.get(f"{LIST}{name}/change/", follow=True)
        assert "doesn’t exist" in answer.content.decode()


def test_it_says_of_an_erased_turn_what_is_left(console: Client, rows: SimpleNamespace) -> None:
    asked = intent(tenant_id=1)
    (sealed,), _ = sealer().seal([splitting.intent_row(asked, "w")], {})  # its key is stored nowhere
    write([sealed])
    page = console.get(f"/admin/compliance/auditentry/{asked.turn_id}/change/").content.decode()
    assert "Erased: the key" in page and "The decision is part of what cannot be read." in page
    assert "What was asked" not in page and "openai" in page
