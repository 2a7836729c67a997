"""`/api/insights`: a tenant's own figures, questions for who may read conversations, nobody else's."""

import pytest

from compliance.analysis import storing
from compliance.analysis.counting import Delta
from compliance.analysis.storing import Step
from compliance.usage.counting import Timing
from tenants import stored_keys
from tests.access.managed import managed
from tests.cast import ACME, ALICE, BOB, GLOBEX

AT = 1_800_000_000
HOUR = 3600
PATH = f"/api/insights?from={AT}&to={AT + 24 * HOUR}"


class Took:
    duration, ttft = 2.0, 0.5


def count(tenant_id, counts, asked=None):
    """As if the journal had said so in the hour of `AT`, and of `asked` on its day."""
    timing = Timing()
    timing.add(Took)
    hour, day = AT // HOUR, AT // (24 * HOUR)
    delta = Delta(
        {(hour, *key): number for key, number in counts.items()},
        {(hour, "gpt", 0): timing},
        {day: asked} if asked else {},
        {},
        set(),
    )
    stored_keys.make_missing()
    place = storing.place_of(tenant_id)
    storing.store(place, Step(place.position + 1, 0, AT + 5.0), delta, stored_keys.stored(tenant_id))


ACMES = {
    ("turns", "rest", "completed"): 6, ("turns", "rest", "failed"): 2, ("turns", "openai", "cancelled"): 2,
    ("language", "zh", "completed"): 3, ("intent", "refund", "completed"): 2, ("intent", "", "failed"): 1,
    ("filter", "metals", "mask input"): 4, ("word", "metals\x1fgold", "mask input"): 4, ("session", "opened", ""): 4,
    ("session", "abandoned", ""): 1, ("retry", "gpt", "upstream_timeout"): 1, ("error", "upstream_error", "failed"): 2,
    ("plugin", "slow", "pre timeout"): 1, ("personal", "email", ""): 1, ("source", "cache", "completed"): 1,
}  # fmt: skip


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        await site.rows(lambda: count(ACME.id, ACMES, {"how do i return it": {"ann": 2, "bob": 1}}))
        yield site


async def test_it_tells_the_tenant_what_was_counted(site):
    for path in (PATH, PATH.replace("?", "/?")):
        told = (await site.alice.get(path)).json
    assert told["turns"] == {
        "turns": 10, "completed": 6, "refused": 0, "failed": 2, "cancelled": 2, "aborted": 0, "completion_rate": 0.75,
        "abandonment_rate": 0.2,
    }  # fmt: skip
    assert told["sessions"] == {"opened": 4, "abandoned": 1, "abandonment_rate": 0.25}
    assert [(each["name"], each["turns"]) for each in told["intents"]] == [("refund", 2), ("", 1)]
    assert told["filters"] == [{"name": "metals", "detail": "mask input", "count": 4}]
    assert told["words"] == [{"list": "metals", "word": "gold", "detail": "mask input", "count": 4}]
    assert told["questions"] == {
        "top": [{"question": "how do i return it", "count": 3, "users": 2}], "total": 3, "lost": 0,
    }  # fmt: skip
    (slow,) = told["models"]
    assert (slow["model"], slow["instance"], slow["turns"]) == ("gpt", None, 1)
    assert slow["latency"]["duration"]["p95"] == pytest.approx(2.0, rel=0.06)
    assert sum(each["turns"] for each in told["series"]) == 10
    assert told["read_until"] == AT + 5.0
    assert (told["from"], told["to"]) == (AT, AT + 24 * HOUR)


async def test_charlie_sees_nothing_of_it(site):
    told = (await site.charlie.get(PATH)).json
    assert told["turns"]["turns"] == 0
    assert told["questions"] == {"top": [], "total": 0, "lost": 0}
    assert [told[name] for name in ("languages", "intents", "filters", "words", "models", "errors")] == [[]] * 6
    assert told["read_until"] is None
    await site.rows(lambda: count(GLOBEX.id, {("turns", "rest", "completed"): 1}, {"mine": {"charlie": 1}}))
    told = (await site.charlie.get(PATH)).json
    assert [each["question"] for each in told["questions"]["top"]] == ["mine"]


async def test_questions_are_for_who_may_read_conversations(site):
    told = (await site.signed_in(BOB, "developer").get(PATH)).json
    assert (told["questions"], told["words"], told["turns"]["turns"]) == (None, None, 10)
    told = (await site.signed_in(BOB, "auditor").get(PATH)).json
    assert len(told["questions"]["top"]) == 1
    for client in (site.bob, site.signed_in(BOB, "member")):
        assert (await client.get(PATH)).status == 403


async def test_days_are_those_of_the_tenants_clock(site, cast):
    cast.acme.time_zone = "Asia/Shanghai"
    await site.rows(cast.acme.save)
    told = (await site.alice.get(PATH)).json
    assert told["time_zone"] == "Asia/Shanghai"
    assert [each["start"] % (24 * HOUR) for each in told["series"]] == [16 * HOUR] * len(told["series"])
    hours = (await site.alice.get(f"{PATH}&by=hour&limit=1")).json
    assert len(hours["series"]) == 24
    assert len(hours["intents"]) == 1


@pytest.mark.parametrize(
    "query", ["?from=soon", "?by=year", "?limit=0", "?limit=many", "?what=ever", "?from=5&to=4", "?from=1&to=99999999"]
)
async def test_what_makes_no_sense_is_refused(site, query):
    answer = await site.alice.get(f"/api/insights{query}")
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")


async def test_nothing_is_changed_here(site):
    assert (await site.alice.post("/api/insights", {})).status == 405
    assert (await site.site.client("cb_nobody").get(PATH)).status == 401
    assert ALICE.company is ACME
