"""When an alert fires and when it is over: a function of what was known and what is seen, without a clock or a row.

It fires once something has been so for the rule's minutes. It is over once it has been well for as long; between both
lies a margin, in which a firing one goes on and nothing new begins, so that a figure that dances around the threshold
does not tell people each time."""

from __future__ import annotations

from typing import Final, NamedTuple

from tenants.models import Alert, AlertKind, AlertRule

State = Alert.State
MARGIN: Final = 0.1  # of the threshold, on its good side
BELOW: Final = frozenset({AlertKind.COMPLETION_RATE})
AT: Final = frozenset(  # the threshold itself is bad
    {
        AlertKind.INSTANCE_DOWN,
        AlertKind.OUTBOX_FAILS,
        AlertKind.STORE_DOWN,
        AlertKind.JOURNAL_DOWN,
        AlertKind.NO_WORKERS,
    }
)


class Seen(NamedTuple):
    """A figure. `value` None: nothing was there to measure, which is not bad."""

    kind: str
    subject: str
    value: float | None


def is_bad(kind: str, value: float | None, limit: float) -> bool:
    if value is None:
        return False
    if kind in BELOW:
        return value < limit
    return value >= limit and (kind in AT and value > 0 or value > limit)


def is_well(kind: str, value: float | None, limit: float) -> bool:
    """Beyond the margin. 100 % is well where the threshold is no more."""
    if value is None:
        return True
    if is_bad(kind, value, limit):
        return False
    if kind in BELOW:
        return value >= min(limit + MARGIN * (100.0 - limit), 100.0)
    if kind in AT:
        return True
    return value <= limit * (1.0 - MARGIN)


def step(rule: AlertRule, open_: Alert | None, seen: Seen, now: float) -> Alert | None:
    """The alert as it is from now on, still to be saved; None: there is none (one that was only watched is to go)."""
    limit, bad = rule.limit, is_bad(seen.kind, seen.value, rule.limit)
    if open_ is None:
        if not bad:
            return None
        open_ = Alert(tenant_id=rule.tenant_id, rule=rule, kind=rule.kind, subject=seen.subject, since=now)
    open_.since = min(open_.since, now)  # of a clock that was wrong
    open_.threshold = limit
    if bad and seen.value is not None:
        open_.value = seen.value
    if open_.state == State.PENDING:
        return _watched(rule, open_, bad, now)
    return _firing(rule, open_, bad, is_well(seen.kind, seen.value, limit), now)


def _watched(rule: AlertRule, alert: Alert, bad: bool, now: float) -> Alert | None:
    if not bad:
        return None
    if now - alert.since >= rule.minutes * 60:
        alert.state = State.FIRING
        alert.fired_at = now
        tell(rule, alert, State.FIRING, now)
    return alert


def _firing(rule: AlertRule, alert: Alert, bad: bool, well: bool, now: float) -> Alert:
    if not well:
        alert.well_since = None
        again = rule.repeat_minutes and alert.told_at is not None and now - alert.told_at >= rule.repeat_minutes * 60
        if bad and again and alert.acknowledged_at is None:
            tell(rule, alert, State.FIRING, now)
        return alert
    alert.well_since = min(alert.well_since or now, now)
    if now - alert.well_since >= rule.minutes * 60:
        alert.state = State.RESOLVED
        alert.resolved_at = now
        tell(rule, alert, State.RESOLVED, now)
    return alert


def tell(rule: AlertRule, alert: Alert, what: str, now: float) -> None:
    """From now on it is to be told, by the rule's ways; what was not told before is not any more."""
    alert.telling = what if rule.mail or rule.url else ""
    alert.by_mail, alert.by_webhook = rule.mail, bool(rule.url)
    alert.told_at, alert.tries, alert.last_error = now, 0, ""
