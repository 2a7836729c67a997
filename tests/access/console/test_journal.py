"""The journal's screen: a line a turn, intent and completion together, found by what people know of it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.test import Client

from engine.types import Choice, Message, Retry
from tests.access.console.screens import NAUGHTY, record

LIST = "/admin/compliance/auditentry/"


def listed(console: Client, query: str = "") -> list[str]:
    answer = console.get(f"{LIST}{query}")
    assert answer.status_code == 200
    return [intent.turn_id for intent in answer.context["cl"].result_list]


def test_it_lists_turns_of_all_tenants_newest_first(console: Client, cast: SimpleNamespace) -> None:
    old = record(cast.acme.id, at=1_000)
    new = record(cast.globex.id, at=2_000)
    assert listed(console) == [new, old]
    text = console.get(LIST).content.decode()
    assert "Acme" in text
    assert "Globex" in text
    assert "auto → gpt" in text
    assert "2.0 s" in text
    assert "1970-01-01 00:33:20" in text


def test_it_finds_turns(console: Client, cast: SimpleNamespace) -> None:
    one = record(cast.acme.id, at=1_000, session_id="mine", user="17")
    two = record(cast.globex.id, at=2_000)
    for query in (one, one[:14], one.upper(), "mine", "17", f" {one} "):
        assert listed(console, f"?q={query}") == [one], query
    assert listed(console, "?q=s1") == [two]
    assert listed(console, "?q=nothing") == []


def test_it_filters_turns(console: Client, cast: SimpleNamespace) -> None:
    done = record(cast.acme.id, at=1_000)
    failed = record(cast.globex.id, at=2_000, state="failed")
    running = record(cast.globex.id, at=time.time() - 600, state=None)
    assert listed(console, "?state=completed") == [done]
    assert listed(console, "?state=failed") == [failed]
    assert listed(console, "?state=in_flight") == [running]
    assert listed(console, "?minutes=60") == [running]
    assert listed(console, "?minutes=5") == []
    assert listed(console, "?tenant=acme") == [done]
    assert listed(console, "?tenant=nobody") == []
    assert listed(console, "?tenant=globex&state=failed") == [failed]
    assert listed(console, "?minutes=%EF%BC%95") == [running, failed, done]


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
