"""What the journal says in sum, a tenant and hour at a time. Only `compliance.analysis` writes these tables, each page
of the journal in one transaction with the place behind it. They name no user."""

from __future__ import annotations

from django.db import models

from tenants.scoping import TenantScopedModel


class InsightCount(TenantScopedModel):
    """How many turns of an hour had something. `what` says what kind of thing, `name` which, `state` how (see
    `compliance.analysis.counting`). `hour` counts from 1970 (UTC)."""

    hour = models.IntegerField()
    what = models.CharField(max_length=16)
    name = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=32, blank=True)
    count = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "what", "hour", "name", "state"], name="insight_count_once")
        ]
        indexes = [models.Index(fields=["hour"], name="insight_count_by_hour")]

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.count}"


class InsightTiming(TenantScopedModel):
    """How long completed turns of an hour took that this instance answered under this name, and until their first
    token: JSON, how many by the number of a bucket (`compliance.usage.buckets`)."""

    hour = models.IntegerField()
    model = models.CharField(max_length=200, blank=True)
    instance_id = models.BigIntegerField()
    durations = models.TextField()
    first_tokens = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "hour", "model", "instance_id"], name="insight_timing_once")
        ]
        indexes = [models.Index(fields=["hour"], name="insight_timing_by_hour")]

    def __str__(self) -> str:
        return f"{self.model}, hour {self.hour}"


class InsightQuestions(TenantScopedModel):
    """What conversations of a day (UTC, counted from 1970) were begun with: a bounded summary, sealed with the tenant's
    key (`compliance.analysis.questions`)."""

    day = models.IntegerField()
    summary = models.BinaryField()

    class Meta:
        verbose_name_plural = "insight questions"
        constraints = [models.UniqueConstraint(fields=["tenant", "day"], name="insight_questions_once")]
        indexes = [models.Index(fields=["day"], name="insight_questions_by_day")]

    def __str__(self) -> str:
        return f"questions of day {self.day}"


class InsightOpenEnd(TenantScopedModel):
    """A session whose last turn had no answer: abandoned, unless it goes on soon. Gone once that is known."""

    session_id = models.CharField(max_length=200)
    at = models.FloatField(help_text="Unix seconds at which the turn ended.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "session_id"], name="insight_open_end_once")]
        indexes = [models.Index(fields=["at"], name="insight_open_end_by_time")]

    def __str__(self) -> str:
        return self.session_id


class InsightPlace(TenantScopedModel):
    """How far the tenant's journal has been read: all entries before `position` (of its tree). `gone` of them were not
    there any more. `at` is the time of the newest entry that was read."""

    position = models.BigIntegerField(default=0)
    gone = models.BigIntegerField(default=0)
    at = models.FloatField(default=0.0, help_text="Unix seconds.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="insight_place_once")]

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}: {self.position}"


class AnalysisRun(models.Model):
    """The last run over all tenants, one row. Who holds it until `held_until` is the one that reads; times are Unix
    seconds, `seconds` what the last run took, `error` why it ended early."""

    holder = models.CharField(max_length=64, blank=True)
    held_until = models.FloatField(default=0.0)
    began = models.FloatField(default=0.0)
    ended = models.FloatField(default=0.0)
    seconds = models.FloatField(default=0.0)
    entries = models.BigIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.entries} entries in {self.seconds:.1f} s"
