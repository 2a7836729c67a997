"""What a tenant used, to those of its people who may know."""

from __future__ import annotations

import time
from datetime import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compliance.usage import reader
from tenants.models import Member, User
from tests.access.used import turn, use
from tests.cast import ALICE, BOB, CHARLIE, GLOBEX

PAGE = "/console/"


def signed_in(person) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=person.username))
    return client


@pytest.fixture
def alice(cast: SimpleNamespace, valkey_url: str) -> Client:
    return signed_in(ALICE)


@pytest.fixture
def used(cast: SimpleNamespace) -> None:
    now = time.time()
    turns = [turn(at=now, key_id=ALICE.id, instance_id=0) for _ in range(3)]
    turns += [turn(at=now, member_id=BOB.id, model="big", instance="big", cost=2_000_000), turn(at=now, state="failed")]
    turns += [turn(at=now - 40 * 86_400, cost=77_000_000)]
    use(*turns, turn(GLOBEX.id, at=now, key_id=CHARLIE.id, model="globex only", instance="x", cost=9_000_000))


def shown(page) -> dict[str, str]:
    return {str(card["title"]): card["number"] for card in page.context["cards"]}


def test_it_shows_what_was_used(alice: Client, used: None) -> None:
    page = alice.get(PAGE)
    cards = shown(page)
    assert (cards["Requests"], cards["Tokens"], cards["Errors"], cards["Completion rate"]) == (
        "5",
        "550",
        "1",
        "80.0 %",
    )
    assert cards["Cost"] == "2.0010"
    assert cards["Answer whole after"] == "1.0 s"
    assert [row[0] for row in page.context["models"]["rows"]] == ["big", "gpt"]
    assert [row[0] for row in page.context["keys"]["rows"]] == ["alice"]
    assert [row[0] for row in page.context["members"]["rows"]] == ["bob"]
    assert [chart["title"] for chart in page.context["charts"]] == ["Requests", "Tokens", "Cost"]
    text = page.content.decode()
    assert text.count('<canvas class="chart"') == 3
    assert text.count("<summary") >= 3


def test_charlie_sees_his_own_and_nothing_of_acmes(used: None, valkey_url: str) -> None:
    page = signed_in(CHARLIE).get(PAGE)
    assert shown(page)["Requests"] == "1"
    assert [row[0] for row in page.context["models"]["rows"]] == ["globex only"]
    assert "alice" not in page.content.decode()


def test_it_is_not_for_who_may_not_know(used: None, valkey_url: str) -> None:
    assert signed_in(BOB).get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "30d"])
def test_every_period_has_what_is_of_now(alice: Client, used: None, period: str) -> None:
    page = alice.get(f"{PAGE}?period={period}")
    assert shown(page)["Requests"] == "5"
    assert page.context["chosen"].step == ("day" if period == "30d" else "hour")
    assert not page.context["chosen"].form.errors


def test_own_days_are_those_of_the_tenants_clock(alice: Client, cast: SimpleNamespace) -> None:
    cast.acme.time_zone = "Asia/Shanghai"
    cast.acme.save()
    zone = ZoneInfo("Asia/Shanghai")
    use(
        turn(at=datetime(2024, 5, 1, 0, 0, 1, tzinfo=zone).timestamp()),
        turn(at=datetime(2024, 5, 1, 23, 59, tzinfo=zone).timestamp()),
        turn(at=datetime(2024, 4, 30, 23, 59, tzinfo=zone).timestamp()),
        turn(at=datetime(2024, 5, 2, 0, 0, 1, tzinfo=zone).timestamp()),
    )
    page = alice.get(f"{PAGE}?period=own&since=2024-05-01&until=2024-05-01")
    assert shown(page)["Requests"] == "2"
    assert page.context["chosen"].words == "2024-05-01 00:00 – 2024-05-02 00:00 (Asia/Shanghai)"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("period=own", "since"),
        ("period=own&since=2024-05-01", "until"),
        ("period=own&since=2024-05-02&until=2024-05-01", "until"),
        ("period=own&since=2020-05-02&until=2024-05-01", "until"),
        ("period=own&since=0001-01-01&until=0001-01-02", "since"),
        ("period=own&since=9999-12-31&until=9999-12-31", "since"),
        ("period=own&since=now&until=2024-02-30", "until"),
        ("period=fortnight", "period"),
        ("period=", "period"),
        ("period=own&since=%00&until=%F0%9F%92%A9", "since"),
    ],
)
def test_it_says_at_the_field_what_is_wrong(alice: Client, used: None, query: str, field: str) -> None:
    page = alice.get(f"{PAGE}?{query}")
    assert page.status_code == 200
    assert field in page.context["chosen"].form.errors
    assert str(page.context["chosen"].form.errors[field][0]) in page.content.decode().replace("&#x27;", "'")
    assert shown(page)["Requests"] == "5"


