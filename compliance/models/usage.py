"""What turns used, as sums that are kept when the journal's entries are pruned. They hold no text and name nobody.

Only `compliance.usage` writes them, in the transaction of the completions they count (`compliance.usage.counting`). A
row is a writer's own (`writer`: on SQLite, where a file has one writer, 0), so that two never wait for each other.
Tenants, keys, members and instances are numbers of rows elsewhere, 0: none."""

from __future__ import annotations

from django.db import models

from tenants.scoping import ScopedManager


class Used(models.Model):
    """The sums. `cost` is in millionths (`engine.pricing`), `last_at` when the last of the turns ended."""

    completed = models.BigIntegerField()
    refused = models.BigIntegerField()
    failed = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    aborted = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    cost = models.BigIntegerField()
    last_at = models.FloatField(help_text="Unix seconds.")

    objects = ScopedManager()

    class Meta:
        abstract = True


class UsageRow(Used):
    """Who used what in one hour. `hour` counts from 1970 (UTC)."""

    tenant_id = models.BigIntegerField()
    hour = models.IntegerField()
    key_id = models.BigIntegerField()
    member_id = models.BigIntegerField()
    model = models.CharField(max_length=200)
    instance_id = models.BigIntegerField()
    edge = models.CharField(max_length=32)
    writer = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "hour", "key_id", "member_id", "model", "instance_id", "edge", "writer"],
                name="usage_once",
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "key_id", "hour"], name="usage_by_key", condition=models.Q(key_id__gt=0)),
            models.Index(
                fields=["tenant_id", "member_id", "hour"], name="usage_by_member", condition=models.Q(member_id__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}, hour {self.hour}"


class UsageTotal(Used):
    """What a tenant used of a model in one hour, or one day (UTC): few rows, however many keys and members there are.
    `hours` says how long it is, 1 or 24; `start` counts in hours."""

    tenant_id = models.BigIntegerField()
    hours = models.SmallIntegerField()
    start = models.IntegerField()
    model = models.CharField(max_length=200)
    instance_id = models.BigIntegerField()
    writer = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "hours", "start", "model", "instance_id", "writer"], name="usage_total_once"
            )
        ]
        indexes = [models.Index(fields=["hours", "start"], name="usage_of_all")]

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}, {self.hours} h from {self.start}"


class UsageTiming(models.Model):
    """How long a tenant's completed turns of one hour took, and until their first token: JSON, how many by the number
    of a bucket (`compliance.usage.buckets`)."""

    tenant_id = models.BigIntegerField()
    hour = models.IntegerField()
    model = models.CharField(max_length=200)
    writer = models.BigIntegerField()
    durations = models.TextField()
    first_tokens = models.TextField()

    objects = ScopedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "hour", "model", "writer"], name="usage_timing_once")
        ]
        indexes = [models.Index(fields=["hour"], name="usage_timing_of_all")]

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}, hour {self.hour}"
