"""What somebody wants to be told of, what was found, what was counted a few minutes ago, and what is to be reached."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.scoping import TenantScopedModel
from tenants.webhooks import AddressRefused, check_address

MOST_MINUTES: Final = 60


class AlertKind(models.TextChoices):
    COMPLETION_RATE = "completion_rate", "Completion rate (%) below"
    ERROR_RATE = "error_rate", "Failed and aborted turns (%) above"
    RESPONSE_TIME = "response_time", "P99 response time (s) above"
    FIRST_TOKEN = "first_token", "P99 time to the first token (s) above"
    INSTANCE_DOWN = "instance_down", "Breaker of a model instance open at so many % of the workers"
    OUTBOX_FAILS = "outbox_fails", "A queue or webhook failing for so many minutes"
    STORE_DOWN = "store_down", "The store does not answer"
    JOURNAL_DOWN = "journal_down", "The journal's database does not answer"
    JOURNAL_WAITS = "journal_waits", "Entries that wait for the journal above"
    CPU = "cpu", "CPU of a machine (%) above"
    NO_WORKERS = "no_workers", "No worker gives a sign of life"


PLATFORM_ONLY: Final = frozenset(
    {
        AlertKind.STORE_DOWN,
        AlertKind.JOURNAL_DOWN,
        AlertKind.JOURNAL_WAITS,
        AlertKind.CPU,
        AlertKind.NO_WORKERS,
    }
)
DEFAULTS: Final[dict[str, float]] = {
    AlertKind.COMPLETION_RATE: 90,
    AlertKind.ERROR_RATE: 10,
    AlertKind.RESPONSE_TIME: 2,
    AlertKind.FIRST_TOKEN: 2,
    AlertKind.INSTANCE_DOWN: 50,
    AlertKind.OUTBOX_FAILS: 10,
    AlertKind.JOURNAL_WAITS: 1000,
    AlertKind.CPU: 85,
}
PERCENT: Final = frozenset({AlertKind.COMPLETION_RATE, AlertKind.ERROR_RATE, AlertKind.INSTANCE_DOWN, AlertKind.CPU})
TENANT_KINDS: Final = [choice for choice in AlertKind.choices if choice[0] not in PLATFORM_ONLY]


class AlertRule(TenantScopedModel):
    """One thing somebody wants to be told of. No tenant: the platform's operators want to.

    It fires once it has been so for `minutes`, and is over once it has not been so for as long."""

    config_section = "alert_rules"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    threshold = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="Empty: the usual one."
    )
    minutes = models.PositiveSmallIntegerField(
        default=5, validators=[MaxValueValidator(MOST_MINUTES)], help_text="So long before it is told."
    )
    repeat_minutes = models.PositiveIntegerField(
        default=240, help_text="Told again after so many minutes, until somebody says that they know; 0: never."
    )
    mail = models.BooleanField(default=True, help_text="To owners and admins, or the platform's operators.")
    url = models.CharField(max_length=500, blank=True, help_text="A signed message is posted there.")
    enabled = models.BooleanField(default=True)

    class Meta:
        verbose_name = "alert rule"
        ordering = ["tenant_id", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "kind"], name="alert_rule_once"),
            models.UniqueConstraint(
                fields=["kind"], condition=models.Q(tenant__isnull=True), name="platform_alert_rule_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())

    @property
    def recorded_as(self) -> str:
        """What a change of it is on record as, the same in every language."""
        return self.kind

    def clean(self) -> None:
        if self.tenant_id is not None and self.kind in PLATFORM_ONLY:
            raise ValidationError({"kind": _("Only the platform's operators can be told of this.")})
        if self.threshold is not None:
            if self.kind not in DEFAULTS:
                self.threshold = None  # there is nothing to compare
            elif not 0 <= self.threshold < float("inf"):
                raise ValidationError({"threshold": _("Enter a number.")})
            elif self.kind in PERCENT and self.threshold > 100:
                raise ValidationError({"threshold": _("Enter a number from 0 to 100.")})
        if self.url:
            try:
                check_address(self.url)
            except AddressRefused as error:
                raise ValidationError({"url": str(error)}) from None

    @property
    def limit(self) -> float:
        """The threshold that counts; 0 where there is nothing to compare."""
        usual = DEFAULTS.get(self.kind)
        return 0.0 if usual is None else self.threshold if self.threshold is not None else usual


class Alert(TenantScopedModel):
    """Something that was found, from when it was first seen. Times are Unix seconds. `subject` says of what there are
    several: an instance, a sink, a machine. `telling` is what is still to be told, and by which ways."""

    class State(models.TextChoices):
        PENDING = "pending", "Watched"
        FIRING = "firing", "Firing"
        RESOLVED = "resolved", "Over"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    subject = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    value = models.FloatField(default=0.0)
    threshold = models.FloatField(default=0.0)
    since = models.FloatField()
    fired_at = models.FloatField(null=True)
    well_since = models.FloatField(null=True)
    resolved_at = models.FloatField(null=True)
    told_at = models.FloatField(null=True)
    acknowledged_at = models.FloatField(null=True)
    acknowledged_by = models.CharField(max_length=100, blank=True)
    telling = models.CharField(max_length=8, blank=True)
    by_mail = models.BooleanField(default=False)
    by_webhook = models.BooleanField(default=False)
    tries = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "alert"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=~models.Q(state="resolved"), name="alert_open_once"
            )
        ]
        indexes = [models.Index(fields=["tenant", "-id"], name="alert_by_tenant")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}".strip()


class ServiceObjective(TenantScopedModel):
    """Which share of the turns is to complete; one row a tenant, and one without a tenant for the platform."""

    config_section = "objectives"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    completion = models.FloatField(default=99.0, validators=[MinValueValidator(50), MaxValueValidator(99.999)])

    class Meta:
        verbose_name = "service objective"
        ordering = ["tenant_id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="objective_once"),
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(tenant__isnull=True), name="platform_objective_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.completion:g} %"


class AlertReading(models.Model):
    """What usage had counted at a moment (`access.alerting.readings`); kept for some minutes."""

    at = models.FloatField(unique=True, help_text="Unix seconds.")
    body = models.BinaryField()

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.at:.0f}"


class AlertWatch(models.Model):
    """Who looks, until when: one row, so that of several processes one does. Times are Unix seconds."""

    holder = models.CharField(max_length=64, blank=True)
    held_until = models.FloatField(default=0.0)
    looked_at = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return self.holder
