"""Versions of the live configuration, and background work."""

from __future__ import annotations

from django.db import models

from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager, TenantScopedModel


class ConfigVersion(models.Model):
    """A counter a section of the live configuration: workers compare it to what they compiled last."""

    section = models.CharField(max_length=32, primary_key=True)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["section"]

    def __str__(self) -> str:
        return f"{self.section} {self.version}"


class Job(TenantScopedModel):
    """Background work somebody waits for: its state and progress, and where the result lies."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent.")
    arguments = models.JSONField(default=dict, blank=True)
    result_name = models.CharField(max_length=300, blank=True, help_text="The object that holds the result.")
    error = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=models.Q(progress__lte=100), name="job_progress")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
