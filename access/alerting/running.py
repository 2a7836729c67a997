"""Looks each minute, and keeps and tells what it sees. Of several processes that could, one does.

It needs neither Celery's broker nor the store: that those are away is one of the things it tells."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connections, transaction

from access.alerting import telling
from access.alerting.judging import Seen, step
from access.alerting.observing import Sight, look
from tenants.models import Alert, AlertRule, AlertWatch
from tenants.scoping import ScopedQuerySet

log = logging.getLogger("clawdbot.alerts")

LEASE: Final = 150.0  # seconds after which somebody else looks
DAY: Final = 86_400.0
KEPT: Final = [  # not that somebody knows of it, which they may say meanwhile
    "state", "value", "threshold", "since", "fired_at", "well_since", "resolved_at", "told_at", "telling", "by_mail",
    "by_webhook", "tries", "last_error",
]  # fmt: skip

Wait = Callable[[float], bool]


def run(wait: Wait, *, every: float | None = None, now: Callable[[], float] = time.time) -> None:
    """`wait(seconds)` pauses and says whether it is time to stop."""
    period = settings.ALERT_SECONDS if every is None else every
    teller = telling.Teller()
    holder = f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}"
    while not wait(period):
        try:
            if take(holder, now(), max(LEASE, 2.5 * period)):
                round_(now(), teller)
        except DatabaseError as error:
            log.error("alerts could not be looked after: %s", error)
        except Exception:  # noqa: BLE001 - border: one look that went wrong is not the last one
            log.exception("alerts could not be looked after")
        finally:
            connections.close_all()
    try:
        leave(holder)
    except DatabaseError as error:
        log.error("alerts could not be left to another process: %s", error)
    finally:
        connections.close_all()


def round_(now: float, teller: telling.Teller | None = None) -> int:
    """One look; how much was told. Raises DatabaseError."""
    if AlertRule.objects.everywhere().filter(enabled=True).exists():
        judge(look(now), now)
    else:
        _end(Alert.objects.everywhere().exclude(state=Alert.State.RESOLVED), now)
    forget(now)
    return (teller or telling.Teller()).tell_all()


def take(holder: str, now: float, lease: float = LEASE) -> bool:
    """Whether this process is the one that looks. A clock that was set back does not keep everybody away."""
    AlertWatch.objects.bulk_create([AlertWatch(pk=1)], ignore_conflicts=True)
    free = AlertWatch.objects.filter(pk=1).exclude(held_until__gt=now, held_until__lt=now + 2 * lease)
    mine = AlertWatch.objects.filter(pk=1, holder=holder)
    told = {"holder": holder, "held_until": now + lease, "looked_at": now}
    return bool(mine.update(**told) or free.update(**told))


def leave(holder: str) -> None:
    """Another process need not wait until the lease is over."""
    AlertWatch.objects.filter(pk=1, holder=holder).update(held_until=0.0)


def judge(sight: Sight, now: float) -> None:
    """All rules against what there is to see."""
    open_: defaultdict[int | None, list[Alert]] = defaultdict(list)
    for alert in Alert.objects.everywhere().exclude(state=Alert.State.RESOLVED).select_related("tenant"):
        open_[alert.rule_id].append(alert)
    rules = AlertRule.objects.everywhere().filter(enabled=True).select_related("tenant")
    for rule in rules:
        if rule.kind in sight.unknown:
            _wait(open_.pop(rule.pk, []))
            continue
        seen = sight.of_platform() if rule.tenant_id is None else sight.of_tenant(rule.tenant_id)
        with transaction.atomic():
            _judge(rule, [each for each in seen if each.kind == rule.kind], open_.pop(rule.pk, []), now)
    left = [alert.pk for alerts in open_.values() for alert in alerts]
    if left:  # of rules that are gone or switched off
        _end(Alert.objects.everywhere().filter(pk__in=left), now)


def _judge(rule: AlertRule, seen: Iterable[Seen], open_: list[Alert], now: float) -> None:
    """What is not seen any more (an instance whose breaker closed) is well."""
    known = {alert.subject: alert for alert in open_}
    found: dict[str, Seen] = {}
    for each in seen:  # of two things of one name the worse one
        if each.subject not in found or (each.value or 0.0) > (found[each.subject].value or 0.0):
            found[each.subject] = each
    for subject in [*found, *(each for each in known if each not in found)]:
        before = known.get(subject)
        after = step(rule, before, found.get(subject) or Seen(rule.kind, subject, None), now)
        if after is not None:
            after.save(update_fields=KEPT if after.pk is not None else None)
        elif before is not None:
            before.delete()


def _wait(open_: list[Alert]) -> None:
    """Nobody can say how it is: what fires goes on, and what was only watched begins anew."""
    for alert in open_:
        if alert.state == Alert.State.PENDING:
            alert.delete()
        elif alert.well_since is not None:
            alert.well_since = None
            alert.save(update_fields=["well_since"])


def _end(alerts: ScopedQuerySet[Alert], now: float) -> None:
    """Without a word: nobody wants to be told of them any more."""
    alerts.filter(state=Alert.State.PENDING).delete()
    alerts.filter(state=Alert.State.FIRING).update(state=Alert.State.RESOLVED, resolved_at=now, telling="")


def forget(now: float) -> None:
    """What is over for ALERT_DAYS."""
    over = Alert.objects.everywhere().filter(state=Alert.State.RESOLVED)
    over.filter(resolved_at__lt=now - settings.ALERT_DAYS * DAY).delete()
