from __future__ import annotations

import asyncio
from smtplib import SMTPServerDisconnected

import msgspec
import pytest
from django.core import mail
from django.core.mail import EmailMessage

from engine.snapshots import Cell
from tenants import tasks, warning, webhooks
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.notices import LIST, Notice
from tenants.models import Role, User
from tenants.services import add_member, create_api_key, create_tenant
from tests.cast import ACME, ALICE, tenant_table
from tests.tenants.limits.spending import RecordedSpending
from tests.tenants.limits.test_money import CALL, USED, reserve


def notice(tenant=None, **more) -> Notice:
    facts = {
        "id": "1", "at": 1.5, "tenant_id": tenant and tenant.pk, "subject": "t", "period": "month",
        "begins": 1_793_491_200, "ends": 1_796_083_200, "percent": 80, "spent": 8_000_000, "limit": 10_000_000,
    }  # fmt: skip
    return Notice(**{**facts, **more})


@pytest.fixture
def acme(db):
    tenant = create_tenant(slug="acme", name="Acme & <b>Co</b>", time_zone="Asia/Shanghai")
    for name, role in (("alice", Role.OWNER), ("bob", Role.MEMBER), ("dora", Role.ADMIN), ("nomail", Role.ADMIN)):
        user = User.objects.create_user(name, email="" if name == "nomail" else f"{name}@acme.example")
        add_member(tenant=tenant, user=user, role=role)
    return tenant


def test_it_mails_owners_and_admins(acme):
    assert warning.send_mails(notice(acme)) == 2
    assert sorted(each.to[0] for each in mail.outbox) == ["alice@acme.example", "dora@acme.example"]
    message = mail.outbox[0]
    assert message.subject == "The monthly budget of Acme & <b>Co</b> is used to 80 %"
    assert "8 of 10 were spent." in message.body and "2026-12-01 08:00 CST" in message.body


def test_an_address_that_is_refused_keeps_nobody_from_theirs(acme):
    """Nor is it tried again, which would mail the others again."""
    User.objects.filter(username="dora").update(email="no address\n")
    assert warning.send_mails(notice(acme)) == 1 and mail.outbox[0].to == ["alice@acme.example"]
    User.objects.filter(username="alice").update(email="no other\n")
    with pytest.raises(ValueError):
        warning.send_mails(notice(acme))


def test_a_mail_server_that_goes_away_in_between_has_nobody_mailed_again(acme, monkeypatch):
    """Each try reaches one and loses the next."""
    add_member(tenant=acme, user=User.objects.create_user("finn", email="finn@acme.example"), role=Role.ADMIN)
    send, tries = EmailMessage.send, []

    def sent(message, *given, **named):
        tries.append(message.to[0])
        if len(tries) % 2 == 0:
            raise SMTPServerDisconnected
        return send(message, *given, **named)

    monkeypatch.setattr(EmailMessage, "send", sent)
    tasks.warn_by_mail.apply(args=[msgspec.to_builtins(notice(acme))])
    reached = [each.to[0] for each in mail.outbox]
    assert len(reached) >= 2 and sorted(set(reached)) == sorted(reached)
    assert sorted(reached) == sorted(set(tries))


def test_it_says_whose_budget_it_is(acme):
    key, _ = create_api_key(tenant=acme, name="app")
    member = add_member(tenant=acme, user=User.objects.create_user("eve"))
    cases = {f"k{key.pk}": "the key app", f"m{member.pk}": "the member eve", "Mgpt-4": "the model gpt-4", "k999": "999"}
    for subject, said in cases.items():
        title, text = warning.wording(notice(acme, subject=subject, percent=100, period="day"), acme)
        assert said in title and title.endswith("is used up") and "Until 2026-12-01" in text
    title, _ = warning.wording(notice(subject="Mx\r\nBcc: all"), None)
    assert "\n" not in title and "the model" in title


def test_it_mails_operators_of_the_platforms_budget_and_nobody_of_a_tenant_that_is_gone(acme):
    User.objects.create_superuser("root", email="root@example.com")
    assert warning.send_mails(notice()) == 1 and mail.outbox[0].to == ["root@example.com"]
    assert warning.send_mails(notice(acme, tenant_id=404)) == 0
    assert not warning.call_webhook(notice(acme, tenant_id=404)) and not warning.call_webhook(notice(acme))


def test_it_calls_the_webhook_with_what_happened(acme, monkeypatch):
    sent = []
    monkeypatch.setattr(
        webhooks, "post", lambda url, body, secret: sent.append((url, msgspec.json.decode(body), secret))
    )
    acme.budget_webhook = "https://example.com/hook"
    acme.save()
    assert tasks.warn_by_webhook(msgspec.to_builtins(notice(acme, percent=100)))
    ((url, body, secret),) = sent
    assert url == acme.budget_webhook and secret == webhooks.secret_of(acme.pk)
    assert body == {
        "id": "1", "type": "budget.used_up", "at": 1.5, "tenant": "acme", "of": "tenant", "name": "", "period": "month",
        "begins": 1_793_491_200, "ends": 1_796_083_200, "percent": 100, "spent": "8", "limit": "10",
    }  # fmt: skip


def test_it_gives_up_on_an_address_that_may_not_be_called(acme):
    acme.budget_webhook = "http://127.0.0.1:6379/"
    acme.save()
    assert tasks.warn_by_webhook(msgspec.to_builtins(notice(acme))).startswith("refused")


def test_it_hands_over_each_notice_and_keeps_what_it_could_not(acme, settings, valkey_url):
    settings.VALKEY_NODES = [valkey_url]

    async def put(*notices):
        stores = Stores([valkey_url], Cell(tenant_table()))
        for each in notices:
            await stores.platform().call("RPUSH", LIST, msgspec.json.encode(each))
        await stores.close()

    asyncio.run(put(*(notice(acme, id=str(number)) for number in range(250))))
    seen = []

    def send(found):
        if len(seen) == 120 and found["id"] not in seen[-1:] and not broken:
            broken.append(found["id"])
            raise OSError("the broker is away")
        seen.append(found["id"])

    broken: list[str] = []
    with pytest.raises(OSError, match="broker"):
        warning.hand_over(send)
    assert warning.hand_over(send) == 130
    assert sorted(seen, key=int) == [str(number) for number in range(250)]


class TestCrossing:
    @pytest.fixture
    def tenants(self):
        return Cell(tenant_table(ACME.view(money_per_day=10 * CALL, money_per_month=100 * CALL)))

    @pytest.fixture
    async def limits(self, valkey_url, tenants):
        stores = Stores([valkey_url], tenants)
        limits = Limits(stores, tenants, spending=RecordedSpending())
        yield limits
        limits.close()
        await stores.close()

    async def test_it_tells_once_a_period_of_four_fifths_and_of_the_end(self, limits):
        found = []
        for _ in range(10):
            (await reserve(limits, ALICE)).settle(USED)
            limits.purse.depart()
            for _ in range(3):
                await limits.store.call("PING")
            found.append(int(await limits.store.call("LLEN", LIST)))
        assert found == [0] * 7 + [1, 1, 2]
        told = [msgspec.json.decode(raw, type=Notice) for raw in await limits.store.call("LRANGE", LIST, 0, -1)]
        assert [(each.subject, each.period, each.percent, each.spent) for each in told] == [
            ("t", "day", 80, 8 * CALL),
            ("t", "day", 100, 10 * CALL),
        ]
