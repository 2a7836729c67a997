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
from django.utils.translation import gettext as _

from tenants import webhooks
from tenants.models import Alert, AlertKind, Tenant
from tenants.warning import mail_each, people_to_warn
from tenants.webhooks import AddressRefused

log = logging.getLogger(__name__)

MOST_TRIES: Final = 30  # a minute each
SECONDS: Final = 40.0  # of a round; what is left the next one tells
SLOW: Final = 3.0  # seconds: who takes longer is waited for once a round
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


class Teller:
    """Of one process: who had a mail already of what is not told to everybody, and whose addresses are slow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._had: dict[tuple[int, float | None], set[int]] = {}  # users by alert and when it is told
        self._slow: set[int | None] = set()  # tenants
        self._mail_away = False  # for the rest of a round

    def tell_all(self) -> int:
        """Tries once what is to be told; how much of it was. Whom one has to wait for is waited for once a round, and
        after the others in the next: what one tenant's receiver does must not keep another tenant's alert."""
        until, told = self._clock() + SECONDS, 0
        found = Alert.objects.everywhere().exclude(telling="").select_related("tenant", "rule").order_by("tries", "pk")
        rows = sorted(found, key=lambda alert: (alert.tenant_id in self._slow, alert.tenant_id is not None))
        self._had = {_key(alert): self._had.get(_key(alert), set()) for alert in rows}
        self._mail_away = False
        tried: set[int | None] = set()
        waited: set[int | None] = set()
        for alert in rows:
            began = self._clock()
            if began > until:
                break
            if alert.tenant_id in waited or (self._mail_away and not alert.by_webhook):
                continue
            told += self.tell(alert)
            tried.add(alert.tenant_id)
            if self._clock() - began > SLOW:
                waited.add(alert.tenant_id)
        self._slow = (self._slow - tried) | waited
        return told

    def tell(self, alert: Alert) -> bool:
        """Each way by itself: one that fails does not repeat the other. Whether all of it is told."""
        if alert.by_mail and not self._mail_away:
            began = self._clock()
            alert.by_mail = not _sent(alert, lambda: send_mails(alert, self._had.setdefault(_key(alert), set())))
            self._mail_away = alert.by_mail and self._clock() - began > SLOW
        if alert.by_webhook:
            alert.by_webhook = not _sent(alert, lambda: call_webhook(alert))
        alert.tries += 1
        done = not (alert.by_mail or alert.by_webhook)
        if done or alert.tries >= MOST_TRIES:
            alert.telling = ""
        fields = ["by_mail", "by_webhook", "tries", "telling", "last_error"]
        Alert.objects.everywhere().filter(pk=alert.pk, told_at=alert.told_at).update(
            **{name: getattr(alert, name) for name in fields}
        )
        return done


def _key(alert: Alert) -> tuple[int, float | None]:
    return alert.pk, alert.told_at


def _sent(alert: Alert, send: Callable[[], object]) -> bool:
    """Whether it is not to be tried again. Whatever goes wrong is this alert's alone."""
    try:
        send()
    except AddressRefused as error:
        alert.last_error = f"refused: {error}"[:200]
    except Exception as error:  # noqa: BLE001 - border: mail servers, addresses and receivers may be any
        log.warning("the alert %s could not be told: %s", alert.pk, type(error).__name__)
        alert.last_error = f"{type(error).__name__}: {error}"[:200]
        return False
    return True


def send_mails(alert: Alert, had: set[int] | None = None) -> int:
    """One to everybody who is to know, but for those who `had` it; how many. An address that is refused keeps nobody
    else from theirs. Raises OSError, ValueError."""
    return mail_each(people_to_warn(alert.tenant), lambda: wording(alert), had)


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
