"""Who was erased: a pseudonym and two times, so that it can be done again after an old backup came back."""

from __future__ import annotations

from django.db import models

from tenants.models import Job
from tenants.scoping import TenantScopedModel


class Erasure(TenantScopedModel):
    """A user of a tenant whose text is to be, or was, erased. Kept for ever; it does not say who it was: `subject` is
    the pseudonym of the journal."""

    config_section = "erasures"

    subject = models.CharField(max_length=64)
    requested_by = models.CharField(max_length=100, blank=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(null=True, blank=True, help_text="What was said until then is gone.")
    certificate = models.CharField(max_length=300, blank=True, help_text="The object that holds it.")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="erasure_by_tenant")]

    def __str__(self) -> str:
        return f"erasure {self.pk} of {self.subject[:12]}…"
