"""`/api/usage`: everybody's own, the whole tenant's for who audits or manages, nobody else's, in JSON and CSV."""

import csv
import io
import time

import pytest

from tenants.models import ApiKey, Tenant
from tests.access.managed import managed
from tests.access.parts import CHAT_ONLY
from tests.access.used import AT, turn, use
from tests.cast import ACME, ALICE, BOB, CHARLIE, GLOBEX

PATH = "/api/usage"
DAY = f"{PATH}?from={AT - 86_400:.0f}&to={AT + 3600:.0f}"
HOUR = 3600


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        yield site


@pytest.fixture
async def used(site):
    """Alice's key has three turns, Bob's one, of two models; Charlie's one."""
    turns = [turn(key_id=ALICE.id), turn(key_id=ALICE.id, model="big", instance="big", cost=1000)]
    turns += [turn(key_id=ALICE.id, at=AT - HOUR, state="failed", cost=0), turn(key_id=BOB.id)]
    await site.rows(lambda: use(*turns, turn(GLOBEX.id, key_id=CHARLIE.id, cost=7)))
    return site


async def test_it_adds_up_the_whole_tenant_for_its_manager(used):
    for path in (f"{DAY}&by=model", DAY.replace("?", "/?")):
        told = (await used.alice.get(path)).json
        assert [(line["what"], line["turns"], line["cost"]) for line in told["lines"]] == [
            ("big", 1, 1000),
            ("gpt", 3, 500),
        ]
    assert told["total"] == {
        "turns": 4, "completed": 3, "refused": 0, "failed": 1, "cancelled": 0, "aborted": 0, "tokens": 440,
        "prompt_tokens": 400, "completion_tokens": 40, "cached_tokens": 0, "reasoning_tokens": 0, "cost": 1500,
        "completion_rate": 0.75,
    }  # fmt: skip
    assert (told["from"] % HOUR, told["to"] % HOUR, told["more"]) == (0, 0, False)
    assert told["latency"]["duration"]["p50"] == pytest.approx(1.0, rel=0.05)


async def test_it_names_keys(used):
    told = (await used.alice.get(f"{DAY}&by=key")).json
    assert [(line["what"], line["name"], line["turns"]) for line in told["lines"]] == [
        (ALICE.id, "alice", 3),
        (BOB.id, "bob", 1),
    ]


async def test_bob_sees_his_own(used):
    for by in ("model", "key", "member", "instance", "hour", "day"):
        told = (await used.bob.get(f"{DAY}&by={by}")).json
        assert (told["total"]["turns"], told["total"]["cost"], told["latency"]) == (1, 250, None)
        assert sum(line["turns"] for line in told["lines"]) == 1
    assert [line["what"] for line in (await used.bob.get(f"{DAY}&by=key")).json["lines"]] == [BOB.id]


async def test_charlie_sees_nothing_of_acmes(used):
    for by in ("model", "key", "member", "instance", "hour", "day"):
        told = (await used.charlie.get(f"{DAY}&by={by}")).json
        assert (told["total"]["turns"], told["total"]["cost"]) == (1, 7)
        assert ALICE.id not in [line["what"] for line in told["lines"] if by == "key"]


async def test_it_counts_days_by_the_tenants_clock(used):
    await used.rows(lambda: Tenant.objects.filter(pk=ACME.id).update(time_zone="Asia/Shanghai"))
    told = (await used.alice.get(f"{DAY}&by=day")).json
    assert told["time_zone"] == "Asia/Shanghai"
    assert [(line["name"], line["turns"]) for line in told["lines"]] == [
        ("2023-11-14T00:00:00+08:00", 0),
        ("2023-11-15T00:00:00+08:00", 4),
    ]


async def test_an_empty_period_is_all_zero(used):
    told = (await used.alice.get(f"{PATH}?from=2001-01-01&to=2001-01-02&by=hour")).json
    assert (len(told["lines"]), told["total"]["turns"], told["total"]["completion_rate"]) == (24, 0, None)
    assert told["latency"] == {"duration": {"p50": None, "p95": None, "p99": None}, "first_token": {
        "p50": None, "p95": None, "p99": None}}  # fmt: skip
    assert (await used.alice.get(f"{PATH}?from=2001-01-01&to=2001-01-02")).json["lines"] == []


async def test_it_tells_of_the_last_day_unless_told(site):
    await site.rows(lambda: use(turn(at=time.time()), turn(at=time.time() - 30 * HOUR)))
    assert (await site.alice.get(PATH)).json["total"]["turns"] == 1


async def test_it_cuts_long_lists_and_says_so(used):
    told = (await used.alice.get(f"{DAY}&by=key&limit=1")).json
    assert ([line["what"] for line in told["lines"]], told["more"]) == ([ALICE.id], True)
    assert told["total"]["turns"] == 4


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@sum", "\tx", "\rx", "\uff1dx", 'a","b', "a\nb"])
async def test_no_cell_of_a_file_is_a_formula(used, name):
    await used.rows(lambda: ApiKey.objects.for_tenant(ACME.id).filter(pk=ALICE.id).update(name=name))
    answer = await used.alice.get(f"{DAY}&by=key&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage-by-key-2023-11-13.csv"'
    head, first, _ = csv.reader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))
    assert head[:4] == ["key", "name", "turns", "completed"]
    assert first[1] == (name if name.startswith("a") else f"'{name}")
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in first)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=2024-01-02&to=2024-01-01", "from"),
        ("from=2024-01-01&to=2024-01-01", "from"),
        ("from=2020-01-01&to=2024-01-01", "from"),
        ("from=2024-01-01&to=2024-03-01&by=hour", "from"),
        ("from=yesterday", "from"),
        ("from=", "from"),
        ("to=9999999999999", "to"),
        ("to=-1", "to"),
        ("from=nan", "from"),
        ("from=1900-01-01", "from"),
        ("to=2024-02-30", "to"),
        ("by=user", "by"),
        ("by=", "by"),
        ("format=xml", "format"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("tenant=2", "tenant"),
    ],
)
async def test_it_says_what_is_wrong_with_a_question(site, query, param):
    answer = await site.alice.get(f"{PATH}?{query}")
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert param in answer.json["error"]["message"]


async def test_who_has_no_right_to_any_gets_none(site):
    assert (await site.site.client("nobody").get(PATH)).status == 401
    assert (await site.site.client(CHAT_ONLY).get(PATH)).status == 403
    assert (await site.alice.request("POST", PATH, {})).status == 405
