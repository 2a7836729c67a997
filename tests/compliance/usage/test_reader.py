"""Sums of any period, by anything, by index; hours and days of any clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from compliance.usage import calendar, reader
from compliance.usage.reader import Line, Period, Sums, Whose
from compliance.usage.spending import UsageReader, spent
from engine.errors import StoreUnavailable
from engine.ports import Spent
from tests.access.used import AT, turn, use
from tests.compliance.journals import run

HOUR, DAY = 3600, 86_400
ACME = Whose(1)


@pytest.fixture
def used(place_alias):
    use(
        turn(at=AT, key_id=7),
        turn(at=AT + HOUR, key_id=7, model="big", instance="big", cost=1000, instance_id=4),
        turn(at=AT - 3 * DAY, key_id=8),
        turn(at=AT, member_id=5, state="failed", cost=0),
        turn(2, at=AT, key_id=9, cost=3),
    )
    return place_alias


def costs(lines):
    return {line.what: line.sums.cost for line in lines}


def test_it_adds_up_what_is_asked_for(used):
    week = Period(AT - 6 * DAY, AT + DAY)
    assert costs(reader.totals(ACME, week, "model")) == {"big": 1000, "gpt": 500}
    assert costs(reader.totals(ACME, week, "key")) == {7: 1250, 8: 250, 0: 0}
    assert costs(reader.totals(ACME, week, "member")) == {0: 1500, 5: 0}
    assert costs(reader.totals(ACME, week, "instance")) == {0: 500, 4: 1000}
    assert costs(reader.totals(ACME, week, "edge")) == {"rest": 1500}
    assert costs(reader.totals(Whose(None), week, "tenant")) == {1: 1500, 2: 3}
    assert reader.total(ACME, week) == Sums(
        completed=3, failed=1, prompt_tokens=400, completion_tokens=40, cost=1500, last_at=AT + HOUR
    )
    assert reader.total(Whose(1, key_id=7), week).cost == 1250
    assert reader.total(Whose(1, member_id=5), week).turns == 1
    assert reader.total(Whose(2, key_id=7), week) == Sums()


def test_the_largest_come_first_and_no_more_than_are_asked_for(used):
    week = Period(AT - 6 * DAY, AT + DAY)
    assert [line.what for line in reader.totals(ACME, week, "key", most=2)] == [7, 8]
    assert [line.what for line in reader.totals(ACME, week, "model", most=1)] == ["big"]


@pytest.mark.parametrize("since", [AT, AT - HOUR, AT - 40 * HOUR, AT - 5 * DAY])
@pytest.mark.parametrize("length", [1, HOUR, DAY, 30 * HOUR, 9 * DAY])
def test_days_and_hours_together_are_the_same_as_hours(used, since, length):
    period = Period(since, since + length)
    hours = reader.hourly(ACME, period)
    assert sum(hours.values(), Sums()) == reader.total(ACME, period)


def test_a_period_ends_before_its_last_hour(used):
    hour = AT // HOUR * HOUR
    assert reader.total(ACME, Period(hour, hour + HOUR)).turns == 2
    assert reader.total(ACME, Period(hour + HOUR, hour + 2 * HOUR)).turns == 1
    assert reader.total(ACME, Period(hour, hour)).turns == 0
    assert reader.total(ACME, Period(hour + HOUR, hour)).turns == 0


def test_nothing_is_nothing(place_alias):
    period = Period(0, 1)
    assert reader.total(ACME, period) == Sums()
    assert (reader.totals(ACME, period, "key"), reader.hourly(ACME, period), reader.last_used(1, [])) == ([], {}, {})
    assert reader.latency(1, period).duration.p50 is None
    assert Sums().completion_rate is None
    assert reader.reachable(ACME, period) == period


def test_it_knows_when_keys_were_used_last(used):
    assert reader.last_used(1, [7, 8, 9, 10, 0]) == {7: AT + HOUR, 8: AT - 3 * DAY}
    assert reader.last_used(2, [7, 9]) == {9: AT}
    with CaptureQueriesContext(connections["journal"]) as asked:
        reader.last_used(1, list(range(1, 101)))
    assert len([each for each in asked if "usagerow" in each["sql"]]) == 1


def test_it_reads_as_much_as_can_be_added_up(used):
    week = Period(AT - 6 * DAY, AT + DAY)
    assert reader.reachable(ACME, week, rows=10) == week
    assert reader.reachable(ACME, week, rows=3).first == int((AT - 3 * DAY) // HOUR) + 1
    assert reader.reachable(ACME, week, rows=1).first == int((AT + HOUR) // HOUR)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", (2024, 3, 31), 23), ("Europe/Berlin", (2024, 10, 27), 25), ("Asia/Shanghai", (2024, 3, 31), 24)],
)
def test_a_day_has_the_hours_its_clock_gives_it(place_alias, zone, day, hours):
    zone = ZoneInfo(zone)
    start = datetime(*day, tzinfo=zone)
    use(*(turn(at=start.timestamp() + n * HOUR) for n in range(-1, 27)))
    points = calendar.series(ACME, Period(start.timestamp() - 2 * DAY, start.timestamp() + 2 * DAY), "day", zone)
    found = {datetime.fromtimestamp(point.start, zone).date(): point.sums.turns for point in points}
    assert found[start.date()] == hours
    assert sum(found.values()) == 28
    assert all(datetime.fromtimestamp(point.start, zone).hour == 0 for point in points)


def test_an_hour_belongs_to_the_day_in_which_it_begins(place_alias):
    zone = ZoneInfo("Asia/Kolkata")  # half an hour off
    use(turn(at=datetime(2024, 5, 1, 0, 15, tzinfo=zone).timestamp()))
    start = datetime(2024, 4, 30, tzinfo=zone).timestamp()
    points = calendar.series(ACME, Period(start, start + 2 * DAY), "day", zone)
    assert [point.sums.turns for point in points if point.sums.turns] == [1]
    assert len({point.start for point in points}) == len(points)


def test_it_says_what_was_spent(used):
    assert sorted(spent(1, AT), key=lambda each: each.amount) == [
        Spent(key_id=None, member_id=5, model="gpt", tokens=110, amount=0),
        Spent(key_id=7, member_id=None, model="gpt", tokens=110, amount=250),
        Spent(key_id=7, member_id=None, model="big", tokens=110, amount=1000),
    ]
    assert spent(1, AT + 2 * HOUR) == []


def test_what_was_spent_cannot_be_known_without_the_database(used):
    run(used, "ALTER TABLE compliance_usagerow RENAME TO away")
    with pytest.raises(StoreUnavailable):
        spent(1, AT)


async def test_it_says_so_on_the_event_loop(used):
    records = UsageReader()
    assert sum(each.amount for each in await records.spent(1, AT)) == 1250
    records.close()


def test_every_question_goes_by_an_index(journal_alias):
    use(*(turn(1 + n % 3, at=AT - n * HOUR, key_id=n, member_id=n) for n in range(50)))
    now = Period(AT - DAY, AT)
    with CaptureQueriesContext(connections["journal"]) as asked:
        reader.total(ACME, now)
        reader.totals(ACME, now, "key", most=10)
        reader.totals(Whose(1, key_id=3), now, "model")
        reader.totals(Whose(1, member_id=3), now, "model")
        reader.totals(Whose(None), now, "tenant")
        reader.hourly(ACME, now)
        reader.latency(1, now)
        reader.reachable(ACME, now)
        reader.last_used(1, [1, 2, 3])
        spent(1, AT)
    questions = [each["sql"] for each in asked if "compliance_usage" in each["sql"]]
    assert len(questions) >= 10
    with connections["journal"].cursor() as cursor:
        for question in questions:
            plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {question}").fetchall()]
            scans = [step for step in plan if step.startswith("SCAN") and "usage" in step and "USING" not in step]
            assert scans == [], (question, plan)


def test_lines_have_the_rate_of_their_turns():
    line = Line("gpt", Sums(completed=3, failed=1, refused=9, cancelled=2))
    assert (line.sums.completion_rate, line.sums.errors, line.sums.turns) == (0.75, 1, 15)
