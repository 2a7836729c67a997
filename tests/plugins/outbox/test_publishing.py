"""At least once, in order within a session, nothing lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from plugins.models import DeliveryAttempt, HeldEvent, SinkState
from plugins.outbox import holding, places
from plugins.outbox.places import LeaseLost
from plugins.outbox.sinks import EventRefused, SinkAway
from tests.plugins.outbox.parts import Box, Journal, publisher_of, sink_of


def state():
    return SinkState.objects.for_tenant(1).get()


def held():
    return list(HeldEvent.objects.for_tenant(1).order_by("id"))


def test_it_sends_what_is_new_in_order_and_only_what_was_asked_for(acme):
    journal, box = Journal(), Box()
    ids = [journal.add("s") for _ in range(3)]
    journal.add(type_="clawdbot.configuration.changed")
    publisher = publisher_of(journal, sink_of(box))
    publisher.settle()
    assert box.ids == ids
    more = journal.add("s")
    publisher.settle()
    publisher.stop()
    assert box.ids == [*ids, more]
    row = state()
    assert (row.position, row.delivered, row.lag, row.holder) == (5, 4, 0, "")
    assert (box.opened, box.closed) == (1, 1)


def test_it_goes_on_where_another_one_stopped(acme):
    journal, box = Journal(), Box()
    first = journal.add()
    one = publisher_of(journal, sink_of(box))
    one.settle()
    one.stop()
    second = journal.add()
    other = publisher_of(journal, sink_of(box))
    other.settle()
    other.stop()
    assert box.ids == [first, second]


def test_a_sink_that_is_away_loses_nothing_and_holds_nothing(acme):
    journal, box = Journal(), Box()

    def away(event):
        raise SinkAway("the broker cannot be reached: ConnectionRefusedError")

    box.check = away
    ids = [journal.add(f"s{number % 2}") for number in range(5)]
    publisher = publisher_of(journal, sink_of(box))
    for _ in range(3):
        publisher.settle()
    row = state()
    assert box.ids == [] and held() == []
    assert row.position == 0 and row.failures >= 1 and row.failing_since and row.lag == 5
    assert row.last_error == "the broker cannot be reached: ConnectionRefusedError"
    box.check = lambda event: None
    eventually(publisher, lambda: box.ids == ids)
    publisher.stop()
    row = state()
    assert (row.failures, row.failing_since, row.last_error, row.lag) == (0, None, "", 0)


def test_a_sink_that_takes_events_again_is_not_failing_any_more_whoever_is_killed_then(acme):
    """The pause grows with every failure in a row; killed over and over, it would grow though the sink is there."""
    journal, box = Journal(), Box()
    failing = [True, True]
    seen = []

    def check(event):
        if failing:
            failing.pop()
            raise SinkAway("it has no time")
        seen.append(state().failures)

    box.check = check
    ids = [journal.add() for _ in range(3)]
    publisher = publisher_of(journal, sink_of(box))
    eventually(publisher, lambda: box.ids == ids)
    publisher.stop()
    assert seen == [2, 0, 0]


def test_whatever_a_sink_raises_counts_as_away(acme):
    journal, box = Journal(), Box()
    broken = [True]

    def check(event):
        if broken:
            broken.clear()
            raise ZeroDivisionError

    box.check = check
    ids = [journal.add() for _ in range(2)]
    publisher = publisher_of(journal, sink_of(box))
    eventually(publisher, lambda: box.ids == ids)
    publisher.stop()
    assert box.opened == 2, "it may be in any state after that"


def test_a_refused_event_holds_its_session_and_nobody_elses(acme, monkeypatch):
    monkeypatch.setattr(holding, "pause_after", lambda attempts: 3600.0)
    journal, box = Journal(), Box()
    bad = journal.add("s")
    others = [journal.add("t"), journal.add()]
    behind = journal.add("s")

    def check(event):
        if event.id == bad:
            raise EventRefused("too large")

    box.check = check
    publisher = publisher_of(journal, sink_of(box))
    publisher.settle()
    assert box.ids == others
    assert [(row.event, row.attempts, row.state) for row in held()] == [(bad, 1, "waiting"), (behind, 0, "waiting")]
    assert state().position == 4
    box.check = lambda event: None
    assert holding.send_again(held()) == 1, "the second one waits behind the first"
    eventually(publisher, lambda: box.ids == [*others, bad, behind])
    publisher.stop()
    assert held() == [] and state().delivered == 4


def test_after_a_day_an_event_is_given_up_and_what_waits_behind_it_goes_on(acme, no_pause):
    journal, box = Journal(), Box()
    bad, behind = journal.add("s"), journal.add("s")

    def check(event):
        if event.id == bad:
            raise EventRefused("no")

    box.check = check
    publisher = publisher_of(journal, sink_of(box, given_up=0.0))
    eventually(publisher, lambda: box.ids == [behind])
    (row,) = held()
    assert (row.event, row.state, row.last_error) == (bad, "dead", "no") and state().dead == 1
    box.check = lambda event: None
    assert holding.send_again([row]) == 1
    eventually(publisher, lambda: len(box.took) == 2)
    publisher.stop()
    assert box.took[1].id == bad and box.took[1].resent
    assert held() == []


def test_it_stops_reading_when_too_many_are_held(acme, monkeypatch):
    monkeypatch.setattr(holding, "MOST", 3)
    monkeypatch.setattr(holding, "pause_after", lambda attempts: 3600.0)
    journal, box = Journal(), Box()

    def check(event):
        raise EventRefused("no")

    box.check = check
    for _ in range(300):
        journal.add()
    publisher = publisher_of(journal, sink_of(box))
    for _ in range(3):
        publisher.settle()
    publisher.stop()
    assert len(held()) <= 3 + 200 and state().failures >= 1
    assert state().position < 300


def test_a_killed_publisher_sends_again_with_the_same_ids_and_loses_none(acme, monkeypatch):
    journal, box = Journal(), Box()
    ids = [journal.add("s") for _ in range(4)]
    real = places.move
    monkeypatch.setattr(places, "move", dies_at_the_first_move(real))
    publisher = publisher_of(journal, sink_of(box))
    with pytest.raises(Killed):
        dying(publisher, journal)
    assert box.ids == ids and state().position == 0
    monkeypatch.setattr(places, "move", real)
    SinkState.objects.for_tenant(1).update(held_until=0.0)  # fifteen seconds later
    other = publisher_of(journal, sink_of(box))
    other.settle()
    other.stop()
    assert box.ids == [*ids, *ids]
    assert state().position == 4


def test_only_one_publisher_has_a_sink_at_a_time(acme):
    journal, box, other_box = Journal(), Box(), Box()
    first = journal.add()
    one, other = publisher_of(journal, sink_of(box)), publisher_of(journal, sink_of(other_box))
    one.settle()
    journal.add()
    other.settle()
    assert other_box.ids == [], "the first one's lease holds"
    one.settle()
    one.stop()
    third = journal.add()
    eventually(other, lambda: other_box.ids == [third])
    other.stop()
    assert box.ids == [first, "e1"]


def test_who_lost_its_lease_writes_nothing(acme):
    row = places.make(1, "s", label="", position=0, since=0.0)
    assert places.take(row, "one")
    other = places.found(1, "s")
    assert not places.take(other, "other")
    SinkState.objects.for_tenant(1).update(held_until=0.0)
    assert places.take(other, "other")
    places.move(other, position=7)
    with pytest.raises(LeaseLost):
        places.move(row, position=1)
    assert state().position == 7


def test_one_of_two_that_make_a_sink_at_once_finds_the_others(acme):
    one = places.make(1, "s", label="", position=5, since=0.0)
    other = places.make(1, "s", label="", position=9, since=0.0)
    assert (one.pk, one.position) == (other.pk, other.position)


def test_what_retention_took_is_counted(acme, monkeypatch):
    monkeypatch.setattr(holding, "pause_after", lambda attempts: 3600.0)
    journal, box = Journal(), Box()
    bad, gone, good = journal.add(), journal.add(), journal.add()
    journal.pruned.add(1)

    def check(event):
        if event.id == bad:
            raise EventRefused("no")

    box.check = check
    publisher = publisher_of(journal, sink_of(box))
    publisher.settle()
    assert box.ids == [good] and state().pruned == 1 and gone not in box.ids
    journal.pruned.add(0)
    holding.send_again(held())
    eventually(publisher, lambda: held() == [])
    publisher.stop()
    assert state().pruned == 2


def test_after_an_older_journal_came_back_it_goes_on_from_its_end(acme):
    journal, box = Journal(), Box()
    ids = [journal.add() for _ in range(3)]
    publisher = publisher_of(journal, sink_of(box))
    publisher.settle()
    del journal.entries[1:]
    SinkState.objects.for_tenant(1).update(next_at=0.0)
    for delivery in publisher._deliveries.values():
        delivery.idle_until = 0.0
    publisher.settle()
    assert state().position == 1
    journal.add()
    publisher.settle()
    publisher.stop()
    assert box.ids == [*ids, "e1"]


def test_a_new_sink_begins_now_or_when_it_was_told_to(acme):
    journal = Journal()
    old, new = journal.add(at=1000.0), journal.add(at=2000.0)
    now, then, all_of_it = Box(), Box(), Box()
    sinks = [
        replace(sink_of(now), sink="a", since=None),
        replace(sink_of(then), sink="b", since=1500.0),
        replace(sink_of(all_of_it), sink="c", since=0.0),
    ]
    publisher = publisher_of(journal, *sinks)
    eventually(publisher, lambda: len(all_of_it.took) == 2 and SinkState.objects.for_tenant(1).count() == 3)
    last = journal.add(at=3000.0)
    eventually(publisher, lambda: now.ids == [last] and then.ids == [new, last] and all_of_it.ids == [old, new, last])
    publisher.stop()


def test_a_test_is_sent_once_and_its_attempt_is_kept(acme):
    journal, box = Journal(), Box()
    publisher = publisher_of(journal, sink_of(box))
    publisher.settle()
    event = holding.send_test(1, "plugin:box:box")
    publisher.settle()
    assert box.ids == [event] and held() == []

    def away(event):
        raise SinkAway("gone")

    box.check = away
    other = holding.send_test(1, "plugin:box:box")
    publisher.settle()
    publisher.stop()
    assert held() == []
    found = DeliveryAttempt.objects.for_tenant(1).order_by("id").values_list("event", "ok", "error")
    assert list(found) == [(event, True, ""), (other, False, "gone")]


def test_a_slow_sink_keeps_nobody_elses_events(transactional_db, cast):
    journal, slow, quick, go = Journal(), Box(), Box(), threading.Event()
    slow.check = lambda event: go.wait(30)
    first = journal.add()
    sinks = (replace(sink_of(slow), sink="a"), replace(sink_of(quick), sink="b"))
    publisher = publisher_of(journal, *sinks, pool=ThreadPoolExecutor(2))
    end = time.monotonic() + 20
    while quick.ids != [first]:
        publisher.look()
        time.sleep(0.01)
        assert time.monotonic() < end
    assert slow.ids == []
    go.set()
    publisher.settle()
    publisher.stop()
    assert slow.ids == [first]


def test_a_webhook_that_fails_for_days_is_switched_off(acme):
    journal, box, off = Journal(), Box(), []

    def away(event):
        raise SinkAway("the webhook answered 503", 503)

    box.check = away
    journal.add()
    sink = replace(sink_of(box), webhook=5, sink="webhook:5")
    publisher = publisher_of(
        journal, sink, switch_off=lambda it, error: off.append((it.webhook, error)), most_failing=0
    )
    publisher.settle()
    publisher.stop()
    assert off == [(5, "the webhook answered 503")]


class Killed(BaseException):
    pass


def dies_at_the_first_move(real):
    def move(row, **values):
        if "position" in values:
            raise Killed
        real(row, **values)

    return move


def dying(publisher, journal):
    publisher._configure()
    (delivery,) = publisher._deliveries.values()
    delivery._report = lambda row, head: None  # a killed process reports nothing
    delivery.step(len(journal.entries), lambda: False)


def eventually(publisher, done, seconds=20.0):
    end = time.monotonic() + seconds
    while not done():
        publisher.settle()
        assert time.monotonic() < end
        time.sleep(0.02)
