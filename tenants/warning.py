"""Tells people that a budget is used to four fifths, or whole: by mail to the tenant's owners and admins, and by its
webhook. Blocking: for background work; the request path leaves a notice (see `tenants.limits.notices`)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from smtplib import SMTPDataError, SMTPNotSupportedError, SMTPRecipientsRefused
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import translation
from django.utils.translation import gettext as _

from engine.snapshots import Cell
from tenants import webhooks
from tenants.directory import TenantTable
from tenants.isolation import Stores
from tenants.limits.money import money
from tenants.limits.notices import LIST, Notice
from tenants.models import ApiKey, Member, Role, Tenant, User

log = logging.getLogger(__name__)

BATCH: Final = 100
WARNED: Final = (Role.OWNER, Role.ADMIN)
MAILING: Final = 40.0  # seconds after which others are left to the next try, where it is remembered who had theirs
# Of one address; some servers say so only once they have the mail.
REFUSED: Final = (SMTPRecipientsRefused, SMTPDataError, SMTPNotSupportedError)


def hand_over(send: Callable[[dict[str, Any]], None]) -> int:
    """Takes the notices that wait and hands each to `send`; how many. One that cannot be handed over stays."""
    return asyncio.run(_hand_over(send))


async def _hand_over(send: Callable[[dict[str, Any]], None]) -> int:
    stores = Stores(settings.VALKEY_NODES, Cell(TenantTable()))
    store, number = stores.platform(), 0
    try:
        while taken := await store.call("LPOP", LIST, BATCH):
            for place, raw in enumerate(taken):
                try:
                    send(msgspec.json.decode(raw))
                except BaseException:
                    await store.call("RPUSH", LIST, *taken[place:])
                    raise
                number += 1
    finally:
        await stores.close()
    return number


def send_mails(notice: Notice, had: set[int] | None = None) -> int:
    """One to everybody who is to know, in their language, but who `had` it; how many. Raises as `mail_each`."""
    tenant = _tenant(notice)
    if notice.tenant_id is not None and tenant is None:
        return 0
    return mail_each(people_to_warn(tenant), lambda: wording(notice, tenant), had)


def call_webhook(notice: Notice) -> bool:
    """Whether there is one. Raises what `webhooks.post` does."""
    tenant = _tenant(notice)
    if tenant is None or not tenant.budget_webhook:
        return False
    body = msgspec.json.encode(payload(notice, tenant))
    webhooks.post(tenant.budget_webhook, body, secret=webhooks.secret_of(tenant.pk))
    return True


def payload(notice: Notice, tenant: Tenant) -> dict[str, Any]:
    """What the webhook is sent. The same `id` again is the same message again."""
    of, name = _subject(notice)
    return {
        "id": notice.id,
        "type": "budget.used_up" if notice.percent >= 100 else "budget.warning",
        "at": round(notice.at, 3),
        "tenant": tenant.slug,
        "of": of,
        "name": name,
        "period": notice.period,
        "begins": notice.begins,
        "ends": notice.ends,
        "percent": notice.percent,
        "spent": money(notice.spent),
        "limit": money(notice.limit),
    }


def wording(notice: Notice, tenant: Tenant | None) -> tuple[str, str]:
    """Subject and text of the mail, in the language that is set."""
    whose = _whose(notice, tenant)
    facts = {
        "whose": whose,
        "percent": notice.percent,
        "spent": money(notice.spent),
        "limit": money(notice.limit),
        "ends": _moment(notice.ends, tenant),
    }
    if notice.period == "day":
        budget = _("The daily budget of %(whose)s") % facts
    else:
        budget = _("The monthly budget of %(whose)s") % facts
    facts["budget"] = budget
    if notice.percent >= 100:
        subject = _("%(budget)s is used up") % facts
        then = _("Until %(ends)s its calls are refused, or answered by a cheaper model where that was chosen.") % facts
    else:
        subject = _("%(budget)s is used to %(percent)s %%") % facts
        then = _("It begins anew at %(ends)s.") % facts
    spent = _("%(spent)s of %(limit)s were spent.") % facts
    return " ".join(subject.split()), f"{subject}.\n\n{spent}\n{then}\n"


def _whose(notice: Notice, tenant: Tenant | None) -> str:
    of, name = _subject(notice)
    if tenant is None:
        return _("the platform") if of == "tenant" else _("the model %(name)s") % {"name": name}
    facts = {"tenant": tenant.name, "name": name}
    if of == "key":
        key = ApiKey.objects.for_tenant(tenant.pk).filter(pk=name).first()
        return _("the key %(name)s of %(tenant)s") % {**facts, "name": key or name}
    if of == "member":
        member = Member.objects.for_tenant(tenant.pk).filter(pk=name).select_related("user").first()
        return _("the member %(name)s of %(tenant)s") % {**facts, "name": member.user if member else name}
    if of == "model":
        return _("the model %(name)s at %(tenant)s") % facts
    return tenant.name


def _subject(notice: Notice) -> tuple[str, str]:
    kinds = {"t": "tenant", "k": "key", "m": "member", "M": "model"}
    return kinds[notice.subject[0]], notice.subject[1:]


def _moment(at: int, tenant: Tenant | None) -> str:
    zone = ZoneInfo(tenant.time_zone) if tenant is not None else UTC
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M %Z}"


def _tenant(notice: Notice) -> Tenant | None:
    return Tenant.objects.filter(pk=notice.tenant_id).first() if notice.tenant_id is not None else None


def mail_each(people: Iterable[User], worded: Callable[[], tuple[str, str]], had: set[int] | None = None) -> int:
    """A mail to each, in their language; how many. An address that is refused keeps nobody else from theirs.

    Raises OSError for a mail server that is away, and OSError or ValueError for addresses that were refused: where
    nobody was reached, or where `had` remembers who was, so that it may be tried again; then TimeoutError, too, where a
    server takes long for each."""
    failure: OSError | ValueError | None = None
    sent, began = 0, time.monotonic()
    for user in people:
        if had is not None and user.pk in had:
            continue
        if had is not None and sent and time.monotonic() - began > MAILING:
            failure = TimeoutError(f"the mail server takes long: {sent} mails, the others next time")
            break
        with translation.override(user.language or settings.LANGUAGE_CODE):
            subject, text = worded()
        try:
            sent += EmailMessage(" ".join(subject.split()), text, to=[user.email]).send()
        except (*REFUSED, ValueError) as error:
            log.warning("the address of user %s takes no mail: %s", user.pk, type(error).__name__)
            failure = error
        else:
            if had is not None:
                had.add(user.pk)
    if failure is not None and (had is not None or not sent):
        raise failure
    return sent


def people_to_warn(tenant: Tenant | None) -> list[User]:
    """Those with an address, each once."""
    if tenant is None:
        people = User.objects.filter(is_superuser=True, is_active=True)
    else:
        members = Member.objects.for_tenant(tenant.pk).filter(role__in=WARNED, is_active=True, user__is_active=True)
        people = User.objects.filter(pk__in=members.values("user_id"))
    return list({user.email.lower(): user for user in people.exclude(email="").order_by("-pk")}.values())
