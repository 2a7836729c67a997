"""From the journal's own sums to a mail and a signed message, minute by minute; restarts and trouble included."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from django.core import mail
from django.db import DatabaseError

from access.alerting import observing, running, telling
from access.alerting.knowing import acknowledge
from access.heartbeats import Beat
from compliance.usage import reader
from plugins.models import SinkState
from routing.models import ModelInstance
from tenants import webhooks
from tenants.models import Alert, AlertKind, AlertReading, AlertRule, AlertWatch, User
from tests.access.used import AT, turn, use

MINUTE = 60.0


@pytest.fixture
def people(transactional_db: Any, cast: Any) -> Any:
    for person in (cast.alice, cast.bob, cast.charlie):
        User.objects.filter(username=person.user.username).update(email=f"{person.user.username}@example.com")
    User.objects.create_superuser("root", email="root@example.com")
    return cast


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[Beat]:
    """What workers say; empty it for none."""
    said = [beat("one"), beat("two")]
    monkeypatch.setattr(observing, "_beats", lambda: said)
    return said


def beat(worker: str, **fields: Any) -> Beat:
    told = {"host": "a", "pid": 1, "version": "1", "started": AT, "at": AT, "running": 0, "waiting": 0, "memory": 1}
    return Beat(worker=worker, **{**told, **fields})


def rule(tenant: Any, kind: str, **fields: Any) -> AlertRule:
    return AlertRule.objects.create(tenant=tenant, kind=kind, **{"minutes": 2, "repeat_minutes": 0, **fields})


def minutes(first: int, *turns_of: list[tuple]) -> None:
    """A look each minute, from the `first` after AT, each after these turns."""
    for number, turns in enumerate(turns_of, start=first):
        if turns:
            use(*turns)
        running.round_(AT + number * MINUTE)


def many(number: int, state: str = "completed", tenant_id: int = 1, **fields: Any) -> list[tuple]:
    return [turn(tenant_id, at=AT + 1, state=state, **fields) for _ in range(number)]


def told() -> list[tuple[str, str]]:
    return [(message.to[0], message.subject) for message in mail.outbox]


BAD = many(15) + many(5, "failed")


def test_a_completion_rate_is_told_when_it_is_low_and_when_it_is_well(people: Any, beats: Any) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE)
    minutes(0, [], BAD, BAD, BAD)
    assert told() == [("alice@example.com", "Alert: Completion rate (%) below 90 % (Acme)")]
    assert "Measured: 75 %." in mail.outbox[0].body and "since 2023-11-14 22:14 UTC" in mail.outbox[0].body
    minutes(4, BAD, [], [], [], [], many(90), many(90), many(90), many(90), many(90), many(90))
    assert [subject for _, subject in told()][1:] == ["Over: Completion rate (%) below 90 % (Acme)"]
    alert = Alert.objects.for_tenant(people.acme.pk).get()
    assert alert.state == Alert.State.RESOLVED and alert.resolved_at > alert.fired_at > alert.since
    assert alert.telling == ""


def test_what_was_counted_before_it_looked_is_no_news(people: Any, beats: Any) -> None:
    """A start of the platform does not tell what its sums of the hour say of long ago."""
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    use(*many(100, "failed"))
    minutes(0, [], [], many(20))
    assert told() == []


def test_an_hour_that_begins_is_no_news_either(people: Any, beats: Any) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    last = (AT // 3600 + 1) * 3600 - 120  # two minutes before a full hour
    for number in range(5):
        at = last + number * MINUTE
        use(*(turn(at=at - 1) for _ in range(20)))
        running.round_(at)
    use(*(turn(at=last + 290, state="aborted") for _ in range(60)))
    running.round_(last + 300)
    assert [subject for _, subject in told()] == ["Alert: Completion rate (%) below 90 % (Acme)"]


def test_few_turns_say_nothing(people: Any, beats: Any) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    minutes(0, [], many(9, "failed"))
    assert told() == []


@pytest.mark.parametrize(
    ("kind", "slow"), [(AlertKind.RESPONSE_TIME, {"duration": 9.0}), (AlertKind.FIRST_TOKEN, {"ttft": 5.0})]
)
def test_slow_answers_are_told(people: Any, beats: Any, kind: str, slow: dict[str, float]) -> None:
    rule(people.acme, kind, minutes=0)
    minutes(0, [], many(50))
    assert told() == []
    minutes(2, many(5, **slow))
    assert [to for to, _ in told()] == ["alice@example.com"]


def test_nobody_is_told_of_another_tenant(people: Any, beats: Any) -> None:
    rule(people.globex, AlertKind.COMPLETION_RATE, minutes=0)
    minutes(0, [], many(50, "failed"), many(50, tenant_id=2))
    assert told() == [] and not Alert.objects.for_tenant(2).exists()
    rule(None, AlertKind.ERROR_RATE, minutes=0)
    minutes(3, [])
    assert told() == [("root@example.com", "Alert: Failed and aborted turns (%) above 10 % (the platform)")]


def test_trouble_of_the_platform_is_told(people: Any, beats: list[Beat], monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (AlertKind.CPU, AlertKind.JOURNAL_WAITS, AlertKind.NO_WORKERS, AlertKind.STORE_DOWN):
        rule(None, kind, minutes=0)
    beats[:] = [beat("one", cpu=0.9, journal_waiting=600), beat("two", host="b", cpu=0.5, journal_waiting=600)]
    minutes(0, [])
    assert {(each.kind, each.subject, each.value) for each in Alert.objects.everywhere()} == {
        ("cpu", "a", 90.0),
        ("journal_waits", "", 1200.0),
    }
    beats.clear()
    minutes(1, [])
    assert Alert.objects.everywhere().get(kind="no_workers").state == Alert.State.FIRING
    monkeypatch.setattr(observing, "_beats", lambda: None)
    minutes(2, [])
    assert Alert.objects.everywhere().get(kind="store_down").state == Alert.State.FIRING
    monkeypatch.setattr(observing, "_beats", lambda: [beat("one", cpu=0.1)])
    minutes(3, [])
    assert not Alert.objects.everywhere().exclude(state=Alert.State.RESOLVED).exists()


def test_a_journal_that_is_away_is_told(people: Any, beats: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(None, AlertKind.JOURNAL_DOWN, minutes=0)
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)

    def away(now: float) -> None:
        raise DatabaseError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(observing, "read", away)
        minutes(0, [])
    assert told() == [("root@example.com", "Alert: The journal's database does not answer (the platform)")]
    minutes(1, [])
    assert told()[1][1].startswith("Over:")


def test_an_open_breaker_is_told_to_whose_instance_it_is(people: Any, beats: list[Beat]) -> None:
    shared = ModelInstance.objects.create(name="shared", adapter="echo")
    own = ModelInstance.objects.create(name="own", adapter="echo", label="fast", tenant=people.acme)
    for tenant in (people.acme, people.globex, None):
        rule(tenant, AlertKind.INSTANCE_DOWN, minutes=0)
    beats[:] = [beat("one", open=[shared.pk, own.pk]), beat("two", open=[own.pk]), beat("three")]
    minutes(0, [])
    assert told() == [
        (
            "alice@example.com",
            "Alert: Breaker of a model instance open at so many % of the workers 50 %: own (fast) (Acme)",
        )
    ]
    beats[1] = beat("two", open=[shared.pk])
    minutes(1, [])
    assert sorted(to for to, _ in told()[1:]) == ["alice@example.com", "root@example.com"]  # over; begun


def test_a_sink_that_fails_is_told(people: Any, beats: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing.time, "time", lambda: AT)
    failing = {"failing_since": AT - 700, "seen_at": AT}
    SinkState.objects.create(tenant=people.acme, sink="webhook:1", label="crm", **failing)
    for tenant in (people.acme, people.globex, None):
        rule(tenant, AlertKind.OUTBOX_FAILS, minutes=0)
    minutes(0, [])
    assert [each.subject for each in Alert.objects.everywhere().order_by("tenant_id")] in (
        ["acme: crm", "crm"],
        ["crm", "acme: crm"],
    )
    assert sorted(to for to, _ in told()) == ["alice@example.com", "root@example.com"]


def test_of_two_sinks_of_one_name_the_worse_one_counts(
    people: Any, beats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing.time, "time", lambda: AT)
    for number, minutes_ago in enumerate((5, 20, 1)):
        failing = {"failing_since": AT - minutes_ago * MINUTE, "seen_at": AT}
        SinkState.objects.create(tenant=people.acme, sink=f"webhook:{number}", label="crm", **failing)
    rule(people.acme, AlertKind.OUTBOX_FAILS, minutes=0)
    minutes(0, [])
    assert Alert.objects.for_tenant(1).get().value == 20.0 and len(told()) == 1


def test_what_cannot_be_seen_is_not_over(people: Any, beats: list[Beat], monkeypatch: pytest.MonkeyPatch) -> None:
    """While the journal or the store is away nobody knows whether turns complete and breakers are open."""
    own = ModelInstance.objects.create(name="own", adapter="echo", tenant=people.acme)
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    rule(people.acme, AlertKind.INSTANCE_DOWN, minutes=0)
    rule(None, AlertKind.CPU, minutes=0)
    rule(None, AlertKind.JOURNAL_WAITS, minutes=1)
    beats[:] = [beat("one", cpu=0.99, open=[own.pk], journal_waiting=5000)]
    minutes(0, [], many(50, "failed"))
    firing = Alert.objects.everywhere().filter(state=Alert.State.FIRING)
    assert firing.count() == 4 and len(told()) == 4

    def away(now: float) -> None:
        raise DatabaseError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(observing, "read", away)
        patched.setattr(observing, "_beats", lambda: None)
        minutes(2, [], [], [])
    beats.clear()
    minutes(5, [])
    assert firing.count() == 4 and len(told()) == 4
    beats[:] = [beat("one", cpu=0.1)]
    minutes(6, [], [])
    assert firing.count() == 0 and len(told()) == 8


# What is kept ----------------------------------------------------------------------------------------------------


def test_it_goes_on_after_a_restart(people: Any, beats: Any) -> None:
    """Nothing is in memory: each look stands alone. So does who looks."""
    rule(people.acme, AlertKind.COMPLETION_RATE)
    assert running.take("one", AT) and not running.take("two", AT + 60)
    assert running.take("one", AT + 60) and running.take("two", AT + 60 + running.LEASE + 1)
    AlertWatch.objects.update(held_until=AT + 1e9)  # of a clock that was wrong
    assert running.take("three", AT)


def test_readings_and_old_alerts_go(people: Any, beats: Any, settings: Any) -> None:
    settings.ALERT_DAYS = 1
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    for number in range(60):
        running.round_(AT + number * MINUTE)
    assert AlertReading.objects.count() <= 22
    kept = Alert.objects.create(tenant=people.acme, kind="cpu", since=AT, state="resolved", resolved_at=AT)
    running.round_(AT + 80_000)
    assert Alert.objects.for_tenant(1).filter(pk=kept.pk).exists()
    running.round_(AT + 90_000)
    assert not Alert.objects.for_tenant(1).exists()


def test_rules_that_are_switched_off_end_their_alerts_without_a_word(people: Any, beats: Any) -> None:
    one = rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    minutes(0, [], many(50, "failed"))
    one.enabled = False
    one.save()
    minutes(2, [])
    assert len(told()) == 1 and Alert.objects.for_tenant(1).get().state == Alert.State.RESOLVED


def test_it_goes_on_after_an_error(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def look(now: float, teller: telling.Teller) -> None:
        looks.append(now)
        raise (DatabaseError("away") if len(looks) == 1 else KeyError("a mistake"))

    monkeypatch.setattr(running, "round_", look)
    stops = iter([False, False, False, True])
    running.run(lambda seconds: next(stops), every=0.0, now=lambda: AT)
    assert len(looks) == 3


def test_who_says_that_they_know_during_a_look_is_heard(
    people: Any, beats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)
    minutes(0, [], many(50, "failed"))
    alert, step = Alert.objects.for_tenant(1).get(), running.step

    def pressed(*given: Any) -> Alert | None:
        acknowledge(Alert.objects.for_tenant(1).get(), "alice")
        return step(*given)

    monkeypatch.setattr(running, "step", pressed)
    minutes(2, many(50, "failed"))
    alert.refresh_from_db()
    assert alert.acknowledged_by == "alice" and alert.acknowledged_at is not None


# Telling ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Any]:
    class Receiver(BaseHTTPRequestHandler):
        heard: list[tuple[dict[str, str], bytes]] = []
        answer = 204

        def do_POST(self) -> None:
            self.heard.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(self.answer)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Receiver.url = f"http://127.0.0.1:{server.server_port}/"
    yield Receiver
    server.shutdown()
    server.server_close()


def test_a_signed_message_is_posted_and_posted_again_where_nobody_took_it(
    people: Any, beats: Any, receiver: Any, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE = True
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0, url=receiver.url, mail=False)
    receiver.answer = 500
    minutes(0, [], many(50, "failed"))
    receiver.answer = 204
    minutes(2, [], [])
    assert len(receiver.heard) == 2 and told() == []
    headers, body = receiver.heard[1]
    stamp, digest = (part.partition("=")[2] for part in headers[webhooks.SIGNATURE].split(","))
    key = webhooks.secret_of(people.acme.pk).encode()
    assert digest == hmac.new(key, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    alert = Alert.objects.for_tenant(1).get()
    assert msgspec.json.decode(body) == {
        "id": f"alert-{alert.pk}", "type": "alert.firing", "at": AT + 60, "tenant": "acme", "kind": "completion_rate",
        "subject": "", "value": 0.0, "threshold": 90.0, "since": AT + 60, "resolved_at": None,
    }  # fmt: skip


def test_one_way_that_fails_does_not_repeat_the_other(
    people: Any, beats: Any, receiver: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_PRIVATE = True
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0, url=receiver.url)
    receiver.answer = 500
    monkeypatch.setattr(telling, "MOST_TRIES", 3)
    minutes(0, [], many(50, "failed"), [], [], [], [])
    assert len(told()) == 1 and len(receiver.heard) == 3
    alert = Alert.objects.for_tenant(1).get()
    assert alert.telling == "" and "500" in alert.last_error


def test_an_address_that_may_not_be_called_is_not_tried_again(people: Any, beats: Any, receiver: Any) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0, url=receiver.url, mail=False)
    minutes(0, [], many(50, "failed"), [])
    alert = Alert.objects.for_tenant(1).get()
    assert receiver.heard == [] and alert.last_error.startswith("refused") and alert.telling == ""


def test_a_mail_server_that_is_away_is_tried_again(people: Any, beats: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(people.acme, AlertKind.COMPLETION_RATE, minutes=0)

    def away(alert: Alert, had: set[int]) -> int:
        raise ConnectionRefusedError("no mail")

    with monkeypatch.context() as patched:
        patched.setattr(telling, "send_mails", away)
        minutes(0, [], many(50, "failed"))
    assert told() == []
    minutes(2, [])
    assert len(told()) == 1


def test_it_is_written_in_the_readers_language_and_no_subject_breaks_a_header(people: Any) -> None:
    User.objects.filter(username="alice").update(language="zh-hans")
    alert = Alert.objects.create(
        tenant=people.acme, kind="instance_down", subject="x\r\nBcc: all", since=AT, value=50, threshold=50,
        telling="firing",
    )  # fmt: skip
    assert telling.send_mails(alert) == 1
    assert "\n" not in mail.outbox[0].subject


def test_the_sums_it_reads_are_those_of_usage(people: Any, beats: Any) -> None:
    rule(None, AlertKind.ERROR_RATE)
    minutes(0, [], many(30) + many(3, "failed", tenant_id=2))
    counted = reader.total(reader.Whose(None), reader.Period(AT, AT + 60))
    sight = observing.look(AT + 120)
    recent = [sight.recent[number].turns for number in (1, 2)]
    assert recent == [[30, 0, 0, 0, 0], [0, 3, 0, 0, 0]]
    assert counted.turns == 33