def test_a_day_with_another_clock_has_all_its_hours(alice: Client, cast: SimpleNamespace) -> None:
    cast.acme.time_zone = "Europe/Berlin"
    cast.acme.save()
    chosen = alice.get(f"{PAGE}?period=own&since=2024-03-31&until=2024-03-31").context["chosen"]
    assert chosen.period.until - chosen.period.since == 23 * 3600
    chosen = alice.get(f"{PAGE}?period=own&since=2024-10-27&until=2024-10-27").context["chosen"]
    assert chosen.period.until - chosen.period.since == 25 * 3600


def test_nothing_was_used_yet(alice: Client) -> None:
    page = alice.get(PAGE)
    assert shown(page)["Requests"] == "0"
    assert "Nothing in this period." in page.content.decode()


def test_it_opens_without_a_journal(alice: Client) -> None:
    with connections["journal"].cursor() as cursor:
        cursor.execute("ALTER TABLE compliance_usagetotal RENAME TO away")
    try:
        page = alice.get(PAGE)
    finally:
        with connections["journal"].cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO compliance_usagetotal")
    assert page.status_code == 200
    assert "cannot be read now" in page.content.decode()


def asked(client: Client) -> int:
    with (
        CaptureQueriesContext(connections["journal"]) as journal,
        CaptureQueriesContext(connections["default"]) as rows,
    ):
        assert client.get(PAGE).status_code == 200
    return len(journal) + len(rows)


def test_it_asks_as_often_whatever_there_is(alice: Client, cast: SimpleNamespace) -> None:
    now = time.time()
    use(turn(at=now, key_id=ALICE.id, member_id=BOB.id, instance_id=1))
    few = asked(alice)
    use(*(turn(at=now - n * 60, key_id=n, member_id=n, model=f"m{n}", instance_id=n) for n in range(1, 60)))
    assert asked(alice) == few


def test_it_says_where_so_much_was_used_that_not_all_is_added_up(
    alice: Client, used: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.reachable, "__defaults__", (2,))
    use(*(turn(at=time.time() - 6 * 3600, key_id=n) for n in range(1, 9)))
    page = alice.get(PAGE)
    assert page.context["near"]
    assert "are added up from" in page.content.decode()
    assert shown(page)["Requests"] == "13"


def test_names_run_nowhere(alice: Client, cast: SimpleNamespace) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    use(turn(at=time.time(), model=name, instance=name))
    cast.acme.name = name
    cast.acme.save()
    text = alice.get(PAGE).content.decode()
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


def test_members_of_two_tenants_see_the_chosen_one(used: None, cast: SimpleNamespace, valkey_url: str) -> None:
    Member.objects.create(tenant=cast.globex, user=cast.alice.user, role="owner")
    client = signed_in(ALICE)
    session = client.session
    session["console_tenant"] = GLOBEX.id
    session.save()
    assert shown(client.get(PAGE))["Requests"] == "1"
