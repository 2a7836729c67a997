"""Mails and messages where some do not arrive: nobody is told twice, and nobody waits for another."""

from __future__ import annotations

from smtplib import SMTPDataError, SMTPNotSupportedError, SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage

from access.alerting import telling
from tenants import warning
from tenants.models import Alert, AlertRule, Member, Role, Tenant, User
from tests.access.used import AT

REFUSALS = [
    SMTPRecipientsRefused({}), SMTPDataError(552, b"full"), SMTPNotSupportedError("no SMTPUTF8"),
    ValueError("no address"), ConnectionResetError(),
]  # fmt: skip


@pytest.fixture
def people(transactional_db: Any, cast: Any) -> Any:
    for person in (cast.alice, cast.bob, cast.charlie):
        User.objects.filter(username=person.user.username).update(email=f"{person.user.username}@example.com")
    return cast


def waiting(tenant: Tenant | None, subject: str = "", **fields: Any) -> Alert:
    rule = None
    if url := fields.pop("url", ""):
        rule, _ = AlertRule.objects.get_or_create(tenant=tenant, kind="instance_down", defaults={"url": url})
        fields["by_webhook"] = True
    about = {"kind": "instance_down", "since": AT, "told_at": AT, "state": "firing", "telling": "firing", "rule": rule}
    return Alert.objects.create(tenant=tenant, subject=subject, **{**about, **fields})


def colleague(tenant: Tenant, email: str) -> User:
    user = User.objects.create_user(email[:5], email=email)
    Member.objects.create(tenant=tenant, user=user, role=Role.ADMIN)
    return user


def refuse(monkeypatch: pytest.MonkeyPatch, bad: str, error: Exception) -> None:
    send = EmailMessage.send

    def sent(message: EmailMessage, *given: Any, **named: Any) -> int:
        if message.to[0] == bad:
            raise error
        return send(message, *given, **named)

    monkeypatch.setattr(EmailMessage, "send", sent)


@pytest.mark.parametrize("error", REFUSALS)
def test_an_address_that_takes_no_mail_gives_nobody_else_a_second_one(
    people: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    colleague(people.acme, "gone@example.com")
    colleague(people.acme, "after@example.com")
    refuse(monkeypatch, "gone@example.com", error)
    alert, teller = waiting(people.acme, by_mail=True), telling.Teller()
    for _ in range(4):
        assert teller.tell_all() == 0
    assert sorted({each.to[0] for each in mail.outbox}) == sorted(each.to[0] for each in mail.outbox)
    assert "after@example.com" in [each.to[0] for each in mail.outbox]
    if not isinstance(error, ConnectionResetError):
        assert "alice@example.com" in [each.to[0] for each in mail.outbox]
    alert.refresh_from_db()
    assert alert.tries == 4 and type(error).__name__ in alert.last_error


def test_a_slow_mail_server_does_not_make_a_round_longer_than_the_lease(
    people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next process would take over and mail everybody again."""
    colleague(people.acme, "second@example.com")
    colleague(people.acme, "third@example.com")
    monkeypatch.setattr(warning, "MAILING", -1.0)  # each mail takes too long
    alert, teller = waiting(people.acme, by_mail=True), telling.Teller()
    for number in (1, 2):
        assert teller.tell_all() == 0 and len(mail.outbox) == number
    alert.refresh_from_db()
    assert alert.last_error.startswith("TimeoutError")
    assert teller.tell_all() == 1
    assert len({each.to[0] for each in mail.outbox}) == len(mail.outbox) == 3


def test_an_alert_that_cannot_be_told_keeps_no_other_one(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "alice@example.com", ValueError("no address"))
    waiting(people.acme, by_mail=True)
    waiting(people.globex, by_mail=True)
    assert telling.Teller().tell_all() == 1
    assert [each.to[0] for each in mail.outbox] == ["charlie@example.com"]
    assert Alert.objects.for_tenant(people.acme.pk).get().tries == 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_receivers_that_hang_keep_no_other_tenants_alert(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of one tenant's many alerts hangs for twenty seconds; others are told in the first round all the same."""
    clock, called = Clock(), []

    def hangs(alert: Alert) -> None:
        called.append((alert.tenant_id, alert.subject))
        if alert.tenant_id == people.globex.pk:
            clock.now += 20
            raise TimeoutError

    monkeypatch.setattr(telling, "call_webhook", hangs)
    for number in range(20):
        waiting(people.globex, f"{number}", url="https://example.com/hangs")
    waiting(people.acme, "a", url="https://example.com/a")
    waiting(None, "p", url="https://example.com/p")
    teller = telling.Teller(clock)
    assert teller.tell_all() == 2
    assert called == [(None, "p"), (people.globex.pk, "0"), (people.acme.pk, "a")]
    waiting(people.acme, "b", url="https://example.com/a")
    called.clear()
    teller.tell_all()
    assert called == [(people.acme.pk, "b"), (people.globex.pk, "1")]


def test_a_mail_server_that_hangs_is_waited_for_once_and_keeps_no_message(
    people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, called = Clock(), []

    def hangs(alert: Alert, had: set[int]) -> int:
        clock.now += 15
        raise TimeoutError

    monkeypatch.setattr(telling, "send_mails", hangs)
    monkeypatch.setattr(telling, "call_webhook", lambda alert: called.append(alert.subject))
    for tenant, subject in ((people.acme, "one"), (people.globex, "two"), (None, "three")):
        waiting(tenant, subject, by_mail=True, url="https://example.com/")
    telling.Teller(clock).tell_all()
    assert sorted(called) == ["one", "three", "two"] and clock.now == 15
