"""`/api/words/test` and the hits of a list."""

import asyncio
import threading

import pytest

from access.management import word_trials
from compliance.compiling import compile_guard
from compliance.hits import HitCounter, HitWriter
from compliance.models import SensitiveWordList
from compliance.wordlists import replace_words
from engine.types import Verdict
from tests.access.managed import managed
from tests.access.test_openapi import strict
from tests.access.test_words import made, refused, stored
from tests.cast import ALICE, CHARLIE


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        yield site


@pytest.fixture
async def law(site):
    """A mandatory list of the platform's."""
    return await site.rows(
        lambda: replace_words(tenant=None, name="law", words=["law word"], mandatory=True, action="mask").pk
    )


# The test bench ---------------------------------------------------------------------------------------------------


async def test_it_tries_a_text_by_what_is_in_use(site, law):
    await made(site.alice, action="mask", direction="both")
    site.site.parts.words.swap(await site.rows(compile_guard))
    answer = await site.alice.post("/api/words/test", {"text": "Bad law word 坏人"})
    strict(word_trials.WordTestAnswer, answer.json)
    asked, answered = answer.json["tried"]
    assert (asked["direction"], answered["direction"]) == ("input", "output")
    assert (asked["outcome"], asked["text"]) == ("mask", "*** ******** **")
    assert [(each["written"], each["list"], each["scope"], each["version"]) for each in asked["places"]] == [
        ("Bad", "rude", "tenant", 1), ("law word", "law", "platform", 1), ("坏人", "rude", "tenant", 1),
    ]  # fmt: skip
    charlie = (await site.charlie.post("/api/words/test", {"text": "Bad law word", "direction": "input"})).json
    assert [each["text"] for each in charlie["tried"]] == ["Bad ********"]


async def test_nobody_waits_for_the_long_trials_of_others(site, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(word_trials, "try_now", lambda words, body: over.wait(60) and [])
    trials = [asyncio.create_task(site.alice.post("/api/words/test", {"text": "long"})) for _ in range(2)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(30):
        assert (await site.charlie.get("/api/words")).status == 200
    assert not any(each.done() for each in trials)
    over.set()
    assert [(await each).status for each in trials] == [200, 200]


async def test_it_tries_lists_that_are_not_in_use_and_words_that_are_not_saved(site):
    off = (await made(site.alice, enabled=False, action="block"))["id"]
    body = {"text": "bad ugly", "lists": [off], "words": ["ugly"], "action": "mask", "direction": "input"}
    [tried] = (await site.alice.post("/api/words/test", body)).json["tried"]
    assert (tried["outcome"], tried["text"]) == ("block", None)
    assert [(each["word"], each["list"], each["list_id"]) for each in tried["places"]] == [
        ("bad", "rude", off), ("ugly", "unsaved", 0),
    ]  # fmt: skip
    [tried] = (await site.alice.post("/api/words/test", {**body, "lists": None})).json["tried"]
    assert (tried["outcome"], tried["text"]) == ("mask", "bad ****")
    [way] = (await site.alice.post("/api/words/test", {**body, "direction": "output"})).json["tried"]
    assert [each["word"] for each in way["places"]] == ["ugly"], "the other list is for what goes to the model"
    assert len(await site.rows(stored)) == 1


async def test_it_compiles_no_more_than_a_lists_worth_for_a_test(site):
    first = (await made(site.alice))["id"]
    second = (await made(site.alice, name="other"))["id"]
    await site.rows(lambda: SensitiveWordList.objects.everywhere().update(size=60_000))
    body = {"text": "x", "lists": [first, second]}
    assert "100000" in await refused(await site.alice.post("/api/words/test", body), 400, "invalid_request", "lists")
    assert (await site.alice.post("/api/words/test", {**body, "lists": [first]})).status == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": "x" * 100_001}, "text"),
        ({"text": "x", "direction": "up"}, "direction"),
        ({"text": "x", "lists": list(range(1, 30))}, "lists"),
        ({"text": "x", "lists": [2**63]}, "lists[0]"),
        ({"text": "x", "lists": [0]}, "lists[0]"),
        ({"text": "x", "words": ["a\nb"]}, "words"),
        ({"text": "x", "words": ["a"], "switches": ["telepathy"]}, "switches"),
        ({"text": "x", "nonsense": 1}, "nonsense"),
    ],
)
async def test_it_says_what_it_cannot_try(site, body, param):
    await refused(await site.alice.post("/api/words/test", body), 400, "invalid_request", param)


# Hits -------------------------------------------------------------------------------------------------------------


async def test_it_tells_a_tenants_own_hits(site, law):
    def count():
        counter = HitCounter()
        for tenant_id, times in ((ALICE.company.id, 3), (CHARLIE.company.id, 5)):
            for _ in range(times):
                counter.add(tenant_id, [Verdict("law", 1, "law word", "mask", "output", law, "platform")])
        HitWriter(counter).flush()

    await site.rows(count)
    path = f"/api/words/{law}/hits"
    found = (await site.alice.get(path)).json
    strict(word_trials.HitsAnswer, found)
    assert (found["total"], len(found["days"]), found["days"][0]["mask"]) == (3, 14, 3)
    assert found["entries"] == [{"word": "law word", "input": 0, "output": 3}]
    assert len((await site.charlie.get(f"{path}?days=2")).json["days"]) == 2
    for days in ("0", "91", "x", "-1"):
        await refused(await site.alice.get(f"{path}?days={days}"), 400, "invalid_request", "days")
