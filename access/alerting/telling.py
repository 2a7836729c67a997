"""Tells people what fires and what is over: by mail in their language, and by a signed message to the rule's address.

What is to be told stands in the alert's row until it was, so that neither a restart nor a mail server that is away
loses it. Blocking."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import translation
from django.utils.translation import gettext as _

from tenants import webhooks
from tenants.models import Alert, AlertKind, Tenant
from tenants.warning import people_to_warn
from tenants.webhooks import AddressRefused

log = logging.getLogger(__name__)

MOST_TRIES: Final = 30  # a minute each
SECONDS: Final = 40.0  # of a round; what is left the next one tells
PLATFORM: Final = 0  # whose secret signs messages of the platform's own
UNITS: Final[dict[str, str]] = {
    AlertKind.COMPLETION_RATE: "%",
    AlertKind.ERROR_RATE: "%",
    AlertKind.RESPONSE_TIME: "s",
    AlertKind.FIRST_TOKEN: "s",
    AlertKind.INSTANCE_DOWN: "%",
    AlertKind.OUTBOX_FAILS: "min",
    AlertKind.JOURNAL_WAITS: "",
    AlertKind.CPU: "%",
}


def tell_all(clock: Callable[[], float] = time.monotonic) -> int:
    """Tries once what is to be told; how much of it was."""
    until, told = clock() + SECONDS, 0
    rows = Alert.objects.everywhere().exclude(telling="").select_related("tenant", "rule").order_by("tries", "pk")
    for alert in rows:
        if clock() > until:
            break
        told += tell(alert)
    return told


def tell(alert: Alert) -> bool:
    """Each way by itself: one that fails does not repeat the other. Whether all of it is told."""
    ways = {"by_mail": send_mails, "by_webhook": call_webhook}
    for way, send in ways.items():
        if not getattr(alert, way):
            continue
        try:
            send(alert)
            setattr(alert, way, False)
        except AddressRefused as error:
            alert.last_error = f"refused: {error}"[:200]
            setattr(alert, way, False)
        except OSError as error:  # SMTPException and DeliveryFailed are some
            log.warning("an alert could not be told: %s", type(error).__name__)
            alert.last_error = f"{type(error).__name__}: {error}"[:200]
    alert.tries += 1
    done = not (alert.by_mail or alert.by_webhook)
    if done or alert.tries >= MOST_TRIES:
        alert.telling = ""
    fields = ["by_mail", "by_webhook", "tries", "telling", "last_error"]
    Alert.objects.everywhere().filter(pk=alert.pk, told_at=alert.told_at).update(
        **{name: getattr(alert, name) for name in fields}
    )
    return done


def send_mails(alert: Alert) -> int:
    """One to everybody who is to know; how many. Raises OSError."""
    sent = 0
    for user in people_to_warn(alert.tenant):
        with translation.override(user.language or settings.LANGUAGE_CODE):
            subject, text = wording(alert)
        sent += EmailMessage(subject, text, to=[user.email]).send()
    return sent


def call_webhook(alert: Alert) -> None:
    """Raises AddressRefused, DeliveryFailed."""
    if alert.rule is not None and alert.rule.url:
        secret = webhooks.secret_of(alert.tenant_id or PLATFORM)
        webhooks.post(alert.rule.url, msgspec.json.encode(payload(alert)), secret=secret)


def payload(alert: Alert) -> dict[str, Any]:
    """What is posted. `id` is the alert's: it comes again when it is over, and when it is told anew."""
    return {
        "id": f"alert-{alert.pk}",
        "type": f"alert.{alert.telling or alert.state}",
        "at": alert.told_at,
        "tenant": alert.tenant.slug if alert.tenant is not None else None,
        "kind": alert.kind,
        "subject": alert.subject,
        "value": round(alert.value, 4),
        "threshold": alert.threshold,
        "since": alert.since,
        "resolved_at": alert.resolved_at,
    }


def wording(alert: Alert) -> tuple[str, str]:
    """Subject and text of the mail, in the language that is set."""
    facts = {
        "whose": alert.tenant.name if alert.tenant is not None else _("the platform"),
        "what": what(alert),
        "since": moment(alert.since, alert.tenant),
        "until": moment(alert.resolved_at or time.time(), alert.tenant),
    }
    if alert.telling == Alert.State.RESOLVED:
        subject = _("Over: %(what)s (%(whose)s)") % facts
        text = _("It lasted from %(since)s to %(until)s.") % facts
    else:
        subject = _("Alert: %(what)s (%(whose)s)") % facts
        text = _("It has been so since %(since)s.") % facts
    measured = figure(alert, alert.value)
    figures = _("Measured: %(value)s.") % {"value": measured} if measured else ""
    return " ".join(subject.split()), "\n\n".join(part for part in (f"{subject}.", figures, text) if part) + "\n"


def what(alert: Alert) -> str:
    """The rule in words, with its threshold and whom it is about."""
    limit = figure(alert, alert.threshold)
    named = f"{alert.get_kind_display()} {limit}".strip()
    return f"{named}: {alert.subject}" if alert.subject else named


def figure(alert: Alert, value: float) -> str:
    """Empty where there is nothing to measure."""
    unit = UNITS.get(alert.kind)
    return "" if unit is None else f"{round(value, 2):g} {unit}".strip()


def moment(at: float, tenant: Tenant | None) -> str:
    zone = ZoneInfo(tenant.time_zone) if tenant is not None else UTC
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M %Z}"
