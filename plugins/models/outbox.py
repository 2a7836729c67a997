"""How far every sink has been sent its tenant's events, and what is held back. No table holds words of a turn: an event
is made of the journal again whenever it is sent."""

from __future__ import annotations

from django.db import models

from tenants.scoping import TenantScopedModel


class SinkState(TenantScopedModel):
    """A sink and its place in the tenant's journal: everything below `position` was delivered, is held, or was not
    asked for. `holder` may move it until `held_until`. `since`: nothing older is sent.

    Times are Unix seconds. `lag` is how many entries lie before it and `lag_seconds` how old the first of them is."""

    sink = models.CharField(max_length=200)
    label = models.CharField(max_length=200, blank=True)
    position = models.BigIntegerField(default=0)
    since = models.FloatField(default=0.0)
    holder = models.CharField(max_length=100, blank=True)
    held_until = models.FloatField(default=0.0)
    next_at = models.FloatField(default=0.0)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    failing_since = models.FloatField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    last_sent_at = models.FloatField(null=True)
    delivered = models.PositiveBigIntegerField(default=0)
    dead = models.PositiveBigIntegerField(default=0, help_text="Given up after a day of trying.")
    pruned = models.PositiveBigIntegerField(default=0, help_text="Removed by retention before they were sent.")
    lag = models.PositiveBigIntegerField(default=0)
    lag_seconds = models.FloatField(default=0.0)
    seen_at = models.FloatField(default=0.0, help_text="When the publisher last looked after it.")

    class Meta:
        verbose_name = "event sink"
        ordering = ["tenant_id", "sink"]
        constraints = [models.UniqueConstraint(fields=["tenant", "sink"], name="sink_once")]

    def __str__(self) -> str:
        return self.label or self.sink


class HeldEvent(TenantScopedModel):
    """An event a sink did not take, or one that waits behind such an event of the same session.

    `waiting` ones are tried again at `next_at`, the oldest of their `partition` first; `dead` ones when somebody asks.
    `position` is the journal's; without one it is a test event. `resent`: somebody asked for it after it was dead."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DEAD = "dead", "Given up"

    sink = models.CharField(max_length=200)
    position = models.BigIntegerField(null=True)
    event = models.CharField(max_length=100)
    type = models.CharField(max_length=100)
    subject = models.CharField(max_length=300, blank=True)
    partition = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    first_at = models.FloatField(help_text="Unix seconds.")
    next_at = models.FloatField(default=0.0, help_text="Unix seconds.")
    last_error = models.CharField(max_length=300, blank=True)
    resent = models.BooleanField(default=False)

    class Meta:
        verbose_name = "held event"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "sink", "event"], name="held_event_once")]
        indexes = [models.Index(fields=["state", "next_at"], name="held_event_due")]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"


class DeliveryAttempt(TenantScopedModel):
    """One of the last tries to hand an event to a sink. `status` is the HTTP status, 0 where there was none."""

    sink = models.CharField(max_length=200)
    event = models.CharField(max_length=100)
    type = models.CharField(max_length=100)
    at = models.FloatField(help_text="Unix seconds.")
    milliseconds = models.PositiveIntegerField(default=0)
    ok = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "delivery attempt"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "sink", "-id"], name="delivery_attempts")]

    def __str__(self) -> str:
        return f"{self.type}: {self.status or self.error or 'ok'}"
